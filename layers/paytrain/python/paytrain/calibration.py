"""Calibration: a worker measures the channels that it can reach, through their own classes, and its own start.

Latencies are those of the service: what a small request costs this process' CPU is measured apart and taken off, as
the profile has it.
"""

import math
import os
import statistics
import time
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import numpy as np

from paytrain import cold_start
from paytrain.channels.base import Channel
from paytrain.channels.chunks import parts_of
from paytrain.channels.open import open_channel
from paytrain.errors import ChannelError
from paytrain.exchange.tuning import DYNAMODB_ITEM_BYTES
from paytrain.plan import Plan
from paytrain.planner import prices, profile
from paytrain.planner.profile import Measured
from paytrain.store import Artifacts

KIB, MIB = 1024, 1024 * 1024
SIZES: dict[str, Sequence[tuple[int, int]]] = {
    "s3": ((KIB, 100), (256 * KIB, 20), (8 * MIB, 5)),
    "s3express": ((KIB, 100), (256 * KIB, 20), (8 * MIB, 5)),
    "dynamodb": ((KIB, 100), (32 * KIB, 20), (256 * KIB, 5)),
    "memcached": ((KIB, 200), (256 * KIB, 20), (4 * MIB, 5)),
}
"""Bytes of an object, and how many are written and read: quantiles from the small ones, bandwidth from all."""
_WARM_UPS = 5
"""Requests that make connections first."""
_NAMES = {"s3": "s3_standard", "s3express": "s3_express", "dynamodb": "dynamodb", "memcached": "memcached"}
"""Channel → its name in the profile."""
_WRITES = {"s3": "put", "s3express": "put", "dynamodb": "put", "memcached": "set"}
_QUANTILES = {"min": 0.0, "p5": 0.05, "p25": 0.25, "p50": 0.5, "p75": 0.75, "p90": 0.9, "p95": 0.95, "p99": 0.99}
_SHORTEST_MS = 0.001
_ESTIMATED_SECONDS = 60.0
"""What a worker takes at most, its start included; an emulator on a laptop as well."""


@dataclass
class Samples:
    """Milliseconds of requests of one kind.

    Attributes
    ----------
    service, cpu
        Bytes of the object → one value for each request: in the service and on the way; in this process' CPU.
    """

    service: dict[int, list[float]] = field(default_factory=dict)
    cpu: dict[int, list[float]] = field(default_factory=dict)

    def take(self, size: int, call: Callable[[], Any]) -> Any:
        """Make a request and note its time."""
        began, cpu_began = time.perf_counter(), time.thread_time()
        result = call()
        cpu = time.thread_time() - cpu_began
        self.service.setdefault(size, []).append(max((time.perf_counter() - began - cpu) * 1e3, _SHORTEST_MS))
        self.cpu.setdefault(size, []).append(cpu * 1e3)
        return result

    def operation(self) -> dict[str, Any]:
        """As the profile has it: the distribution of the smallest objects, and the bandwidth."""
        smallest = np.array(self.service[min(self.service)])
        logarithms = np.log(smallest)
        return {
            "quantiles_ms": {name: float(np.quantile(smallest, at)) for name, at in _QUANTILES.items()},
            "lognormal": {"mu_ln_ms": float(logarithms.mean()), "sigma": float(logarithms.std())},
        }

    def ms_per_byte(self) -> float:
        """What a byte more takes: from the medians of the smallest and of the largest objects; never less than 0.

        With the CPU's time: it passes while bytes arrive, so that taking it off would leave too little.
        """
        small, large = min(self.service), max(self.service)
        return max(self._median_ms(large) - self._median_ms(small), 0.0) / (large - small)

    def _median_ms(self, size: int) -> float:
        return statistics.median(map(sum, zip(self.service[size], self.cpu[size], strict=True)))


def calibrate(
    run_id: str,
    channels: Sequence[str],
    *,
    artifacts: Artifacts,
    exchange_bucket: str,
    exchange_table: str,
    cache_endpoint: str = "",
    cache_item_bytes: int = 0,
    express_bucket: str = "",
) -> Measured:
    """Measure these channels and the sandbox's start, and store what was found beside what was measured before.

    Parameters
    ----------
    channels
        Of ``s3``, ``s3express``, ``dynamodb`` and ``memcached``, those that this function can reach.
    cache_endpoint, cache_item_bytes
        Of the Memcached cluster, if it is to be measured.
    express_bucket
        The directory bucket, if it is to be measured.

    Raises
    ------
    ChannelError
        When a service refuses, or does not give back what it was given.
    ProfileError
        When the profile that is stored cannot be used.
    """
    taken = {}
    for name in channels:
        item_bytes = cache_item_bytes if name == "memcached" else DYNAMODB_ITEM_BYTES
        plan = Plan.model_construct(
            channel=name, item_bytes=item_bytes, cache_endpoint=cache_endpoint, express_bucket=express_bucket
        )
        channel = open_channel(plan, exchange_bucket=exchange_bucket, exchange_table=exchange_table)
        taken[name] = measure(channel, SIZES[name], f"{run_id}/calibration/{uuid.uuid4().hex}")
    before = profile.measured(artifacts)
    found = combine(before, describe(taken, measurement()), cold_start.sandbox_seconds())
    artifacts.put_json(profile.KEY, profile.as_json(found))
    return found


def measure(channel: Channel, sizes: Sequence[tuple[int, int]], prefix: str) -> tuple[Samples, Samples]:
    """Write and read objects of some sizes, one after the other; they are deleted again.

    Returns
    -------
    tuple
        Samples of writing and of reading.
    """
    writing, reading, ignored = Samples(), Samples(), Samples()
    first = sizes[0][0]
    for number in range(_WARM_UPS):
        _once(channel, f"{prefix}/warm/{number}", first, ignored, ignored)
    for size, count in sizes:
        for number in range(count):
            _once(channel, f"{prefix}/{size}/{number}", size, writing, reading)
    return writing, reading


def _once(channel: Channel, key: str, size: int, writing: Samples, reading: Samples) -> None:
    content = [[os.urandom(size)]]
    (part,) = parts_of(content)
    writing.take(size, lambda: channel.put(key, content))
    found = reading.take(size, lambda: channel.get(key, part))
    if found is None or bytes(found) != content[0][0]:
        raise ChannelError(f"{key} was read otherwise than it was written a moment before: is the cache too small?")
    channel.delete(key, [part])


def measurement() -> dict[str, Any]:
    """When and where this process measures."""
    return {
        "date": datetime.now(UTC).date().isoformat(),
        "region": os.environ["AWS_REGION"],
        "memory_mb": int(os.environ["AWS_LAMBDA_FUNCTION_MEMORY_SIZE"]),
    }


def describe(taken: dict[str, tuple[Samples, Samples]], where: dict[str, Any]) -> dict[str, Any]:
    """What was measured, in the profile's form."""
    found: dict[str, Any] = {"_meta": {"measured": {}}}
    overheads: list[float] = []
    for name, (writing, reading) in taken.items():
        service: dict[str, Any] = {}
        for kind, samples in ((_WRITES[name], writing), ("get", reading)):
            service[kind] = samples.operation()
            slope = samples.ms_per_byte()
            # DynamoDB has no stream: a larger item takes longer inside the service.
            if name != "dynamodb" and slope > 0:
                service[kind]["stream_mb_s"] = 1e-3 / slope
        if name == "dynamodb":
            slope = (writing.ms_per_byte() + reading.ms_per_byte()) / 2
            service["per_kb_extra_ms"] = {"value": slope * KIB}
        if name != "memcached":
            small = min(writing.cpu)
            overheads += writing.cpu[small] + reading.cpu[small]
        counts = {str(size): len(times) for size, times in writing.service.items()}
        found[_NAMES[name]] = service
        found["_meta"]["measured"][_NAMES[name]] = {**where, "samples": counts}
    if overheads:
        found["_meta"]["python_overhead_ms"] = {"value": statistics.median(overheads)}
    return found


def combine(before: Measured | None, found: dict[str, Any], start_seconds: float) -> Measured:
    """The new measurements in the place of older ones of the same services; those of others stay."""
    old = profile.as_json(before) if before else {"_meta": {"measured": {}}}
    where = next(iter(found["_meta"]["measured"].values()))
    measured = {
        **old["_meta"]["measured"],
        **found["_meta"]["measured"],
        "lambda_invoke": {**where, "samples": {"start": 1}},
    }
    start = {"python_tf_container_cold_s": {"value": start_seconds}}
    meta = {**old["_meta"], **found["_meta"], "measured": measured}
    return Measured.model_validate({**old, **found, "lambda_invoke": start, "_meta": meta})


def estimated_usd(memory_mb: int, architecture: str, *, inside: bool) -> float:
    """At most what a calibration costs, dollars: a worker outside the VPC and, if there is a cache, one inside."""
    puts = sum(count for _, count in SIZES["s3"]) + _WARM_UPS
    items = [*SIZES["dynamodb"], (SIZES["dynamodb"][0][0], _WARM_UPS)]
    writes = sum(count * (math.ceil(size / KIB) + 1) for size, count in items)
    reads = sum(count * (math.ceil(size / (4 * KIB)) + 1) for size, count in items)
    seconds = _ESTIMATED_SECONDS * (2 if inside else 1)
    return (
        puts * (prices.s3_usd_per_put() + prices.s3_usd_per_get())
        + writes * prices.dynamodb_usd_per_write_unit()
        + reads * prices.dynamodb_usd_per_read_unit()
        + memory_mb / 1024 * seconds * prices.lambda_usd_per_gb_second(architecture)
    )
