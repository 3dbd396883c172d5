"""Figures of the image: what it weighs, and how long a cold start takes."""

import json
import statistics
from dataclasses import dataclass, field
from typing import Any

from tests.image.podman import OUT


@dataclass
class Report:
    """Filled by the tests; printed at their end and kept in ``out/image/report.json``.

    Attributes
    ----------
    image_mb, base_mb
        Unpacked; the image includes its base.
    build_seconds
        Of the Dockerfile; short when the layers of an earlier build are there.
    init_seconds
        Per cold start: from the process' start until it asks for its first event.
    init_cpu_seconds
        Processor time of the same.
    first_prepare_seconds
        Per cold start: Prepare of a small model, as the first invocation.
    warm_prepare_seconds
        The same once more.
    peak_mb
        Resident memory of a worker by what it has done.
    """

    image_mb: float = 0.0
    base_mb: float = 0.0
    build_seconds: float = 0.0
    init_seconds: list[float] = field(default_factory=list)
    init_cpu_seconds: list[float] = field(default_factory=list)
    first_prepare_seconds: list[float] = field(default_factory=list)
    warm_prepare_seconds: list[float] = field(default_factory=list)
    peak_mb: dict[str, float] = field(default_factory=dict)

    def write(self) -> None:
        """Keep the figures, and print them."""
        OUT.mkdir(parents=True, exist_ok=True)
        (OUT / "report.json").write_text(json.dumps(self._summary(), indent=1) + "\n")

    def lines(self) -> list[str]:
        """One line per figure."""
        return [f"{name:24} {value}" for name, value in self._summary().items()]

    def _summary(self) -> dict[str, Any]:
        summary: dict[str, Any] = {
            "image_mb": round(self.image_mb),
            "base_mb": round(self.base_mb),
            "build_seconds": round(self.build_seconds, 1),
            "cold_starts": len(self.init_seconds),
        }
        for name in ("init_seconds", "init_cpu_seconds", "first_prepare_seconds", "warm_prepare_seconds"):
            if values := getattr(self, name):
                summary[f"{name}_median"] = round(statistics.median(values), 2)
        return summary | {f"peak_mb_{what}": round(value) for what, value in self.peak_mb.items()}
