"""What a run keeps for its end, estimated by Plan from what Prepare took; every figure errs on the side of more."""

import math

from paytrain import bill
from paytrain.errors import JobError
from paytrain.exchange.votes import Vote
from paytrain.job import WIRE_ITEM_BYTES
from paytrain.limits import limits_reached, minutes_at_end, usd_at_end
from paytrain.metering import architecture
from paytrain.plan import Plan, Prepared, Reserve
from paytrain.planner import compute, prices, requests
from paytrain.planner.estimate import CREATE_SECONDS
from paytrain.planner.exchange import Exchange
from paytrain.run import Spent
from paytrain.training.rounds import round_at
from paytrain.training.stop_rule import MARGIN_SECONDS, Pace, seconds_of_round

_CONTROL_GB_SECONDS = 0.5 * 4
"""Of a small function with 512 MB, its cold start included."""
_WRITE_UNITS, _READ_UNITS, _PUTS, _GETS = 8, 12, 3, 12
"""Of a worker in a lap, for its claim, outcome, record, looks at the marks, checkpoints, model and data."""
_FIRST_GUESS_MB_S = 10.0
_FIRST_GUESS_SECONDS = 0.5
"""Expected of the exchange until a round has been measured: pessimistic, it only makes a first lap shorter."""
_SETTLING_SECONDS = 5.0
"""Of Step Functions and CloseLap, between a lap's last worker and Finish."""


def reserve_of(
    *,
    prepared: Prepared,
    prepare: Spent,
    workers: int,
    memory_mb: int,
    batch_size: int,
    started: float,
    cache_usd_per_hour: float,
    round_usd: float,
) -> Reserve:
    """What ending the run takes.

    Finish starts, loads and traces as Prepare did, so it takes no longer in a function of that size, but for the
    evaluation: that sees the validation data batch by batch, each taken to last as long as a step.

    Parameters
    ----------
    prepared
        In functions of ``memory_mb``.
    prepare
        What Prepare has used, in a function of its own size.
    cache_usd_per_hour
        All nodes that the run exchanges over; 0 without.
    round_usd
        Requests of a round over all ranks.
    """
    slower = compute.slowdown(compute.vcpus(memory_mb)) / compute.slowdown(compute.vcpus(prepare.memory_mb))
    start_seconds = (prepare.init_seconds + prepare.seconds) * slower
    evaluation = math.ceil(prepared.validation_samples / batch_size) * prepared.step_seconds
    finish_seconds = start_seconds + prepared.save_seconds + evaluation + _SETTLING_SECONDS
    gb_second = prices.lambda_usd_per_gb_second(architecture())
    tmp_gb = (prepare.tmp_mb - prices.LAMBDA_FREE_TMP_MB) / 1024
    worker = memory_mb / 1024 * gb_second + tmp_gb * prices.lambda_usd_per_tmp_gb_second()
    request, state = prices.lambda_usd_per_request(), prices.step_functions_usd_per_transition()
    own = (
        request
        + bill.STATES["lap"] * state
        + _WRITE_UNITS * prices.dynamodb_usd_per_write_unit()
        + _READ_UNITS * prices.dynamodb_usd_per_read_unit()
        + _PUTS * prices.s3_usd_per_put()
        + _GETS * prices.s3_usd_per_get()
    )
    close = _CONTROL_GB_SECONDS * gb_second + request + (bill.STATES["close_lap"] + bill.ATTEMPT_STATES) * state
    # Finish reads and writes little more than a worker; with a topic, one state more tells of the end.
    finish = finish_seconds * worker + own + (bill.FINISH_STATES + 1) * state
    return Reserve(
        started=started,
        lap_seconds=start_seconds,
        lap_usd=workers * own,
        round_usd=round_usd,
        finish_seconds=finish_seconds,
        finish_usd=close + finish,
        gang_usd_per_second=workers * worker,
        finish_usd_per_second=worker,
        cache_usd_per_second=cache_usd_per_hour / 3600,
    )


def usd_of_round(exchange: Exchange) -> float:
    """What a round's requests cost over all ranks until one has been measured: twice those of the pattern, since what
    is not there yet is asked for again."""
    return 2 * bill.usd_of_requests(requests.of_round(exchange.channel, exchange.segments, exchange.item_bytes))


def first_pace(plan: Plan) -> dict[str, float]:
    """What the first lap expects of each phase until it has seen one, in seconds."""
    prepared = plan.prepared
    pace = {
        "step": prepared.step_seconds,
        "save": prepared.save_seconds,
        "exchange": first_exchange_seconds(prepared.vector_elements(plan.sync_every) * WIRE_ITEM_BYTES[plan.wire]),
    }
    if prepared.validation_samples:
        # All ranks evaluate a part each, then exchange the metrics, and before that their own statistics.
        batches = math.ceil(math.ceil(prepared.validation_samples / plan.workers) / plan.job.batch_size)
        exchanges = sum(first_exchange_seconds(8 * n) for n in (prepared.metric_elements, prepared.own_elements) if n)
        pace["epoch_end"] = batches * prepared.step_seconds + exchanges
    return pace


def first_exchange_seconds(vector_bytes: float) -> float:
    """What an exchange is expected to take until one has been measured."""
    return _FIRST_GUESS_SECONDS + 2 * vector_bytes / 1e6 / _FIRST_GUESS_MB_S


def refuse_too_little(plan: Plan, pace: dict[str, float], *, usd: float, now: float) -> None:
    """Refuse limits that do not allow a single lap of one round.

    Parameters
    ----------
    pace
        What the first lap expects.
    usd
        What the run has cost so far.

    Raises
    ------
    JobError
        Naming the limit and the smallest that could be kept.
    """
    reserve = plan.reserve
    seconds = seconds_of_lap(plan, reserve.lap_seconds, pace, step=0)
    if plan.cache_id:
        seconds += CREATE_SECONDS.high
    spent = usd + reserve.lap_usd
    reached = limits_reached(plan, usd=spent, now=now, seconds=seconds, rounds=1, round_usd=reserve.round_usd)
    if Vote.BUDGET in reached:
        needed = usd_at_end(plan, usd=spent, now=now, seconds=seconds, rounds=1, round_usd=reserve.round_usd)
        raise JobError(
            f"budget_usd = {plan.job.budget_usd:g} is not allowed: preparing has cost ${usd:.4f}, and one lap of one "
            f"round and the export of a model would cost about ${needed - usd:.4f}; it must be at least "
            f"{_rounded_up(needed):g}."
        )
    if Vote.DEADLINE in reached:
        needed = minutes_at_end(plan, now=now, seconds=seconds)
        raise JobError(
            f"deadline_minutes = {plan.job.deadline_minutes:g} is not allowed: one lap of one round and the export of "
            f"a model end about {needed:.1f} minutes after the start; it must be at least {_rounded_up(needed):g}."
        )


def seconds_of_lap(plan: Plan, start_seconds: float, pace: dict[str, float], step: int) -> float:
    """A lap of a single round, from the start of its workers to its checkpoint."""
    expected = Pace(pace)
    round_seconds = seconds_of_round(expected, round_at(plan, step))
    return start_seconds + round_seconds + expected.worst("save") + MARGIN_SECONDS


def _rounded_up(value: float) -> float:
    """To two digits, upwards."""
    digit = 10.0 ** (math.floor(math.log10(value)) - 1)
    return math.ceil(value / digit) * digit
