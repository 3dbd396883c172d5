"""Vectors and bodies of which only the length is known, so that large worlds cost no memory."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Hollow:
    """So many elements, or so many bytes. What would be done to their values is done to the length.

    Attributes
    ----------
    length
        Elements of a vector, bytes of a body.
    """

    length: int

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, part: slice) -> "Hollow":
        return Hollow(len(range(self.length)[part]))

    def __add__(self, other: "Hollow") -> "Hollow":
        if other.length != self.length:
            raise ValueError(f"Vectors of {self.length} and {other.length} elements cannot be added.")
        return self

    def __truediv__(self, divisor: object) -> "Hollow":
        return self


Vector = NDArray[np.float32] | Hollow
Body = bytes | Hollow


def joined(bodies: Sequence[Body]) -> Body:
    """One body after the other."""
    solid = [body for body in bodies if isinstance(body, bytes)]
    if len(solid) == len(bodies):
        return b"".join(solid)
    return Hollow(sum(map(len, bodies)))
