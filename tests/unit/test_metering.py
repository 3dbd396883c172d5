"""What an invocation says that it has spent."""

import time
from types import SimpleNamespace
from typing import Any

import pytest
from botocore.exceptions import ClientError

from paytrain import cold_start, metering, store
from paytrain.channels.base import Usage
from paytrain.metering import FunctionMeter
from paytrain.run import Spent

CONTEXT = SimpleNamespace(aws_request_id="request-1")
EVENT = {"lap": 2, "attempt": 1, "rank": 3}


class Table:
    """The run table of a test: keeps what is put."""

    def __init__(self, units: int = 1) -> None:
        self.records: dict[str, Spent] = {}
        self.units = units

    def write_units(self, item: str, record: Spent) -> int:
        return self.units

    def put(self, item: str, record: Spent) -> None:
        self.records[item] = record


@pytest.fixture
def table(monkeypatch: pytest.MonkeyPatch) -> Table:
    table = Table()
    monkeypatch.setenv("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "1769")
    monkeypatch.setattr(metering, "RunTable", lambda *_: table)
    monkeypatch.setattr(store, "usage", Usage())
    return table


def test_a_record_counts_the_invocations_requests_and_its_own_write(table: Table) -> None:
    # given: requests of an earlier invocation, and a record of two write units
    store.usage.add(s3_get=5)
    table.units = 2

    # when
    with FunctionMeter("runs").invocation("lap", "run", EVENT, CONTEXT) as spending:
        store.usage.add(s3_get=2, dynamodb_write_units=1, dynamodb_requests=1)
        spending.exchange = Usage()
        spending.exchange.add(s3_put=9)

    # then
    (record,) = table.records.values()
    assert record.requests == {"s3_get": 2, "dynamodb_write_units": 3, "dynamodb_requests": 2}
    assert record.exchange == {"s3_put": 9}
    assert (record.function, record.lap, record.attempt, record.rank, record.failed) == ("lap", 2, 1, 3, False)
    assert (record.memory_mb, record.tmp_mb) == (1769, 512)
    assert list(table.records) == ["spent#2#1#lap#request-1"]


def test_a_function_that_raises_leaves_its_record(table: Table) -> None:
    with (
        pytest.raises(ValueError, match="the function's own"),
        FunctionMeter("runs").invocation("plan", "run", {}, CONTEXT),
    ):
        raise ValueError("the function's own")
    assert table.records["spent###plan#request-1"].failed


def test_a_table_that_does_not_answer_does_not_fail_the_function(table: Table, monkeypatch: Any) -> None:
    def refuse(*_: Any) -> None:
        raise ClientError({"Error": {"Code": "ProvisionedThroughputExceededException"}}, "PutItem")

    monkeypatch.setattr(table, "put", refuse)
    with FunctionMeter("runs").invocation("plan", "run", {}, CONTEXT):
        pass


def test_only_the_first_invocation_of_a_sandbox_pays_for_its_start(table: Table, monkeypatch: Any) -> None:
    monkeypatch.setattr(cold_start, "_invocations", 0)
    meter = FunctionMeter("runs")
    monkeypatch.setattr(cold_start, "_init_seconds", 4.2)
    for request in ("cold", "warm"):
        with meter.invocation("plan", "run", {}, SimpleNamespace(aws_request_id=request)) as spending:
            assert spending.billed_seconds() >= (4.2 if request == "cold" else 0)
    assert [record.init_seconds for record in table.records.values()] == [4.2, 0]


def test_time_is_billed_in_whole_milliseconds_rounded_up(table: Table, monkeypatch: Any) -> None:
    ticks = iter([10.0, 10.0011, 10.0011, 10.0011])
    monkeypatch.setattr(metering, "time", SimpleNamespace(time=time.time, monotonic=lambda: next(ticks)))
    with FunctionMeter("runs").invocation("plan", "run", {}, CONTEXT):
        pass
    (record,) = table.records.values()
    assert record.seconds == 0.002


def test_the_requests_to_come_are_added(table: Table) -> None:
    with FunctionMeter("runs").invocation("finish", "run", {}, CONTEXT) as spending:
        store.usage.add(s3_put=2)
        assert spending.so_far(s3_put=1).requests == {"s3_put": 3}


@pytest.mark.parametrize(
    ("value", "written"),
    [
        (float("nan"), None),
        ({"loss": float("inf"), "accuracy": 0.5}, {"loss": None, "accuracy": 0.5}),
        ([{"loss": -float("inf")}, 1], [{"loss": None}, 1]),
        (("a", None, True), ["a", None, True]),
    ],
)
def test_what_json_does_not_know_becomes_null(value: Any, written: Any) -> None:
    assert store.without_nan(value) == written
