"""Steady load on the server, from a process of its own, until its standard input ends.

    python -m bench.live.load PORT --rate 400 --connections 8 --output samples.json

Half of the connections speak HTTP/1.1, half HTTP/2; all are kept open. Each request has a time at which it is
due, whatever became of those before it, and its latency counts from then: a server that stands still is not
spared. Beside them two kinds of requests reach code that 22.13.1 changes: a breach of HTTP/2, and a worker
that the permission model forbids. Times are those of the monotonic clock, which all processes share.
"""

import argparse
import asyncio
import json
import sys
import time
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path

from bench.live.frames import (
    ACK,
    BREACH,
    DATA,
    END_STREAM,
    GOAWAY,
    HEADERS,
    HELLO,
    OK,
    SETTINGS,
    WIDE,
    frame,
    frames,
    request,
)

TEXT = b"served without a pause\n"
LIMIT = 30.0
"""Seconds after which a request counts as failed."""
HELD = 0.4
"""Seconds that a connection must stay open to count as held."""
BREACH_EVERY = 0.25
WORKER_EVERY = 1.0
STREAMS = 1 << 30


@dataclass(slots=True)
class Samples:
    """What happened. ``requests`` rows are (due, seconds, protocol 1 or 2); ``failures`` (time, text);
    ``breaches`` and ``workers`` (sent, answer, answered): 'old', 'new' or what else was seen."""

    requests: list[tuple[float, float, int]] = field(default_factory=list)
    failures: list[tuple[float, str]] = field(default_factory=list)
    breaches: list[tuple[float, str, float]] = field(default_factory=list)
    workers: list[tuple[float, str, float]] = field(default_factory=list)


class Plain:
    """A connection that speaks HTTP/1.1."""

    protocol = 1

    def __init__(self, port: int) -> None:
        self.port = port

    async def open(self) -> None:
        """Connect."""
        self.reader, self.writer = await asyncio.open_connection("127.0.0.1", self.port)

    async def get(self, path: str = "/") -> bytes:
        """The body of the answer. Raises OSError or ValueError for anything but a full 200."""
        self.writer.write(f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode())
        head = (await self.reader.readuntil(b"\r\n\r\n")).lower()
        if not head.startswith(b"http/1.1 200 "):
            raise ValueError(f"answer {head[:40]!r}")
        if b"content-length:" in head:
            length = int(head.split(b"content-length:")[1].split(b"\r\n")[0])
            return await self.reader.readexactly(length)
        return await self._chunks()

    async def _chunks(self) -> bytes:
        body = b""
        while size := int(await self.reader.readuntil(b"\r\n"), 16):
            body += (await self.reader.readexactly(size + 2))[:-2]
        await self.reader.readexactly(2)
        return body


class Framed:
    """A connection that speaks HTTP/2, one request at a time."""

    protocol = 2

    def __init__(self, port: int) -> None:
        self.port = port + 1

    async def open(self) -> None:
        """Connect and say hello."""
        self.stream, self.buffer = -1, bytearray()
        self.reader, self.writer = await asyncio.open_connection("127.0.0.1", self.port)
        self.writer.write(HELLO + WIDE)

    async def get(self) -> bytes:
        """The body of the answer. Raises OSError or ValueError for anything but a full 200."""
        self.stream += 2
        self.writer.write(request(self.stream))
        body, good = b"", False
        while True:
            for part in frames(self.buffer):
                if part.kind == SETTINGS and not part.flags & ACK:
                    self.writer.write(frame(SETTINGS, ACK, 0))
                elif part.kind == GOAWAY:
                    raise ValueError(f"GOAWAY {part.payload.hex()}")
                elif part.stream == self.stream and part.kind == HEADERS:
                    good = part.payload[:1] == bytes([OK])
                elif part.stream == self.stream and part.kind == DATA:
                    body += part.payload
                if part.stream == self.stream and part.flags & END_STREAM and part.kind in (DATA, HEADERS):
                    if not good:
                        raise ValueError(f"stream {self.stream} without status 200")
                    return body
            self.buffer += await self._more()

    async def _more(self) -> bytes:
        data = await self.reader.read(65536)
        if not data:
            raise ConnectionError("the connection was closed")
        return data


_ERRORS = (OSError, ValueError, asyncio.IncompleteReadError, TimeoutError)


async def _steady(
    client: Plain | Framed, first: float, every: float, samples: Samples, stop: asyncio.Event
) -> None:
    due = first
    await client.open()
    while not stop.is_set():
        await asyncio.sleep(max(due - time.monotonic(), 0))
        try:
            body = await asyncio.wait_for(client.get(), LIMIT)
            if body != TEXT:
                raise ValueError(f"body {body[:40]!r}")
        except _ERRORS as error:
            samples.failures.append((due, f"HTTP/{client.protocol}: {type(error).__name__} {error}"))
            await _reopen(client, stop)
        else:
            samples.requests.append((due, time.monotonic() - due, client.protocol))
        due += every


async def _reopen(client: Plain | Framed, stop: asyncio.Event) -> None:
    """Connect again, for as long as it takes."""
    while not stop.is_set():
        try:
            await client.open()
        except OSError:
            await asyncio.sleep(0.5)
        else:
            break


async def closed(writer: asyncio.StreamWriter) -> None:
    """Close a connection, whatever state it is in."""
    writer.close()
    with suppress(OSError):
        await writer.wait_closed()


async def breach(port: int) -> str:
    """Break the protocol once: 'old' when the server says PROTOCOL_ERROR and holds the connection, 'new' when
    it ends it with INTERNAL_ERROR."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port + 1)
    writer.write(HELLO + BREACH)
    buffer, code = bytearray(), -1
    try:
        while True:
            data = await asyncio.wait_for(reader.read(65536), HELD if code == 1 else LIMIT)
            buffer += data
            for part in frames(buffer):
                if part.kind == GOAWAY:
                    code = int.from_bytes(part.payload[4:8], "big")
            if not data:
                return "new" if code == 2 else f"ended with code {code}"
    except TimeoutError:
        return "old" if code == 1 else f"held with code {code}"
    finally:
        await closed(writer)


async def worker(port: int) -> str:
    """Ask for the worker that is not permitted: 'old' when it starts, 'new' when it is refused."""
    client = Plain(port)
    await client.open()
    try:
        body = await asyncio.wait_for(client.get("/worker"), LIMIT)
    finally:
        await closed(client.writer)
    return {b"started": "old", b"ERR_ACCESS_DENIED": "new"}.get(body, body.decode(errors="replace"))


async def _probes(
    kind: str, port: int, rows: list[tuple[float, str, float]], samples: Samples, stop: asyncio.Event
) -> None:
    ask, every = (breach, BREACH_EVERY) if kind == "breach" else (worker, WORKER_EVERY)
    while not stop.is_set():
        begin = time.monotonic()
        try:
            rows.append((begin, await ask(port), time.monotonic()))
        except _ERRORS as error:
            samples.failures.append((begin, f"{kind}: {type(error).__name__} {error}"))
        await asyncio.sleep(max(begin + every - time.monotonic(), 0))


async def _run(port: int, rate: float, connections: int, samples: Samples) -> None:
    stop = asyncio.Event()
    start, every = time.monotonic() + 0.5, connections / rate
    jobs = [
        _steady((Plain, Framed)[index % 2](port), start + index / rate, every, samples, stop)
        for index in range(connections)
    ]
    jobs.append(_probes("breach", port, samples.breaches, samples, stop))
    jobs.append(_probes("worker", port, samples.workers, samples, stop))
    tasks = [asyncio.create_task(job) for job in jobs]
    loop = asyncio.get_running_loop()
    await loop.run_in_executor(None, sys.stdin.read)
    stop.set()
    await asyncio.gather(*tasks)


def main() -> None:
    """Send until standard input ends; write the samples."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("port", type=int)
    parser.add_argument("--rate", type=float, default=400.0, help="requests a second")
    parser.add_argument("--connections", type=int, default=8)
    parser.add_argument("--output", type=Path, required=True)
    options = parser.parse_args()
    samples = Samples()
    asyncio.run(_run(options.port, options.rate, options.connections, samples))
    options.output.write_text(json.dumps(asdict(samples)))


if __name__ == "__main__":
    main()
