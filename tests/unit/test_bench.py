"""The benchmark's own arithmetic: floors, counts, dollars, reasons, and what it writes."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bench import exchange, simulated, tables, targets
from bench.baselines.operations import Delete, Get, Operation, Put, Scan
from bench.cases import Case, floor_of, grid, left_out
from bench.cost import cost, requests
from bench.counted import Counted
from bench.floor import expected_slowest, floor_seconds, traffic
from bench.predictions import MeasuredRounds, step_of, training
from bench.proxy import is_interim, is_write
from paytrain.exchange.simulator.profile import Latency, built_in
from paytrain.planner.estimate import Estimate, Estimator
from paytrain.planner.question import Choice, Deployment, JobFacts

KEYS = {
    "source",
    "channel",
    "algorithm",
    "wire",
    "bytes",
    "workers",
    "seconds_median",
    "seconds_p95",
    "floor_seconds",
    "requests",
    "usd",
}


def floor(channel: str, pattern: str, workers: int, size_bytes: int, node_type: str = "") -> float:
    return floor_seconds(
        channel, pattern, workers=workers, size_bytes=size_bytes, profile=built_in(), node_type=node_type
    )


def test_what_the_busiest_rank_moves() -> None:
    # Given sixteen ranks with 1600 bytes each, which make four groups of four
    flat, grouped = traffic("scatter_reduce", 16, 1600), traffic("hierarchical", 16, 1600)
    # Then flat every rank reads 2 · 1600 · 15/16, in two puts and thirty gets
    assert (flat.up, flat.down, flat.puts, flat.gets, flat.hops) == (1600, 3000, 2, 30, 2)
    # And in groups: 3/4 of the vector, 3/4 of its quarter, a sixteenth, a quarter; three gets a hop
    assert (grouped.up, grouped.puts, grouped.gets, grouped.hops) == (1200 + 300 + 100 + 400, 4, 12, 4)
    assert grouped.down == 2 * 1200 + 2 * 300


@pytest.mark.parametrize(
    ("channel", "pattern", "workers", "size_bytes", "node_type", "seconds"),
    [
        # 2 · 89 MB · 15/16 at 75 MB/s, and twice a PUT of 40.65 ms and a GET of 26.7
        ("s3", "scatter_reduce", 16, 89_000_000, "", 2.225 + 2 * 0.06735),
        # 60 KB are nothing; 16 · 15 GETs at 5,500 a second are more than sixteen requests of 2 ms on one core
        ("s3", "all_gather", 16, 4_000, "", 240 / 5500 + 0.06735),
        # 256 · 510 GETs at 5,500 a second are more than 24 MB at 75 MB/s
        ("s3", "scatter_reduce", 256, 12_000_000, "", 256 * 510 / 5500 + 2 * 0.06735),
        # 4 MB written at 4 · 1,000 units of 1 KiB; a put of 5.63 ms and a get of 3.94 a hop
        ("dynamodb", "scatter_reduce", 4, 1_000_000, "", 4e6 / 1024 / 4000 + 2 * 0.00957),
        # The node sends 16 · 22.5 MB at 0.937 Gbit/s
        ("memcached", "scatter_reduce", 16, 12_000_000, "cache.m7g.large", 360e6 / (0.937e9 / 8) + 2 * 0.001),
        # 256 workers in a VPC read 2 · 12 MB · 255/256 each at 5 GB/s together
        ("s3express", "scatter_reduce", 256, 12_000_000, "", 24e6 * 255 / 5e9 + 2 * 0.01224),
        # Without a node the function's link is the limit
        ("memcached", "scatter_reduce", 4, 12_000_000, "", 18e6 / 75e6 + 2 * 0.001),
    ],
)
def test_floors_by_hand(
    channel: str, pattern: str, workers: int, size_bytes: int, node_type: str, seconds: float
) -> None:
    assert floor(channel, pattern, workers, size_bytes, node_type) == pytest.approx(seconds, rel=1e-3)


@pytest.mark.parametrize("requests", [1, 4, 64])
def test_the_expected_slowest_request_is_that_of_many_draws(requests: int) -> None:
    # Given the latencies of S3's GET, a million of them
    get, random = built_in().services["s3"].get, np.random.default_rng(1)
    draws = np.concatenate([get.draws(random) for _ in range(64)])
    # When they are taken in groups, then the mean of the groups' slowest is the expected one
    groups = draws[: len(draws) // requests * requests].reshape(-1, requests)
    assert expected_slowest(get, requests) == pytest.approx(groups.max(axis=1).mean(), rel=0.01)


def test_a_floor_with_the_slowest_requests_is_that_of_their_latencies() -> None:
    # Given a round of 12 MB at W = 4, of which a rank waits for four puts and three gets in each of two hops
    s3 = built_in().services["s3"]
    case = Case("s3", "scatter_reduce", "float32", 12_000_000, 4)
    # When, then
    latencies = expected_slowest(s3.put, 4) + expected_slowest(s3.get, 3)
    assert floor_of(case, slowest=True) == pytest.approx(18e6 / 75e6 + 2 * latencies)
    # and where all requests take the same time it is the floor
    same = replace(s3, put=Latency.constant(40.65), get=Latency.constant(26.7))
    constant = replace(built_in(), services={**built_in().services, "s3": same})
    assert floor_of(case, constant, slowest=True) == pytest.approx(floor_of(case, constant))


def test_dollars_of_a_round() -> None:
    # Given what a round used: on S3 with a listing and a question in vain, and units of DynamoDB
    s3 = {"s3_put": 2, "s3_list": 1, "s3_get": 6, "s3_get_missing": 4, "s3_delete": 3, "bytes_up": 1e9}
    dynamodb = {"dynamodb_requests": 10, "dynamodb_write_units": 1000, "dynamodb_read_units": 100}
    # When it is priced
    on_s3 = cost(s3, workers=4, seconds=2.0)
    on_a_node = cost({}, workers=1, seconds=36.0, node_type="cache.m7g.large")
    # Then listings cost what puts do, deletes and bytes nothing, and time is time
    assert on_s3.requests == pytest.approx(3 * 5e-6 + 10 * 4e-7)
    assert on_s3.workers == pytest.approx(4 * 2.0 * 1769 / 1024 * 1.66667e-5)
    assert on_s3.total == pytest.approx(on_s3.requests + on_s3.workers)
    assert cost(dynamodb, workers=4, seconds=0).total == pytest.approx(1000 * 6.25e-7 + 100 * 1.25e-7)
    assert on_a_node.cache == pytest.approx(0.158 / 100)
    # And S3 Express has prices of its own, also of bytes
    express = {"s3express_put": 2, "s3express_get": 6, "s3express_get_missing": 4, "bytes_up": 1e9, "bytes_down": 2e9}
    assert cost(express, workers=4, seconds=0).total == pytest.approx(2 * 1.13e-6 + 10 * 3e-8 + 0.0032 + 2 * 0.0006)
    assert requests(express) == 12
    # And every request counts, units and bytes do not
    assert requests(s3) == 16
    assert requests(dynamodb) == 10


def test_a_peer_on_dynamodb_is_counted_in_units() -> None:
    # Given a table with an item of 5,000 bytes
    answers: dict[type, Any] = {Get: b"x" * 5000, Scan: {"a": b"x" * 5000}}

    def perform(operation: Operation) -> Any:
        return answers.get(type(operation))

    counted = Counted("dynamodb", perform)
    # When it is written, read eventually consistently, scanned and deleted
    for operation in (Put("tmp", "a", b"x" * 5000), Get("tmp", "a"), Scan("tmp"), Delete("tmp", ["a"])):
        counted(operation)
    # Then writing and deleting take five units each, and each reading half of two
    assert counted.usage == {"dynamodb_requests": 4, "dynamodb_write_units": 10, "dynamodb_read_units": 2}


@pytest.mark.parametrize(
    ("case", "why"),
    [
        (Case("dynamodb", "lambdaml_allreduce", "float32", 12_000_000, 4), "an item of 12,000,"),
        (Case("dynamodb", "scatter_reduce", "float32", 89_000_000, 64), "a round takes at least 1,391 s"),
        (Case("memcached", "scatter_reduce", "float32", 89_000_000, 64, "cache.m7g.large"), "two rounds are 11.4 GB"),
        (Case("s3", "hierarchical", "float32", 4_000, 4), "groups of two"),
        (Case("s3", "all_gather", "float32", 89_000_000, 64), "every worker would read 5.6 GB"),
        (Case("s3", "naive_chunked", "float32", 4_000, 4), "naive_chunked is for"),
    ],
)
def test_what_cannot_work_is_left_out_with_a_reason(case: Case, why: str) -> None:
    reason = left_out(case)
    assert reason is not None
    assert reason.startswith(why)


def test_no_case_is_there_twice_and_the_targets_cases_are_run() -> None:
    run = [case for case in grid() if left_out(case) is None]
    assert len(set(run)) == len(run)
    assert Case("s3", "scatter_reduce", "float32", 89_000_000, 16) in run
    assert Case("dynamodb", "scatter_reduce", "float32", 1_000_000, 4) in run


def row(**values: Any) -> dict[str, Any]:
    return {
        "source": "simulated",
        "channel": "s3",
        "algorithm": "scatter_reduce",
        "wire": "float32",
        "bytes": 89_000_000,
        "workers": 16,
        "seconds_median": 2.5,
        "seconds_p95": 3.0,
        "floor_seconds": 2.0,
        "requests": 100.0,
        "usd": 0.1,
        "usd_requests": 0.05,
        "node_type": "",
    } | values


def test_simulated_rows_have_the_promised_keys() -> None:
    # Given one of ours and a peer, simulated
    cases = [Case("s3", name, "float32", 4_000, 4) for name in ("all_gather", "lambdaml_allreduce")]
    ours, peer = (simulated.run(case) for case in cases)
    # Then the rows have the keys, and ours made a put, a delete and three gets a worker, at most half of them again
    assert ours.keys() >= KEYS
    assert ours.keys() == peer.keys()
    assert 16 <= ours["requests"] <= 4 * (1 + 1 + 1.5 * 3)
    assert ours["usd"] > ours["usd_requests"] >= 4 * 5e-6 + 12 * 4e-7
    # And a peer is held against the least of our patterns' floors
    assert peer["floor_seconds"] == floor("s3", "all_gather", 4, 4_000)
    assert json.loads(json.dumps(ours)) == ours


def test_targets_say_what_was_reached() -> None:
    # Given our round of 2.5 s over a floor of 2, and LambdaML's of 4.5 and 18
    rows = [
        row(),
        row(algorithm="lambdaml_scatter_reduce", seconds_median=4.5),
        row(algorithm="lambdaml_allreduce", seconds_median=18.0),
    ]
    # When the targets are looked at
    found = {target.figure: target for target in targets.targets(rows)}
    # Then one is just met, one is missed, one is met, and what was not run is no success
    assert found["S3, 89 MB, W = 16: over the floor"].verdict == "yes"
    assert found["S3, 89 MB, W = 16: against `lambdaml_scatter_reduce`"].verdict == "**no**"
    assert found["S3, 89 MB, W = 16: against `lambdaml_allreduce`"].reached == pytest.approx(7.2)
    assert found["S3, 4 KB, W = 16: against LambdaML's better"].verdict == "–"


def test_rows_become_tables_and_pictures(tmp_path: Path) -> None:
    # Given rows of all channels, one of them measured
    rows = [
        row(channel=channel, bytes=size, workers=workers, node_type=node_type)
        for channel, node_type in (("s3", ""), ("s3express", ""), ("memcached", "cache.m7g.large"), ("dynamodb", ""))
        for size in (12_000_000, 89_000_000)
        for workers in (4, 16, 64, 256)
    ]
    rows.append(row(source="measured", workers=4, network="loopback", floor_seconds=None))
    # When they are published
    path = exchange.publish(rows, tmp_path, tmp_path / "img")
    # Then there are a table with every case's reason or time, and three pictures of modest size
    text = path.read_text()
    assert "| `scatter_reduce` | 2.5 (1.25 ×; 100.00) |" in text
    assert "groups of two save no request" in text
    pictures = sorted((tmp_path / "img").glob("*.svg"))
    assert [picture.stem for picture in pictures] == ["exchange-bars", "exchange-dollars", "exchange-growth"]
    assert all(picture.stat().st_size < 200_000 for picture in pictures)


def test_measured_rows_alone_become_tables(tmp_path: Path) -> None:
    # Given a measured case, and nothing simulated
    measured = row(source="measured", channel="memcached", workers=4, network="loopback", floor_seconds=None)
    # When it is published
    path = exchange.publish([measured], tmp_path, tmp_path / "img")
    # Then it is in the tables, and there is nothing to draw
    assert "| Memcached | loopback | 89 MB | `scatter_reduce` |" in path.read_text()
    assert not list((tmp_path / "img").iterdir())


@pytest.mark.parametrize(("value", "text"), [(0.0123, "0.012"), (2.345, "2.35"), (1234.5, "1,234")])
def test_seconds_are_told_in_three_figures(value: float, text: str) -> None:
    assert tables.seconds(value) == text


def test_the_proxy_tells_writes_from_reads() -> None:
    writes = [
        b"PUT /b/k HTTP/1.1",
        b"add k 0 0 3\r\n",
        b"POST / HTTP/1.1\r\nX-Amz-Target: DynamoDB_20120810.PutItem\r\n",
    ]
    reads = [b"GET /b/k", b"get k\r\n", b"POST / HTTP/1.1\r\nX-Amz-Target: DynamoDB_20120810.BatchGetItem\r\n"]
    assert [is_write(head) for head in writes + reads] == [True] * 3 + [False] * 3
    assert is_interim(b"HTTP/1.1 100 Continue\r\n\r\n")
    assert not is_interim(b"HTTP/1.1 200 OK\r\n")


def test_a_steps_time_is_what_a_longer_run_took_more() -> None:
    # Given receipts of two gangs of two, the second of which did 20 steps more, and waited as long for its start
    short = {"workers": 2, "steps": 10, "phases_total": {**_PHASES, "compute": 2.0, "wait": 4.0, "evaluate": 9.0}}
    longer = {"workers": 2, "steps": 30, "phases_total": {**_PHASES, "compute": 6.0, "wait": 6.0, "evaluate": 1.0}}
    # Then each worker took 3 seconds more for them
    assert step_of(short, longer) == pytest.approx(3 / 20)


def test_measured_rounds_take_the_place_of_expected_ones() -> None:
    # Given ten epochs of 1,000 samples in batches of 2 times 100
    facts, choice = JobFacts(50_000, 1000, 100, 10, 0.1), Choice("s3", "scatter_reduce", 2, 1769)
    expected = Estimator(facts, Deployment(), built_in()).estimate(choice)
    measured = MeasuredRounds(facts, built_in(), 0.25).estimate(choice)
    assert isinstance(expected, Estimate)
    assert isinstance(measured, Estimate)
    # Then fifty rounds take as long as measured, at the same price of their requests
    assert measured.second_parts["exchange"].expected == pytest.approx(50 * 0.25)
    assert measured.usd_parts["exchange requests"] == expected.usd_parts["exchange requests"]
    assert training(MeasuredRounds(facts, built_in(), 0.25), choice)["exchange"] == pytest.approx(50 * 0.25)


_PHASES = {"encode": 0.5, "reduce": 0.5, "apply": 1.0}
