"""The planner: estimates that add up, a search that keeps its limits, honest refusals."""

import random
import subprocess
import sys
from dataclasses import replace
from itertools import product

import pytest

from paytrain.exchange.simulator.profile import Latency, Profile, built_in
from paytrain.planner import compute
from paytrain.planner.estimate import Estimate, Estimator
from paytrain.planner.question import Cache, Choice, Deployment, JobFacts, Open
from paytrain.planner.search import search

JOB = JobFacts(parameters=225_402, samples=60_000, batch_size=64, epochs=3, step_seconds=0.1, validation_samples=10_000)
CACHE = Cache("provisioned", "cache.m7g.large")
DEPLOYMENT = Deployment(channels=("s3", "dynamodb", "memcached"), caches=(CACHE,))
CHOICES = (
    Choice("s3", "scatter_reduce", 4, 1769),
    Choice("dynamodb", "all_gather", 2, 3008),
    Choice("memcached", "scatter_reduce", 16, 1769, "int8", 1, CACHE),
    Choice("s3", "hierarchical", 64, 1769, "float32", 16),
    Choice("memcached", "scatter_reduce", 8, 1769, "float32", 1, replace(CACHE, mode="per_execution")),
)


def estimated(choice: Choice, job: JobFacts = JOB, deployment: Deployment = DEPLOYMENT) -> Estimate:
    answer = Estimator(job, deployment, built_in()).estimate(choice)
    assert isinstance(answer, Estimate)
    return answer


@pytest.mark.parametrize("choice", CHOICES, ids=lambda choice: choice.name)
def test_parts_add_up_and_ranges_enclose(choice: Choice) -> None:
    estimate = estimated(choice)
    for total, parts in ((estimate.seconds, estimate.second_parts), (estimate.usd, estimate.usd_parts)):
        assert total.expected == pytest.approx(sum(part.expected for part in parts.values()))
        assert 0 < total.low < total.expected < total.high
        assert all(0 <= part.low <= part.expected <= part.high for part in parts.values())


ODD = replace(
    built_in(),
    services={
        channel: replace(service, put=Latency.constant(300.0), get=Latency.constant(0.2), cpu_seconds=0.0)
        for channel, service in built_in().services.items()
    },
)


@pytest.mark.parametrize("profile", [built_in(), ODD], ids=["built in", "odd"])
@pytest.mark.parametrize("parameters", [1_000, 225_402, 25_000_000])
@pytest.mark.parametrize("pattern", ["all_gather", "leader", "scatter_reduce", "hierarchical"])
@pytest.mark.parametrize("channel", ["s3", "s3express", "dynamodb", "memcached"])
def test_no_plan_beats_its_own_bounds(channel: str, pattern: str, parameters: int, profile: Profile) -> None:
    few = replace(JOB, parameters=parameters, validation_samples=0)
    caches = [CACHE, replace(CACHE, mode="per_execution")] if channel == "memcached" else [None]
    for job in (few, replace(few, epochs=300, validation_samples=10_000)):
        estimator, laps = Estimator(job, DEPLOYMENT, profile), set()
        ways = product((1, 2, 3, 4, 9, 64, 1000), (("float32", 1), ("float32", 16), ("topk", 1)), caches)
        for workers, (wire, every), cache in ways:
            choice = Choice(channel, pattern, workers, 1769, wire, every, cache if workers > 1 else None)
            estimate = estimator.estimate(choice)
            if isinstance(estimate, str):  # A round is longer than a lap.
                continue
            laps.add(estimate.laps)
            (least, usd), (nearly, nearly_usd) = estimator.at_least(choice), estimator.nearly(choice)
            # But for the order in which numbers are added.
            rounded = 1 + 1e-12
            assert least <= nearly * rounded <= estimate.seconds.expected * rounded**2, choice.name
            assert usd <= nearly_usd * rounded <= estimate.usd.expected * rounded**2, choice.name
        assert max(laps) > 1 or job is few


@pytest.mark.parametrize("pattern", ["all_gather", "scatter_reduce", "hierarchical"])
@pytest.mark.parametrize("channel", ["s3", "s3express"])
def test_any_latencies_make_a_round(channel: str, pattern: str) -> None:
    source = random.Random(7)
    for _ in range(150):
        # Given a service with latencies of any kind, and clients that need no time
        probabilities = [0.0, *sorted(source.random() for _ in range(4)), 1.0]
        put, get = (Latency(probabilities, sorted(source.uniform(0.0, 6.0) for _ in probabilities)) for _ in "pg")
        quick = replace(built_in().services[channel], put=put, get=get, cpu_seconds=0.0)
        profile = replace(built_in(), services={**built_in().services, channel: quick})
        # When the round of a large gang is estimated
        seconds, _ = Estimator(JOB, DEPLOYMENT, profile).round(Choice(channel, pattern, 256, 1769))
        # Then it takes at least as long as a hop's fastest requests
        assert seconds > put.at(0.0) + get.at(0.0)


def test_steps_and_rounds_are_counted_as_they_are_run() -> None:
    estimate = estimated(Choice("s3", "hierarchical", 64, 1769, sync_every=4))
    # 60,000 samples in global batches of 4,096 are 15 steps an epoch, with a round after 4, 8, 12 and 15.
    assert (estimate.steps, estimate.rounds) == (45, 12)


def test_local_steps_exchange_weights_and_optimizer() -> None:
    exchange = Estimator(JOB, DEPLOYMENT, built_in()).exchange(Choice("s3", "all_gather", 4, 1769, "int8", 2))
    assert (exchange.elements, exchange.wire) == (3 * 225_402, "int8")


def test_a_long_run_is_cut_into_laps() -> None:
    long = estimated(Choice("s3", "scatter_reduce", 4, 1769), replace(JOB, epochs=100))
    assert long.laps > 1
    assert long.seconds.expected > (long.laps - 1) * 800


def test_a_calibrated_start_is_planned_with() -> None:
    # Given the profile of an account whose workers start in 3 s, not in 10
    measured = replace(built_in(), worker_start=3.0)
    # When a plan is estimated with it
    quick = Estimator(JOB, DEPLOYMENT, measured).estimate(CHOICES[0])
    assert isinstance(quick, Estimate)
    # Then it is shorter by 7 s twice: for the gang, and for Prepare before it
    assert estimated(CHOICES[0]).seconds.expected - quick.seconds.expected == pytest.approx(14)


def test_a_cache_of_small_items_is_asked_more_often() -> None:
    # Given 12 MB over a cache with items of 8 MiB, and over one with items of 1 MiB
    job = replace(JOB, parameters=3_000_000)
    large = Choice("memcached", "leader", 4, 1769, cache=CACHE)
    small = replace(large, cache=replace(CACHE, item_bytes=2**20))
    # Then the smaller items take longer
    assert estimated(small, job).round_seconds > estimated(large, job).round_seconds


def test_a_made_cache_costs_whole_hours_and_its_minutes() -> None:
    provisioned, made = (
        estimated(Choice("memcached", "scatter_reduce", 8, 1769, cache=Cache(mode, "cache.m7g.large")))
        for mode in ("provisioned", "per_execution")
    )
    assert made.usd_parts["cache"].expected == pytest.approx(0.158)
    assert provisioned.usd_parts["cache"].expected < 0.158
    assert made.seconds.expected == pytest.approx(provisioned.seconds.expected + 450)


def test_memory_buys_processors_up_to_six() -> None:
    assert compute.step_seconds(1.0, 1769, 884.5) == pytest.approx(2.0)
    assert compute.step_seconds(1.0, 1769, 1769) == pytest.approx(1.0)
    assert 1 / 6 < compute.step_seconds(1.0, 1769, 10_240) < 1 / 3
    assert compute.straggler(1) == 1.0
    assert 1.0 < compute.straggler(4) < compute.straggler(256) < 1.1


def test_a_lap_must_hold_a_round() -> None:
    slow = replace(JOB, step_seconds=1000.0)
    answer = Estimator(slow, DEPLOYMENT, built_in()).estimate(Choice("s3", "scatter_reduce", 4, 1769))
    assert isinstance(answer, str)
    assert answer.startswith("a round takes 1,0")


def test_the_front_is_what_no_plan_beats() -> None:
    found = search(JOB, DEPLOYMENT)
    assert found.front
    for one in found.front:
        for other in found.considered:
            is_faster = other.seconds.expected < one.seconds.expected
            assert not (is_faster and other.usd.expected < one.usd.expected)
    times = [each.seconds.expected for each in found.front]
    assert times == sorted(times)


def test_nothing_is_lost_by_leaving_out_what_cannot_win() -> None:
    # Given the front, and every plan that the search could have looked at
    found = search(JOB, DEPLOYMENT, Open(workers=(1, 2, 4, 8, 16)))
    estimator = Estimator(JOB, DEPLOYMENT, built_in())
    every = [
        estimator.estimate(Choice(channel, pattern, workers, memory, cache=CACHE if channel == "memcached" else None))
        for channel in ("s3", "dynamodb", "memcached")
        for pattern in ("all_gather", "scatter_reduce", "hierarchical")
        for workers in (2, 4, 8, 16)
        for memory in DEPLOYMENT.memory_sizes
        if pattern != "hierarchical" or workers > 8
    ]
    # Then no plan beats the front
    for each in every:
        assert isinstance(each, Estimate)
        assert any(
            one.seconds.expected <= each.seconds.expected and one.usd.expected <= each.usd.expected
            for one in found.front
        )


def test_every_channel_stays_in_the_comparison() -> None:
    # Given a job that one function does best
    small = replace(JOB, step_seconds=0.02)
    found = search(small, DEPLOYMENT)
    assert found.recommended is not None
    assert found.recommended.choice.workers == 1
    # Then the best plans over every channel are considered nevertheless
    for channel in ("s3", "dynamodb", "memcached"):
        assert any(each.choice.channel == channel and each.choice.workers == 2 for each in found.considered)


def test_a_deadline_gets_the_cheapest_plan_and_a_budget_a_fast_one() -> None:
    free = search(JOB, DEPLOYMENT)
    middle = free.front[len(free.front) // 2]
    minutes, usd = middle.seconds.expected / 60, middle.usd.expected
    by_time = search(JOB, DEPLOYMENT, deadline_minutes=minutes).recommended
    by_money = search(JOB, DEPLOYMENT, budget_usd=usd).recommended
    assert by_time is not None
    assert by_money is not None
    assert by_time.choice == middle.choice
    # And within a budget the cheapest of those that are hardly slower than the fastest
    assert by_money.usd.expected <= middle.usd.expected
    assert by_money.seconds.expected <= 1.05 * middle.seconds.expected
    dearer = [each for each in free.front if by_money.usd.expected < each.usd.expected <= usd]
    assert all(each.seconds.expected * 1.05 >= by_money.seconds.expected for each in dearer)
    cheaper = [each for each in free.front if each.usd.expected < by_money.usd.expected]
    assert all(each.seconds.expected > 1.05 * middle.seconds.expected for each in cheaper)


def test_one_worker_alone_is_no_other_channel_or_pattern() -> None:
    # Given a job that one function does best, and a deadline that only many keep
    large = replace(JOB, parameters=25_000_000, samples=1_000_000, step_seconds=0.2)
    best = search(large, DEPLOYMENT).recommended
    assert best is not None
    assert best.choice.workers == 1
    found = search(large, DEPLOYMENT, deadline_minutes=100)
    assert found.recommended is not None
    assert found.recommended.choice.workers > 1
    # Then number of workers is compared with that function, channel and pattern are not
    share = f"costs {best.usd.expected / found.recommended.usd.expected:.2g} times as much"
    compared = {reason.partition(" = ")[0]: share in reason for reason in found.reasons[1:]}
    assert compared == {"channel": False, "pattern": False, "workers": True}


def test_when_nothing_keeps_the_limits_it_says_what_could() -> None:
    found = search(JOB, DEPLOYMENT, budget_usd=1e-6, deadline_minutes=0.1)
    assert found.recommended is None
    assert found.reasons[0].startswith("No plan keeps $0.000001 and 0.1 minutes: the cheapest costs $")


def test_another_wire_is_taken_only_when_needed() -> None:
    options = Open(wires=("float32", "int8"), sync_every=(1, 16))
    relaxed = search(JOB, DEPLOYMENT, options)
    assert relaxed.recommended is not None
    assert (relaxed.recommended.choice.wire, relaxed.recommended.choice.sync_every) == ("float32", 1)
    # Given a deadline that no exact plan keeps
    exact = search(JOB, DEPLOYMENT).front[0].seconds.expected
    fastest = relaxed.front[0].seconds.expected
    assert fastest < exact
    found = search(JOB, DEPLOYMENT, options, deadline_minutes=(exact + fastest) / 2 / 60)
    # Then one that changes the result is recommended, and says so
    assert found.recommended is not None
    assert "changes the result" in found.reasons[-1]


@pytest.mark.parametrize(
    ("job", "deployment", "options", "reason"),
    [
        (JOB, replace(DEPLOYMENT, max_workers=10), Open(workers=(16,)), "only 10 functions may run at once"),
        (replace(JOB, parameters=100_000_000), DEPLOYMENT, Open(workers=(4,)), "a worker needs 2,"),
        (JOB, Deployment(channels=("s3",)), Open(channels=("dynamodb",), workers=(4,)), "dynamodb is not deployed"),
        (
            replace(JOB, parameters=25_000_000),
            replace(DEPLOYMENT, caches=(Cache("provisioned", "cache.t4g.micro"),)),
            Open(channels=("memcached",), workers=(4,)),
            "two rounds take 763 MB, and the cache holds 412",
        ),
    ],
)
def test_what_cannot_work_is_refused_with_the_reason(
    job: JobFacts, deployment: Deployment, options: Open, reason: str
) -> None:
    found = search(job, deployment, options)
    assert any(given.startswith(reason) for given in found.refused.values())


def test_it_says_when_lambda_is_not_the_place() -> None:
    # Given a large model with little to compute: all time goes into the exchange, and one worker is too slow
    heavy = replace(JOB, parameters=20_000_000, step_seconds=2.0, epochs=20)
    found = search(heavy, DEPLOYMENT, Open(channels=("dynamodb",), workers=(8, 16)))
    assert found.advice.startswith("Do not use Lambda for this: ")
    # And a job of seconds, for which an instance takes too long to start
    assert search(replace(JOB, samples=1000), DEPLOYMENT).advice == ""


def test_the_small_functions_can_search_without_numpy() -> None:
    code = "import sys, paytrain.planner.search; sys.exit('numpy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
