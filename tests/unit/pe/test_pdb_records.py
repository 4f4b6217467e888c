import struct

import pytest

from hpbuild.codes import pe_identity as codes
from hpbuild.errors import HpbuildError
from hpbuild.pe.pdb import records

SIGNATURE = struct.pack("<I", 4)


def record(kind: int, body: bytes) -> bytes:
    padding = bytes(-len(body) % 4)
    return struct.pack("<HH", len(body) + len(padding) + 2, kind) + body + padding


def procedure(kind: int, name: bytes, size: int, offset: int, segment: int = 1) -> bytes:
    return record(kind, struct.pack("<7IIHB", 0, 0, 0, size, 0, 0, 0, offset, segment, 0) + name + b"\0")


def test_procedures_data_thunks() -> None:
    data = SIGNATURE + b"".join(
        [
            record(0x1101, b"\0\0\0\0a.obj\0"),
            procedure(records.S_GPROC32, b"first", 0x20, 0x10),
            procedure(records.S_LPROC32_ID, b"second", 0x21, 0x40, 2),
            record(records.S_LDATA32, struct.pack("<IIH", 0x74, 0x8, 3) + b"counter\0"),
            record(0x0006, b""),
            record(records.S_THUNK32, struct.pack("<IIIIHHB", 0, 0, 0, 0x90, 1, 6, 0) + b"jump\0"),
            record(records.S_TRAMPOLINE, struct.pack("<HHIIHH", 0, 5, 0xA0, 0x10, 1, 2)),
        ]
    )
    assert records.module_records(data, "m") == [
        records.Record(records.S_GPROC32, 1, 0x10, 0x20, "first"),
        records.Record(records.S_LPROC32_ID, 2, 0x40, 0x21, "second"),
        records.Record(records.S_LDATA32, 3, 0x8, 0, "counter"),
        records.Record(records.S_THUNK32, 1, 0x90, 6, "jump"),
        records.Record(records.S_TRAMPOLINE, 1, 0xA0, 5, "", 0, (2, 0x10)),
    ]


def test_variables_know_the_procedure_around_them() -> None:
    def variable(name: bytes) -> bytes:
        return record(records.S_LDATA32, struct.pack("<IIH", 0x74, 0x8, 3) + name + b"\0")

    def around(name: bytes, start: int, *inner: bytes) -> bytes:
        """A procedure at ``start`` of the stream that holds ``inner``, and the end of its scope."""
        head = procedure(records.S_GPROC32, name, 0x20, 0x10)
        body = b"".join(inner)
        end = start + len(head) + len(body)
        return head[:8] + struct.pack("<I", end) + head[12:] + body + record(0x0006, b"")

    data = SIGNATURE + variable(b"before")
    data += around(b"f", len(data), variable(b"count"))
    data += variable(b"between")
    data += around(b"g", len(data), variable(b"count"))
    found = [(item.name, item.procedure) for item in records.module_records(data, "m")]
    assert found == [
        ("before", ""), ("f", ""), ("count", "f"), ("between", ""), ("g", ""), ("count", "g")
    ]  # fmt: skip


def test_global_records() -> None:
    data = record(records.S_PUB32, struct.pack("<IIH", 2, 0x10, 1) + b"?f@@YAXXZ\0") + record(
        records.S_GDATA32, struct.pack("<IIH", 0x74, 0x8, 3) + b"g\0"
    )
    assert records.global_records(data, "g") == [
        records.Record(records.S_PUB32, 1, 0x10, 0, "?f@@YAXXZ", 2),
        records.Record(records.S_GDATA32, 3, 0x8, 0, "g"),
    ]


def test_names_cannot_steer_a_terminal() -> None:
    data = SIGNATURE + procedure(records.S_GPROC32, b"a\x1b[2J\xff", 1, 0)
    assert records.module_records(data, "m")[0].name == "a\\x1b[2J\\xff"


@pytest.mark.parametrize("data", [b"", b"\1\0\0\0", b"\2\0\0\0", b"\4\0"])
def test_old_symbols_fail(data: bytes) -> None:
    with pytest.raises(HpbuildError) as caught:
        records.module_records(data, "m")
    assert caught.value.code is codes.PDB_UNSUPPORTED


@pytest.mark.parametrize(
    ("tail", "cause"),
    [
        (b"\0\0\0\0", "record of 0 bytes"),
        (b"\1\0\6\0", "record of 1 bytes"),
        (b"\3\0\6\0\0\0\0\0", "record of 3 bytes"),
        (b"\2\0\6", "multiple of 4"),
        (b"\xfe\xff\6\0", "leaves the stream"),
        (record(records.S_GPROC32, b"\0" * 8), "too short"),
        (record(records.S_GPROC32, b"\1" * 40), "too short"),
        (record(records.S_LDATA32, b"\1" * 4), "too short"),
        (record(records.S_THUNK32, b"\1" * 8), "too short"),
        (record(records.S_TRAMPOLINE, b"\1" * 8), "too short"),
    ],
)
def test_damaged_records_fail(tail: bytes, cause: str) -> None:
    good = procedure(records.S_GPROC32, b"first", 0x20, 0x10)
    with pytest.raises(HpbuildError) as caught:
        records.module_records(SIGNATURE + good + tail, "m")
    assert caught.value.code is codes.PDB_STREAM_MALFORMED
    assert cause in caught.value.finding.cause
