import hashlib

import boto3
import pytest
from botocore.stub import ANY, Stubber

from local.terminal import LocalError
from local.uploads import replace_files, uploader


def upload_to_nowhere(path):
    return f"s3://artifacts/uploads/{path.name}"


def test_local_files_become_uris_and_everything_else_stays(tmp_path):
    model, train = tmp_path / "my.keras", tmp_path / "x.npz"
    model.touch()
    train.touch()
    job = {"model": str(model), "data": {"train": str(train), "validation": "s3://theirs/v.npz"}, "epochs": 3}

    replaced = replace_files(job, upload_to_nowhere)

    assert replaced == {
        "model": "s3://artifacts/uploads/my.keras",
        "data": {"train": "s3://artifacts/uploads/x.npz", "validation": "s3://theirs/v.npz"},
        "epochs": 3,
    }
    assert job["model"] == str(model)
    assert job["data"]["train"] == str(train)


@pytest.mark.parametrize(
    "job",
    [
        {},
        {"model": "example:mnist", "data": "example:mnist"},
        {"model": "s3://theirs/m.keras"},
        # Not for this program to judge: the first state refuses them by name.
        {"model": 3, "data": {"train": None}},
    ],
)
def test_a_job_without_local_files_stays_as_it_is(job):
    def refuse(path):
        raise AssertionError(f"{path} must not be uploaded")

    assert replace_files(job, refuse) == job


@pytest.mark.parametrize(
    ("job", "sentence"),
    [
        ({"model": "./absent.keras"}, "model = ./absent.keras is not allowed: there is no such file"),
        ({"model": "saved"}, "model = saved is not allowed: this is a folder"),
        ({"data": {"train": "absent.npz"}}, "data.train = absent.npz is not allowed: there is no such file"),
        ({"data": "absent.npz"}, "data = absent.npz is not allowed: there is no such file"),
    ],
)
def test_what_is_no_file_is_named(tmp_path, monkeypatch, job, sentence):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "saved").mkdir()

    with pytest.raises(LocalError, match=f"^{sentence}; give a file, an s3:// URI or example:<name>.$"):
        replace_files(job, upload_to_nowhere)


def test_training_data_alone_may_be_a_file(tmp_path):
    (tmp_path / "x.npz").touch()

    assert replace_files({"data": str(tmp_path / "x.npz")}, upload_to_nowhere) == {
        "data": "s3://artifacts/uploads/x.npz"
    }


@pytest.fixture
def s3():
    return boto3.client("s3", region_name="us-east-1", aws_access_key_id="a", aws_secret_access_key="b")


def test_a_file_is_stored_under_its_digest(tmp_path, s3):
    path = tmp_path / "x.npz"
    path.write_bytes(b"numbers")
    key = f"uploads/{hashlib.sha256(b'numbers').hexdigest()}/x.npz"

    with Stubber(s3) as stub:
        stub.add_client_error("head_object", "404", http_status_code=404)
        stub.add_response("put_object", {}, {"Bucket": "artifacts", "Key": key, "Body": ANY, "ChecksumAlgorithm": ANY})
        uri = uploader(s3, "artifacts")(path)
        stub.assert_no_pending_responses()

    assert uri == f"s3://artifacts/{key}"


def test_a_file_that_is_stored_already_is_not_sent_again(tmp_path, s3):
    path = tmp_path / "x.npz"
    path.write_bytes(b"numbers")

    with Stubber(s3) as stub:
        stub.add_response("head_object", {})
        uri = uploader(s3, "artifacts")(path)

    assert uri.endswith("/x.npz")
