"""How many bytes travel, without NumPy, which the small functions do not have; a test holds it to the wires."""

FRAME_HEAD_BYTES = 48
"""Header and checksum of a frame."""
_TOPK_ONE_IN = 100
_INT8_ROW = 512


def payload_bytes(wire: str, elements: int) -> int:
    """Of so many values on a wire."""
    if wire == "int8":
        return elements + 4 * -(-elements // _INT8_ROW)
    if wire == "topk":
        return 8 * -(-elements // _TOPK_ONE_IN)
    return {"float32": 4, "float64": 8, "bfloat16": 2, "float16": 2}[wire] * elements


def frame_bytes(wire: str, elements: int, metrics: int) -> int:
    """Of a frame with so many values and metrics."""
    return FRAME_HEAD_BYTES + 8 * metrics + payload_bytes(wire, elements)
