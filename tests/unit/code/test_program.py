"""Facts about whole programs: laws that hold for every image, and what is in the example binaries."""

import struct
import tarfile
from collections import Counter
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hpbuild.code.decode import MAX_TARGET, RefKind
from hpbuild.code.model import FieldForm, Program
from hpbuild.code.program import load_program
from hpbuild.code.survey import executable_runs
from hpbuild.errors import HpbuildError
from hpbuild.pe.exports import exports
from hpbuild.pe.image import Image
from hpbuild.pe.imports import imports
from hpbuild.pe.reader import read_image
from hpbuild.pe.relocations import relocation_sites
from hpbuild.pe.symbols import SymbolKind, load_symbols
from hpbuild.pe.unwind import runtime_functions

BINARIES = Path(__file__).resolve().parents[3] / "testdata" / "bin"
EXAMPLES = sorted(str(path.relative_to(BINARIES)) for path in BINARIES.rglob("*.dll"))
WITH_PDB = [name for name in EXAMPLES if (BINARIES / name).with_suffix(".pdb").is_file()]
ARCHIVES = ("cjson--CVE-2025-57052", "tinyxml--CVE-2021-42260", "yajl--CVE-2017-16516")
ProgramOf = Callable[..., Program]


def check_partition(program: Program) -> None:
    """Fragments, filler and loader structures cover every executable byte exactly once, and no other."""
    image, f = program.image, program.fragments
    owners = np.zeros(image.size_of_image, dtype=np.int32)
    metadata = [(start, end) for _, start, end in program.metadata]
    for start, end in [*zip(f.start, f.end, strict=True), *program.padding.tolist()]:
        assert start < end
        owners[start:end] += 1
    for start, end in metadata:
        owners[start:end] += 1
    expected = np.zeros(image.size_of_image, dtype=np.int32)
    for start, end in metadata:
        expected[start:end] = 1
    for section in image.sections:
        if section.executable:
            expected[section.rva : section.rva + min(section.virtual_size, section.raw_size)] = 1
    wrong = np.flatnonzero(owners != expected)
    assert not len(wrong), f"{wrong[0]:#x} has {owners[wrong[0]]} owners, not {expected[wrong[0]]}"


def check_references(program: Program) -> None:
    """Ascending disjoint fields, each inside a code fragment; the bytes of each say its target."""
    image, f, r = program.image, program.fragments, program.references
    end = r.site + r.width
    assert (end[:-1] <= r.site[1:]).all()
    assert (f.start[r.fragment] <= r.site).all()
    assert (end + r.trailing <= f.end[r.fragment]).all()
    assert not f.opaque[r.fragment].any()
    for site, target, kind, width, trailing in zip(
        r.site.tolist(),
        r.target.tolist(),
        r.kind.tolist(),
        r.width.tolist(),
        r.trailing.tolist(),
        strict=True,
    ):
        value = int.from_bytes(image.read(site, width), "little", signed=True)
        if kind == RefKind.ABSOLUTE:
            value -= image.image_base
        elif kind != RefKind.IMAGE_BASE:
            value += site + width + trailing
        assert target == value or target in (-1, MAX_TARGET), f"{site:#x}: {target:#x} is not {value:#x}"


def check_fields(program: Program) -> None:
    """Ascending disjoint fields outside of code; base relocations are fields or ABSOLUTE."""
    image, f, d = program.image, program.fragments, program.fields
    width = np.where(d.form == FieldForm.ADDR64, 8, 4)
    assert (d.site[:-1] + width[:-1] <= d.site[1:]).all()
    owner = np.searchsorted(f.start, d.site, side="right") - 1
    inside = (
        (owner >= 0) & (d.site < f.end[owner]) & ~f.opaque[owner] if len(f) else np.zeros(len(d), dtype=bool)
    )
    assert not inside.any()
    absolute = program.references.site[program.references.kind == RefKind.ABSOLUTE]
    fields = d.site[d.form == FieldForm.ADDR64]
    assert sorted([*absolute.tolist(), *fields.tolist()]) == relocation_sites(image).tolist()
    for site, target, form, origin in zip(
        d.site.tolist(), d.target.tolist(), d.form.tolist(), d.origin.tolist(), strict=True
    ):
        value = int.from_bytes(image.read(site, 4), "little", signed=form == FieldForm.TABLE32)
        if form == FieldForm.TABLE32:
            assert target == value + origin
        elif form != FieldForm.ADDR64:
            assert target == value


def check_fragments(program: Program) -> None:
    """Roots are roots, opaque bytes carry no unwind record, every unwind row begins a fragment."""
    f = program.fragments
    assert (f.end[:-1] <= f.start[1:]).all()
    assert (f.root[f.root] == f.root).all()
    assert not f.unwind[f.opaque].any()
    assert not f.falls_through[f.opaque].any()
    rows = runtime_functions(program.image)
    assert set(rows.begin.tolist()) <= set(f.start.tolist())
    for number in range(0, len(f), max(1, len(f) // 50)):
        assert program.fragment_at(int(f.start[number])) == number
        assert program.fragment_at(int(f.end[number]) - 1) == number


def check_records(program: Program) -> None:
    """Records are ascending and disjoint; each that a fragment names is known or told to be unknown."""
    records = program.exceptions.records
    assert all(rva + size <= following for (rva, size), (following, _) in pairwise(records))
    read = {rva for rva, _ in records} | program.exceptions.unknown
    assert set(program.fragments.unwind.tolist()) - {0} == read


def check_laws(program: Program) -> None:
    check_partition(program)
    check_references(program)
    check_fields(program)
    check_fragments(program)
    check_records(program)


@pytest.mark.parametrize("name", EXAMPLES)
def test_laws_hold_for_examples(program_of: ProgramOf, name: str) -> None:
    check_laws(program_of(name, "none"))
    check_laws(program_of(name))


@pytest.mark.parametrize("archive", ARCHIVES)
def test_laws_hold_for_real_libraries(root: Path, tmp_path: Path, archive: str) -> None:
    """Made by clang and by GCC, with C and C++ exceptions, jump tables and thunks."""
    packed = root.parent / "shared" / "corpus" / f"{archive}.tar.xz"
    if not packed.is_file():
        pytest.skip(f"no ../shared/corpus/{packed.name} beside the checkout")
    with tarfile.open(packed) as tar:
        tar.extractall(tmp_path, filter="data")
    paths = sorted(tmp_path.rglob("baseline/*.dll"))
    assert len(paths) == 2
    for path in paths:
        image = read_image(path)
        program = load_program(image, load_symbols(image, path))
        check_laws(program)
        assert not program.exceptions.unknown
        assert int((program.fragments.end - program.fragments.start)[program.fragments.opaque].sum()) < 4096


@pytest.mark.parametrize("name", WITH_PDB)
def test_functions_without_symbols_are_those_of_the_pdb(program_of: ProgramOf, name: str) -> None:
    """Every function of the PDB is found from the image alone; what else is found are funclets of handlers,
    which have no symbols."""
    path = BINARIES / name
    symbols = load_symbols(read_image(path), path)
    named = {int(symbol.rva) for symbol in symbols.items if symbol.kind is SymbolKind.FUNCTION}
    program = program_of(name, "none")
    f = program.fragments
    found = {int(start) for start in f.start[(f.root == np.arange(len(f))) & ~f.opaque]}
    assert len(named) > 8
    assert named <= found
    assert found - named <= program.exceptions.funclets
    assert f.start.tolist() == program_of(name).fragments.start.tolist()


def test_names_come_from_symbols_or_exports(program_of: ProgramOf) -> None:
    full, bare = program_of("baseline/codec.dll"), program_of("baseline/codec.dll", "none")
    assert set(bare.names.values()) < set(full.names.values())
    assert set(bare.names.values()) == {name for _, name in bare.exported}
    assert {"codec_encode", "runlength_decode"} <= set(full.names.values())
    encode = next(number for number, name in bare.names.items() if name == "codec_encode")
    assert bare.name_of(encode) == full.name_of(encode) == "codec_encode"
    unnamed = next(number for number in range(len(bare.fragments)) if number not in bare.names)
    assert bare.name_of(unnamed) == f"sub_{bare.fragments.start[unnamed]:x}"
    assert full.name_of(unnamed) == full.names[unnamed]


@pytest.mark.parametrize("name", ["baseline/codec.dll", "baseline/throwing.dll"])
def test_exports_are_functions_or_data(program_of: ProgramOf, name: str) -> None:
    program = program_of(name)
    starts = program.fragments.start
    functions = {(int(starts[number]), text) for number, text in program.exported}
    everything = {(int(item.rva), item.name) for item in exports(program.image)}
    assert functions | set(program.exported_data) == everything
    assert {text for _, text in program.exported_data} == ({"codec_default"} if "codec" in name else set())
    assert all(not program.fragments.opaque[number] for number, _ in program.exported)


def test_slots_are_named_after_their_imports(program_of: ProgramOf) -> None:
    program = program_of("baseline/throwing.dll")
    assert set(program.slots.values()) == {
        "kernel32.dll!OutputDebugStringA",
        "vcruntime140.dll!_CxxThrowException",
        "vcruntime140.dll!__C_specific_handler",
        "vcruntime140.dll!__CxxFrameHandler3",
    }
    assert set(program.slots) == {item.slot for item in imports(program.image)}
    called = program.references.target[program.references.kind == RefKind.MEMORY].tolist()
    assert set(program.slots) <= set(called)


def _function(program: Program, name: str) -> int:
    return next(number for number, text in program.names.items() if text == name)


def test_image_base_relative_table(program_of: ProgramOf) -> None:
    """`severity_name` is a leaf: it takes the image base and reads a table of RVAs in the constants."""
    program = program_of("baseline/throwing.dll")
    r = program.references
    rows = np.flatnonzero(r.fragment == _function(program, "severity_name"))
    assert r.kind[rows].tolist() == [RefKind.LEA, RefKind.IMAGE_BASE]
    assert r.target[rows[0]] == 0
    table = int(r.target[rows[1]])
    assert r.access[rows[1]] == 4
    texts = [
        bytes(program.image.memory[(rva := program.image.u32(table + at)) : rva + 4]) for at in (0, 4, 8)
    ]
    assert texts == [b"note", b"warn", b"erro"]


def test_jump_table_of_clang(program_of: ProgramOf) -> None:
    """Entries of the switch in `codec_transform` lead into that function; the fixed one has one case more."""
    sizes = []
    for name in ("baseline/codec.dll", "fixed/codec.dll"):
        program = program_of(name)
        f, d = program.fragments, program.fields
        number = _function(program, "codec_transform")
        into = (d.form == FieldForm.TABLE32) & (d.target >= f.start[number]) & (d.target < f.end[number])
        assert len(set(d.origin[into].tolist())) == 1
        assert d.site[into].tolist() == [int(d.origin[into][0]) + 4 * n for n in range(int(into.sum()))]
        sizes.append(int(into.sum()))
    assert sizes[1] == sizes[0] + 1


def test_scope_tables_name_filters(program_of: ProgramOf) -> None:
    """`read_or` has a filter, `copy_counted` a termination handler: funclets; so have `parse`, `sum` and
    `number_or_status` their destructors and catch blocks."""
    program = program_of("baseline/throwing.dll")
    f = program.fragments
    assert program.exceptions.funclets <= set(f.start.tolist())
    assert len(program.exceptions.funclets) == 7
    assert not program.exceptions.unknown
    ends = program.fields.target[program.fields.form == FieldForm.END32NB]
    assert len(ends) == 2
    owners = {program.name_of(program.fragment_at(int(end) - 1)) for end in ends}
    assert owners == {"read_or", "copy_counted"}


def test_executable_runs_leave_loader_structures_out(program_of: ProgramOf) -> None:
    image = program_of("baseline/codec.dll").image
    section = next(section for section in image.sections if section.executable)
    start, end = int(section.rva), int(section.rva) + section.virtual_size
    assert executable_runs(image, ()) == [(start, end)]
    metadata = [("a", start + 16, start + 32), ("b", start - 8, start + 4), ("c", end - 4, end + 64)]
    assert executable_runs(image, metadata) == [(start + 4, start + 16), (start + 32, end - 4)]
    assert executable_runs(image, [("a", start, start + 8), ("b", start + 8, end)]) == []
    assert executable_runs(image, [("a", start + 1, end - 1)]) == [(start, start + 1), (end - 1, end)]
    assert executable_runs(image, [("a", 0, start), ("b", end, end + 8)]) == [(start, end)]


CODEC = {
    "functions": 39,
    "fragments": 39,
    "opaque": 0,
    "references": {"LEA": 19, "CALL": 17, "MEMORY": 36},
    "fields": {"ADDR64": 16, "TABLE32": 65},
    "unwind records": 33,
    "filler runs": 34,
    "filler bytes": 256,
    "import slots": 6,
}


def summary(program: Program) -> dict[str, object]:
    f = program.fragments
    return {
        "functions": int((f.root == np.arange(len(f))).sum()),
        "fragments": len(f),
        "opaque": int(f.opaque.sum()),
        "references": dict(Counter(RefKind(kind).name for kind in program.references.kind.tolist())),
        "fields": dict(Counter(FieldForm(form).name for form in program.fields.form.tolist())),
        "unwind records": len(program.exceptions.records),
        "filler runs": len(program.padding),
        "filler bytes": int((program.padding[:, 1] - program.padding[:, 0]).sum()),
        "import slots": len(program.slots),
    }


def test_summary_of_codec(program_of: ProgramOf) -> None:
    found = summary(program_of("baseline/codec.dll"))
    assert found == CODEC, (
        "What is found in codec.dll has changed. When the binary was rebuilt (see `testdata/SHA256SUMS`),"
        " look at the new counts and write them down here. When it was not: fewer references or fields mean"
        " that addresses are taken for plain numbers, which makes wrong patches; more of them, that numbers"
        " are taken for addresses; other functions or filler, that boundaries moved. `objdump -d` and the"
        " PDB's function list say who is right; only then change the numbers."
    )


def test_same_image_same_program(program_of: ProgramOf) -> None:
    first = program_of("baseline/throwing.dll")
    again = load_program(first.image, first.symbols)
    for part in ("fragments", "references", "fields"):
        for column in getattr(first, part).__slots__:
            one, two = getattr(getattr(first, part), column), getattr(getattr(again, part), column)
            assert one.tolist() == two.tolist(), f"{part}.{column}"
    assert list(first.exceptions.records) == list(again.exceptions.records)
    assert first.exceptions.unknown == again.exceptions.unknown
    assert first.exceptions.funclets == again.exceptions.funclets
    assert first.names == again.names


def test_progress_is_told(program_of: ProgramOf) -> None:
    known = program_of("baseline/codec.dll")
    told: list[tuple[int, int]] = []
    load_program(known.image, known.symbols, lambda done, total: told.append((done, total)))
    assert told
    assert all(0 <= done <= total for done, total in told)


def _with_records(
    analyse: Callable[..., Program], const: bytes, *records: int
) -> tuple[tuple[int, int], ...]:
    """(RVA, size) of the records at those places, each of a function of one byte."""
    rows = tuple((0x1000 + 16 * n, 0x1001 + 16 * n, rva) for n, rva in enumerate(records))
    program = analyse(text=(b"\xc3" + b"\xcc" * 15) * 4, const=const, rows=rows)
    return tuple(program.exceptions.records)


HANDLED = struct.pack("<BBBBI", 1 | 1 << 3, 0, 0, 0, 0x1030)
"""A record whose handler is at 0x1030, without any data."""
SCOPES = struct.pack("<IIIII", 1, 0x1000, 0x1001, 1, 0x1010)
LEAF = bytes([1, 0, 0, 0])


def test_data_of_a_wrapped_handler(analyse: Callable[..., Program]) -> None:
    """Scope table, then the 4 bytes that the stack-cookie handler has for itself: part of the record."""
    const = HANDLED + SCOPES + struct.pack("<I", 0x20) + LEAF
    assert _with_records(analyse, const, 0x3000, 0x3020) == ((0x3000, 32), (0x3020, 4))


def test_bytes_far_behind_a_record_are_not_its_own(analyse: Callable[..., Program]) -> None:
    const = HANDLED + SCOPES + bytes(16) + LEAF
    assert _with_records(analyse, const, 0x3000, 0x302C) == ((0x3000, 28), (0x302C, 4))


def test_handler_without_data(analyse: Callable[..., Program]) -> None:
    """The head of the next record reads like a stack-cookie's data; it is not."""
    assert _with_records(analyse, HANDLED * 2 + bytes(16), 0x3000, 0x3008) == ((0x3000, 8), (0x3008, 12))


def test_record_of_unknown_form_is_told(analyse: Callable[..., Program]) -> None:
    program = analyse(text=b"\xc3", const=HANDLED + b"\xee" * 64, rows=((0x1000, 0x1001, 0x3000),))
    assert program.exceptions.unknown == {0x3000}
    assert tuple(program.exceptions.records) == ((0x3000, 8),)


TOUGH = st.lists(
    st.one_of(
        st.binary(min_size=1, max_size=12),
        st.sampled_from(
            [
                bytes.fromhex(text)
                for text in (
                    "c3", "cc" * 5, "90", "06", "00" * 9, "e8 20000000", "e9 f0ffffff", "7405", "eb80",
                    "488d0d f91f0000 48630481 4801c8 ffe0", "488d0d ffffff7f 48630481 4801c8 ffe0",
                    "488d15 f9efffff 8b8c82 18100000 4801d1 ffe1", "488d15 f9efffff 8b8c82 00300000",
                    "1410000018100000",
                )
            ]
        ),
    ),
    max_size=24,
).map(b"".join)  # fmt: skip


@settings(max_examples=150)
@given(text=TOUGH, const=st.binary(max_size=64), cuts=st.lists(st.integers(0, 250), max_size=6, unique=True))
def test_hostile_code(build: Callable[..., Image], text: bytes, const: bytes, cuts: list[int]) -> None:
    """Any bytes as code, any as constants, any unwind rows: the laws hold or the image is refused."""
    body = text.ljust(0x100, b"\xcc")
    borders = [0x1000 + cut for cut in sorted(cuts)]
    rows = tuple((a, b, 0x3000 + 4 * n) for n, (a, b) in enumerate(pairwise(borders)))
    image = build(
        text=body, const=(bytes([1, 0, 0, 0]) * 6 + const).ljust(88, b"\0"), rows=rows, pointers=(0x3020,)
    )
    program = load_program(image, load_symbols(image, None))
    check_partition(program)
    check_references(program)
    check_fields(program)
    check_fragments(program)


ADDRESS = st.integers(0, 0x6000).map(lambda rva: struct.pack("<I", rva))
EDIT = st.tuples(st.integers(0x400, 6143), st.one_of(st.binary(min_size=1, max_size=8), ADDRESS))


@settings(max_examples=60)
@given(edits=st.lists(EDIT, min_size=1, max_size=6))
def test_damaged_module(damaged: Callable[..., Image], edits: list[tuple[int, bytes]]) -> None:
    """Spoiled bytes anywhere behind the headers: a program that keeps the partition, or a refusal."""
    try:
        image = damaged("baseline/throwing.dll", edits)
        program = load_program(image, load_symbols(image, None))
    except HpbuildError:
        return
    check_partition(program)
    check_references(program)
