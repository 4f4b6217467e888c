"""Minidumps by hand: what a sound one gives, and every bound that a hostile one runs into."""

import os
import struct
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hpbuild.codes import process as codes
from hpbuild.errors import Code, HpbuildError
from hpbuild.pe.processes import open_dump
from hpbuild.pe.processes.minidump import MAX_RANGES, MAX_STREAMS

MODULES, MEMORY, SYSTEM, MEMORY64 = 4, 5, 7, 9


NAME = "C:\\app\\a.dll".encode("utf-16-le")
FRONT = struct.pack("<I", len(NAME)) + NAME + b"abcd"
"""What lies behind the header: the module's name, at offset 32, and memory."""
AT_NAME, AT_MEMORY = 32, 32 + 4 + len(NAME)


@dataclass
class Dump:
    """A dump under construction: header, ``front``, directory, ``streams`` (type, content) in order."""

    streams: list[tuple[int, bytes]] = field(default_factory=list)
    front: bytes = FRONT

    def bytes(self) -> bytes:
        """The file."""
        at = 32 + len(self.front) + 12 * len(self.streams)
        directory, content = b"", b""
        for kind, stream in self.streams:
            directory += struct.pack("<III", kind, len(stream), at + len(content))
            content += stream
        head = struct.pack("<4sIIIIIQ", b"MDMP", 0xA793, len(self.streams), 32 + len(self.front), 0, 0, 2)
        return head + self.front + directory + content


def module_row(base: int, size: int, name: int = AT_NAME) -> bytes:
    return struct.pack("<QIIII", base, size, 0, 0, name) + bytes(84)


def ranges64(*ranges: tuple[int, int], offset: int = AT_MEMORY) -> bytes:
    rows = b"".join(struct.pack("<QQ", start, size) for start, size in ranges)
    return struct.pack("<QQ", len(ranges), offset) + rows


def sound() -> Dump:
    """One module, memory in a Memory64List of two ranges that touch."""
    return Dump(
        [
            (SYSTEM, struct.pack("<H", 9) + bytes(54)),
            (MODULES, struct.pack("<I", 1) + module_row(0x180000000, 0x3000)),
            (MEMORY64, ranges64((0x10000, 2), (0x10002, 2))),
        ]
    )


def write(tmp_path: Path, dump: Dump | bytes) -> Path:
    path = tmp_path / "x.dmp"
    path.write_bytes(dump if isinstance(dump, bytes) else dump.bytes())
    return path


def refused(path: Path, words: str = "") -> Code:
    with pytest.raises(HpbuildError) as caught:
        open_dump(path).close()
    assert caught.value.finding.place == str(path)
    assert words in caught.value.finding.cause
    return caught.value.code


def test_modules_and_memory(tmp_path: Path) -> None:
    with open_dump(write(tmp_path, sound())) as dump:
        (module,) = dump.modules
        assert (module.name, module.path, module.base, module.size, module.file) == (
            "a.dll", "C:\\app\\a.dll", 0x180000000, 0x3000, None,
        )  # fmt: skip
        assert dump.full
        # Ranges that touch are read through.
        assert dump.memory.read(0x10000, 4) == b"abcd"
        assert dump.memory.read(0x10001, 2) == b"bc"
        assert dump.memory.read(0x10004, 0) == b""
        for address, size in ((0x10000, 5), (0xFFFF, 2), (0x20000, 1), (0x10003, 1 << 60)):
            with pytest.raises(HpbuildError) as caught:
                dump.memory.read(address, size)
            assert caught.value.code is codes.DUMP_INCOMPLETE


@pytest.mark.parametrize("filler", [b"", bytes(4)], ids=["Windows", "others"])
def test_memory_in_the_short_form(tmp_path: Path, filler: bytes) -> None:
    """MemoryList beside Memory64List, with the filler behind its count that some writers add."""
    dump = sound()
    row = struct.pack("<QII", 0x50000, 4, 0)
    dump.streams.append((MEMORY, struct.pack("<I", 1) + filler + row))
    with open_dump(write(tmp_path, dump)) as opened:
        assert opened.memory.read(0x50000, 4) == b"MDMP"
        assert opened.memory.read(0x10000, 4) == b"abcd"


def test_other_streams_are_passed_over(tmp_path: Path) -> None:
    dump = sound()
    dump.streams += [(0, b""), (0, b""), (65520, b"?"), (3, bytes(52))]
    with open_dump(write(tmp_path, dump)) as opened:
        assert len(opened.modules) == 1


@pytest.mark.parametrize("kind", ["missing", "directory", "pipe", "nul"])
def test_no_file(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "x.dmp"
    if kind == "directory":
        path.mkdir()
    if kind == "pipe":
        os.mkfifo(path)
    if kind == "nul":
        path = Path("a\0b")
    assert refused(path) is codes.DUMP_UNREADABLE


def test_a_dump_that_shrinks(tmp_path: Path) -> None:
    path = write(tmp_path, sound())
    with open_dump(path) as dump:
        os.truncate(path, 40)
        with pytest.raises(HpbuildError) as caught:
            dump.memory.read(0x10000, 4)
    assert caught.value.code is codes.DUMP_UNREADABLE


@pytest.mark.parametrize("architecture", [0, 5, 12, 77])
def test_another_processor(tmp_path: Path, architecture: int) -> None:
    dump = sound()
    dump.streams[0] = (SYSTEM, struct.pack("<H", architecture) + bytes(54))
    assert refused(write(tmp_path, dump)) is codes.PROCESS_32_BIT


def _changed(index: int, content: bytes) -> Dump:
    dump = sound()
    dump.streams[index] = (dump.streams[index][0], content)
    return dump


def _without(index: int) -> Dump:
    dump = sound()
    del dump.streams[index]
    return dump


def _modules(*rows: bytes) -> Dump:
    return _changed(1, struct.pack("<I", len(rows)) + b"".join(rows))


def _patched(at: int, content: bytes) -> bytes:
    raw = sound().bytes()
    return raw[:at] + content + raw[at + len(content) :]


MALFORMED: dict[str, tuple[Dump | bytes, str]] = {
    "empty": (b"", "less than a header"),
    "short header": (b"MDMP" + bytes(27), "less than a header"),
    "another signature": (_patched(0, b"PMDM"), "it begins with 50 4d 44 4d"),
    "another version": (_patched(4, b"\x94"), "version 0xa794"),
    "directory outside": (_patched(12, b"\xff\xff\xff\x7f"), "streams: "),
    "cut off": (sound().bytes()[:-1], "Memory64List: "),
    "no system": (_without(0), "for which processor"),
    "empty system": (_changed(0, b""), "for which processor"),
    "no modules": (_without(1), "no list of modules"),
    "empty modules": (_changed(1, b""), "ModuleList of 0 bytes"),
    "more modules than bytes": (
        _changed(1, struct.pack("<I", 9) + module_row(0x180000000, 0x1000)),
        "ModuleList of 112 bytes is to have 9 rows",
    ),
    "module off a page": (_modules(module_row(0x180000001, 0x1000)), "a module of"),
    "module of no size": (_modules(module_row(0x180000000, 0)), "a module of"),
    "module outside": (_modules(module_row(1 << 63, 0x1000)), "a module of"),
    "modules that overlap": (
        _modules(module_row(0x180000000, 0x2000), module_row(0x180001000, 0x2000)),
        "overlaps the module below it",
    ),
    "name outside": (_modules(module_row(0x180000000, 0x1000, 0xFFFFFF)), "module name: "),
    "name cut off": (_modules(module_row(0x180000000, 0x1000, AT_MEMORY + 2)), "module name"),
    "odd name": (_modules(module_row(0x180000000, 0x1000, 4)), "a module name of 42899 bytes"),
    "two streams": (Dump([*sound().streams, sound().streams[0]]), "two SystemInfo streams"),
    "memory without count": (_changed(2, b"\1"), "Memory64List of 1 bytes"),
    "more memory than rows": (
        _changed(2, struct.pack("<QQ", 2, 0) + struct.pack("<QQ", 0, 1)),
        "is to have 2 rows",
    ),
    "memory outside the file": (_changed(2, ranges64((0x10000, 1 << 40))), "bytes of memory at 0x10000"),
    "memory wraps around": (_changed(2, ranges64(((1 << 64) - 2, 4))), "bytes of memory"),
    "offset wraps around": (_changed(2, ranges64((0x10000, 4), offset=(1 << 64) - 2)), "bytes of memory"),
    "memory twice": (_changed(2, ranges64((0x10000, 4), (0x10003, 1), offset=0)), "it holds"),
}


@pytest.mark.parametrize("name", MALFORMED)
def test_malformed(tmp_path: Path, name: str) -> None:
    dump, words = MALFORMED[name]
    assert refused(write(tmp_path, dump), words) is codes.DUMP_MALFORMED


LIMITED: dict[str, Dump | bytes] = {
    "streams": _patched(8, struct.pack("<I", MAX_STREAMS + 1)),
    "modules": _changed(1, struct.pack("<I", 1 << 31) + bytes(64)),
    "ranges": _changed(2, struct.pack("<QQ", MAX_RANGES + 1, 0)),
    "ranges beyond all bounds": _changed(2, struct.pack("<QQ", (1 << 64) - 1, 0)),
}


@pytest.mark.parametrize("name", LIMITED)
def test_limits(tmp_path: Path, name: str) -> None:
    assert refused(write(tmp_path, LIMITED[name]), "limit") is codes.DUMP_LIMIT


@settings(
    max_examples=300,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(data=st.data())
def test_any_bytes_are_read_or_refused(tmp_path: Path, data: st.DataObject) -> None:
    raw = bytearray(sound().bytes())
    for _ in range(data.draw(st.integers(1, 6))):
        at = data.draw(st.integers(0, len(raw) - 1))
        size = data.draw(st.sampled_from([1, 4, 8]))
        value = data.draw(st.one_of(st.integers(0, 255), st.just(2**31), st.just(2**64 - 1)))
        raw[at : at + size] = (value % 256**size).to_bytes(size, "little")
    path = write(tmp_path, bytes(raw[: data.draw(st.integers(0, len(raw)))]))
    seen = None
    try:
        with open_dump(path) as dump:
            dump.memory.read(0x10000, 4)
    except HpbuildError as error:
        seen = error.code
    assert seen is None or seen in codes.ROWS
