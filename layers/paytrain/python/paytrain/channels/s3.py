"""S3 as a channel: one object per key, its parts read by byte range. A directory bucket (S3 Express) is used alike."""

import hashlib
from collections.abc import Sequence
from functools import partial
from http import HTTPStatus
from typing import Any

from botocore.exceptions import ClientError
from typing_extensions import Buffer

from paytrain.channels.aws import count_retries, error_code, http_status
from paytrain.channels.base import Content, Part, Usage
from paytrain.channels.body import Body
from paytrain.channels.chunks import checked, views_of
from paytrain.channels.constants import POLL_SECONDS
from paytrain.channels.retry import BROKEN_BODY, retried
from paytrain.errors import ChannelError

_COPIED_BYTES = 8 * 2**20
"""Up to here the parts are copied together: a file-like body costs a round trip ("100-continue") and 16 KB reads.
To the client bytes are file-like, too; a bytearray is not."""
_READ_BYTES = 2**20
"""Read at a time: the client copies what it reads once more."""
_NEEDED = {
    "s3": "s3:GetObject on its objects and s3:ListBucket on the bucket, without which a missing key is forbidden, not "
    "missing",
    "s3express": "s3express:CreateSession on the bucket",
}


class S3Channel:
    """Objects in a bucket, written conditionally so that the first content stays.

    Parameters
    ----------
    client
        boto3's S3 client.
    bucket
        Whoever polls needs ``s3:ListBucket`` on it: without, a missing key answers 403.
    directory
        Whether it is a directory bucket, whose requests are counted as ``s3express_...``. The client opens a session
        with it by itself, and needs ``s3express:CreateSession`` for that.
    """

    hedges = True

    def __init__(self, client: Any, bucket: str, *, directory: bool = False) -> None:
        self.usage = Usage()
        self._kind = "s3express" if directory else "s3"
        self.poll_seconds = POLL_SECONDS[self._kind]
        self._client = client
        self._bucket = bucket

    def put(self, key: str, parts: Sequence[Content]) -> None:
        """Store the parts as one object, with one request.

        Raises
        ------
        ChannelError
            When other writers of the same key leave no way through.
        """
        views = views_of(parts)
        body = bytearray().join(views) if sum(map(len, views)) <= _COPIED_BYTES else Body(views)
        retried(partial(self._put_once, key, body), (_BeingWritten,), self.usage)

    def get(self, key: str, part: Part) -> Buffer | None:
        """Read a part by its byte range, with one request.

        Raises
        ------
        FrameError
            When the object is shorter than the part says.
        ChannelError
            When S3 forbids it.
        """
        # botocore retries requests, but not a connection that breaks while the body is read.
        return retried(partial(self._get_once, key, part), BROKEN_BODY, self.usage)

    def delete(self, key: str, parts: Sequence[Part]) -> None:
        """Delete the object; neither kind of bucket charges for it."""
        count_retries(self.usage, self._client.delete_object(Bucket=self._bucket, Key=object_key(key)))

    def _put_once(self, key: str, body: bytearray | Body) -> None:
        self._count("put", bytes_up=len(body))
        try:
            answer = self._client.put_object(Bucket=self._bucket, Key=object_key(key), Body=body, IfNoneMatch="*")
        except ClientError as error:
            count_retries(self.usage, error.response)
            if http_status(error) == HTTPStatus.CONFLICT:
                raise _BeingWritten(f"S3 answers again and again that {key} is being written by others.") from error
            if http_status(error) != HTTPStatus.PRECONDITION_FAILED:
                raise
        else:
            count_retries(self.usage, answer)

    def _get_once(self, key: str, part: Part) -> Buffer | None:
        # A range cannot be empty: an empty part asks for the object's first byte, only to see that the object is there.
        first, last = (part.offset_bytes, part.offset_bytes + part.length_bytes - 1) if part.length_bytes else (0, 0)
        try:
            answer = self._client.get_object(Bucket=self._bucket, Key=object_key(key), Range=f"bytes={first}-{last}")
        except ClientError as error:
            return self._content_despite(error, key, part)
        self._count("get")
        count_retries(self.usage, answer)
        content, length = _received(answer["Body"], max(part.length_bytes, 1))
        self.usage.add(bytes_down=length)
        return checked(key, part, content, length) if part.length_bytes else b""

    def _content_despite(self, error: ClientError, key: str, part: Part) -> Buffer | None:
        count_retries(self.usage, error.response)
        if error_code(error) == "NoSuchKey":
            self._count("get_missing")
            return None
        self._count("get")
        if error_code(error) == "InvalidRange":
            return checked(key, part, b"", 0)
        if http_status(error) == HTTPStatus.FORBIDDEN:
            raise ChannelError(
                f"S3 forbids reading {key} from the bucket {self._bucket}: the role needs {_NEEDED[self._kind]}."
            ) from error
        raise error

    def _count(self, request: str, **amounts: float) -> None:
        self.usage.add(**{f"{self._kind}_{request}": 1}, **amounts)


def _received(body: Any, length_bytes: int) -> tuple[Buffer, int]:
    """A buffer for this many bytes, and how many of them the answer's body has filled."""
    if length_bytes <= _READ_BYTES:
        content: bytes = body.read()
        return content, len(content)
    buffer, at = bytearray(length_bytes), 0
    view = memoryview(buffer)
    while at < length_bytes and (count := body.readinto(view[at : at + _READ_BYTES])):
        at += count
    return buffer, at


class _BeingWritten(ChannelError):
    """A conditional write met another one of the same key that has not ended."""


def object_key(key: str) -> str:
    """The key in the bucket: two hex digits of a hash in front.

    S3 limits the request rate per prefix partition and splits a busy one over half an hour. Prefixes
    that are the same for every run let the partitions that one run has warmed serve the next.

    Examples
    --------
    >>> object_key("run/1/0/0/0/0/0")
    '00/run/1/0/0/0/0/0'
    """
    return f"{hashlib.blake2s(key.encode(), digest_size=1).hexdigest()}/{key}"
