"""Reasons to stop, as a bit mask that travels in every frame."""

from enum import IntFlag


class Vote(IntFlag):
    """Why a rank asks for a stop; all ranks act on the OR of all votes of a round, so all stop after the same step."""

    GO_ON = 0
    TIME = 1
    """The invocation could not finish another round and save."""
    ASKED = 2
    """Somebody outside has marked the run as stopped."""
    EARLY_STOPPING = 4
    """The monitored metric no longer improves."""

    @property
    def words(self) -> str:
        """The reasons in words, for the receipt; empty for a vote to go on."""
        names = {Vote.TIME: "time", Vote.ASKED: "asked", Vote.EARLY_STOPPING: "early_stopping"}
        return ", ".join(word for vote, word in names.items() if vote in self)
