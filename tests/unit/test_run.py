"""The names under which a run is stored, and which checkpoint it goes on from."""

import itertools
import re

import pytest

from paytrain.run import (
    Checkpoint,
    Items,
    Keys,
    Outcome,
    cache_id_of,
    complete,
    newest,
    parts_of,
    rank_part,
    run_id_of,
)

OLD = Checkpoint(step=10, lap=0, attempt=0)
NEW = Checkpoint(step=20, lap=1, attempt=0)
START = Checkpoint(step=0, lap=0, attempt=0)


@pytest.mark.parametrize("name", ["run-1", "A.b_c-9", "x" * 80, "5f0c-11"])
def test_an_execution_gives_its_name_to_the_run(name: str) -> None:
    assert run_id_of(name) == name


@pytest.mark.parametrize("name", ["with space", "..", "-x", "ümlaut", "a/b", "x" * 81, "", "new\nline", "name\n"])
def test_a_name_that_keys_should_not_have_becomes_its_digest(name: str) -> None:
    assert re.fullmatch(r"[0-9a-f]{32}", run_id_of(name))
    assert run_id_of(name) == run_id_of(name) != run_id_of(name + "!")


@pytest.mark.parametrize("run_id", ["r", "A.b_c-9", "x" * 80])
def test_a_cache_is_named_as_elasticache_wants_it(run_id: str) -> None:
    # Given the longest stage, when the cluster of a run is named
    cache_id = cache_id_of("paytrain-" + 20 * "s", run_id)
    # Then ElastiCache takes the name, and no other run has it
    assert re.fullmatch(r"[a-z](-?[a-z0-9])*", cache_id)
    assert len(cache_id) <= 50
    assert cache_id != cache_id_of("paytrain-" + 20 * "s", run_id + "!")


def test_keys_lie_under_the_run() -> None:
    # Given a run's keys
    keys = Keys("run-1")
    texts = list(vars(keys).values())
    # Then all are different and begin with the run
    assert keys.plan == "runs/run-1/plan.json"
    assert len(set(texts)) == len(texts) == 10
    texts.remove(keys.checkpoints)
    assert all(text.startswith("runs/run-1/") for text in texts)
    # But checkpoints, which expire sooner
    assert keys.checkpoints == "checkpoints/run-1/"


def test_a_checkpoint_part_names_step_lap_and_attempt_sortably() -> None:
    keys = Keys("run")
    part = keys.checkpoint_part(Checkpoint(step=1200, lap=3, attempt=1), "rank-2")
    assert part == "checkpoints/run/000001200/00003-01/rank-2.npz"
    assert keys.checkpoint_part(OLD, "model") < keys.checkpoint_part(NEW, "model")


def test_items_of_an_attempt_are_found_by_their_prefix_and_no_others() -> None:
    # Given laps, attempts and ranks whose digits begin alike
    everything = list(itertools.product([1, 2, 11, 12, 121], repeat=3))
    for lap, attempt in itertools.product([1, 2, 11, 12, 121], repeat=2):
        # When an attempt's items are searched for by their prefix
        outcomes = [at for at in everything if Items.outcome(*at).startswith(Items.outcomes(lap, attempt))]
        claims = [at for at in everything if Items.claim(*at).startswith(Items.claims(lap, attempt))]
        # Then those of all its ranks are found, and of no other attempt
        assert outcomes == claims == [at for at in everything if at[:2] == (lap, attempt)]


def test_items_of_all_kinds_differ() -> None:
    kinds = [Items.start(1, 2), Items.claim(1, 2, 3), Items.outcome(1, 2, 3), Items.abort(1, 2), Items.closed(1, 2)]
    kinds += [Items.RUN, Items.STOP, Items.PROGRESS, Items.FINAL]
    for one, other in itertools.permutations(kinds, 2):
        assert not one.startswith(other)


def test_parts_of_a_checkpoint() -> None:
    assert parts_of(NEW, workers=3, has_own=False) == {"model"}
    assert parts_of(NEW, workers=3, has_own=True) == {"model", "rank-0", "rank-1", "rank-2"}


def test_at_the_start_all_ranks_share_a_part() -> None:
    assert parts_of(START, workers=3, has_own=True) == {"model", "rank-0"}
    assert rank_part(START, rank=2) == "rank-0"
    assert rank_part(NEW, rank=2) == "rank-2"


ALL = {"model", "rank-0", "rank-1"}


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        ({}, START),
        ({NEW: ALL}, NEW),
        ({NEW: ALL, OLD: ALL}, NEW),
        ({OLD: ALL, NEW: ALL - {"model"}}, OLD),
        ({OLD: ALL, NEW: ALL - {"rank-1"}}, OLD),
        ({NEW: {"rank-0"}}, START),
        ({START: {"model", "rank-0"}, NEW: {"model"}}, START),
        ({OLD: ALL | {"rank-7"}}, OLD),
    ],
)
def test_the_newest_complete_checkpoint_counts(found: dict[Checkpoint, set[str]], expected: Checkpoint) -> None:
    assert newest(complete(found, workers=2, has_own=True)) == expected


def test_without_own_state_rank_0_is_enough() -> None:
    assert complete({NEW: {"model"}, OLD: {"rank-0"}}, workers=2, has_own=False) == {NEW}


def test_of_equal_steps_the_one_written_last_counts() -> None:
    # Given a step that was saved in a lap, in its retry and in the next lap
    first, retry = NEW, NEW.model_copy(update={"attempt": 1})
    next_lap = NEW.model_copy(update={"lap": 2})
    # When the newest is asked for, then the last one is found, whatever their order
    for order in itertools.permutations([first, retry, next_lap]):
        assert newest(order) == next_lap


def test_an_outcome_survives_its_record() -> None:
    outcome = Outcome(lap=1, attempt=0, rank=2, status="stopped", step=7, votes=1, pace={"step": 0.1})
    assert Outcome.model_validate_json(outcome.model_dump_json()) == outcome
