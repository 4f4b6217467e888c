"""Comparing example binaries and mutated copies of them, for the tests of ``hpbuild.match``."""

import struct
from collections.abc import Mapping
from functools import cache
from pathlib import Path

import numpy as np

from hpbuild.code.model import Program
from hpbuild.code.program import load_program
from hpbuild.match.comparison import Comparison, compare
from hpbuild.match.facts import describe
from hpbuild.match.functions import groups
from hpbuild.match.model import Change, DatumChange, Difference
from hpbuild.pe.image import Image
from hpbuild.pe.reader import parse_image, read_image
from hpbuild.pe.symbols import Symbols, load_symbols
from hpbuild.values import Interval

BINARIES = Path(__file__).resolve().parent.parent / "testdata" / "bin"
PAIRS = ("codec", "throwing", *sorted(f"variants/{path.name}" for path in (BINARIES / "variants").iterdir()))
NO_SYMBOLS = Symbols(source="none", items=())
Fact = tuple[Change, tuple[Interval, ...], tuple[Interval, ...]]


def example(pair: str, side: str) -> Path:
    """The DLL of a pair: 'codec', 'throwing' or 'variants/NAME'; ``side`` is 'baseline' or 'fixed'."""
    if pair.startswith("variants/"):
        return BINARIES / pair / side / "gadget.dll"
    return BINARIES / side / f"{pair}.dll"


@cache
def program(path: Path, symbols: str) -> Program:
    """An analysed file; ``symbols`` as in ``load_symbols``."""
    image = read_image(path)
    return load_program(image, load_symbols(image, path, symbols))


@cache
def compared(pair: str, symbols: str) -> Comparison:
    """Both sides of an example pair, compared."""
    return compare(program(example(pair, "baseline"), symbols), program(example(pair, "fixed"), symbols))


@cache
def difference(pair: str, symbols: str) -> Difference:
    """The facts about an example pair."""
    return describe(compared(pair, symbols))


def patched(image: Image, changes: Mapping[int, bytes]) -> bytes:
    """The file with other bytes at the given RVAs."""
    data = bytearray(image.data.whole())
    for rva, content in changes.items():
        section = image.section_at(rva)
        assert section is not None, f"no section at {rva:#x}"
        assert rva + len(content) <= section.rva + section.raw_size, f"{rva:#x} is not in the file"
        at = section.raw_offset + rva - section.rva
        data[at : at + len(content)] = content
    return bytes(data)


def flipped(image: Image, rva: int, mask: int = 1) -> bytes:
    """The file with one byte at ``rva`` changed."""
    return patched(image, {rva: bytes([image.read(rva, 1)[0] ^ mask])})


def restamped(data: bytes) -> bytes:
    """The file with another TimeDateStamp and CheckSum."""
    copy = bytearray(data)
    (header,) = struct.unpack_from("<I", copy, 0x3C)
    struct.pack_into("<I", copy, header + 8, 0x5F5E1001)
    struct.pack_into("<I", copy, header + 24 + 64, 0x00C0FFEE)
    return bytes(copy)


def mutant(original: Program, data: bytes) -> Program:
    """A program made of changed bytes, with the symbols of the original."""
    return load_program(parse_image(data, original.image.name), original.symbols)


def facts(original: Program, data: bytes) -> Difference:
    """What differs between a program and changed bytes of it."""
    return describe(compare(original, mutant(original, data)))


def names(difference: Difference, change: Change) -> list[str]:
    """Names of the functions with this fact, sorted."""
    return sorted(item.name for item in difference.functions if item.change is change)


def changed(difference: Difference) -> list[str]:
    """Names of the changed functions; there must be no others that are added or removed."""
    assert not names(difference, Change.ADDED), difference.functions
    assert not names(difference, Change.REMOVED), difference.functions
    return names(difference, Change.CHANGED)


def assert_complete(difference: Difference) -> None:
    """Every mapped byte of the fixed image is in exactly one class of the account."""
    assert sum(size for _, size in difference.account) == difference.mapped, difference.account
    assert all(size > 0 for _, size in difference.account)
    assert list(difference.account) == sorted(difference.account)


def assert_same(difference: Difference) -> None:
    """No change at all, and a complete account without a class for changes."""
    assert difference.functions == ()
    assert difference.data == ()
    assert_complete(difference)
    summary = difference.summary
    assert summary.identical == summary.functions_baseline == summary.functions_fixed > 0
    counts = (summary.changed, summary.added, summary.removed)
    assert (*counts, summary.data_changed, summary.data_added, summary.data_removed) == (0,) * 6
    assert not {name for name, _ in difference.account if name.startswith(("changed", "added"))}


def sites(analysed: Program) -> set[int]:
    """RVAs of all bytes of code that belong to a reference."""
    rows = zip(analysed.references.site.tolist(), analysed.references.width.tolist(), strict=True)
    return {site + n for site, width in rows for n in range(width)}


def function_at(analysed: Program, rva: int) -> str:
    """The name of the function that holds ``rva``."""
    fragment = analysed.fragment_at(rva)
    return analysed.name_of(int(analysed.fragments.root[fragment]))


def ranges_of(analysed: Program, name: str) -> list[range]:
    """Address ranges of the code of a named function."""
    table = analysed.fragments
    return [
        range(int(table.start[member]), int(table.end[member]))
        for root, members in groups(analysed).items()
        if analysed.name_of(root) == name
        for member in members
    ]


def referrers(analysed: Program, run: Interval) -> set[str]:
    """Names of the functions whose code names an address in ``run``."""
    rows = np.flatnonzero((analysed.references.target >= run.start) & (analysed.references.target < run.end))
    return {function_at(analysed, int(site)) for site in analysed.references.site[rows]}


def own_tables(original: Program, function: str, items: tuple[DatumChange, ...]) -> bool:
    """True when all of ``items`` are tables that lead into the middle of ``function`` (its jump tables, its
    scope tables) or its unwind records: they are part of the function and changed with it."""
    code = ranges_of(original, function)
    fields = original.fields
    inner = {
        site
        for site, target in zip(fields.site.tolist(), fields.target.tolist(), strict=True)
        if any(run.start < target <= run.stop for run in code)
    }
    owned = {int(original.fragments.unwind[original.fragment_at(run.start)]) for run in code}
    return all(
        any(site in range(item.start, item.end) for site in inner) or item.start in owned
        for change in items
        for item in (change.baseline, change.fixed)
        if item is not None
    )
