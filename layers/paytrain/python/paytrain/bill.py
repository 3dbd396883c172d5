"""The bill: what invocations used, at list prices, line by line."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from paytrain.planner import prices
from paytrain.run import Spent

FREE = "free of charge"
"""What is counted and costs nothing: traffic within the region, requests of a cache, retries after an error.

Deletions, which are free as well, go on in the background while a worker leaves, and are not counted.
"""

_NAMES = {"lap": "workers"}

FINISH_STATES = 2
STATES = {"lap": 2, "open_cache": 3, "close_lap": 2, "finish": FINISH_STATES, "explain": 2, "stop_run": 0}
"""State transitions that an invocation stands for, if not 1: its task, and what comes with it without a function.

Of a worker the start of its child execution, which is billed as one (AWS Step Functions developer guide,
"Transitions"); before OpenCache the cluster's creation or a wait, after it a choice; after CloseLap and Explain a
choice; after Finish or Salvage the last state.
"""

ATTEMPT_STATES = 1
"""Of an attempt, beside those that its invocations stand for: the Map."""

FAILED_WORKER_STATES = 4
"""The same of a worker that failed: its child goes on to RecordFailure and MarkAborted."""
_FAILED_STATES = {"lap": FAILED_WORKER_STATES, "open_cache": 2}
"""The same of others that failed, if not 1: no choice follows."""
_FAILED_WORKER_WRITES = 2


@dataclass(frozen=True)
class Line:
    """One line of a bill.

    Attributes
    ----------
    service
        Who is paid.
    item, unit
        What for, and in what it is counted.
    price
        Dollars per unit.
    note
        What a reader must know of the quantity.
    """

    service: str
    item: str
    unit: str
    price: float
    note: str = ""


@dataclass
class Bill:
    """Lines in the order in which they were first added to, equal ones together."""

    quantities: defaultdict[Line, float] = field(default_factory=lambda: defaultdict(float))

    def add(self, line: Line, quantity: float) -> None:
        """Add to a line."""
        if quantity:
            self.quantities[line] += quantity

    @property
    def usd(self) -> float:
        """The total."""
        return sum(line.price * quantity for line, quantity in self.quantities.items())

    def lines(self) -> list[dict[str, Any]]:
        """For the receipt, service by service."""
        services = list(dict.fromkeys(line.service for line in self.quantities))
        ordered = sorted(self.quantities.items(), key=lambda each: services.index(each[0].service))
        return [
            {
                "service": line.service,
                "item": line.item,
                "quantity": round(quantity, 6),
                "unit": line.unit,
                "price": line.price,
                "usd": line.price * quantity,
                **({"note": line.note} if line.note else {}),
            }
            for line, quantity in ordered
        ]


def of(spent: Sequence[Spent], lost: Sequence[Spent] = (), *, transitions: int = 0) -> Bill:
    """The bill of some invocations.

    Parameters
    ----------
    lost
        What workers have used, at most, that died before they could say so.
    transitions
        State transitions beside those that the invocations stand for.
    """
    bill = Bill()
    for record in spent:
        _add_seconds(bill, record, "")
    for record in lost:
        _add_seconds(bill, record, "estimated: these workers died and left no record")
    for record in spent:
        bill.add(Line("Lambda", _name(record), "requests", prices.lambda_usd_per_request()), 1)
    bill.add(Line("Lambda", "workers", "requests", prices.lambda_usd_per_request()), len(lost))
    entered = sum(map(_states, spent)) + FAILED_WORKER_STATES * len(lost) + transitions
    price = prices.step_functions_usd_per_transition()
    bill.add(Line("Step Functions", "state transitions", "transitions", price), entered)
    requests, exchange = _total(r.requests for r in spent), _total(r.exchange for r in spent)
    failed_workers = len(lost) + sum(record.failed and record.function == "lap" for record in spent)
    requests["dynamodb_write_units"] += _FAILED_WORKER_WRITES * failed_workers
    _add_requests(bill, "storage", requests)
    _add_requests(bill, "exchange", exchange)
    return bill


def usd_of_requests(counts: Mapping[str, float]) -> float:
    """What some requests cost, by the names of :class:`paytrain.channels.base.Usage`."""
    bill = Bill()
    _add_requests(bill, "exchange", Counter(counts))
    return bill.usd


def usd_of_gang(mine: Spent, workers: int) -> float:
    """What a whole gang has cost so far, from the record of one of its ranks: all work alike."""
    return of([mine]).usd * workers


def _add_seconds(bill: Bill, record: Spent, note: str) -> None:
    name, seconds = _name(record), record.init_seconds + record.seconds
    price = prices.lambda_usd_per_gb_second(record.architecture)
    bill.add(Line("Lambda", name, "GB-s", price, note), record.memory_mb / 1024 * seconds)
    tmp_gb = (record.tmp_mb - prices.LAMBDA_FREE_TMP_MB) / 1024
    bill.add(Line("Lambda", f"{name}, /tmp", "GB-s", prices.lambda_usd_per_tmp_gb_second(), note), tmp_gb * seconds)


def _add_requests(bill: Bill, what: str, counts: Counter[str]) -> None:
    put, get = prices.s3_usd_per_put(), prices.s3_usd_per_get()
    # An exchange goes through one channel, and only a directory bucket charges for bytes.
    express_gets = counts["s3express_get"] + counts["s3express_get_missing"]
    if counts["s3express_put"] or express_gets:
        moved, up, down = "S3 Express", prices.s3express_usd_per_gb_up(), prices.s3express_usd_per_gb_down()
    else:
        moved, up, down = FREE, prices.s3_usd_per_gb_moved(), prices.s3_usd_per_gb_moved()
    entries = [
        ("S3", "PUT", "requests", put, counts["s3_put"]),
        ("S3", "LIST", "requests", put, counts["s3_list"]),
        ("S3", "GET", "requests", get, counts["s3_get"] + counts["s3_get_missing"]),
        ("S3", "HEAD", "requests", get, counts["s3_head"]),
        ("S3 Express", "PUT", "requests", prices.s3express_usd_per_put(), counts["s3express_put"]),
        ("S3 Express", "GET", "requests", prices.s3express_usd_per_get(), express_gets),
        ("DynamoDB", "writes", "units", prices.dynamodb_usd_per_write_unit(), counts["dynamodb_write_units"]),
        ("DynamoDB", "reads", "units", prices.dynamodb_usd_per_read_unit(), counts["dynamodb_read_units"]),
        (moved, "up", "GB", up, counts["bytes_up"] / 1e9),
        (moved, "down", "GB", down, counts["bytes_down"] / 1e9),
        (FREE, "Memcached add", "requests", 0.0, counts["memcached_add"]),
        (FREE, "Memcached get", "requests", 0.0, counts["memcached_get"]),
        (FREE, "retries", "requests", 0.0, counts["retries"]),
    ]
    for service, item, unit, price, quantity in entries:
        bill.add(Line(service, f"{what} {item}", unit, price), quantity)


def _states(record: Spent) -> int:
    if record.failed:
        return _FAILED_STATES.get(record.function, 1)
    return STATES.get(record.function, 1)


def _total(counts: Iterable[Mapping[str, float]]) -> Counter[str]:
    total: Counter[str] = Counter()
    for some in counts:
        total.update(some)
    return total


def _name(record: Spent) -> str:
    return _NAMES.get(record.function, record.function)
