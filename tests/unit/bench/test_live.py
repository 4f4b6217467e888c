"""The load, the sums and the picture of ``bench.live``: what a wrong server does must be seen."""

import asyncio
import copy
import json
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from xml.etree import ElementTree

import pytest

from bench.live.experiment import Document
from bench.live.frames import (
    ACK,
    DATA,
    END_STREAM,
    GOAWAY,
    HEADERS,
    HELLO,
    OK,
    PING,
    SETTINGS,
    frame,
    frames,
    request,
)
from bench.live.load import TEXT, Framed, Plain, breach, closed, worker
from bench.live.page import page
from bench.live.plot import BAND, svg
from bench.live.summary import complaints, percentiles, phases, switches


def test_frames_are_taken_off_when_they_are_whole() -> None:
    two = frame(DATA, END_STREAM, 3, b"text") + frame(PING, 0, 0, bytes(8))
    buffer = bytearray(two[:-1])
    first = list(frames(buffer))
    assert [(part.kind, part.flags, part.stream, part.payload) for part in first] == [
        (DATA, END_STREAM, 3, b"text")
    ]
    buffer += two[-1:]
    assert [part.kind for part in frames(buffer)] == [PING]
    assert not buffer


class Double:
    """A server of both protocols; ``status`` and ``text`` of its answers, what it does to a breach, and
    what ``/worker`` says."""

    def __init__(self, *, text: bytes = TEXT, status: int = 200, fixed: bool = False) -> None:
        self.text, self.status, self.fixed = text, status, fixed

    async def plain(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while head := await self._head(reader):
            body = self.text
            if b"/worker" in head:
                body = b"ERR_ACCESS_DENIED" if self.fixed else b"started"
                writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
                writer.write(b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body))
            else:
                writer.write(b"HTTP/1.1 %d X\r\nContent-Length: %d\r\n\r\n" % (self.status, len(body)) + body)
        await closed(writer)

    @staticmethod
    async def _head(reader: asyncio.StreamReader) -> bytes:
        try:
            return await reader.readuntil(b"\r\n\r\n")
        except asyncio.IncompleteReadError:
            return b""

    async def framed(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readexactly(len(HELLO) - 9)
        writer.write(frame(SETTINGS, 0, 0))
        buffer = bytearray()
        while data := await reader.read(65536):
            buffer += data
            for part in frames(buffer):
                if part.kind == PING and part.stream:
                    code = 2 if self.fixed else 1
                    writer.write(frame(GOAWAY, 0, 0, bytes(4) + code.to_bytes(4, "big")))
                    if self.fixed:
                        await closed(writer)
                        return
                elif part.kind == HEADERS:
                    status = OK if self.status == 200 else OK + 5
                    writer.write(frame(HEADERS, 4, part.stream, bytes([status])))
                    writer.write(frame(DATA, 0, part.stream, self.text[:5]))
                    writer.write(frame(DATA, END_STREAM, part.stream, self.text[5:]))
        await closed(writer)


@asynccontextmanager
async def served(double: Double) -> AsyncIterator[int]:
    """The port of HTTP/1.1; HTTP/2 is at the next one."""
    for port in range(42800, 42900, 2):
        try:
            first = await asyncio.start_server(double.plain, "127.0.0.1", port)
        except OSError:
            continue
        try:
            second = await asyncio.start_server(double.framed, "127.0.0.1", port + 1)
        except OSError:
            first.close()
            continue
        async with first, second:
            yield port
        return
    pytest.skip("no two free ports in a row")


def ask(double: Double, kind: type[Plain] | type[Framed], times: int = 3) -> list[bytes]:
    async def talk() -> list[bytes]:
        async with served(double) as port:
            client = kind(port)
            await client.open()
            try:
                return [await client.get() for _ in range(times)]
            finally:
                await closed(client.writer)

    return asyncio.run(talk())


@pytest.mark.parametrize("kind", [Plain, Framed])
def test_client_gets_the_text_again_and_again(kind: type[Plain] | type[Framed]) -> None:
    assert ask(Double(), kind) == [TEXT] * 3


@pytest.mark.parametrize("kind", [Plain, Framed])
def test_client_takes_nothing_but_success(kind: type[Plain] | type[Framed]) -> None:
    with pytest.raises(ValueError, match=r"answer|status"):
        ask(Double(status=500), kind)


@pytest.mark.parametrize(("fixed", "answer"), [(False, "old"), (True, "new")])
def test_probes_tell_the_builds_apart(fixed: bool, answer: str) -> None:
    async def probe() -> tuple[str, str]:
        async with served(Double(fixed=fixed)) as port:
            return await breach(port), await worker(port)

    assert asyncio.run(probe()) == (answer, answer)


def test_request_is_one_frame() -> None:
    (only,) = frames(bytearray(request(7)))
    assert (only.kind, only.stream) == (HEADERS, 7)
    assert only.flags & END_STREAM
    assert ACK == END_STREAM


NAMES = ("before", "apply", "applied", "revert", "reverted", "apply again", "applied again")
RIGHT = {"before": "old", "applied": "new", "reverted": "old", "applied again": "new"}


def a_run() -> Document:
    """Phases of 10 seconds with 10 requests each, as they should be."""
    rows: list[Document] = []
    samples: dict[str, list[list[object]]] = {"requests": [], "failures": [], "breaches": [], "workers": []}
    for index, name in enumerate(NAMES):
        begin, quiet = 100.0 + 10 * index, name in RIGHT
        rows.append({"name": name, "begin": begin, "end": begin + 10, "quiet": quiet})
        if quiet:
            rows[-1]["states"] = [
                {"opened": 40 * index, "held": 20 * index},
                {"opened": 40 * index + 40, "held": 20 * index + (40 if RIGHT[name] == "old" else 0)},
            ]
        for number in range(10):
            samples["requests"].append([begin + number, 0.001 * (number + 1), 1 + number % 2])
            samples["breaches"].append([begin + number, RIGHT.get(name, "old"), begin + number + 0.5])
            samples["workers"].append([begin + number, RIGHT.get(name, "new"), begin + number + 0.5])
    nothing = {"count": 0, "longest_us": 0.0, "median_us": 0.0}
    answer = {
        "waits": nothing,
        "looks": nothing,
        "commit_us": 123.4,
        "seconds": 0.05,
        "modules": [{"redirections": 9}],
    }
    verdicts = {"apply": "applied", "revert": "reverted", "apply again": "applied"}
    commands = [
        {"name": name, "seconds": 7.5, "answer": {**answer, "verdict": verdict}}
        for name, verdict in verdicts.items()
    ]
    return {
        "phases": rows,
        "samples": samples,
        "commands": commands,
        "alive": True,
        "rate": 100.0,
        "connections": 8,
    }


def test_good_run_has_no_complaints() -> None:
    assert complaints(a_run()) == []


@pytest.mark.parametrize("kind", ["breaches", "workers"])
def test_wrong_answer_in_a_quiet_phase_is_a_complaint(kind: str) -> None:
    run = a_run()
    run["samples"][kind][2][1] = "new"
    assert complaints(run) == [f"before: 1 {kind} answered new"]


def test_answer_while_a_command_runs_may_be_either() -> None:
    run = a_run()
    run["samples"]["breaches"][12][1] = "new"
    assert complaints(run) == []


def test_answer_that_came_after_the_phase_may_be_either() -> None:
    run = a_run()
    run["samples"]["breaches"][9][1:] = ["new", 110.1]
    assert complaints(run) == []


def test_phase_without_probes_is_a_complaint() -> None:
    run = a_run()
    run["samples"]["workers"] = [row for row in run["samples"]["workers"] if row[0] >= 110]
    assert complaints(run) == ["before: no workers were tried"]


def test_failed_request_and_dead_server_are_complaints() -> None:
    run = a_run()
    run["samples"]["failures"] = [[115.0, "HTTP/1: gone"]]
    run["alive"] = False
    assert complaints(run) == ["failed request: HTTP/1: gone", "the server ended"]


def test_phases_count_their_own_requests() -> None:
    rows = phases(a_run())
    assert [row.name for row in rows] == list(NAMES)
    assert {row.requests for row in rows} == {10}
    assert rows[0].latency == pytest.approx((5.0, 10.0, 10.0, 10.0))
    assert (rows[0].breaches, rows[2].breaches) == ({"old": 10}, {"new": 10})
    assert (rows[0].held, rows[1].held, rows[2].held) == (40, None, 0)


@pytest.mark.parametrize(
    ("values", "expected"),
    [((), (0.0, 0.0, 0.0, 0.0)), ((0.002,), (2.0, 2.0, 2.0, 2.0)), ((0.003, 0.001), (1.0, 3.0, 3.0, 3.0))],
)
def test_percentiles_by_nearest_rank(values: tuple[float, ...], expected: tuple[float, ...]) -> None:
    assert percentiles(values) == pytest.approx(expected)


def test_switch_is_between_the_last_old_and_the_first_new_answer() -> None:
    run = a_run()
    assert switches(run) == []
    for row in run["samples"]["breaches"]:
        if 114.5 < row[0] < 120:
            row[1] = "new"
    assert switches(run) == [114.5]


def test_picture_shows_bands_lines_and_bars() -> None:
    run = a_run()
    tree = ElementTree.fromstring(svg(run))
    tags = [re.sub(r"\{.*\}", "", node.tag) for node in tree.iter()]
    assert tags.count("polyline") == 3
    assert svg(run).count(f'fill="{BAND}"') == 3 + 1
    bars = svg(run).count("v10")
    assert bars == 140
    fewer = copy.deepcopy(run)
    del fewer["samples"]["breaches"][:5]
    assert svg(fewer).count("v10") == bars - 5
    assert svg(run) == svg(json.loads(json.dumps(run)))


def test_page_says_what_was_measured() -> None:
    text = page(a_run())
    assert text.startswith("70 requests were answered at 100 a second over 8 open connections")
    assert "| apply | applied | 9 | 50 ms | 123 µs |" in text
    assert text.count("\n| ") == 2 * 2 + len(NAMES) + 3
