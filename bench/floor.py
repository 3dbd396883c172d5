"""The least time that a round of a pattern can take under a profile: what the exchange is measured against."""

import math
from dataclasses import dataclass

import numpy as np

from paytrain.channels.constants import DYNAMODB_READ_UNIT_BYTES, DYNAMODB_WRITE_UNIT_BYTES
from paytrain.exchange.simulator.profile import Latency, Profile

_STEPS = 100_000


@dataclass(frozen=True)
class Traffic:
    """What one round of a pattern moves, at the rank that moves most.

    Attributes
    ----------
    up, down
        Bytes that the busiest rank writes and reads.
    all_up, all_down
        The same of all ranks together.
    puts, gets
        Requests of one rank with one segment.
    hops
        Writes that must be read before the next is made.
    """

    up: float
    down: float
    all_up: float
    all_down: float
    puts: int
    gets: int
    hops: int


def traffic(pattern: str, workers: int, size_bytes: float) -> Traffic:
    """Of a vector that travels in ``size_bytes``."""
    peers = workers - 1
    if pattern == "all_gather":
        up, down = size_bytes, peers * size_bytes
        return Traffic(up, down, workers * up, workers * down, 1, peers, 1)
    if pattern == "leader":
        up, down = size_bytes, peers * size_bytes
        return Traffic(up, down, workers * size_bytes, 2 * peers * size_bytes, 1, peers, 2)
    if pattern == "scatter_reduce":
        up, down = size_bytes, 2 * size_bytes * peers / workers
        return Traffic(up, down, workers * up, workers * down, 2, 2 * peers, 2)
    groups = math.isqrt(workers)
    members = workers / groups
    between = size_bytes / members * (groups - 1) / groups
    up = size_bytes * (members - 1) / members + between + size_bytes / workers + size_bytes / members
    down = 2 * size_bytes * (members - 1) / members + 2 * between
    gets = 2 * (math.ceil(members) - 1) + 2 * (groups - 1)
    return Traffic(up, down, workers * up, workers * down, 4, gets, 4)


def floor_seconds(
    channel: str,
    pattern: str,
    *,
    workers: int,
    size_bytes: float,
    profile: Profile,
    node_type: str,
    slowest: bool = False,
) -> float:
    """The larger of bytes by bandwidth and requests by rate, and the usual latency of every hop.

    Parameters
    ----------
    size_bytes
        Of the vector on its wire.
    node_type
        Of the cache's only node; empty for one that is never the limit.
    slowest
        Whether a hop takes what the slowest of its requests is expected to take: of the puts of a rank and all that it
        reads from, and of the gets of one rank. What a round costs that neither hides latencies nor asks twice.
    """
    this = traffic(pattern, workers, size_bytes)
    service, network = profile.services[channel], profile.network
    times = [
        max(this.up, this.down) / network.function,
        # A client's only core makes one request after the other.
        (this.puts + this.gets) * service.cpu_seconds,
    ]
    if channel == "s3":
        times.append(workers * this.puts / profile.s3_puts_per_second / profile.s3_partitions)
        times.append(workers * this.gets / profile.s3_gets_per_second / profile.s3_partitions)
    elif channel == "dynamodb":
        partitions = profile.dynamodb_partitions
        times.append(this.all_up / DYNAMODB_WRITE_UNIT_BYTES / profile.dynamodb_write_units / partitions)
        times.append(this.all_down / DYNAMODB_READ_UNIT_BYTES / profile.dynamodb_read_units / partitions)
    elif channel in ("s3express", "memcached"):
        busiest = max(this.all_up, this.all_down)
        times.append(busiest / network.vpc)
        if node_type:
            times.append(busiest / profile.node_base[node_type])
    if slowest:
        reads = max(1, this.gets // this.hops)
        latency = expected_slowest(service.put, reads + 1) + expected_slowest(service.get, reads)
    else:
        latency = service.put.at(0.5) + service.get.at(0.5)
    return max(times) + this.hops * latency


def expected_slowest(latency: Latency, requests: int) -> float:
    """Mean of the slowest of so many independent requests, seconds: the integral of Q(p) · n · pⁿ⁻¹ over p.

    It is that of Q(u^(1/n)) over u, taken at the middles of equal steps.
    """
    probabilities = ((np.arange(_STEPS) + 0.5) / _STEPS) ** (1 / requests)
    return float(np.exp(np.interp(probabilities, latency.probabilities, latency.log_ms)).mean()) / 1e3
