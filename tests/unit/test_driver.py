"""The driver performs what generators ask for, and no wait lasts longer than its patience."""

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator

import pytest

from paytrain.channels.base import Part
from paytrain.errors import AttemptAborted, ChannelError, FrameError, ObjectLost, PaytrainError, PeerLost
from paytrain.exchange import driver as driver_module
from paytrain.exchange.driver import Driver, Patience
from paytrain.exchange.operations import Get, Put, Steps, Wait
from tests.memory_channel import MemoryChannel, finish_deletions

WORD = Part(0, 0, 4)
THREADS = 4
LONG = 60.0
"""Seconds after which a test fails instead of waiting on."""


def patience(
    peer_seconds: float = LONG, leave_in: float = 2 * LONG, check: Callable[[], None] | None = None
) -> Patience:
    began = time.monotonic()

    def wait_no_longer() -> None:
        assert time.monotonic() < began + LONG, "the driver goes on waiting"

    return Patience(peer_seconds, began + leave_in, check or wait_no_longer)


@pytest.fixture
def channel() -> MemoryChannel:
    return MemoryChannel()


@pytest.fixture
def driver(channel: MemoryChannel) -> Iterator[Driver]:
    driver = Driver(channel, puts_at_once=THREADS, gets_at_once=THREADS)
    yield driver
    driver.close()


def put(key: str, content: bytes = b"word") -> Steps:
    yield Wait((yield Put(key, [[content]])))
    return key


def get(key: str, rank: int = 2) -> Steps:
    return bytes((yield Wait((yield Get(key, WORD, rank)))))


def test_results_come_in_the_order_of_the_generators(channel: MemoryChannel, driver: Driver) -> None:
    # Given generators that end in another order: the first needs what the last stores
    generators = [get("late"), put("other"), put("late", b"here")]
    # When they run, then each result is where its generator was
    assert driver.run(generators, patience()) == [b"here", "other", "late"]


def test_an_operation_starts_when_it_is_asked_for_and_not_when_it_is_waited_for(
    channel: MemoryChannel, driver: Driver
) -> None:
    # Given a generator that asks for two objects before it stores both, and waits for one twice
    def steps() -> Steps:
        second = yield Get("b", WORD, 0)
        first = yield Get("a", WORD, 0)
        stored = yield Put("a", [[b"1111"]])
        yield Wait((yield Put("b", [[b"2222"]])))
        answers = [(yield Wait(first)), (yield Wait(second)), (yield Wait(first))]
        return [*answers, (yield Wait(stored))]

    # When it runs, then every ticket has its own answer, as often as it is asked for
    assert driver.run([steps()], patience()) == [[b"1111", b"2222", b"1111", None]]


def test_a_late_object_is_waited_for(channel: MemoryChannel, driver: Driver) -> None:
    # Given an object that appears after five looks
    looks: Counter[str] = Counter()

    def appear(key: str) -> None:
        looks[key] += 1
        if looks[key] == 6:
            channel.put(key, [[b"late"]])

    channel.before_get = appear
    # When it is asked for, then it is got
    assert driver.run([get("k")], patience()) == [b"late"]
    assert looks["k"] == 6


def test_a_peer_that_stores_nothing_is_named(driver: Driver) -> None:
    with pytest.raises(PeerLost, match=r"^Rank 2 has stored nothing under run/0/2 for 0\.02 s: "):
        driver.run([put("run/0/1"), get("run/0/2", rank=2)], patience(peer_seconds=0.02))


def test_asking_again_becomes_rarer(channel: MemoryChannel, driver: Driver) -> None:
    # Given that every look is paid for, and an object that does not come within 40 times the channel's interval
    channel.poll_seconds = 0.005
    with pytest.raises(PeerLost):
        driver.run([get("never")], patience(peer_seconds=0.2))
    # Then it was looked for again, and far less often than at that interval; a slow machine only looks more rarely
    assert 2 <= len(channel.named("get")) <= 12


class Clock:
    """A clock that goes on by 10 ms whenever somebody looks at it."""

    def __init__(self) -> None:
        self.now = 0.0

    def monotonic(self) -> float:
        self.now += 0.01
        return self.now


def test_every_object_has_the_whole_patience(
    channel: MemoryChannel, driver: Driver, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given objects of which each is there at the third look only, and all together far beyond the patience
    looks: Counter[str] = Counter()

    def appear(key: str) -> None:
        looks[key] += 1
        if looks[key] == 3:
            channel.put(key, [[b"word"]])

    def one_by_one() -> Steps:
        for index in range(50):
            yield Wait((yield Get(str(index), WORD, 1)))
        return "all"

    channel.before_get = appear
    clock = Clock()
    monkeypatch.setattr(driver_module, "time", clock)
    # When they are got one by one, then nobody is given up
    assert driver.run([one_by_one()], Patience(1.0, 1e9, lambda: None)) == ["all"]
    assert clock.now > 3.0


@pytest.mark.parametrize("stuck", ["nothing", "get", "put"])
def test_leave_by_ends_every_wait(channel: MemoryChannel, driver: Driver, stuck: str) -> None:
    # Given an object that never comes, or a call that never returns
    release = threading.Event()

    def block(key: str) -> None:
        release.wait()

    if stuck == "get":
        channel.before_get = block
    if stuck == "put":
        channel.before_put = block
    try:
        # When it is waited for until it is time to leave
        with pytest.raises(PeerLost, match="No time is left"):
            driver.run([put("a") if stuck == "put" else get("a")], patience(leave_in=0.02))
        # Then the driver can be closed without waiting for the call
        closing = threading.Thread(target=driver.close, daemon=True)
        closing.start()
        closing.join(60)
        assert not closing.is_alive()
    finally:
        release.set()


def test_a_check_that_raises_ends_the_wait(driver: Driver, monkeypatch: pytest.MonkeyPatch) -> None:
    # Given a mark that is seen at the third look
    monkeypatch.setattr(driver_module, "_CHECK_SECONDS", 0.005)
    looks: list[None] = []

    def check() -> None:
        looks.append(None)
        if len(looks) == 3:
            raise AttemptAborted("Another worker has failed.")

    # When an object is waited for that never comes, then the wait ends with what the check said
    with pytest.raises(AttemptAborted, match="Another worker has failed"):
        driver.run([get("never")], patience(check=check))
    assert len(looks) == 3


@pytest.mark.parametrize(
    ("call", "error"), [("before_put", ChannelError("Forbidden.")), ("before_get", ObjectLost("It is lost."))]
)
def test_an_error_of_the_channel_is_raised(
    channel: MemoryChannel, driver: Driver, call: str, error: PaytrainError
) -> None:
    # Given a channel that refuses
    def refuse(key: str) -> None:
        raise error

    setattr(channel, call, refuse)
    # When generators run, then its own error ends the round at once
    with pytest.raises(type(error)) as raised:
        driver.run([put("a"), get("b")], patience())
    assert raised.value is error


def test_an_error_of_a_generator_is_raised(driver: Driver) -> None:
    def refuses() -> Steps:
        yield Wait((yield Put("a", [[b"word"]])))
        raise FrameError("This is no frame.")

    with pytest.raises(FrameError, match="no frame"):
        driver.run([get("never"), refuses()], patience())


def test_a_round_is_forgotten_after_the_next_and_not_before(channel: MemoryChannel, driver: Driver) -> None:
    # Given three rounds, in each of which nothing of the round before has been deleted yet
    def round_(number: int) -> Steps:
        for object_ in "ab":
            yield Wait((yield Put(f"{number}/{object_}", [[b"word"], [b"s"]])))
        assert number == 0 or {f"{number - 1}/a", f"{number - 1}/b"} <= channel.objects.keys()

    for number in range(3):
        driver.run([round_(number)], patience())
    # When the driver is closed and its deletions are done
    driver.close()
    finish_deletions()
    # Then all but the last round's objects are gone
    assert sorted(channel.named("delete")) == ["0/a", "0/b", "1/a", "1/b"]
    assert sorted(channel.objects) == ["2/a", "2/b"]


def test_a_round_that_fails_forgets_nothing(channel: MemoryChannel, driver: Driver) -> None:
    # Given a round that is done, and one that is not: a peer may not have finished the first
    driver.run([put("0")], patience())
    with pytest.raises(PeerLost):
        driver.run([put("1"), get("never")], patience(peer_seconds=0.01))
    # When the driver is closed, then all is still there
    driver.close()
    finish_deletions()
    assert channel.named("delete") == []
    assert "0" in channel.objects


def test_deletions_hold_up_no_round(channel: MemoryChannel, driver: Driver) -> None:
    # Given a channel that does not get on with deleting
    release = threading.Event()

    def block(key: str) -> None:
        release.wait()

    channel.before_delete = block
    # When rounds follow one another, then they are done all the same
    for number in range(5):
        assert driver.run([put(str(number))], patience()) == [str(number)]
    assert channel.named("delete") == []
    release.set()
    driver.close()
    finish_deletions()
    assert channel.named("delete") == ["0", "1", "2", "3"]


def test_more_waits_than_threads_do_not_block_each_other(channel: MemoryChannel, driver: Driver) -> None:
    # Given a hundred generators, each of which stores its object when it has got the next one's
    count = 100

    def link(index: int) -> Steps:
        got = (yield Wait((yield Get(str(index + 1), WORD, 0)))) if index + 1 < count else b"word"
        yield Wait((yield Put(str(index), [[got]])))
        return index

    # When they run over a few threads, then all come to their ends
    assert count > 10 * THREADS
    assert driver.run([link(index) for index in range(count)], patience()) == list(range(count))


class NanosecondClock:
    """Stands for the time module: ticks by a nanosecond a look, and lets the driver's threads finish meanwhile."""

    def __init__(self) -> None:
        self._now = 0.0

    def monotonic(self) -> float:
        time.sleep(0.002)
        self._now += 1e-9
        return self._now


def test_a_poll_that_is_due_in_nanoseconds_does_not_wait_for_ever(
    channel: MemoryChannel, driver: Driver, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given an object that appears after some looks, each due as good as at once
    monkeypatch.setattr(driver_module, "time", NanosecondClock())
    channel.poll_seconds = 1e-8
    looks: Counter[str] = Counter()

    def appear_at_last(key: str) -> None:
        looks[key] += 1
        if looks[key] == 20:
            channel.put(key, [[b"word"]])

    channel.before_get = appear_at_last
    results: list[list[object]] = []
    patient = Patience(LONG, LONG, lambda: None)
    waiting = threading.Thread(target=lambda: results.append(driver.run([get("key")], patient)), daemon=True)
    # When it is waited for
    waiting.start()
    waiting.join(LONG)
    # Then the driver sees it
    assert results == [[b"word"]]
