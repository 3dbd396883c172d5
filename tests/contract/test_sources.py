"""What a job names in S3 is there, or the sentence says what is wrong with it."""

from collections.abc import Callable, Iterator

import boto3
import pytest

from paytrain import store
from paytrain.control.sources import refuse_data, refuse_model
from paytrain.errors import JobError

HERE, ELSEWHERE = "us-east-1", "eu-west-1"
OBJECTS = ("m.keras", "train.npz", "many/0.npz", "many/1.npz", "many/notes.txt", "texts/a.txt")


@pytest.fixture(scope="module", autouse=True)
def buckets(aws: None) -> Iterator[None]:
    store.client.cache_clear()
    s3 = boto3.client("s3", region_name=HERE)
    s3.create_bucket(Bucket="team-data")
    for key in OBJECTS:
        s3.put_object(Bucket="team-data", Key=key, Body=b"content")
    s3.put_object(Bucket="team-data", Key="empty.npz", Body=b"")
    elsewhere = boto3.client("s3", region_name=ELSEWHERE)
    elsewhere.create_bucket(Bucket="far-data", CreateBucketConfiguration={"LocationConstraint": ELSEWHERE})
    yield
    store.client.cache_clear()


@pytest.mark.parametrize(
    ("look", "uri"),
    [
        (refuse_model, "s3://team-data/m.keras"),
        (refuse_data, "s3://team-data/train.npz"),
        (refuse_data, "s3://team-data/many/"),
        (refuse_data, "s3://team-data/many"),
    ],
)
def test_what_is_there_is_not_refused(look: Callable[[str, str, str], None], uri: str) -> None:
    look("key", uri, HERE)


FOLDER = "it must be an .npz object or a folder of them, and there is no .npz object below"


@pytest.mark.parametrize(
    ("look", "uri", "reason"),
    [
        (refuse_model, "s3://no-such-bucket/m.keras", "there is no such bucket."),
        (refuse_data, "s3://no-such-bucket/many/", "there is no such bucket."),
        (
            refuse_data,
            "s3://far-data/train.npz",
            "its bucket is in eu-west-1 and must be in us-east-1, where the workers are.",
        ),
        (refuse_model, "s3://team-data/other.keras", "there is no such object."),
        (refuse_data, "s3://team-data/other.npz", "there is no such object."),
        (refuse_data, "s3://team-data/empty.npz", "the object is empty."),
        (refuse_data, "s3://team-data/texts/", f"{FOLDER} texts/."),
        (refuse_data, "s3://team-data/train.csv", f"{FOLDER} train.csv/."),
    ],
)
def test_what_is_not_there_is_refused_by_key_and_uri(
    look: Callable[[str, str, str], None], uri: str, reason: str
) -> None:
    with pytest.raises(JobError) as refused:
        look("key", uri, HERE)

    assert str(refused.value) == f'key = "{uri}" is not allowed: {reason}'
