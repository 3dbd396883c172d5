"""Reduction in rank order: floating sums depend on their order, so there is one."""

import numpy as np
from numpy.typing import NDArray

from paytrain.exchange.frame import Tally
from paytrain.exchange.wires.base import Wire


class RankOrderSum:
    """Adds contributions rank by rank, each as soon as it is its turn.

    Parameters
    ----------
    out
        Where the sum goes, shape (elements,); must not alias a contribution that is still to come.
    wire
        The format in which contributions come.
    """

    def __init__(self, out: NDArray[np.floating], wire: Wire) -> None:
        self._out = out
        self._wire = wire
        self._tally: Tally | None = None

    def add(self, payload: memoryview, tally: Tally) -> None:
        """Add the next rank's contribution."""
        if self._tally is None:
            self._wire.decode(payload, self._out)
            self._tally = tally
        else:
            self._wire.add(payload, self._out)
            self._tally = self._tally.plus(tally)

    @property
    def tally(self) -> Tally:
        """What has been added beside the values."""
        if self._tally is None:
            raise ValueError("nothing has been added yet")
        return self._tally
