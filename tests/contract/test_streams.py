"""Objects of S3 as files: what was written is read, and an object that was not finished is not there."""

import io
import os
import zipfile

import boto3
import numpy as np
import pytest

from paytrain import streams
from paytrain.errors import JobError
from paytrain.store import Artifacts, client, opened
from tests.contract.conftest import BUCKET

PIECE = 5 * 2**20
"""The smallest part of an upload that S3 takes."""


@pytest.fixture
def artifacts(aws: None, monkeypatch: pytest.MonkeyPatch) -> Artifacts:
    client.cache_clear()
    monkeypatch.setattr(streams, "PIECE_BYTES", PIECE)
    return Artifacts(BUCKET)


@pytest.mark.parametrize("length", [0, 1, PIECE - 1, PIECE, PIECE + 1, 3 * PIECE])
def test_what_was_written_is_read(artifacts: Artifacts, key: str, length: int) -> None:
    # Given an object that is written in blocks of odd sizes
    content = os.urandom(length)
    with artifacts.create(key) as writer:
        for start in range(0, length, 1_000_003):
            assert writer.write(content[start : start + 1_000_003]) > 0
    # When it is read, as a whole and from its middle, then the bytes are the same
    assert artifacts.get(key) == content
    with artifacts.open(key) as reader:
        assert reader.read() == content
        reader.seek(length // 2)
        assert reader.read(10) == content[length // 2 :][:10]
        reader.seek(-min(length, 7), io.SEEK_END)
        assert reader.read() == content[length - min(length, 7) :]


def test_arrays_larger_than_a_piece(artifacts: Artifacts, key: str) -> None:
    # Given an archive of arrays, one longer than two pieces
    arrays = {"a": np.arange(3 * PIECE // 8 + 5.0), "b": np.zeros((0, 3)), "c": np.array(7)}
    with artifacts.create(key) as part:
        np.savez(part, **arrays)
    # When it is opened, then each array is as it was
    with artifacts.open(key) as part, np.load(part, allow_pickle=False) as found:
        assert all((found[name] == array).all() and found[name].shape == array.shape for name, array in arrays.items())


@pytest.mark.parametrize("length", [10, 2 * PIECE])
def test_an_object_that_was_not_finished_is_not_there(artifacts: Artifacts, key: str, length: int) -> None:
    # Given a writer that fails on the way
    def write_half() -> None:
        with artifacts.create(key) as writer:
            writer.write(bytes(length))
            raise zipfile.BadZipFile("half a file")

    # When it does
    with pytest.raises(zipfile.BadZipFile):
        write_half()
    # Then there is no object, and no upload that would be paid for
    assert not artifacts.exists(key)
    assert not boto3.client("s3").list_multipart_uploads(Bucket=BUCKET).get("Uploads")


def test_an_object_that_is_replaced_while_it_is_read(artifacts: Artifacts, key: str) -> None:
    # Given a reader in the middle of a large object
    artifacts.put(key, bytes(3 * PIECE))
    with artifacts.open(key) as reader:
        reader.read(10)
        # When the object is replaced, then the reader does not mix the two
        artifacts.put(key, os.urandom(3 * PIECE))
        with pytest.raises(client("s3").exceptions.ClientError, match="PreconditionFailed|412"):
            reader.read(2 * PIECE)


def test_a_copy_is_of_the_very_content(artifacts: Artifacts, key: str) -> None:
    # Given an object, and what S3 calls its content
    artifacts.put(key, "first")
    etag = boto3.client("s3").head_object(Bucket=BUCKET, Key=key)["ETag"]
    # When it is copied
    copied = artifacts.copy(f"{key}-copy", artifacts.uri(key), etag)
    # Then the copy is known by its own tag
    with opened(artifacts.uri(f"{key}-copy"), copied) as copy:
        assert copy.read() == b"first"
    # And when it has changed in between, it is not copied
    artifacts.put(key, "second")
    with pytest.raises(JobError, match="has changed during the run"):
        artifacts.copy(f"{key}-copy", artifacts.uri(key), etag)
    assert artifacts.get(f"{key}-copy") == b"first"
