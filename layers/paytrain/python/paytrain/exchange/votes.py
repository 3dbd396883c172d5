"""Reasons to stop, as a bit mask that travels in every frame."""

from enum import IntFlag


class Vote(IntFlag):
    """Why a rank asks for a stop; all ranks act on the OR of all votes of a round, so all stop after the same step."""

    GO_ON = 0
    TIME = 1
    """The invocation could not finish another round and save."""
    ASKED = 2
    """Somebody outside has marked the run as stopped."""
    BUDGET = 4
    """Another round might cost what the run's end needs."""
    DEADLINE = 8
    """Another round might take the time that the run's end needs."""
