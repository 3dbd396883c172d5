"""Files of this machine that a job names: they go into the artifacts bucket, and the job gets their URIs."""

import hashlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from botocore.client import BaseClient
from botocore.exceptions import ClientError

from local.terminal import LocalError

Upload = Callable[[Path], str]

_URI_SCHEMES = ("s3://", "example:")


def replace_files(job: Mapping[str, Any], upload: Upload) -> dict[str, Any]:
    """Return the job with local paths in ``model`` and ``data`` replaced by the URIs that ``upload`` returns.

    Raises
    ------
    LocalError
        When a path does not name a file.
    """
    replaced = dict(job)
    if "model" in job:
        replaced["model"] = _replace("model", job["model"], upload)
    data = job.get("data")
    if isinstance(data, Mapping):
        replaced["data"] = {role: _replace(f"data.{role}", value, upload) for role, value in data.items()}
    elif data is not None:
        replaced["data"] = _replace("data", data, upload)
    return replaced


def uploader(s3: BaseClient, bucket: str) -> Upload:
    """Return a function that uploads a file under its digest, once, and returns its URI."""

    def upload(path: Path) -> str:
        with path.open("rb") as content:
            sha256 = hashlib.file_digest(content, "sha256").hexdigest()
        key = f"uploads/{sha256}/{path.name}"
        if not _exists(s3, bucket, key):
            s3.upload_file(str(path), bucket, key)
        return f"s3://{bucket}/{key}"

    return upload


def _replace(key: str, value: Any, upload: Upload) -> Any:
    if not isinstance(value, str) or value.startswith(_URI_SCHEMES):
        return value
    path = Path(value).expanduser()
    if not path.is_file():
        what = "this is a folder" if path.is_dir() else "there is no such file"
        raise LocalError(f"{key} = {value} is not allowed: {what}; give a file, an s3:// URI or example:<name>.")
    return upload(path)


def _exists(s3: BaseClient, bucket: str, key: str) -> bool:
    try:
        s3.head_object(Bucket=bucket, Key=key)
    except ClientError as error:
        if error.response["ResponseMetadata"]["HTTPStatusCode"] == 404:
            return False
        raise
    return True
