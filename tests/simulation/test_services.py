"""The simulator's services: what limits them, what they cost, and that their latencies are the profile's."""

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from paytrain.exchange.simulator.clock import Clock
from paytrain.exchange.simulator.links import Link, RateLimit
from paytrain.exchange.simulator.profile import Latency, Network, Profile, Service, built_in
from paytrain.exchange.simulator.services import HTTP_BYTES, S3, DynamoDB, Memcached
from paytrain.exchange.simulator.world import SortedStore, Start, World

UNLIMITED = Profile(
    network=Network(math.inf, 0.0, math.inf, math.inf),
    services={
        channel: Service(*[Latency.constant(ms) for ms in (40, 20, 30, 10)])
        for channel in ("s3", "s3express", "dynamodb", "memcached")
    },
    s3_puts_per_second=math.inf,
    s3_gets_per_second=math.inf,
    s3_partitions=1,
    dynamodb_partitions=1,
    dynamodb_write_units=math.inf,
    dynamodb_read_units=math.inf,
    node_base={"node": math.inf},
    worker_start=0.0,
)


def ends(world: World, *starts: Start) -> list[tuple[float, Any]]:
    """Begin all at once; when each has ended, and how."""
    found: list[tuple[float, Any]] = [(math.nan, None)] * len(starts)

    def note(index: int, answer: Any) -> None:
        found[index] = (world.clock.now, answer)

    for index, start in enumerate(starts):
        start(lambda answer, index=index: note(index, answer))
    world.clock.run()
    return found


def of_service(**changes: Any) -> Profile:
    """The profile without limits but those of its services."""
    services = {name: replace(service, **changes) for name, service in UNLIMITED.services.items()}
    return replace(UNLIMITED, services=services)


class TestClock:
    def test_order_is_that_of_time_and_of_planning(self) -> None:
        # Given events planned out of order, two of one time, one of them plans another in the past
        clock, seen = Clock(), list[str]()
        clock.at(2.0, lambda: seen.append(f"last at {clock.now}"))
        clock.at(1.0, lambda: (seen.append("first"), clock.at(0.5, lambda: seen.append(f"late at {clock.now}"))))
        clock.at(1.0, lambda: seen.append("second"))
        # When they happen
        clock.run()
        # Then what is late happens now, after what was planned for now before
        assert seen == ["first", "second", "late at 1.0", "last at 2.0"]


class TestLinks:
    def test_transfers_queue(self) -> None:
        link = Link(100.0)
        assert link.transfer(1.0, 50) == 1.5
        assert link.transfer(1.2, 100) == 2.5
        # An idle time is lost
        assert link.transfer(10.0, 100) == 11.0

    def test_a_burst_is_spent_once(self) -> None:
        # Given a link with 100 bytes of burst at ten times its rate
        link = Link(10.0, burst_bytes=100.0, burst_bytes_per_second=100.0)
        # Then 60 bytes are fast, of the next 60 only 40, and then none
        assert link.transfer(0.0, 60) == pytest.approx(0.6)
        assert link.transfer(0.6, 60) == pytest.approx(0.6 + 0.4 + 2.0)
        assert link.transfer(3.0, 10) == pytest.approx(4.0)

    def test_a_rate_limit_lets_one_pass_and_the_next_wait_for_its_units(self) -> None:
        limit = RateLimit(10.0)
        assert [limit.admit(0.0), limit.admit(0.0, 5.0), limit.admit(0.0)] == pytest.approx([0.0, 0.1, 0.6])
        assert limit.admit(5.0) == 5.0


class TestLatencies:
    @pytest.mark.parametrize("channel", ["s3", "s3express", "dynamodb", "memcached"])
    @pytest.mark.parametrize("operation", ["put", "get"])
    @pytest.mark.parametrize(("quantile", "tolerance"), [(0.05, 0.03), (0.5, 0.03), (0.95, 0.03), (0.99, 0.06)])
    def test_draws_have_the_quantiles_of_the_profile(
        self, channel: str, operation: str, quantile: float, tolerance: float
    ) -> None:
        # Given 16,384 draws, whose own quantiles scatter by some percent in the tail
        latency: Latency = getattr(built_in().services[channel], operation)
        draws = latency.draws(np.random.default_rng(1))
        assert np.quantile(draws, quantile) == pytest.approx(latency.at(quantile), rel=tolerance)

    @pytest.mark.parametrize(
        ("channel", "operation", "p50_ms", "p95_ms"),
        [
            ("s3", "get", 26.7, 71.61),
            ("s3", "put", 40.65, 88.83),
            ("dynamodb", "get", 3.94, 6.46),
            ("dynamodb", "put", 5.63, 8.39),
            ("memcached", "get", 0.5, 0.5 * math.exp(0.6918 * 1.6449)),
        ],
    )
    def test_the_profile_is_that_of_the_facts(self, channel: str, operation: str, p50_ms: float, p95_ms: float) -> None:
        latency: Latency = getattr(built_in().services[channel], operation)
        assert latency.at(0.5) * 1e3 == pytest.approx(p50_ms, rel=1e-3)
        assert latency.at(0.95) * 1e3 == pytest.approx(p95_ms, rel=1e-3)

    def test_a_world_draws_by_its_seed(self) -> None:
        latency = built_in().services["s3"].get
        draws = [[World(built_in(), workers=1, seed=seed).latency(latency) for _ in range(3)] for seed in (1, 1, 2)]
        assert draws[0] == draws[1] != draws[2]


class TestS3:
    def test_a_request_takes_latency_and_stream(self) -> None:
        # Given streams of 1 MB/s
        world = World(of_service(put_stream=1e6, get_stream=2e6), workers=1, seed=0)
        bucket, body = S3(world), bytes(10**6 - HTTP_BYTES)
        # When an object is stored and fetched
        [(stored, _)] = ends(world, lambda done: bucket.put(0, "key", body, len(body), done))
        [(fetched, answer)] = ends(world, lambda done: bucket.get(0, "key", None, done))
        # Then it takes 40 ms + 1 s, and 20 ms + 0.5 s
        assert stored == pytest.approx(1.04)
        assert fetched - stored == pytest.approx(0.52)
        assert answer == body
        assert world.usage[0].snapshot() == {
            "s3_put": 1,
            "bytes_up": len(body),
            "s3_get": 1,
            "bytes_down": len(body),
        }

    def test_requests_of_a_function_share_its_link_and_its_core(self) -> None:
        # Given a function of 1 MB/s, whose core needs 5 ms for a request
        profile = replace(of_service(cpu_seconds=5e-3), network=Network(1e6, 0.0, math.inf, math.inf))
        world = World(profile, workers=2, seed=0)
        bucket, size = S3(world), 10**6 - HTTP_BYTES
        # When one function stores two objects at once, and another one
        puts = [(0, "a"), (0, "b"), (1, "c")]
        times = [
            time
            for time, _ in ends(
                world,
                *(lambda done, rank=rank, key=key: bucket.put(rank, key, b"", size, done) for rank, key in puts),
            )
        ]
        # Then those of the one queue for its link, and the other's does not
        assert times == pytest.approx([1.045, 2.045, 1.045])

    def test_a_missing_object_is_paid_for(self) -> None:
        world = World(UNLIMITED, workers=1, seed=0)
        [(time, answer)] = ends(world, lambda done: S3(world).get(0, "key", None, done))
        assert (time, answer) == (pytest.approx(0.02), None)
        assert world.usage[0].snapshot() == {"s3_get_missing": 1}

    def test_a_partition_takes_so_many_requests_a_second(self) -> None:
        # Given 10 PUT and 20 GET per second
        world = World(replace(UNLIMITED, s3_puts_per_second=10, s3_gets_per_second=20), workers=1, seed=0)
        bucket = S3(world)
        # When 11 of each are made at once
        puts = ends(world, *[lambda done, n=n: bucket.put(0, f"{n}", b"", 0, done) for n in range(11)])
        began = world.clock.now
        gets = ends(world, *[lambda done, n=n: bucket.get(0, f"{n}", None, done) for n in range(11)])
        # Then the last ones wait 1 s and 0.5 s
        assert max(time for time, _ in puts) == pytest.approx(1.04)
        assert max(time for time, _ in gets) - began == pytest.approx(0.52)

    def test_two_partitions_take_about_twice_as_many(self) -> None:
        def slowest(partitions: int) -> float:
            world = World(replace(UNLIMITED, s3_puts_per_second=10, s3_partitions=partitions), workers=1, seed=0)
            bucket = S3(world)
            puts = ends(world, *[lambda done, n=n: bucket.put(0, f"{n}", b"", 0, done) for n in range(100)])
            return max(time for time, _ in puts)

        # Keys fall on partitions by a hash, not quite evenly
        assert 0.5 <= slowest(2) / slowest(1) < 0.65

    def test_a_directory_bucket_has_no_such_limit(self) -> None:
        world = World(replace(UNLIMITED, s3_puts_per_second=1), workers=1, seed=0)
        bucket = S3(world, directory=True)
        puts = ends(world, *[lambda done, n=n: bucket.put(0, f"{n}", b"", 0, done) for n in range(100)])
        assert max(time for time, _ in puts) == pytest.approx(0.04)
        assert world.usage[0].snapshot() == {"s3express_put": 100, "bytes_up": 0}

    def test_a_listing_has_pages_of_a_thousand_keys(self) -> None:
        # Given 1,001 objects of one prefix and one of another
        world = World(UNLIMITED, workers=1, seed=0)
        bucket = S3(world)
        ends(world, *[lambda done, n=n: bucket.put(0, f"a{n:04}", b"", 0, done) for n in range(1001)])
        ends(world, lambda done: bucket.put(0, "b", b"", 0, done))
        # When a prefix is listed, and one is deleted and the rest is listed
        began = world.clock.now
        [(listed, keys)] = ends(world, lambda done: bucket.list(0, "a", done))
        ends(world, lambda done: bucket.delete(0, ["a0000", "b", "missing"], done))
        [(_, left)] = ends(world, lambda done: bucket.list(0, "", done))
        # Then two pages take 60 ms
        assert listed - began == pytest.approx(0.06)
        assert keys == [f"a{n:04}" for n in range(1001)]
        assert left == keys[1:]
        assert world.usage[0].snapshot() == {"s3_put": 1002, "bytes_up": 0, "s3_list": 3, "s3_delete": 1}

    def test_the_first_content_stays(self) -> None:
        store = SortedStore()
        store.add("key", b"first")
        store.add("key", b"second")
        assert (store.objects["key"], store.listed("")) == (b"first", ["key"])
        store.remove("key")
        assert store.count("") == 0


class TestDynamoDB:
    def test_units_are_counted_by_item(self) -> None:
        # Given items of 1, 1,025 and 8,193 bytes
        world = World(UNLIMITED, workers=1, seed=0)
        table = DynamoDB(world)
        sizes = {"a": 1, "b": 1025, "c": 8193}
        ends(world, *[lambda done, k=k, n=n: table.put(0, k, bytes(n), n, done) for k, n in sizes.items()])
        assert world.usage[0].snapshot() == {
            "dynamodb_requests": 3,
            "dynamodb_write_units": 1 + 2 + 9,
            "bytes_up": 9219,
        }
        # When all and one that is missing are read with one request, then again with half the consistency
        [(_, found)] = ends(world, lambda done: table.get(0, [*sizes, "missing"], done))
        assert {key: len(content) for key, content in found.items()} == sizes
        assert world.usage[0].snapshot()["dynamodb_read_units"] == 1 + 1 + 3 + 1
        ends(world, lambda done: table.get(0, [*sizes, "missing"], done, consistent=False))
        assert world.usage[0].snapshot()["dynamodb_read_units"] == 6 + 3
        # And a delete is a write
        ends(world, lambda done: table.delete(0, "c", done))
        assert world.usage[0].snapshot()["dynamodb_write_units"] == 12 + 9
        assert set(table.store.objects) == {"a", "b"}

    def test_a_scan_reads_everything_page_after_page(self) -> None:
        # Given 8 items of 256 KiB, and one that is deleted again
        world = World(UNLIMITED, workers=1, seed=0)
        table, size = DynamoDB(world), 2**18
        ends(world, *[lambda done, n=n: table.put(0, f"{n}", bytes(size), size, done) for n in range(9)])
        ends(world, lambda done: table.delete(0, "8", done))
        before, began = world.usage[0].snapshot(), world.clock.now
        # When they are scanned
        [(time, found)] = ends(world, lambda done: table.scan(0, done))
        # Then two pages take 40 ms and half a unit per 4 KiB
        after = world.usage[0].snapshot()
        assert time - began == pytest.approx(0.04)
        assert sorted(found) == [f"{n}" for n in range(8)]
        assert after["dynamodb_requests"] - before["dynamodb_requests"] == 2
        assert after["dynamodb_read_units"] == 8 * 2**18 / 8192

    def test_a_partition_takes_so_many_units_a_second(self) -> None:
        # Given a partition of 1,000 write and 3,000 read units
        profile = replace(UNLIMITED, dynamodb_write_units=1000, dynamodb_read_units=3000)
        world = World(profile, workers=1, seed=0)
        table, size = DynamoDB(world), 100 * 1024
        # When 11 items of 100 write and 25 read units are written, then read, all at once
        puts = ends(world, *[lambda done, n=n: table.put(0, f"{n}", bytes(size), size, done) for n in range(11)])
        began = world.clock.now
        gets = ends(world, *[lambda done, n=n: table.get(0, [f"{n}"], done) for n in range(11)])
        # Then the last write waits for 1,000 units, the last read for 250
        assert max(time for time, _ in puts) == pytest.approx(1.0 + 0.04)
        assert max(time for time, _ in gets) - began == pytest.approx(250 / 3000 + 0.02)


class TestMemcached:
    def test_functions_share_the_node(self) -> None:
        # Given a node of 1 MB/s in each direction
        world = World(replace(UNLIMITED, node_base={"node": 1e6}), workers=2, seed=0)
        cache, size = Memcached(world, node_type="node"), 10**6
        # When two functions store a megabyte each, and then one fetches both
        puts = ends(world, *[lambda done, r=r: cache.add(r, 0, f"{r}", bytes(size), size, done) for r in range(2)])
        began = world.clock.now
        [(time, found)] = ends(world, lambda done: cache.get(0, 0, ["0", "1", "missing"], done))
        # Then the bytes queue at the node
        assert [time for time, _ in puts] == pytest.approx([1.04, 2.04])
        assert time - began == pytest.approx(2.02)
        assert sorted(found) == ["0", "1"]
        assert world.usage[0].snapshot() == {
            "memcached_requests": 2,
            "bytes_up": size,
            "bytes_down": 2 * size,
        }
        ends(world, lambda done: cache.delete(0, ["0"], done))
        assert set(cache.store.objects) == {"1"}

    def test_nodes_do_not_share_and_the_vpc_does(self) -> None:
        def times(vpc: float) -> list[float]:
            network = Network(math.inf, 0.0, math.inf, vpc)
            world = World(replace(UNLIMITED, network=network, node_base={"node": 1e6}), workers=2, seed=0, in_vpc=True)
            cache = Memcached(world, node_type="node", nodes=2)
            puts = ends(world, *[lambda done, r=r: cache.add(r, r, f"{r}", b"", 10**6, done) for r in range(2)])
            return [time for time, _ in puts]

        # A megabyte for each of two nodes of 1 MB/s, through a VPC without a limit, and through one of 1 MB/s
        assert times(math.inf) == pytest.approx([1.04, 1.04])
        assert times(1e6) == pytest.approx([1.04, 2.04])


class TestTogether:
    def test_so_many_at_a_time(self) -> None:
        # Given five things of one second each, two at a time
        world = World(UNLIMITED, workers=1, seed=0)

        def second(done: Any) -> None:
            world.clock.at(world.clock.now + 1.0, lambda: done(world.clock.now))

        [(time, answers)] = ends(world, world.together([second] * 5, at_once=2))
        assert (time, answers) == (3.0, [1.0, 1.0, 2.0, 2.0, 3.0])

    def test_nothing_ends_at_once(self) -> None:
        world = World(UNLIMITED, workers=1, seed=0)
        assert ends(world, world.together([], at_once=2)) == [(0.0, [])]
