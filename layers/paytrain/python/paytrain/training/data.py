"""Training data: ``.npz`` objects with ``x`` and ``y``, indexed by Prepare and read by every worker."""

import io
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from paytrain.errors import JobError
from paytrain.plan import Source
from paytrain.store import client, read_source, split_uri


@dataclass(frozen=True)
class Rows:
    """Samples in memory.

    Attributes
    ----------
    x, y
        Inputs and labels; the first axis are the samples.
    """

    x: NDArray[Any]
    y: NDArray[Any]

    def __len__(self) -> int:
        return len(self.x)


def list_objects(uri: str) -> list[Source]:
    """The ``.npz`` objects that a URI names: itself, or all below a prefix, by name; their rows are not known yet.

    Raises
    ------
    JobError
        When there is none, or it cannot be read.
    """
    bucket, key = split_uri(uri)
    s3 = client("s3")
    try:
        if key.endswith(".npz"):
            return [Source(uri=uri, etag=s3.head_object(Bucket=bucket, Key=key)["ETag"])]
        folder = key.rstrip("/") + "/"
        pages = s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=folder)
        entries = [entry for page in pages for entry in page.get("Contents", []) if entry["Key"].endswith(".npz")]
    except s3.exceptions.ClientError as error:
        details = error.response["Error"]
        raise JobError(f'data = "{uri}" cannot be read: {details.get("Message") or details["Code"]}.') from error
    if not entries:
        raise JobError(f'data = "{uri}" is not allowed: there is no .npz object below {folder}.')
    return [Source(uri=f"s3://{bucket}/{entry['Key']}", etag=entry["ETag"]) for entry in entries]


def read_rows(source: Source) -> Rows:
    """Read one object.

    Raises
    ------
    JobError
        When it is not an ``.npz`` with ``x`` and ``y`` of equal length and plain numbers.
    """
    data = read_source(source.uri, source.etag)
    where = f'data = "{source.uri}" is not allowed'
    try:
        with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
            missing = {"x", "y"} - set(arrays.files)
            if missing:
                raise JobError(
                    f"{where}: it has the arrays {sorted(arrays.files)} and lacks {' and '.join(sorted(missing))}."
                )
            x, y = arrays["x"], arrays["y"]
    except (ValueError, OSError, EOFError, zipfile.BadZipFile) as error:
        raise JobError(f"{where}: it must be an .npz of plain numbers ({error}).") from error
    for name, array in (("x", x), ("y", y)):
        if array.dtype.kind not in "biuf" or array.ndim == 0:
            raise JobError(
                f"{where}: {name} has dtype {array.dtype} and shape {array.shape}; it must be rows of numbers."
            )
    if len(x) != len(y):
        raise JobError(f"{where}: x has {len(x)} rows and y has {len(y)}; they must be equal.")
    return Rows(x, y)


def read_all(sources: Sequence[Source]) -> Rows:
    """Read and join all objects of a data set, in order.

    Raises
    ------
    JobError
        When the objects' shapes or dtypes differ.
    """
    return _joined(sources, [read_rows(source) for source in sources])


def index(uri: str) -> tuple[tuple[Source, ...], Rows]:
    """Read a data set for the first time: its sources with their rows, for the plan, and the samples."""
    sources = list_objects(uri)
    parts = [read_rows(source) for source in sources]
    counted = [source.model_copy(update={"rows": len(part)}) for source, part in zip(sources, parts, strict=True)]
    return tuple(counted), _joined(sources, parts)


def _joined(sources: Sequence[Source], parts: list[Rows]) -> Rows:
    for source, part in zip(sources, parts, strict=True):
        for name, first, array in (("x", parts[0].x, part.x), ("y", parts[0].y, part.y)):
            if (array.dtype, array.shape[1:]) != (first.dtype, first.shape[1:]):
                raise JobError(
                    f'data = "{source.uri}" is not allowed: {name} is {array.dtype} {array.shape[1:]} per sample, '
                    f"in the first object {first.dtype} {first.shape[1:]}."
                )
    if len(parts) == 1:
        return parts[0]
    return Rows(np.concatenate([part.x for part in parts]), np.concatenate([part.y for part in parts]))
