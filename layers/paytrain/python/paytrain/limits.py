"""What a run may cost and how long it may take: whether it may go on, so that the end is still paid for.

The same few lines answer Plan (does the smallest run fit?), workers (may there be another round?) and CloseLap (may
there be another lap?).
"""

from paytrain.exchange.votes import Vote
from paytrain.plan import Plan
from paytrain.planner import prices


def limits_reached(plan: Plan, *, usd: float, now: float, seconds: float, rounds: int, round_usd: float) -> Vote:
    """Which limits of the job forbid to go on.

    Parameters
    ----------
    usd
        What the run has cost so far, without the cache.
    now
        Seconds since 1970.
    seconds, rounds
        What going on commits to before the run can be ended.
    round_usd
        Requests of a round over all ranks.
    """
    votes, job = Vote.GO_ON, plan.job
    at_end = usd_at_end(plan, usd=usd, now=now, seconds=seconds, rounds=rounds, round_usd=round_usd)
    if job.budget_usd is not None and at_end > job.budget_usd:
        votes |= Vote.BUDGET
    if job.deadline_minutes is not None and minutes_at_end(plan, now=now, seconds=seconds) > job.deadline_minutes:
        votes |= Vote.DEADLINE
    return votes


def usd_at_end(plan: Plan, *, usd: float, now: float, seconds: float, rounds: int, round_usd: float) -> float:
    """What the whole run costs if it goes on for some seconds and is ended then."""
    reserve = plan.reserve
    cache_seconds = now - reserve.started + seconds + reserve.finish_seconds
    going_on = seconds * reserve.gang_usd_per_second + rounds * round_usd
    if plan.cache_id:
        # A cluster of the run's own is billed by whole hours.
        cache_seconds = 3600 * prices.billed_node_hours(1, cache_seconds)
    return usd + going_on + reserve.finish_usd + cache_seconds * reserve.cache_usd_per_second


def minutes_at_end(plan: Plan, *, now: float, seconds: float) -> float:
    """How long the whole run takes if it goes on for some seconds and is ended then."""
    return (now - plan.reserve.started + seconds + plan.reserve.finish_seconds) / 60


def seconds_until_limits(plan: Plan, *, usd: float, now: float) -> float:
    """How long Finish may go on.

    Parameters
    ----------
    usd
        What the run has cost so far, all included.
    """
    reserve, job = plan.reserve, plan.job
    left = [float("inf")]
    if job.budget_usd is not None:
        left.append((job.budget_usd - usd) / (reserve.finish_usd_per_second + reserve.cache_usd_per_second))
    if job.deadline_minutes is not None:
        left.append(reserve.started + 60 * job.deadline_minutes - now)
    return min(left)


def stopped_by(votes: Vote) -> str:
    """The limit as the receipt names it; empty if none was reached."""
    if Vote.BUDGET in votes:
        return "budget"
    return "deadline" if Vote.DEADLINE in votes else ""
