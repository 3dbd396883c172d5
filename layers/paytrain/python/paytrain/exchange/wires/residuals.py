"""What a rank has not sent yet because its wire is lossy."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from paytrain.exchange.wires import WIRES


class Residuals:
    """A vector for every slice that a rank sends round after round; a part of its checkpoint.

    Attributes
    ----------
    slices
        By segment, hop and first element: shape (elements of the slice,).
    """

    def __init__(self) -> None:
        self.slices: dict[tuple[int, int, int], NDArray[np.float32]] = {}

    def of(self, segment: int, hop: int, start: int, elements: int) -> NDArray[np.float32]:
        """A slice's residual, zeros at first."""
        key = segment, hop, start
        if key not in self.slices:
            self.slices[key] = np.zeros(elements, np.float32)
        return self.slices[key]

    def named(self) -> dict[str, NDArray[np.float32]]:
        """All slices under the names that they have in a checkpoint."""
        return {f"e{segment}.{hop}.{start}": unsent for (segment, hop, start), unsent in self.slices.items()}

    def set_named(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        """Become what a checkpoint has; its other arrays do not matter."""
        self.slices = {}
        for name in arrays:
            if name.startswith("e"):
                segment, hop, start = map(int, name[1:].split("."))
                self.slices[segment, hop, start] = arrays[name]


def residuals_of(wire: str) -> Residuals | None:
    """No residuals yet, for a wire that has them; None for another."""
    return Residuals() if WIRES[wire].has_residual else None
