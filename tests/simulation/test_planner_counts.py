"""The planner's counts are those of the patterns: requests, units and bytes, in a world in which nobody waits."""

from collections import defaultdict
from collections.abc import Callable

import pytest

from paytrain.exchange.operations import Get, Put
from paytrain.exchange.patterns import PATTERNS
from paytrain.exchange.segments import even_slices
from paytrain.exchange.simulator.channels import SimulatedChannel
from paytrain.exchange.simulator.profile import Latency, Network, Profile, Service
from paytrain.exchange.simulator.simulate import open_channel, simulate_pattern
from paytrain.exchange.simulator.world import Done, World
from paytrain.exchange.tuning import Tuning
from paytrain.exchange.wires import WIRES
from paytrain.planner import requests, sizes
from paytrain.planner.traffic import Shape, hops

ITEM_BYTES = {"s3": 0, "dynamodb": 1024, "memcached": 2048}


def idle_world() -> Profile:
    """Nothing takes time but a request, and that always the same: what is asked for is always there."""
    infinite = float("inf")
    service = Service(*[Latency.constant(10) for _ in range(4)])
    return Profile(
        network=Network(infinite, 0, infinite, infinite),
        services=dict.fromkeys(ITEM_BYTES, service),
        s3_puts_per_second=infinite,
        s3_gets_per_second=infinite,
        s3_partitions=1,
        dynamodb_partitions=1,
        dynamodb_write_units=infinite,
        dynamodb_read_units=infinite,
        node_base={"cache.m7g.large": infinite},
        worker_start=0.0,
    )


class Patient:
    """A channel that passes a get on when its object is complete: nobody asks in vain, nobody deletes."""

    hedges = False

    def __init__(self, channel: SimulatedChannel) -> None:
        self.poll_seconds = channel.poll_seconds
        self._channel = channel
        self._complete: set[str] = set()
        self._waiting: defaultdict[str, list[Callable[[], None]]] = defaultdict(list)

    def put(self, rank: int, put: Put, done: Done) -> None:
        def stored(answer: object) -> None:
            self._complete.add(put.key)
            done(answer)
            for get in self._waiting.pop(put.key, ()):
                get()

        self._channel.put(rank, put, stored)

    def get(self, rank: int, get: Get, done: Done) -> None:
        if get.key in self._complete:
            self._channel.get(rank, get, done)
        else:
            self._waiting[get.key].append(lambda: self._channel.get(rank, get, done))

    def delete(self, rank: int, put: Put) -> None:
        return


@pytest.mark.parametrize("wire", WIRES)
def test_frames_have_the_length_that_the_wire_gives_them(wire: str) -> None:
    for elements in (0, 1, 99, 100, 101, 511, 512, 513, 100_000):
        assert sizes.payload_bytes(wire, elements) == WIRES[wire].payload_bytes(elements)


@pytest.mark.parametrize("channel", ITEM_BYTES)
@pytest.mark.parametrize("pattern", PATTERNS)
@pytest.mark.parametrize("workers", [2, 3, 4, 5, 9, 14, 16])
@pytest.mark.parametrize(("elements", "segments", "wire"), [(0, 1, "float32"), (10, 1, "int8"), (9001, 3, "bfloat16")])
def test_counts_are_those_of_the_pattern(
    channel: str, pattern: str, workers: int, elements: int, segments: int, wire: str
) -> None:
    # Given two rounds that are simulated
    def opened(world: World) -> Patient:
        return Patient(open_channel(world, channel, item_bytes=ITEM_BYTES[channel]))

    simulated = simulate_pattern(
        pattern,
        opened,
        profile=idle_world(),
        workers=workers,
        elements=elements,
        tuning=Tuning(segments=segments, window=workers),
        rounds=2,
        seed=1,
        wire=wire,
    ).usage
    # When the planner counts one
    parts = even_slices(elements, segments)
    slices = [hops(pattern, workers, part.stop - part.start, Shape(wire)) for part in parts]
    counts = requests.of_round(channel, slices, ITEM_BYTES[channel])
    # Then it has half of what was found there; a DynamoDB item also has names and a key
    if channel == "memcached":
        counts["memcached_requests"] = counts.pop("memcached_add") + counts.pop("memcached_get")
    if channel == "dynamodb":
        for name in ("bytes_up", "bytes_down"):
            assert 0 < counts.pop(name) < simulated.pop(name) / 2
    assert counts == {name: amount / 2 for name, amount in simulated.items() if amount}
