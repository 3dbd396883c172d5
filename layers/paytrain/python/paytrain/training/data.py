"""Training data: ``.npz`` objects with inputs and labels, indexed by Prepare and read by every worker."""

import io
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from paytrain.errors import JobError
from paytrain.plan import Source
from paytrain.store import client, opened, split_uri

KINDS = ("x", "y", "sample_weight")
_CHECKED_ROWS = 1024


@dataclass(frozen=True)
class Rows:
    """Samples in memory.

    Attributes
    ----------
    arrays
        By name (``x``, ``y``, ``sample_weight``, ``x/<input>``, …); the first axis are the samples.
    """

    arrays: dict[str, NDArray[Any]]

    def __len__(self) -> int:
        return len(next(iter(self.arrays.values())))

    def take(self, rows: NDArray[np.int64] | slice) -> dict[str, NDArray[Any]]:
        """Some samples, by name of array."""
        return {name: array[rows] for name, array in self.arrays.items()}


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
        When it is not an ``.npz`` with inputs and labels of equal length and plain numbers.
    """
    where = f'data = "{source.uri}" is not allowed'
    try:
        with opened(source.uri, source.etag) as file, np.load(file, allow_pickle=False) as arrays:
            names = sorted(arrays.files)
            missing = [kind for kind in ("x", "y") if not any(_kind(name) == kind for name in names)]
            if missing:
                raise JobError(f"{where}: it has the arrays {', '.join(names)} and lacks {' and '.join(missing)}.")
            superfluous = [name for name in names if _kind(name) not in KINDS]
            if superfluous:
                raise JobError(
                    f"{where}: it has the array {superfluous[0]}; allowed are x, y and sample_weight, and with several "
                    "inputs or outputs x/<input>, y/<output> and sample_weight/<output>."
                )
            rows = Rows({name: arrays[name] for name in names})
    except (ValueError, OSError, EOFError, zipfile.BadZipFile) as error:
        raise JobError(f"{where}: it must be an .npz of plain numbers ({error}).") from error
    for name, array in rows.arrays.items():
        if array.dtype.kind not in "biuf" or array.ndim == 0:
            raise JobError(
                f"{where}: {name} has dtype {array.dtype} and shape {array.shape}; it must be rows of numbers."
            )
        if len(array) != len(rows):
            raise JobError(f"{where}: {names[0]} has {len(rows)} rows and {name} has {len(array)}; they must be equal.")
    return rows


def _kind(name: str) -> str:
    return name.partition("/")[0]


def read_all(sources: Sequence[Source]) -> Rows:
    """Read and join all objects of a data set, in order.

    Raises
    ------
    JobError
        When the objects' shapes or dtypes differ.
    """
    return _joined(sources, [read_rows(source) for source in sources])


def pack(rows: Rows) -> bytes:
    """Samples as the ``.npz`` object that :func:`read_rows` reads."""
    buffer = io.BytesIO()
    np.savez(buffer, allow_pickle=False, **rows.arrays)
    return buffer.getvalue()


def index(uri: str) -> tuple[tuple[Source, ...], Rows]:
    """Read a data set for the first time: its sources with their rows, for the plan, and the samples."""
    sources = list_objects(uri)
    parts = [read_rows(source) for source in sources]
    refuse_not_finite(sources, parts)
    counted = [source.model_copy(update={"rows": len(part)}) for source, part in zip(sources, parts, strict=True)]
    return tuple(counted), _joined(sources, parts)


def refuse_not_finite(sources: Sequence[Source], parts: Sequence[Rows]) -> None:
    """Refuse NaN and infinite values.

    Raises
    ------
    JobError
        Naming the object, the array and the first such row.
    """
    for source, part in zip(sources, parts, strict=True):
        for name, array in part.arrays.items():
            for start in range(0, len(array) if array.dtype.kind == "f" else 0, _CHECKED_ROWS):
                finite = np.isfinite(array[start : start + _CHECKED_ROWS]).reshape(-1, max(1, array[0].size)).all(1)
                if not finite.all():
                    row = start + int(finite.argmin())
                    raise JobError(f'data = "{source.uri}" is not allowed: {name} is NaN or infinite in row {row}.')


def _joined(sources: Sequence[Source], parts: list[Rows]) -> Rows:
    first = parts[0].arrays
    for source, part in zip(sources, parts, strict=True):
        where = f'data = "{source.uri}" is not allowed'
        if part.arrays.keys() != first.keys():
            raise JobError(f"{where}: it has the arrays {', '.join(part.arrays)}, the first object {', '.join(first)}.")
        for name, array in part.arrays.items():
            if (array.dtype, array.shape[1:]) != (first[name].dtype, first[name].shape[1:]):
                raise JobError(
                    f"{where}: {name} is {array.dtype} {array.shape[1:]} per sample, "
                    f"in the first object {first[name].dtype} {first[name].shape[1:]}."
                )
    if len(parts) == 1:
        return parts[0]
    return Rows({name: np.concatenate([part.arrays[name] for part in parts]) for name in first})
