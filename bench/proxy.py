"""The network of a function, for servers on this machine: a TCP proxy that adds latency and limits bandwidth.

An answer's first byte waits for a latency drawn from the service profile. Every worker has a proxy of its own, so that
all its connections share one link of 75 MB/s in each direction, as a function's do once its burst is spent. The time of
the server and of the copies on this machine comes on top: rounds take longer than in the simulator.
"""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import get_context
from multiprocessing.connection import Connection

import numpy as np

from paytrain.exchange.simulator.links import Link
from paytrain.exchange.simulator.profile import Latency, Service, built_in

HOST = "127.0.0.1"
_READ_BYTES = 64 * 1024
_WRITES = (b"PUT ", b"add ", b"set ", b"delete ", b"DELETE ")
_DYNAMODB_WRITES = (b".PutItem", b".DeleteItem")


@contextmanager
def proxy(channel: str, upstream: str, seed: int) -> Iterator[str]:
    """Run a worker's proxy in a process of its own and yield its ``host:port``.

    Parameters
    ----------
    channel
        Whose profile is added.
    upstream
        ``host:port`` of the server.
    seed
        Of the latencies.
    """
    spawn = get_context("spawn")
    mine, its = spawn.Pipe()
    process = spawn.Process(target=_serve, args=(channel, upstream, seed, its), daemon=True)
    process.start()
    try:
        yield f"{HOST}:{mine.recv()}"
    finally:
        process.terminate()
        process.join()


def is_write(head: bytes) -> bool:
    """Whether a request is a write, from its first bytes; on DynamoDB, where all are POST, a header says so."""
    return head.startswith(_WRITES) or any(each in head for each in _DYNAMODB_WRITES)


def is_interim(head: bytes) -> bool:
    """Whether an answer only says that the request's body may come."""
    return head.startswith(b"HTTP/1.1 100")


@dataclass
class _Request:
    """What a connection is waiting for: an answer whose first byte may pass at ``ready``."""

    ready: float | None = None


class _Shaper:
    """One worker's links and latencies."""

    def __init__(self, service: Service, bytes_per_second: float, seed: int) -> None:
        random = np.random.default_rng(seed)
        self.up, self.down = Link(bytes_per_second), Link(bytes_per_second)
        self._put = _endless(service.put, random)
        self._get = _endless(service.get, random)

    def latency(self, head: bytes) -> float:
        return self._put() if is_write(head) else self._get()

    async def request(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, waiting: _Request) -> None:
        """Pass on what the client sends."""
        draw = 0.0
        while data := await reader.read(_READ_BYTES):
            if waiting.ready is None:
                draw = self.latency(data)
            await _pass(data, self.up, writer)
            # The service begins when it has the last byte; this may be it.
            waiting.ready = _now() + draw
        writer.close()

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, waiting: _Request) -> None:
        """Pass on what the server answers."""
        while data := await reader.read(_READ_BYTES):
            if waiting.ready is not None and not is_interim(data):
                await asyncio.sleep(max(0.0, waiting.ready - _now()))
                waiting.ready = None
            await _pass(data, self.down, writer)
        writer.close()


async def _pass(data: bytes, link: Link, writer: asyncio.StreamWriter) -> None:
    ends = link.transfer(_now(), len(data))
    await asyncio.sleep(max(0.0, ends - _now()))
    writer.write(data)
    await writer.drain()


def _now() -> float:
    return asyncio.get_running_loop().time()


def _endless(latency: Latency, random: np.random.Generator) -> Callable[[], float]:
    draws: list[float] = []

    def draw() -> float:
        if not draws:
            draws.extend(latency.draws(random).tolist())
        return draws.pop()

    return draw


def _serve(channel: str, upstream: str, seed: int, parent: Connection) -> None:
    profile = built_in()
    shaper = _Shaper(profile.services[channel], profile.network.function, seed)
    host, _, port = upstream.rpartition(":")

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            their_reader, their_writer = await asyncio.open_connection(host, int(port))
            waiting = _Request()
            await asyncio.gather(
                shaper.request(reader, their_writer, waiting), shaper.answer(their_reader, writer, waiting)
            )
        except ConnectionError:
            writer.close()

    async def serve() -> None:
        server = await asyncio.start_server(connected, HOST, 0, limit=_READ_BYTES)
        parent.send(server.sockets[0].getsockname()[1])
        await server.serve_forever()

    asyncio.run(serve())
