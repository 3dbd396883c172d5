"""An estimate that says how far it can be trusted."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Span:
    """What is expected, and the range that the sources of its figures leave.

    Examples
    --------
    >>> Span.about(10, less=0.5, more=2) + Span(1, 1, 1)
    Span(low=6.0, expected=11, high=21)
    """

    low: float
    expected: float
    high: float

    @classmethod
    def exactly(cls, value: float) -> "Span":
        """Without doubt."""
        return cls(value, value, value)

    @classmethod
    def about(cls, value: float, *, less: float, more: float) -> "Span":
        """Between ``less`` and ``more`` times a value."""
        return cls(value * less, value, value * more)

    def __add__(self, other: "Span") -> "Span":
        return Span(self.low + other.low, self.expected + other.expected, self.high + other.high)

    def __mul__(self, factor: float) -> "Span":
        return Span(self.low * factor, self.expected * factor, self.high * factor)

    def as_dict(self) -> dict[str, float]:
        """For JSON."""
        return {"low": self.low, "expected": self.expected, "high": self.high}


ZERO = Span.exactly(0.0)
