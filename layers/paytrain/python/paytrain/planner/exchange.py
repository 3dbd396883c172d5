"""How an exchange is run: what decides its requests and its time."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from paytrain.exchange.segments import even_sizes, even_slices
from paytrain.exchange.tuning import Tuning, dynamodb_item_bytes, tune
from paytrain.job import EXACT_WIRES
from paytrain.planner.sizes import payload_bytes
from paytrain.planner.traffic import Hop, Shape, hops

MEMCACHED_ITEM_BYTES = 8 * 2**20
"""As the stack deploys a cluster unless told otherwise (context key ``cache_item_mb``)."""


@dataclass(frozen=True)
class Exchange:
    """One vector, summed over all workers.

    Attributes
    ----------
    node_type, nodes
        Of a Memcached cluster; empty and 0 for the other channels.
    elements
        Length of the vector.
    metrics
        Sums that travel in every frame.
    cache_item_bytes
        The largest item of a Memcached cluster.
    """

    channel: str
    pattern: str
    workers: int
    elements: int
    wire: str = "float32"
    node_type: str = ""
    nodes: int = 0
    metrics: int = 3
    cache_item_bytes: int = MEMCACHED_ITEM_BYTES

    @cached_property
    def vector_bytes(self) -> int:
        """Of the vector on its wire."""
        return payload_bytes(self.wire, self.elements)

    @cached_property
    def tuning(self) -> Tuning:
        """Segments and window, as the Plan state chooses them."""
        tuning = tune(self.channel, self.pattern, workers=self.workers, vector_bytes=self.vector_bytes)
        if self.wire in EXACT_WIRES:
            return tuning
        # What is rounded is rounded segment by segment: they are the same on every channel, for the same bits.
        cut = tune("s3", self.pattern, workers=self.workers, vector_bytes=self.vector_bytes)
        return Tuning(cut.segments, tuning.window)

    @property
    def item_bytes(self) -> int:
        """The channel's largest item; S3 has none."""
        if self.channel == "dynamodb":
            return dynamodb_item_bytes(self.vector_bytes)
        return self.cache_item_bytes if self.channel == "memcached" else 0

    @cached_property
    def segments(self) -> Sequence[list[Hop]]:
        """The hops of every segment, those of equal size the same; nothing with one worker."""
        if self.workers == 1:
            return ()
        hops_of = {
            size: hops(self.pattern, self.workers, size, Shape(self.wire, self.metrics))
            for size in even_sizes(self.elements, self.tuning.segments)
        }
        return [hops_of[part.stop - part.start] for part in even_slices(self.elements, self.tuning.segments)]
