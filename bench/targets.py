"""The figures to reach, and which are: computed from the rows of exchange.json."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from operator import itemgetter

from bench.cases import NODE_TYPE, NODE_TYPES, PATTERNS, SIZES, WORKERS, Case, floor_of
from bench.tables import CHANNEL_NAMES, Row, only, size_name

LAMBDAML = ("lambdaml_allreduce", "lambdaml_scatter_reduce")


@dataclass(frozen=True)
class Target:
    """One line of the table.

    Attributes
    ----------
    figure
        What is compared.
    source
        ``simulated`` or ``measured``.
    bound
        What is to be reached; None for what is only reported.
    at_most
        Whether less is better.
    reached
        None when there is no such row.
    """

    figure: str
    source: str
    bound: float | None
    at_most: bool
    reached: float | None

    @property
    def verdict(self) -> str:
        """``yes``, ``no``, or a dash."""
        if self.bound is None or self.reached is None:
            return "–"
        return "yes" if (self.reached <= self.bound if self.at_most else self.reached >= self.bound) else "**no**"


def table(rows: Sequence[Row]) -> str:
    """All targets as Markdown."""
    lines = ["| figure | source | target | reached | met? |", "|---|---|---:|---:|---|"]
    for target in targets(rows):
        sign = "≤" if target.at_most else "≥"
        bound = f"{sign} {target.bound:g} ×" if target.bound is not None else "report"
        reached = f"{target.reached:.2f} ×" if target.reached is not None else "not run"
        lines.append(f"| {target.figure} | {target.source} | {bound} | {reached} | {target.verdict} |")
    return "\n".join(lines) + "\n"


def targets(rows: Sequence[Row]) -> Iterator[Target]:
    """Every row of the issue's table, as one or several figures."""
    yield from _simulated(only(rows, source="simulated"))
    yield from _measured(only(rows, source="measured"))


def _simulated(rows: Sequence[Row]) -> Iterator[Target]:
    def at(channel: str, size: str, workers: int, node_type: str = "") -> list[Row]:
        return only(rows, channel=channel, bytes=SIZES[size], workers=workers, node_type=node_type)

    def bounded(figure: str, here: Sequence[Row]) -> Target:
        return Target(figure, "simulated", 1.25, True, _over_floor(here))

    large, small = at("s3", "89 MB", 16), at("s3", "4 KB", 16)

    def with_slowest(figure: str, here: Sequence[Row]) -> Target:
        return Target(f"{figure} with its hops' slowest requests", "simulated", None, True, _over_slowest(here))

    yield bounded("S3, 89 MB, W = 16: over the floor", large)
    yield with_slowest("S3, 89 MB, W = 16: over the floor", large)
    for name, bound in (("lambdaml_scatter_reduce", 2), ("lambdaml_allreduce", 7)):
        yield Target(f"S3, 89 MB, W = 16: against `{name}`", "simulated", bound, False, _faster(large, (name,)))
    yield Target("S3, 4 KB, W = 16: against LambdaML's better", "simulated", 4, False, _faster(small, LAMBDAML))
    for node_type in NODE_TYPES:
        for size in ("12 MB", "89 MB"):
            here = at("memcached", size, 16, node_type)
            yield bounded(f"Memcached, {node_type}, {size}, W = 16: over the floor", here)
    yield bounded("DynamoDB, 1 MB, W = 4: over the floor", at("dynamodb", "1 MB", 4))
    for channel, node_type in (("s3", ""), ("memcached", NODE_TYPE), ("dynamodb", "")):
        here = at(channel, "12 MB", 16, node_type)
        peers = ("naive_chunked",) if channel == "dynamodb" else LAMBDAML
        yield Target(
            f"{CHANNEL_NAMES[channel]}, 12 MB, W = 16: best wire ({_best_wire(here)}) against "
            f"{'naive chunked' if channel == 'dynamodb' else 'LambdaML’s better'}",
            "simulated",
            5.5,
            False,
            _faster(here, peers, any_wire=True),
        )
    for workers in WORKERS:
        figure, here = f"growth: S3, 12 MB, W = {workers}: over the floor", at("s3", "12 MB", workers)
        yield bounded(figure, here)
        yield with_slowest(figure, here)
    most = at("s3", "12 MB", WORKERS[-1])
    yield Target(
        f"growth: S3, 12 MB, W = {WORKERS[-1]}: `hierarchical`'s requests cheaper than `scatter_reduce`'s",
        "simulated",
        3,
        False,
        _ratio(most, "scatter_reduce", "hierarchical", "usd_requests"),
    )


def _measured(rows: Sequence[Row]) -> Iterator[Target]:
    for channel, network, size in dict.fromkeys((row["channel"], row["network"], row["bytes"]) for row in rows):
        here = only(rows, channel=channel, network=network, bytes=size)
        peers = LAMBDAML if only(here, algorithm=LAMBDAML[0]) else ("naive_chunked",)
        small = size_name(size) == "1 MB"
        report = small or (channel != "memcached" and network == "loopback")
        yield Target(
            f"{CHANNEL_NAMES[channel]}, {size_name(size)}, W = 4, {network}: against "
            f"{'LambdaML’s better' if peers is LAMBDAML else 'naive chunked'}",
            "measured",
            None if report else 2,
            False,
            _faster(here, peers),
        )


def _ours(rows: Sequence[Row], any_wire: bool = False) -> list[Row]:
    return [row for row in rows if row["algorithm"] in PATTERNS and (any_wire or row["wire"] == "float32")]


def _fastest(rows: Sequence[Row]) -> Row | None:
    return min(rows, key=itemgetter("seconds_median"), default=None)


def _best_wire(rows: Sequence[Row]) -> str:
    best = _fastest(_ours(rows, any_wire=True))
    return f"`{best['wire']}`" if best else "none"


def _over_floor(rows: Sequence[Row]) -> float | None:
    """Our fastest pattern over its floor."""
    best = _fastest(_ours(rows))
    return best["seconds_median"] / best["floor_seconds"] if best else None


def _over_slowest(rows: Sequence[Row]) -> float | None:
    """The same over the floor in which every hop waits for the slowest of its requests."""
    best = _fastest(_ours(rows))
    if best is None:
        return None
    case = Case(**{field.name: best[field.name] for field in fields(Case)})
    return best["seconds_median"] / floor_of(case, slowest=True)


def _faster(rows: Sequence[Row], peers: Sequence[str], any_wire: bool = False) -> float | None:
    """How many times as fast as the best of these peers our best pattern is."""
    best, peer = _fastest(_ours(rows, any_wire)), _fastest([row for row in rows if row["algorithm"] in peers])
    return peer["seconds_median"] / best["seconds_median"] if best and peer else None


def _ratio(rows: Sequence[Row], dividend: str, divisor: str, key: str) -> float | None:
    above, below = only(rows, algorithm=dividend, wire="float32"), only(rows, algorithm=divisor, wire="float32")
    return above[0][key] / below[0][key] if above and below else None
