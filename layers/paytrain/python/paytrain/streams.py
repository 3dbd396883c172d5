"""Objects in S3 as files: written and read in pieces, so that a large one is never in memory as a whole."""

import io
from functools import partial
from types import TracebackType
from typing import Any, BinaryIO, Self

from paytrain.channels.base import Usage
from paytrain.channels.retry import BROKEN_BODY, retried

PIECE_BYTES = 16 * 2**20
"""What is in memory of an object; also its size of one upload part, of which S3 wants at least 5 MiB."""


class ObjectWriter(io.RawIOBase):
    """Writes an object that appears when the ``with`` block ends, and does not when it ends by an exception.

    Parameters
    ----------
    client
        boto3's S3 client.
    """

    def __init__(self, client: Any, bucket: str, key: str) -> None:
        self._client = client
        self._object = {"Bucket": bucket, "Key": key}
        self._piece = bytearray()
        self._upload: dict[str, str] = {}
        self._parts: list[dict[str, Any]] = []

    def writable(self) -> bool:
        """Yes."""
        return True

    def write(self, data: Any) -> int:
        """Take bytes; a piece that is full is sent."""
        view = memoryview(data).cast("B")
        for start in range(0, len(view), PIECE_BYTES):
            self._piece += view[start : start + PIECE_BYTES]
            if len(self._piece) >= PIECE_BYTES:
                self._send()
        return len(view)

    def __enter__(self) -> Self:
        """Begin to write."""
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        """Make the object appear, or leave nothing."""
        if error is not None:
            if self._upload:
                self._client.abort_multipart_upload(**self._upload)
        elif self._upload:
            self._send()
            self._client.complete_multipart_upload(**self._upload, MultipartUpload={"Parts": self._parts})
        else:
            self._client.put_object(**self._object, Body=self._piece)

    def _send(self) -> None:
        if not self._upload:
            self._upload = {
                **self._object,
                "UploadId": self._client.create_multipart_upload(**self._object)["UploadId"],
            }
        number = len(self._parts) + 1
        answer = self._client.upload_part(**self._upload, PartNumber=number, Body=self._piece)
        self._parts.append({"PartNumber": number, "ETag": answer["ETag"]})
        self._piece = bytearray()


class _ObjectReader(io.RawIOBase):
    """Reads byte ranges of an object that must not change meanwhile."""

    def __init__(self, client: Any, bucket: str, key: str, length_bytes: int, etag: str) -> None:
        self._client = client
        self._object = {"Bucket": bucket, "Key": key, "IfMatch": etag}
        self._length = length_bytes
        self._at = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self._at = offset + {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._length}[whence]
        return self._at

    def readinto(self, buffer: Any) -> int:
        count = min(len(buffer), self._length - self._at)
        if count <= 0:
            return 0
        byte_range = f"bytes={self._at}-{self._at + count - 1}"
        buffer[:count] = retried(partial(self._read, byte_range), BROKEN_BODY, Usage())
        self._at += count
        return count

    def _read(self, byte_range: str) -> bytes:
        content: bytes = self._client.get_object(**self._object, Range=byte_range)["Body"].read()
        return content

    def readall(self) -> bytes:
        return self.read(max(0, self._length - self._at)) or b""


def open_object(client: Any, bucket: str, key: str, etag: str | None = None) -> BinaryIO:
    """Open an object for reading, with a piece of it in memory; it can seek.

    Parameters
    ----------
    etag
        Of the only content that will do; that of now if it is None.
    """
    head = client.head_object(Bucket=bucket, Key=key)
    reader = _ObjectReader(client, bucket, key, head["ContentLength"], etag or head["ETag"])
    if head["ContentLength"] <= PIECE_BYTES:
        # With one request: whoever reads a zip archive begins at its end.
        return io.BytesIO(reader.readall())
    return io.BufferedReader(reader, PIECE_BYTES)
