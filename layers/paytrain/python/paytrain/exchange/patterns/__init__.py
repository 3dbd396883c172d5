"""The collective algorithms, one a file. All give the same bits: sums run in rank order."""

from collections.abc import Callable

from paytrain.exchange.operations import Steps
from paytrain.exchange.patterns.all_gather import all_gather
from paytrain.exchange.patterns.leader import leader
from paytrain.exchange.patterns.member import Member
from paytrain.exchange.patterns.scatter_reduce import scatter_reduce

PATTERNS: dict[str, Callable[[Member], Steps]] = {
    "all_gather": all_gather,
    "leader": leader,
    "scatter_reduce": scatter_reduce,
}
