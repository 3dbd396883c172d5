"""Whether what a job names in S3 is there and can be used: looked at by Resolve, before anything is spent."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from botocore.exceptions import ClientError

from paytrain.errors import JobError
from paytrain.store import client, split_uri


def refuse_model(key: str, uri: str, region: str) -> int:
    """Refuse a model that is not there; return its size in bytes.

    Parameters
    ----------
    key
        Of the job, for the sentence.
    region
        Where the functions run.

    Raises
    ------
    JobError
        Naming key and URI.
    """
    _refuse_bucket(key, uri, region)
    return _refuse_object(key, uri)


def refuse_data(key: str, uri: str, region: str) -> int:
    """Refuse data that are not there: neither an ``.npz`` object nor a folder of them; return their size in bytes.

    Parameters
    ----------
    key
        Of the job, for the sentence.
    region
        Where the functions run.

    Raises
    ------
    JobError
        Naming key and URI.
    """
    _refuse_bucket(key, uri, region)
    bucket, name = split_uri(uri)
    if name.endswith(".npz"):
        return _refuse_object(key, uri)
    folder = name.rstrip("/") + "/"
    with _said(key, uri):
        pages = client("s3").get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=folder)
        entries = [entry for page in pages for entry in page.get("Contents", [])]
    sizes: list[int] = [entry["Size"] for entry in entries if entry["Key"].endswith(".npz")]
    if not sizes:
        raise JobError(
            f'{key} = "{uri}" is not allowed: it must be an .npz object or a folder of them, '
            f"and there is no .npz object below {folder}."
        )
    return sum(sizes)


def _refuse_bucket(key: str, uri: str, region: str) -> None:
    """HeadBucket needs ``s3:ListBucket``, which whoever reads objects has, and no ``s3:GetBucketLocation``."""
    with _said(key, uri, missing="there is no such bucket"):
        home = client("s3").head_bucket(Bucket=split_uri(uri)[0])["BucketRegion"]
    if home != region:
        raise JobError(
            f'{key} = "{uri}" is not allowed: its bucket is in {home} and must be in {region}, where the workers are.'
        )


def _refuse_object(key: str, uri: str) -> int:
    bucket, name = split_uri(uri)
    with _said(key, uri):
        size_bytes: int = client("s3").head_object(Bucket=bucket, Key=name)["ContentLength"]
    if size_bytes == 0:
        raise JobError(f'{key} = "{uri}" is not allowed: the object is empty.')
    return size_bytes


@contextmanager
def _said(key: str, uri: str, missing: str = "there is no such object") -> Iterator[None]:
    """Turn S3's refusal into a sentence; the answer to a HEAD request has a status and no words."""
    try:
        yield
    except ClientError as error:
        status: Any = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode")
        if status == 404:
            raise JobError(f'{key} = "{uri}" is not allowed: {missing}.') from None
        if status == 403:
            raise JobError(
                f'{key} = "{uri}" is not allowed: S3 forbids paytrain to read it; see the policies of bucket and key.'
            ) from None
        raise
