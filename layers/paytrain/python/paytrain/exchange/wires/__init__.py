"""Wire formats: how numbers travel, one a file."""

import numpy as np

from paytrain.exchange.wires.base import Wire
from paytrain.exchange.wires.bfloat16 import BFloat16
from paytrain.exchange.wires.exact import Exact
from paytrain.exchange.wires.float16 import Float16
from paytrain.exchange.wires.int8 import Int8
from paytrain.exchange.wires.topk import TopK

WIRES: dict[str, Wire] = {
    wire.name: wire
    for wire in (
        Exact("float32", 1),
        Exact("float64", 2),
        BFloat16("bfloat16", 3),
        Float16("float16", 4),
        Int8("int8", 5),
        TopK("topk", 6),
    )
}
BY_CODE = {wire.code: wire for wire in WIRES.values()}


def exact_for(dtype: np.dtype) -> Wire:
    """The wire on which numbers of a type travel as they are."""
    return WIRES[dtype.name]
