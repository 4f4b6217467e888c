"""Type records and the layouts that follow from them."""

import re
import struct
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hpbuild.codes import pe_identity as codes
from hpbuild.errors import Code, HpbuildError
from hpbuild.pe.pdb import type_records
from hpbuild.pe.pdb.msf import open_msf
from hpbuild.pe.pdb.type_records import TypeStream, read_types
from hpbuild.pe.pdb.type_spelling import MAX_TEXT, is_compiler_named
from hpbuild.pe.pdb.types import Field, TypeKind, TypeLayout, type_layouts
from tests.type_streams import (
    CHAR,
    FIRST,
    INT,
    LONGLONG,
    VOID,
    container,
    enumeration,
    enumerator,
    field_list,
    member,
    method,
    pointer,
    record,
    structure,
    type_stream,
    types,
)

FORWARD = 0x80


def load(path: Path) -> TypeStream:
    found = read_types(open_msf(path.read_bytes(), path.name))
    assert found is not None
    return found


def layout(*records: bytes) -> TypeLayout:
    """The only layout."""
    (found,) = type_layouts(types(*records))
    return found


def fields(*records: bytes) -> list[tuple[str, int, str]]:
    return [tuple(field) for field in layout(*records).fields]


def refused(action: Callable[[], object]) -> tuple[Code, str]:
    with pytest.raises(HpbuildError) as caught:
        action()
    return caught.value.code, caught.value.finding.cause


def test_a_structure_of_a_real_program(binaries: Path) -> None:
    folder = binaries / "variants" / "type_layout"
    old, new = (
        next(item for item in type_layouts(load(folder / side / "gadget.pdb")) if item.name == "reading")
        for side in ("baseline", "fixed")
    )
    common = (Field("channel", 0, "unsigned"), Field("value", 4, "int"))
    assert old == TypeLayout("reading", TypeKind.RECORD, 8, common, ())
    assert new == TypeLayout("reading", TypeKind.RECORD, 12, (*common, Field("scale", 8, "int")), ())


@pytest.mark.parametrize("name", ["baseline/throwing.pdb", "baseline/codec.pdb"])
def test_sizes_of_llvm_pdbutil(binaries: Path, name: str, require_tool: Callable[[str], str]) -> None:
    command = [require_tool("llvm-pdbutil"), "dump", "-types", str(binaries / name)]
    dump = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    told = {
        (type_name, int(size))
        for type_name, size in re.findall(
            r"LF_(?:STRUCTURE|CLASS|UNION) .*`(.*)`\n(?:.*\n){1,3}? *options: .*sizeof (\d+)", dump
        )
        if int(size) and not is_compiler_named(type_name)
    }
    found = {
        (item.name, item.size) for item in type_layouts(load(binaries / name)) if item.kind != "enumeration"
    }
    assert found == told
    assert told


def test_pdb_of_the_microsoft_compiler(root: Path) -> None:
    found = sorted((root / "corpus" / "pairs" / "debugpy").rglob("attach_amd64.pdb"))
    if not found:
        pytest.skip("no corpus of releases (make corpus)")
    known = {item.name: item for item in type_layouts(load(found[0]))}
    assert known["_GUID"].fields == (
        Field("Data1", 0, "unsigned long"),
        Field("Data2", 4, "unsigned short"),
        Field("Data3", 6, "unsigned short"),
        Field("Data4", 8, "unsigned char[8]"),
    )
    assert known["_GUID"].size == 16


def test_spellings_do_not_depend_on_indices() -> None:
    body = [
        pointer(CHAR),
        record(0x1001, struct.pack("<IHH", CHAR, 1, 0)),
        pointer(0x1001),
        record(0x1503, struct.pack("<IIHB", INT, 0x23, 12, 0)),
        record(0x1205, struct.pack("<IBB", 0x75, 3, 5)),
        record(0x1201, struct.pack("<III", 2, INT, 0x1000)),
        record(0x1008, struct.pack("<IBBHI", VOID, 0, 0, 2, 0x1005)),
        pointer(0x1006),
        structure("other", 0, 0, flags=FORWARD),
        pointer(0x1008),
        record(0x1503, struct.pack("<IIHB", 0x1008, 0x23, 48, 0)),
        pointer(INT, mode=1),
    ]
    targets = [0x1000, 0x1002, 0x1003, 0x1004, 0x1007, 0x1009, 0x100A, 0x100B, 0x674]
    expected = [
        "char*",
        "char*",
        "int[3]",
        "unsigned : 3 at bit 5",
        "void (int, char*)*",
        "other*",
        "other[48 bytes]",
        "int&",
        "int*",
    ]
    members = [member(f"m{n}", target, n) for n, target in enumerate(targets)]
    end = 0x1000 + len(body)
    found = fields(*body, field_list(*members), structure("s", end, 64))
    assert found == [(f"m{n}", n, text) for n, text in enumerate(expected)]
    shifted = [field_list(member("x", INT, 0)), structure("filler", 0x1000, 4)]
    moved = [
        member(f"m{n}", target + 2 * (target in range(0x1000, 0x1100)), n) for n, target in enumerate(targets)
    ]
    body = [
        pointer(CHAR),
        record(0x1001, struct.pack("<IHH", CHAR, 1, 0)),
        pointer(0x1003),
        *body[3:5],
        record(0x1201, struct.pack("<III", 2, INT, 0x1002)),
        record(0x1008, struct.pack("<IBBHI", VOID, 0, 0, 2, 0x1007)),
        pointer(0x1008),
        body[8],
        pointer(0x100A),
        record(0x1503, struct.pack("<IIHB", 0x100A, 0x23, 48, 0)),
        body[11],
    ]
    again = type_layouts(types(*shifted, *body, field_list(*moved), structure("s", end + 2, 64)))
    assert [tuple(field) for field in again[1].fields] == found


def test_bases_virtual_methods_and_tables() -> None:
    found = layout(
        structure("base", 0, 0, flags=FORWARD),
        record(0x000A, struct.pack("<HH", 2, 0x55)),
        pointer(0x1001),
        record(0x1201, struct.pack("<II", 1, INT)),
        record(0x1009, struct.pack("<IIIBBHIi", VOID, 0x1000, 0, 0, 0, 1, 0x1003, 0)),
        record(0x1206, struct.pack("<HHI", 3, 0, 0x1004) + struct.pack("<HHII", 3 | 6 << 2, 0, 0x1004, 8)),
        field_list(
            struct.pack("<HHI", 0x1409, 0, 0x1002),
            struct.pack("<HHIH", 0x1400, 3, 0x1000, 8),
            struct.pack("<HHIIHH", 0x1401, 3, 0x1000, INT, 16, 1),
            method("plain", 0x1004),
            method("first", 0x1004, 0),
            method("__vecDelDtor", 0x1004, 0),
            struct.pack("<HHI", 0x150F, 2, 0x1005) + b"second\0",
            struct.pack("<HHI", 0x150E, 3, INT) + b"shared\0",
            struct.pack("<HHI", 0x1510, 0, INT) + b"nested\0",
            struct.pack("<HHI", 0x140A, 0, INT),
        ),
        structure("derived", 0x1006, 24, kind=0x1504),
    )
    assert found.fields == (
        Field("{vfptr}", 0, "2 slots*"),
        Field("{base base}", 8, "base"),
        Field("{virtual base base}", 16, "entry 1 of its table"),
    )
    assert found.vtable == (Field("first", 0, "void (int)"), Field("second", 8, "void (int)"))


def test_anonymous_types_are_spelled_by_their_content() -> None:
    direct = fields(
        field_list(member("a", INT, 0), member("b", LONGLONG, 0)),
        structure("s::<unnamed-tag>", 0x1000, 8, kind=0x1506),
        field_list(member("u", 0x1001, 8)),
        structure("s", 0x1002, 16),
    )
    assert direct == [("u", 8, "union {a int @0; b long long @0} of 8 bytes")]
    by_unique_name = fields(
        structure("s::<unnamed-type-u>", 0, 0, kind=0x1506, flags=FORWARD, unique=".?AT1@"),
        field_list(member("u", 0x1000, 8)),
        structure("s", 0x1001, 16),
        field_list(member("a", INT, 0), member("b", LONGLONG, 0)),
        structure("s::<unnamed-type-u>", 0x1003, 8, kind=0x1506, unique=".?AT1@"),
    )
    assert by_unique_name == direct


def test_enumerations() -> None:
    found = layout(field_list(enumerator("a", -1), enumerator("b", 7)), enumeration("e", 0x1000, 0x21))
    assert found == TypeLayout("e", TypeKind.ENUM, 2, (Field("a", -1, ""), Field("b", 7, "")), ())


def test_a_list_goes_on_in_another() -> None:
    assert fields(
        field_list(member("b", INT, 4)),
        field_list(member("a", INT, 0), struct.pack("<HHI", 0x1404, 0, 0x1000)),
        structure("s", 0x1001, 8),
    ) == [("a", 0, "int"), ("b", 4, "int")]


def test_one_name_may_have_several_layouts_and_none() -> None:
    found = type_layouts(
        types(
            field_list(member("a", INT, 0)),
            structure("s", 0x1000, 4),
            structure("s", 0x1000, 4),
            structure("s", 0x1000, 8),
            structure("declared", 0, 0, flags=FORWARD),
        )
    )
    assert [(item.name, item.size) for item in found] == [("s", 4), ("s", 8)]


@pytest.mark.parametrize(
    "name", ["<unnamed-tag>", "a::<lambda_1>", "f::$_0", "b<a::<lambda_2>>", "__unnamed_1"]
)
def test_compiler_names(name: str) -> None:
    assert is_compiler_named(name)
    assert type_layouts(types(field_list(member("a", INT, 0)), structure(name, 0x1000, 4))) == ()


@pytest.mark.parametrize("name", ["s", "a::b<int>", "`anonymous namespace'::s", "operator<", "cost$"])
def test_names_of_the_author(name: str) -> None:
    assert not is_compiler_named(name)


@pytest.mark.parametrize(("one", "other"), [("<lambda_1>", "<lambda_0f3a>"), ("f::$_0", "f::$_12")])
def test_numbers_of_closures_do_not_matter(one: str, other: str) -> None:
    def text(closure: str) -> str:
        name = f"call<{closure},void>"
        return fields(
            structure(name, 0, 0, flags=FORWARD),
            field_list(member("f", 0x1000, 0)),
            structure("s", 0x1001, 8),
        )[0][2]

    assert text(one) == text(other)


def test_long_spellings_stay_comparable() -> None:
    """Arguments that double the text at every step end in a digest; another type in the depth changes it."""

    def text(innermost: int) -> str:
        body = [record(0x1201, struct.pack("<III", 2, innermost, innermost))]
        for step in range(40):
            last = 0x1000 + 2 * step
            body.append(record(0x1008, struct.pack("<IBBHI", VOID, 0, 0, 2, last)))
            body.append(record(0x1201, struct.pack("<III", 2, last + 1, last + 1)))
        body.append(field_list(member("f", 0x1000 + 79, 0)))
        return fields(*body, structure("s", 0x1000 + 81, 8))[0][2]

    assert len(text(INT)) <= MAX_TEXT
    assert text(INT) == text(INT)
    assert text(INT) != text(CHAR)


def test_no_types_in_a_stripped_pdb() -> None:
    assert read_types(container([b"", b"", b""])) is None
    assert read_types(container([b"", b"", type_stream([])])) is None


@pytest.mark.parametrize(
    ("header", "code", "cause"),
    [
        ({"version": 19990903}, codes.PDB_UNSUPPORTED, "version"),
        ({"begin": 0x2000, "end": 0x2001}, codes.PDB_UNSUPPORTED, "first index"),
        ({"size": 1 << 20}, codes.PDB_STREAM_MALFORMED, "bytes of records"),
        ({"header": 4}, codes.PDB_STREAM_MALFORMED, "bytes of records"),
        ({"end": 0x1005}, codes.PDB_STREAM_MALFORMED, "the header says 5"),
        ({"end": 0xFFF}, codes.PDB_STREAM_MALFORMED, "bytes of records"),
        ({"end": 0xFFFFFFFF}, codes.PDB_LIMIT, "the limit is"),
    ],
)
def test_header_fail(header: dict[str, int], code: Code, cause: str) -> None:
    data = type_stream([pointer(INT)], **header)
    found, told = refused(lambda: read_types(container([b"", b"", data])))
    assert found is code
    assert cause in told


def test_header_cut_fail() -> None:
    assert refused(lambda: read_types(container([b"", b"", b"\1\2\3"])))[0] is codes.PDB_STREAM_MALFORMED


@pytest.mark.parametrize(
    ("records", "cause"),
    [
        ([structure("s", 0x1005, 4)], "not a list of fields"),
        ([field_list(struct.pack("<HHI", 0x1404, 0, 0x1000)), structure("s", 0x1000, 4)], "not a list"),
        ([field_list(struct.pack("<HHI", 0x1499, 0, INT)), structure("s", 0x1000, 4)], "kind 0x1499"),
        ([field_list(b"\x0d\x15\3\0"), structure("s", 0x1000, 4)], "field list"),
        ([field_list(struct.pack("<HHIH", 0x150D, 3, INT, 0x8010)), structure("s", 0x1000, 4)], "leaf"),
        ([record(0x1505, b"\0\0\0\0")], "type 0x1000"),
        ([field_list(struct.pack("<HHI", 0x150F, 2, INT) + b"m\0"), structure("s", 0x1000, 4)], "methods"),
        ([record(0x1002, b""), field_list(member("a", 0x1000, 0)), structure("s", 0x1001, 4)], "type 0x1000"),
        (
            [
                record(0x1201, struct.pack("<I", 1 << 30)),
                record(0x1008, struct.pack("<IBBHI", VOID, 0, 0, 2, 0x1000)),
                field_list(member("a", 0x1001, 0)),
                structure("s", 0x1002, 4),
            ],
            "arguments",
        ),
        (
            [
                *(pointer(0x1001 + n) for n in range(200)),
                field_list(member("a", 0x1000, 0)),
                structure("s", 0x10C8, 4),
            ],
            "nested too deeply",
        ),
    ],
)  # fmt: skip
def test_damaged_records_fail(records: list[bytes], cause: str) -> None:
    code, told = refused(lambda: type_layouts(types(*records)))
    assert code is codes.PDB_STREAM_MALFORMED
    assert cause in told


def test_too_many_members_fail(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(type_records, "MAX_MEMBERS", 2)
    records = field_list(*(member(name, INT, 0) for name in "abc")), structure("s", 0x1000, 4)
    assert refused(lambda: type_layouts(types(*records)))[0] is codes.PDB_LIMIT


def test_lists_that_are_shared_too_often_fail() -> None:
    """Each of many small types names the one long list of nested types, which has no members that count."""
    nested = [struct.pack("<HHI", 0x1510, 0, INT) + b"n\0"] * 5000
    records = [field_list(*nested), *(structure(f"S{index}", FIRST, 0) for index in range(2000))]
    assert refused(lambda: type_layouts(types(*records)))[0] is codes.PDB_LIMIT


def test_method_lists_that_are_shared_too_often_fail() -> None:
    overloads = record(0x1206, struct.pack("<HHI", 3, 0, INT) * 6000)
    methods = [struct.pack("<HHI", 0x150F, 1, FIRST) + b"m\0"] * 5000
    records = [overloads, field_list(*methods), structure("S", FIRST + 1, 0)]
    assert refused(lambda: type_layouts(types(*records)))[0] is codes.PDB_LIMIT


def test_argument_lists_that_are_shared_too_often_fail() -> None:
    name = structure("N" * 900, 0, 0, flags=0x80)
    arguments = record(0x1201, struct.pack("<I", 15000) + struct.pack("<I", FIRST) * 15000)
    procedures = [record(0x1008, struct.pack("<III", INT, 0, FIRST + 1)) for _ in range(40)]
    pointers = [member(f"p{index}", FIRST + 2 + index, 8 * index) for index in range(40)]
    last = FIRST + 2 + len(procedures)
    records = [name, arguments, *procedures, field_list(*pointers), structure("S", last, 320)]
    assert refused(lambda: type_layouts(types(*records)))[0] is codes.PDB_LIMIT


def test_an_enumeration_of_a_cut_pointer_fail() -> None:
    records = record(0x1002, b""), field_list(enumerator("a", 0)), enumeration("e", 0x1001, 0x1000)
    assert refused(lambda: type_layouts(types(*records)))[0] is codes.PDB_STREAM_MALFORMED


def test_a_method_of_cut_arguments_fail() -> None:
    records = (
        record(0x1201, struct.pack("<I", 5)),
        record(0x1009, struct.pack("<IIIBBHIi", VOID, 0, 0, 0, 0, 1, 0x1000, 0)),
        field_list(method("m", 0x1001, 0)),
        structure("s", 0x1002, 8),
    )
    code, cause = refused(lambda: type_layouts(types(*records)))
    assert code is codes.PDB_STREAM_MALFORMED
    assert "5 arguments" in cause


def test_an_array_of_a_cycle_ends() -> None:
    """Qualifiers of each other have no width."""
    assert fields(
        record(0x1001, struct.pack("<IHH", 0x1001, 1, 0)),
        record(0x1001, struct.pack("<IHH", 0x1000, 1, 0)),
        record(0x1503, struct.pack("<IIHB", 0x1000, 0x23, 12, 0)),
        field_list(member("a", 0x1002, 0)),
        structure("s", 0x1003, 12),
    ) == [("a", 0, "...[12 bytes]")]


def test_a_cycle_ends() -> None:
    assert fields(pointer(0x1000), field_list(member("a", 0x1000, 0)), structure("s", 0x1001, 8)) == [
        ("a", 0, "...*")
    ]


@settings(
    max_examples=300,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(choice=st.data())
def test_damaged_stream_is_refused_or_read(binaries: Path, choice: st.DataObject) -> None:
    data = bytearray(open_msf((binaries / "baseline" / "throwing.pdb").read_bytes(), "x").stream(2))
    for _ in range(choice.draw(st.integers(1, 6))):
        at = choice.draw(st.integers(0, 63) | st.integers(0, len(data) - 1))
        data[at] = choice.draw(st.sampled_from([0, 1, 0x10, 0x7F, 0x80, 0xFF]) | st.integers(0, 255))
    try:
        found = read_types(container([b"", b"", bytes(data)]))
        layouts = type_layouts(found) if found is not None else ()
    except HpbuildError:
        return
    assert list(layouts) == sorted(set(layouts))
