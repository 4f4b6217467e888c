"""Packages that a lying builder makes: what a C++ runtime needs of carried data, what jumps overwrite."""

import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from hpbuild.codes import prove as codes
from hpbuild.pipeline import BuildRequest, BuildResult, build
from tests.assembled import RET, Dll, Item, Part, datum, function

from .conftest import Story, failed

NONE = struct.pack("<I", 0)
BODY = function("other", b"\x31\xc0" + RET)
BEFORE = function("f", bytes.fromhex("31d2909090909090"), RET)


def word(*values: int) -> bytes:
    return struct.pack(f"<{len(values)}q", *values)


def packed(folder: Path, baseline: Dll, fixed: Dll) -> BuildResult:
    for name, dll in (("old", baseline), ("new", fixed)):
        (folder / name).mkdir()
        (folder / name / "tiny.dll").write_bytes(dll.file())
    return build(
        BuildRequest(
            baseline=folder / "old" / "tiny.dll",
            fixed=folder / "new" / "tiny.dll",
            id="test-1",
            sequence=1,
            product="test",
            advisories=(),
            created="",
            symbols="none",
        ),
        lambda *_: None,
    )


def found(result: BuildResult) -> set[str]:
    (proof,) = result.proofs
    return failed(proof)


def classes(body: Part, *constants: Item, first: tuple[Item, ...] = ()) -> tuple[Dll, Dll]:
    shared = (datum("kinds", word(0, 0), ("pointer", "other")), datum("name Base", b"4Base\0\0\0"))
    shared = (*shared, datum("type Base", ("pointer", "kinds+16"), ("pointer", "name Base")))
    after = function("f", body, b"\x90\x90", RET)
    return (
        Dll(code=(BEFORE, BODY), constants=shared, variables=(datum("t", bytes(32), exported=True),)),
        Dll(
            code=(after, BODY),
            constants=(*first, *shared, *constants),
            variables=(datum("t", bytes(32), exported=True),),
        ),
    )


ITANIUM = (
    datum("name New", b"3New\0\0\0\0"),
    datum(
        "type New",
        ("pointer", "kinds+16"),
        ("pointer", "name New"),
        struct.pack("<II", 0, 1),
        ("pointer", "type Base"),
        word(-0x17FD),
    ),
    datum("table", word(40, 0), ("pointer", "type New"), ("pointer", "other")),
)
MSVC = (
    datum("type", word(0, 0), b".?AVNew@@\0"),
    datum("hierarchy", struct.pack("<III", 0, 0, 1), ("rva", "bases")),
    datum("bases", ("rva", "base"), NONE),
    datum("base", ("rva", "type"), bytes(20), ("rva", "hierarchy")),
    datum("locator", struct.pack("<III", 1, 0, 0), ("rva", "type"), ("rva", "hierarchy"), ("rva", "locator")),
    datum("table", ("pointer", "locator"), ("pointer", "other")),
)


@pytest.mark.parametrize(("place", "constants"), [("table+24", ITANIUM), ("table+8", MSVC)])
@pytest.mark.parametrize("blind", [False, True])
def test_p5_table_without_its_head(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str, constants: tuple[Item, ...], blind: bool
) -> None:
    """``blind``: the builder does not know that anything belongs in front of a table."""
    if blind:
        nothing = np.zeros(0, dtype=np.int64)
        monkeypatch.setattr("hpbuild.match.atoms.table_heads", lambda _: (nothing, nothing, nothing))
    result = packed(tmp_path, *classes(("lea", place), *constants))
    assert found(result) == ({codes.TABLE_TORN.id} if blind else set())


@pytest.mark.parametrize("first", [False, True])
def test_p5_table_without_its_offsets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, first: bool) -> None:
    """The builder knows the two words that every table has, and not those of virtual bases. Behind the type
    information they come along by chance, and lie in front of the copy."""
    monkeypatch.setattr("hpbuild.code.class_types.ClassTypes.with_virtual_bases", lambda *_: frozenset[int]())
    *types, table = ITANIUM
    rest = types if first else [*types, table]
    result = packed(tmp_path, *classes(("lea", "table+24"), *rest, first=(table,) if first else ()))
    assert found(result) == ({codes.TABLE_TORN.id} if first else set())


def test_p5_carried_throw(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hpbuild.plan.traps.found_by_module", lambda *_: [])
    constants = (
        datum("type", word(0, 0), b".?AVNew@@\0"),
        datum("throw", NONE, NONE, NONE, ("rva", "types")),
        datum("types", struct.pack("<I", 1), ("rva", "kind")),
        datum("kind", struct.pack("<I", 1), ("rva", "type"), struct.pack("<iiii", 0, -1, 0, 8), NONE),
    )
    assert found(packed(tmp_path, *classes(("lea rdx", "throw"), *constants))) == {codes.CARRIED_THROW.id}


@pytest.mark.parametrize(
    ("code", "wrong"),
    [
        ("ffd0", True),  # call rax
        ("90ff5008", True),  # no-operation, then call [rax+8]: ends behind 4 bytes
        ("9090ff5008", False),  # it ends where the window does
        ("9090909090ffd0", False),
    ],
)
def test_p7_call_returns_into_the_jump(
    tell: Callable[..., Story], symbols: dict[str, object], code: str, wrong: bool
) -> None:
    entry = symbols["codec_encode"].start  # type: ignore[attr-defined]
    proof = tell(both=((entry, bytes.fromhex(code)),)).prove()
    assert (codes.CALL_RETURNS_INTO_JUMP.id in failed(proof)) is wrong


@pytest.mark.parametrize(("record", "built"), [(b"\1\0\0\0", True), (b"\1\4\1\0\4\x42\0\0", False)])
def test_filler_of_another_length_in_a_row(tmp_path: Path, record: bytes, built: bool) -> None:
    """A row that begins in front of its entry: with places that count from there it is another row."""
    sides = []
    for count, body in ((3, "31d2909090909090"), (6, "31c9909090909090")):
        filled = function("g", b"\xcc" * count, bytes.fromhex("4883ec2831c04883c428"), RET, exported=False)
        user = function("user", ("call", f"g+{count}"), RET)
        code = (function("f", bytes.fromhex(body), RET), user, filled)
        sides.append(Dll(code=code, records={"g": (record,)}))
    result = packed(tmp_path, *sides)
    findings = [finding.code.id for diff in result.diffs for finding in diff.findings]
    assert ("HP3006" in findings) is not built
    assert found(result) == set() if built else result.refused
