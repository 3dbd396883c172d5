"""Reduction in rank order: floating sums depend on their order, so there is one."""

import numpy as np
from numpy.typing import NDArray

from paytrain.exchange.frame import Tally


class RankOrderSum:
    """Adds contributions rank by rank, each as soon as it is its turn.

    Parameters
    ----------
    out
        Where the sum goes, shape (elements,); must not alias a contribution that is still to come.
    """

    def __init__(self, out: NDArray[np.floating]) -> None:
        self._out = out
        self._tally: Tally | None = None

    def add(self, values: NDArray[np.floating], tally: Tally) -> None:
        """Add the next rank's contribution."""
        if self._tally is None:
            self._out[:] = values
            self._tally = tally
        else:
            np.add(self._out, values, out=self._out)
            self._tally = self._tally.plus(tally)

    @property
    def tally(self) -> Tally:
        """What has been added beside the values."""
        if self._tally is None:
            raise ValueError("nothing has been added yet")
        return self._tally
