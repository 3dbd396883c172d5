"""GB of float32 (float64: of float64) per second and core that each wire encodes, and decodes and adds.

    python -m bench.wires

Seconds are those of the thread's own CPU, so that a busy machine does not count; checksums are included.
"""

import statistics
import time
from collections.abc import Callable

import numpy as np

from paytrain.exchange.frame import Tally, decode, encode
from paytrain.exchange.wires import WIRES
from paytrain.exchange.wires.base import Wire

ELEMENTS = 3_000_000
"""12 MB of float32, as one frame."""
REPETITIONS = 15
_NAMES = {"name": "bench", "rank": 0, "round_": 0}


def main() -> None:
    """Print a table in Markdown."""
    print("| wire | bytes per value | encode, GB/s | decode and add, GB/s |")
    print("|---|---|---|---|")
    for wire in WIRES.values():
        encoding, adding = measure(wire)
        print(
            f"| `{wire.name}` | {wire.payload_bytes(ELEMENTS) / ELEMENTS:.2f} | {encoding:.1f} | {adding:.1f} |",
            flush=True,
        )


def measure(wire: Wire) -> tuple[float, float]:
    """GB of vector per second: encoded into a frame with its checksum; checked, decoded and added to a sum."""
    source = np.random.default_rng(1)
    scale = 10.0 ** source.integers(-6, 2, ELEMENTS)
    values = (source.standard_normal(ELEMENTS) * scale).astype(wire.dtype)
    residual = np.zeros(ELEMENTS, np.float32) if wire.has_residual else None
    total, tally = np.zeros(ELEMENTS, wire.dtype), Tally(64, 0, np.zeros(3))

    def encoded() -> list[memoryview]:
        return encode(wire.encode(values, residual), tally, wire=wire, elements=ELEMENTS, **_NAMES)

    received = bytearray().join(encoded())

    def add() -> None:
        frame = decode(received, elements=ELEMENTS, metrics=3, wire=wire, **_NAMES)
        wire.add(frame.payload, total)

    return values.nbytes / 1e9 / _seconds(encoded), values.nbytes / 1e9 / _seconds(add)


def _seconds(work: Callable[[], object]) -> float:
    """Median of the thread's CPU seconds, after a run that is not counted."""
    work()
    measured = []
    for _ in range(REPETITIONS):
        began = time.thread_time()
        work()
        measured.append(time.thread_time() - began)
    return statistics.median(measured)


if __name__ == "__main__":
    main()
