"""The collective algorithms, one a file.

All sum in rank order and give the same bits, except ``hierarchical``, which sums groups first.
"""

from collections.abc import Callable

from paytrain.exchange.operations import Steps
from paytrain.exchange.patterns.all_gather import all_gather
from paytrain.exchange.patterns.hierarchical import hierarchical
from paytrain.exchange.patterns.leader import leader
from paytrain.exchange.patterns.member import Member
from paytrain.exchange.patterns.scatter_reduce import scatter_reduce

PATTERNS: dict[str, Callable[[Member], Steps]] = {
    "all_gather": all_gather,
    "hierarchical": hierarchical,
    "leader": leader,
    "scatter_reduce": scatter_reduce,
}
