"""What the ranks of a simulated run contribute, and what must come out."""

import functools
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from paytrain.exchange.frame import Tally
from paytrain.exchange.operations import Steps
from paytrain.exchange.patterns.hierarchical import hierarchical
from paytrain.exchange.patterns.member import Member
from paytrain.exchange.segments import even_slices
from paytrain.exchange.wires import WIRES
from paytrain.exchange.wires.base import Wire
from paytrain.exchange.wires.residuals import residuals_of

Contribution = tuple[NDArray[Any], Tally]


@dataclass(frozen=True)
class Inputs:
    """What all ranks contribute in all rounds; it follows from the seed, and does not depend on how it is exchanged.

    Attributes
    ----------
    wire_name
        None for an exact wire, chosen by the seed.
    last_round
        The round in which some ranks vote for a stop, so that all must end after it.
    """

    world_size: int
    elements: int
    seed: int
    wire_name: str | None = None
    _made: dict[tuple[int, int], Contribution] = field(default_factory=dict, compare=False, repr=False)

    @property
    def last_round(self) -> int:
        return self.seed % 3

    @property
    def wire(self) -> Wire:
        return WIRES[self.wire_name or ("float64" if self.seed % 4 == 3 else "float32")]

    def of(self, rank: int, round_: int) -> Contribution:
        """Values of very different sizes, so that every order of adding them gives other bits."""
        if (rank, round_) not in self._made:
            self._made[rank, round_] = self._contribution(rank, round_)
        return self._made[rank, round_]

    def _contribution(self, rank: int, round_: int) -> Contribution:
        random = np.random.default_rng((self.seed, rank, round_))
        scale = 10.0 ** random.integers(-4, 5, self.elements)
        values = (random.standard_normal(self.elements) * scale).astype(self.wire.dtype)
        values.flags.writeable = False
        votes = int(random.integers(0, 8)) if round_ == self.last_round else 0
        if round_ == self.last_round and rank == self.seed % self.world_size:
            votes |= 8
        return values, Tally(int(random.integers(0, 65)), votes, random.standard_normal(2) * 1e6)

    def results(self, pattern: Callable[[Member], Steps]) -> list["Result"]:
        """Of every round: the sum in the pattern's order, taken in the plainest way."""
        return [self._result(round_, pattern) for round_ in range(self.last_round + 1)]

    def _result(self, round_: int, pattern: Callable[[Member], Steps]) -> "Result":
        contributions = [self.of(rank, round_) for rank in range(self.world_size)]
        if pattern is hierarchical:
            groups = even_slices(self.world_size, math.isqrt(self.world_size))
            contributions = [functools.reduce(plus, contributions[group]) for group in groups]
        return Result.of(*functools.reduce(plus, contributions))


def plus(one: Contribution, other: Contribution) -> Contribution:
    """Both together."""
    (values, tally), (others, beside) = one, other
    votes = tally.votes | beside.votes
    return values + others, Tally(tally.samples + beside.samples, votes, tally.metrics + beside.metrics)


@dataclass(frozen=True)
class Setup:
    """A run to simulate: what is exchanged, and how."""

    inputs: Inputs
    pattern: Callable[[Member], Steps]
    segments: int


@dataclass(frozen=True)
class Result:
    """What a rank knows after a round, comparable to the bit."""

    values: bytes
    metrics: bytes
    samples: int
    votes: int

    @classmethod
    def of(cls, values: NDArray[Any], tally: Tally) -> "Result":
        return cls(values.tobytes(), tally.metrics.tobytes(), tally.samples, tally.votes)


@dataclass(eq=False)
class Rank:
    """One rank: exchanges round by round until a round's votes end it, as a lap does.

    Attributes
    ----------
    results
        Of the rounds that it has finished.
    stored
        Keys of its objects by round.
    failure
        What has ended it early.
    """

    number: int
    setup: Setup
    results: list[Result] = field(default_factory=list)
    stored: dict[int, list[str]] = field(default_factory=dict)
    failure: BaseException | None = None
    is_dead: bool = False

    def __post_init__(self) -> None:
        self._residuals = residuals_of(self.setup.inputs.wire.name)

    @property
    def round(self) -> int:
        return len(self.results)

    @property
    def has_ended(self) -> bool:
        """Whether it has left after a common vote."""
        return bool(self.results) and self.results[-1].votes != 0

    @property
    def is_running(self) -> bool:
        return not (self.has_ended or self.is_dead or self.failure)

    def begin_round(self) -> list[Steps]:
        """The generators of the next round, one a segment."""
        values, tally = self.setup.inputs.of(self.number, self.round)
        self._out = np.full_like(values, np.nan)
        self._tallies: dict[int, Tally] = {}
        self.stored[self.round] = []
        members = [
            Member(
                self.number,
                self.setup.inputs.world_size,
                self.round,
                f"{self.round}/{segment}",
                values[part],
                self._out[part],
                tally,
                self.setup.inputs.wire,
                segment,
                self._residuals,
            )
            for segment, part in enumerate(even_slices(values.size, self.setup.segments))
        ]
        return [self.setup.pattern(member) for member in members]

    def end_segment(self, segment: int, tally: Tally) -> bool:
        """Note what a generator has returned; True when it was the round's last."""
        self._tallies[segment] = tally
        if len(self._tallies) < self.setup.segments:
            return False
        segments = {Result.of(self._out, beside) for beside in self._tallies.values()}
        assert len(segments) == 1, "the segments of a round disagree about its tally"
        self.results.append(segments.pop())
        return True
