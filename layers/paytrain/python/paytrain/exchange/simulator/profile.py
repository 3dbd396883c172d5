"""How fast the services are, as seen from a function: the figures of ``facts/service_profile.json``."""

import math
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

from paytrain import facts

if TYPE_CHECKING:
    # The planner reads the profile where there is no NumPy: in the small functions.
    import numpy as np
    from numpy.typing import NDArray

_DRAWS = 1 << 14
"""Latencies drawn in advance, and used in turn: a draw must cost next to nothing."""

_PROBABILITIES = {
    "min": 0.0,
    "p5": 0.05,
    "p25": 0.25,
    "p50": 0.50,
    "p75": 0.75,
    "p90": 0.90,
    "p95": 0.95,
    "p99": 0.99,
    "p999": 0.999,
    "p9999": 0.9999,
}


@dataclass(frozen=True)
class Latency:
    """Time to the first byte of a request, as a distribution.

    Attributes
    ----------
    probabilities, log_ms
        Points of the quantile function; between them, and only there, it is a straight line in log milliseconds.
    """

    probabilities: Sequence[float]
    log_ms: Sequence[float]

    @classmethod
    def of(cls, entry: Mapping[str, Any]) -> Self:
        """From a table of quantiles; where only two are known, from the lognormal distribution through them."""
        quantiles = entry["quantiles_ms"]
        if len(quantiles) > 2:
            names = [name for name in _PROBABILITIES if name in quantiles]
            return cls([_PROBABILITIES[name] for name in names], [math.log(float(quantiles[name])) for name in names])
        normal = entry["lognormal"]
        # So many points that the straight lines between them are right to 0.1 %.
        scores = [-3.0 + 0.05 * step for step in range(131)]
        probabilities = [0.5 * math.erfc(-score / math.sqrt(2)) for score in scores]
        return cls(probabilities, [normal["mu_ln_ms"] + normal["sigma"] * score for score in scores])

    @classmethod
    def constant(cls, ms: float) -> Self:
        """Always the same."""
        return cls([0.0, 1.0], [math.log(ms)] * 2)

    def at(self, probability: float) -> float:
        """A quantile, seconds."""
        known = self.probabilities
        right = min(max(bisect_left(known, probability), 1), len(known) - 1)
        share = (probability - known[right - 1]) / (known[right] - known[right - 1])
        low, high = self.log_ms[right - 1], self.log_ms[right]
        return math.exp(low + min(max(share, 0.0), 1.0) * (high - low)) / 1e3

    def draws(self, random: "np.random.Generator") -> "NDArray[np.float64]":
        """Random latencies, seconds."""
        import numpy as np

        return np.exp(np.interp(random.random(_DRAWS), self.probabilities, self.log_ms)) / 1e3


@dataclass(frozen=True)
class Service:
    """One service, from one function.

    Attributes
    ----------
    put, get, list, delete
        Latencies.
    put_stream, get_stream
        Bytes per second of one request.
    seconds_per_byte
        What a larger item takes longer inside the service.
    cpu_seconds
        What a request costs the client, whose CPU does one thing at a time.
    """

    put: Latency
    get: Latency
    list: Latency
    delete: Latency
    put_stream: float = math.inf
    get_stream: float = math.inf
    seconds_per_byte: float = 0.0
    cpu_seconds: float = 0.0


@dataclass(frozen=True)
class Network:
    """The links that every channel goes through, bytes and bytes per second; each direction has its own.

    Attributes
    ----------
    function, function_burst_bytes, function_burst
        Of one function: in the long run, and what it may move faster at first.
    vpc
        All functions in a VPC together.
    """

    function: float
    function_burst_bytes: float
    function_burst: float
    vpc: float


@dataclass(frozen=True)
class Profile:
    """Everything that the simulator knows about AWS.

    Attributes
    ----------
    services
        By channel.
    s3_puts_per_second, s3_gets_per_second
        Of a prefix partition.
    s3_partitions
        How many the exchange bucket has; a new one has 1.
    dynamodb_partitions
        How many the exchange table has; a new one on demand has 4.
    dynamodb_write_units, dynamodb_read_units
        Per second and partition.
    node_base
        Cache node types → bytes per second in the long run.
    worker_start
        A worker's cold start, seconds.
    """

    network: Network
    services: Mapping[str, Service]
    s3_puts_per_second: float
    s3_gets_per_second: float
    s3_partitions: int
    dynamodb_partitions: int
    dynamodb_write_units: float
    dynamodb_read_units: float
    node_base: Mapping[str, float]
    worker_start: float


MEMCACHED_CPU_SECONDS = 0.15e-3
"""One request of a small item over a connection of pymemcache, on one core (0.1 to 0.2 ms, measured by ``make bench``
on a laptop twin)."""


def built_in(*, burst: bool = False) -> Profile:
    """The profile that the library ships.

    Parameters
    ----------
    burst
        Whether functions begin with their burst unspent; without it, what lasts: the steady state.
    """
    return of(facts.read("service_profile"), burst=burst)


def of(known: Mapping[str, Any], *, burst: bool = False) -> Profile:
    """The profile of figures in the form of ``facts/service_profile.json``; the limits are the library's.

    Parameters
    ----------
    known
        The built-in figures, or those with what was measured in their place (:mod:`paytrain.planner.profile`).
    burst
        As of :func:`built_in`.
    """
    limits = facts.read("limits")
    lambda_network = known["lambda_network"]
    boto3_seconds = known["_meta"]["python_overhead_ms"]["value"] / 1e3
    caps = limits["dynamodb"]
    services = {
        "s3": _service(known["s3_standard"], "put", boto3_seconds),
        "s3express": _service(known["s3_express"], "put", boto3_seconds),
        "dynamodb": _service(known["dynamodb"], "put", boto3_seconds),
        "memcached": _service(known["memcached"], "set", MEMCACHED_CPU_SECONDS),
    }
    return Profile(
        network=Network(
            function=lambda_network["baseline_mb_s"] * 1e6,
            function_burst_bytes=lambda_network["burst_mb"] * 1e6 if burst else 0.0,
            function_burst=lambda_network["burst_rate_mb_s"] * 1e6,
            vpc=lambda_network["vpc_attached_aggregate_cap_mb_s"] * 1e6,
        ),
        services=services,
        s3_puts_per_second=limits["s3"]["put_rps_per_prefix"],
        s3_gets_per_second=limits["s3"]["get_rps_per_prefix"],
        s3_partitions=1,
        dynamodb_partitions=caps["new_on_demand_wru_s"] // caps["partition_wcu_s"],
        dynamodb_write_units=caps["partition_wcu_s"],
        dynamodb_read_units=caps["partition_rcu_s"],
        node_base={
            node: gigabits["base"] * 1e9 / 8
            for node, gigabits in limits["elasticache_memcached"]["network_gbps"].items()
        },
        worker_start=known["lambda_invoke"]["python_tf_container_cold_s"]["value"],
    )


def _service(entry: Mapping[str, Any], put: str, cpu_seconds: float) -> Service:
    get = Latency.of(entry["get"])
    return Service(
        put=Latency.of(entry[put]),
        get=get,
        # No source measures LIST and DELETE apart: taken to be like a GET.
        list=get,
        delete=get,
        put_stream=_stream(entry[put]),
        get_stream=_stream(entry["get"]),
        seconds_per_byte=entry.get("per_kb_extra_ms", {}).get("value", 0.0) / 1e3 / 1024,
        cpu_seconds=cpu_seconds,
    )


def _stream(entry: Mapping[str, Any]) -> float:
    megabytes = entry.get("stream_mb_s")
    return megabytes * 1e6 if megabytes else math.inf
