"""All ways to run a job: what each takes and costs, which are worth considering, and which one to take."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product

from paytrain.exchange.simulator.profile import Profile, built_in
from paytrain.memory import MB
from paytrain.planner import limits
from paytrain.planner.estimate import Estimate, Estimator
from paytrain.planner.outside import Alternative, alternatives
from paytrain.planner.question import Cache, Choice, Deployment, JobFacts, Open, vector_bytes

_SMALLEST_WORLD_WITH_GROUPS = 9
"""Three groups of three: smaller ones save no request."""
_MOST_READ_BYTES = 2e9
"""Of a rank and round with ``all_gather``."""
_AS_FAST = 1.05
"""Times the fastest within a budget: less than estimates are wrong in the median (docs/cost-model.md)."""


@dataclass(frozen=True)
class Found:
    """The answer.

    Attributes
    ----------
    recommended
        None when nothing keeps budget and deadline.
    reasons
        A sentence each.
    front
        Plans of which no other is both faster and cheaper, the fastest first.
    considered
        All plans that work but those that another one over the same channel (and kind of cache) with the same pattern
        beats, by cost.
    refused
        What cannot work → why.
    alternatives
        Outside of Lambda, by cost.
    advice
        A sentence when Lambda is not the place for this job; else empty.
    asked
        Wire and ``sync_every`` of the job itself.
    """

    recommended: Estimate | None
    reasons: list[str]
    front: list[Estimate]
    considered: list[Estimate]
    refused: dict[str, str]
    alternatives: list[Alternative] = field(default_factory=list)
    advice: str = ""
    asked: tuple[str, int] = ("float32", 1)


def search(
    job: JobFacts,
    deployment: Deployment,
    options: Open | None = None,
    *,
    profile: Profile | None = None,
    budget_usd: float | None = None,
    deadline_minutes: float | None = None,
) -> Found:
    """Estimate every plan that the options leave, and choose.

    Parameters
    ----------
    profile
        The built-in one if not given.
    budget_usd, deadline_minutes
        Limits that the recommendation keeps, by expected figures.
    """
    options = options or Open()
    estimator = Estimator(job, deployment, profile or built_in())
    considered, refused = _estimate_all(estimator, options, _choices(job, deployment, options))
    kept = [each for each in considered if _keeps(each, budget_usd, deadline_minutes)]
    as_asked = [each for each in kept if _is_as_asked(each.choice, options)]
    recommended = _choose(_front(as_asked or kept), budget_usd, deadline_minutes)
    front = _front(considered)
    outside = sorted(alternatives(job), key=lambda each: each.usd.expected)
    if recommended is None:
        reasons = [_why_none(considered, refused, budget_usd, deadline_minutes)]
    else:
        reasons = _reasons(recommended, considered, budget_usd, deadline_minutes)
    if recommended and not as_asked:
        reasons.append("No plan with the job's own wire and sync_every keeps the limits: this one changes the result.")
    elif recommended and any(_is_better(each, recommended) for each in kept):
        reasons.append(
            "Plans with another wire or sync_every are faster and cheaper, but change the result: the job's own stay."
        )
    return Found(
        recommended=recommended,
        reasons=reasons,
        front=front[::-1],
        considered=considered,
        refused=refused,
        alternatives=outside,
        advice=_advice(recommended or (front[-1] if front else None), outside),
        asked=(options.wires[0], options.sync_every[0]),
    )


def _estimate_all(
    estimator: Estimator, options: Open, choices: Iterable[tuple[Choice, str]]
) -> tuple[list[Estimate], dict[str, str]]:
    """Estimates by cost, without those that a similar one beats; and what cannot work."""
    considered: list[Estimate] = []
    refused: dict[str, str] = {}
    fronts: defaultdict[tuple[str, str, str, bool, bool], list[tuple[float, float]]] = defaultdict(list)
    for choice, reason in choices:
        mode = choice.cache.mode if choice.cache else ""
        is_alone, is_as_asked = choice.workers == 1, _is_as_asked(choice, options)
        here = fronts[choice.channel, choice.pattern, mode, is_alone, is_as_asked]
        bounds = (estimator.at_least, estimator.nearly)
        if not reason and choice.workers > 1 and any(_beats(here, bound(choice)) for bound in bounds):
            continue
        answer = reason or estimator.estimate(choice)
        if isinstance(answer, str):
            refused[choice.name] = answer
            continue
        considered.append(answer)
        point = answer.seconds.expected, answer.usd.expected
        if not _beats(here, point):
            here[:] = [each for each in here if each[0] < point[0] or each[1] < point[1]] + [point]
    considered.sort(key=lambda each: (each.usd.expected, each.seconds.expected))
    return considered, refused


def _beats(front: Iterable[tuple[float, float]], point: tuple[float, float]) -> bool:
    """Whether something is at least as fast and as cheap."""
    seconds, usd = point
    return any(True for each in front if each[0] <= seconds and each[1] <= usd)


def _is_as_asked(choice: Choice, options: Open) -> bool:
    return choice.workers == 1 or (choice.wire, choice.sync_every) == (options.wires[0], options.sync_every[0])


def _choices(job: JobFacts, deployment: Deployment, options: Open) -> Iterator[tuple[Choice, str]]:
    """Every combination, and why it cannot work, if that is known without an estimate."""
    sizes = options.memory_mb or deployment.memory_sizes
    for channel in options.channels:
        if channel not in deployment.channels:
            yield Choice(channel, options.patterns[0], max(options.workers), sizes[0]), f"{channel} is not deployed"
            continue
        caches: Sequence[Cache | None] = deployment.caches if channel == "memcached" else (None,)
        for workers, wire, sync_every in product(options.workers, options.wires, options.sync_every):
            if workers > job.samples or (sync_every > 1 and wire != options.wires[0]):
                continue
            if workers == 1:
                # It exchanges nothing.
                if (channel, wire, sync_every) != (options.channels[0], options.wires[0], options.sync_every[0]):
                    continue
                sync_every = 1
            need_bytes = job.need(wire, sync_every).total
            for cache in caches if workers > 1 else (None,):
                patterns = options.patterns if workers > 1 else options.patterns[:1]
                for pattern in patterns:
                    if _is_pointless(job, Choice(channel, pattern, workers, sizes[0], wire, sync_every), options):
                        continue
                    for memory_mb in sizes:
                        choice = Choice(channel, pattern, workers, memory_mb, wire, sync_every, cache)
                        yield choice, _refusal(job, deployment, choice, need_bytes)


def _is_pointless(job: JobFacts, choice: Choice, options: Open) -> bool:
    """Whether another pattern is better for sure; a pattern that was asked for is never pointless."""
    if len(options.patterns) == 1:
        return False
    if choice.pattern == "hierarchical":
        return choice.workers < _SMALLEST_WORLD_WITH_GROUPS
    if choice.pattern == "all_gather":
        return (choice.workers - 1) * vector_bytes(job, choice) > _MOST_READ_BYTES
    return False


def _refusal(job: JobFacts, deployment: Deployment, choice: Choice, need_bytes: int) -> str:
    if choice.workers > deployment.max_workers:
        return f"only {deployment.max_workers:,} functions may run at once"
    if need_bytes > choice.memory_mb * MB:
        return f"a worker needs {-(-need_bytes // MB):,} MB"
    if choice.cache:
        held_mb = limits.cache_node_mb(choice.cache.node_type)
        needed_mb = 2 * choice.workers * vector_bytes(job, choice) / MB
        if needed_mb > choice.cache.nodes * held_mb:
            return f"two rounds take {needed_mb:,.0f} MB, and the cache holds {choice.cache.nodes * held_mb:,}"
    return ""


def _front(considered: Sequence[Estimate]) -> list[Estimate]:
    """Of plans by cost, those that are faster than all cheaper ones."""
    front: list[Estimate] = []
    for each in sorted(considered, key=lambda one: (one.usd.expected, one.seconds.expected)):
        if not front or each.seconds.expected < front[-1].seconds.expected:
            front.append(each)
    return front


def _keeps(estimate: Estimate, budget_usd: float | None, deadline_minutes: float | None) -> bool:
    in_budget = budget_usd is None or estimate.usd.expected <= budget_usd
    return in_budget and (deadline_minutes is None or estimate.seconds.expected <= 60 * deadline_minutes)


def _is_better(one: Estimate, other: Estimate) -> bool:
    """Whether it is both faster and cheaper."""
    return one.seconds.expected < other.seconds.expected and one.usd.expected < other.usd.expected


def _choose(front: Sequence[Estimate], budget_usd: float | None, deadline_minutes: float | None) -> Estimate | None:
    """The cheapest before a deadline, the cheapest of the fast ones within a budget; else what is good at both."""
    if not front:
        return None
    if deadline_minutes is not None:
        return front[0]
    if budget_usd is not None:
        return next(each for each in front if each.seconds.expected <= _AS_FAST * front[-1].seconds.expected)
    return min(front, key=lambda each: each.seconds.expected * each.usd.expected)


def _reasons(
    chosen: Estimate, considered: Sequence[Estimate], budget_usd: float | None, deadline_minutes: float | None
) -> list[str]:
    if deadline_minutes is not None:
        first = f"It is the cheapest plan that ends within {deadline_minutes:g} minutes"
        first += f" and costs at most ${_plain(budget_usd)}." if budget_usd is not None else "."
    elif budget_usd is not None:
        first = (
            f"It is the cheapest plan that is at most {100 * (_AS_FAST - 1):.0f} % slower than the fastest for "
            f"${_plain(budget_usd)}."
        )
    else:
        first = "Of all plans it has the smallest product of time and cost."
    return [first, *_compared(chosen, considered)]


def _compared(chosen: Estimate, considered: Sequence[Estimate]) -> Iterator[str]:
    """Against the best plan that differs in one thing only: the channel, the pattern, the number of workers."""
    like = [each for each in considered if _is_like(each, chosen)]
    # One worker alone has no channel and no pattern.
    together = [each for each in like if each.choice.workers > 1] if chosen.choice.workers > 1 else []
    for key, plans in (("channel", together), ("pattern", together), ("workers", like)):
        mine = getattr(chosen.choice, key)
        others = [each for each in plans if getattr(each.choice, key) != mine]
        if others:
            best = min(others, key=lambda each: each.seconds.expected * each.usd.expected)
            # Other numbers of workers are left out of the search where this one beats them.
            at_best = "" if key == "workers" else ", at best"
            longer = _times(best.seconds.expected / chosen.seconds.expected)
            dearer = _times(best.usd.expected / chosen.usd.expected)
            yield (
                f"{key} = {mine}: with {getattr(best.choice, key)} it takes {longer}as long and costs "
                f"{dearer}as much{at_best}."
            )


def _times(ratio: float) -> str:
    """A ratio before "as long"; nothing when it is one."""
    return "" if f"{ratio:.2g}" == "1" else f"{ratio:.2g} times "


def _plain(number: float) -> str:
    """With the digits that it has, none of them as a power of ten."""
    return f"{number:.12f}".rstrip("0").rstrip(".")


def _is_like(one: Estimate, other: Estimate) -> bool:
    """Whether two plans give results of one kind."""
    return (one.choice.wire, one.choice.sync_every) == (other.choice.wire, other.choice.sync_every)


def _why_none(
    considered: Sequence[Estimate],
    refused: Mapping[str, str],
    budget_usd: float | None,
    deadline_minutes: float | None,
) -> str:
    if not considered:
        example = next((f", such as {name}: {reason}" for name, reason in refused.items()), "")
        return f"No plan can work{example}."
    cheapest, fastest = considered[0], min(considered, key=lambda each: each.seconds.expected)
    wanted = [f"${_plain(budget_usd)}"] if budget_usd is not None else []
    if deadline_minutes is not None:
        wanted.append(f"{deadline_minutes:g} minute{'s' if deadline_minutes != 1 else ''}")
    return (
        f"No plan keeps {' and '.join(wanted)}: the cheapest costs ${cheapest.usd.expected:.2g} and takes "
        f"{cheapest.seconds.expected / 60:,.1f} minutes, the fastest takes "
        f"{fastest.seconds.expected / 60:,.1f} minutes and costs ${fastest.usd.expected:.2g}."
    )


def _advice(best: Estimate | None, outside: Sequence[Alternative]) -> str:
    """The honest sentence, when something outside is both faster and cheaper."""
    winners = [
        each
        for each in outside
        if best is None or (each.seconds.expected < best.seconds.expected and each.usd.expected < best.usd.expected)
    ]
    if not winners:
        return ""
    winner = winners[0]
    return (
        f"Do not use Lambda for this: {winner.name} does it in about {winner.seconds.expected / 60:.1f} minutes for "
        f"about ${winner.usd.expected:.2g} (an estimate)."
    )
