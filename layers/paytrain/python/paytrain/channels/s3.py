"""S3 as a channel: one object per key, its parts read by byte range."""

import hashlib
from collections.abc import Sequence
from functools import partial
from http import HTTPStatus
from typing import Any

from botocore.exceptions import ClientError, IncompleteReadError, ReadTimeoutError, ResponseStreamingError
from typing_extensions import Buffer

from paytrain.channels.aws import count_retries, error_code, http_status
from paytrain.channels.base import Part, Usage
from paytrain.channels.chunks import checked
from paytrain.channels.constants import POLL_SECONDS
from paytrain.channels.retry import retried
from paytrain.errors import ChannelError

_BROKEN_BODY = (IncompleteReadError, ReadTimeoutError, ResponseStreamingError)


class S3Channel:
    """Objects in a bucket, written conditionally so that the first content stays.

    Parameters
    ----------
    client
        boto3's S3 client.
    bucket
        Whoever polls needs ``s3:ListBucket`` on it: without, a missing key answers 403.
    """

    poll_seconds = POLL_SECONDS["s3"]

    def __init__(self, client: Any, bucket: str) -> None:
        self.usage = Usage()
        self._client = client
        self._bucket = bucket

    def put(self, key: str, parts: Sequence[Buffer]) -> None:
        """Store the parts as one object, with one request.

        Raises
        ------
        ChannelError
            When other writers of the same key leave no way through.
        """
        # A file-like body over the parts would save the copy, but costs a round trip ("100-continue") and 16 KB reads.
        retried(partial(self._put_once, key, b"".join(parts)), (_BeingWritten,), self.usage)

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
        return retried(partial(self._get_once, key, part), _BROKEN_BODY, self.usage)

    def delete(self, key: str, parts: Sequence[Part]) -> None:
        """Delete the object; S3 charges nothing for it."""
        count_retries(self.usage, self._client.delete_object(Bucket=self._bucket, Key=object_key(key)))

    def _put_once(self, key: str, body: bytes) -> None:
        self.usage.add(s3_put=1, bytes_up=len(body))
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

    def _get_once(self, key: str, part: Part) -> bytes | None:
        # A range cannot be empty: an empty part asks for the object's first byte, only to see that the object is there.
        first, last = (part.offset_bytes, part.offset_bytes + part.length_bytes - 1) if part.length_bytes else (0, 0)
        try:
            answer = self._client.get_object(Bucket=self._bucket, Key=object_key(key), Range=f"bytes={first}-{last}")
        except ClientError as error:
            return self._content_despite(error, key, part)
        self.usage.add(s3_get=1)
        count_retries(self.usage, answer)
        content: bytes = answer["Body"].read()
        self.usage.add(bytes_down=len(content))
        return checked(key, part, content if part.length_bytes else b"")

    def _content_despite(self, error: ClientError, key: str, part: Part) -> bytes | None:
        count_retries(self.usage, error.response)
        if error_code(error) == "NoSuchKey":
            self.usage.add(s3_get_missing=1)
            return None
        self.usage.add(s3_get=1)
        if error_code(error) == "InvalidRange":
            return checked(key, part, b"")
        if http_status(error) == HTTPStatus.FORBIDDEN:
            raise ChannelError(
                f"S3 forbids reading {key} from the bucket {self._bucket}: the role needs s3:GetObject on its "
                "objects and s3:ListBucket on the bucket, without which a missing key is forbidden, not missing."
            ) from error
        raise error


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
