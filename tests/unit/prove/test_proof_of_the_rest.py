"""The whole proof again: lies about the patch image, redirections, tables and what is declared (P7 to P9)."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from hpbuild.codes import prove as codes
from hpbuild.manifest import model
from hpbuild.pe.exports import exports
from hpbuild.plan.model import Chunk, ChunkKind
from hpbuild.values import Digest, Interval

from .conftest import Story, failed, rewrite

Tell = Callable[..., Story]
Symbols = dict[str, Interval]


def test_p7_a_stowaway(tell: Tell) -> None:
    """Code in the patch image that the manifest does not name."""
    story = tell()
    extra = Chunk(
        kind=ChunkKind.CODE,
        name="stowaway",
        source=Interval(0, 3),
        size=3,
        content=b"\x31\xc0\xc3",
        alignment=16,
    )
    story.plan = replace(story.plan, chunks=(*story.plan.chunks, extra))
    story.link()
    assert failed(story.prove()) == {codes.UNACCOUNTED_PATCH_BYTES.id}


def test_p7_redirection_elsewhere(tell: Tell) -> None:
    story = tell()
    first, *others = story.module().redirections
    new = first.new[:1] + bytes([first.new[1] ^ 0x10]) + first.new[2:]
    proof = story.prove(redirections=(replace(first, new=new), *others))
    assert failed(proof) == {codes.REDIRECTION_WRONG.id}


def test_p7_redirection_of_nothing(tell: Tell) -> None:
    story = tell()
    first, *others = story.module().redirections
    proof = story.prove(redirections=(replace(first, function=7), *others))
    assert codes.REDIRECTION_WRONG.id in failed(proof)


def test_p7_function_not_redirected(tell: Tell) -> None:
    story = tell()
    story.plan = replace(story.plan, redirections=story.plan.redirections[:1])
    story.link()
    assert failed(story.prove()) == {codes.REDIRECTION_MISSING.id}


def test_p7_other_digest(tell: Tell) -> None:
    story = tell()
    story.functions[0] = replace(story.functions[0], baseline_sha256=Digest.of(b"other"))
    assert failed(story.prove()) == {codes.MANIFEST_DIGEST.id}


def test_p7_window_without_the_jump(tell: Tell) -> None:
    story = tell()
    first, *others = story.module().redirections
    window = Interval(first.window.start, first.window.start + 4)
    proof = story.prove(redirections=(replace(first, window=window, old=first.old[:4], new=b""), *others))
    assert failed(proof) == {codes.REDIRECTION_WRONG.id}


def test_p7_shared_entry(tell: Tell) -> None:
    """Two carried functions with one place in the baseline."""
    story = tell()
    story.functions[1] = replace(story.functions[1], baseline=story.functions[0].baseline)
    found = failed(story.prove())
    assert found >= {codes.REDIRECTION_TOUCHES_IDENTICAL.id, codes.MANIFEST_DIGEST.id}


def test_p7_folded_functions(tell: Tell, symbols: Symbols) -> None:
    """Something that stays in use corresponds to the entry that is redirected."""
    story = tell()
    part, shared = symbols["codec_decode"], symbols["codec_encode"]
    rewrite(story, "code", (part.start, part.end, part.start), (part.start, part.end, shared.start))
    assert codes.REDIRECTION_TOUCHES_IDENTICAL.id in failed(story.prove())


def test_p8_native_table(tell: Tell) -> None:
    story = tell()
    module = story.module()
    story.plan = replace(story.plan, redirections=story.plan.redirections[:1])
    story.link()
    assert failed(story.prove(redirections=module.redirections)) == {codes.NATIVE_TABLE_DISAGREES.id}


@pytest.mark.parametrize("more", [True, False])
def test_p8_fixups_that_the_native_table_has_not(tell: Tell, more: bool) -> None:
    """Of REL32 records only the place counts, in both directions. Where it is decides which step sees it."""
    story = tell()
    fixups = story.module().fixups
    entry = story.module().functions[0].patch[0].start
    sites = tuple(sorted((*fixups.rel32, entry))) if more else fixups.rel32[:-1]
    proof = story.prove(fixups=replace(fixups, rel32=sites))
    found = [finding for finding in proof.findings if finding.code is codes.NATIVE_TABLE_DISAGREES]
    assert [("a missing" if more else "an extra") in str(finding) for finding in found] == [True]


def test_p9_undeclared_export(tell: Tell) -> None:
    """Another entry in the export table: one name leads to another function."""
    story = tell()
    table = story.fixed.directories[0].start
    functions = story.fixed.u32(table + 28)
    first, second = story.fixed.read(functions, 4), story.fixed.read(functions + 4, 4)
    lie = ((functions, second), (functions + 4, first))
    assert failed(tell(*lie).prove()) == {codes.UNDECLARED_DIFFERENCE.id}


def test_p9_declared_export(tell: Tell) -> None:
    """An exclusion speaks for the export that it names, not for others."""
    story = tell()
    table = story.fixed.directories[0].start
    functions = story.fixed.u32(table + 28)
    second = story.fixed.u32(functions + 4)
    lie = (functions, second.to_bytes(4, "little"))
    named = {
        item.name: model.Exclusion(klass="export", place=item.name, cause="test")
        for item in exports(story.fixed)
    }
    first = next(item.name for item in exports(story.fixed) if item.rva == story.fixed.u32(functions))
    story = tell(lie)
    story.exclusions = [item for name, item in named.items() if name != first]
    assert failed(story.prove()) == {codes.UNDECLARED_DIFFERENCE.id}
    story.exclusions = [named[first]]
    assert story.prove().ok


def test_p9_declared_resource(tell: Tell) -> None:
    story = tell()
    at = story.fixed.directories[2].end - 4
    lie = (at, b"\x41")
    assert failed(tell(lie).prove()) == {codes.UNDECLARED_DIFFERENCE.id}
    story = tell(lie)
    story.exclusions = [model.Exclusion(klass="version-resource", place="VERSIONINFO", cause="test")]
    assert story.prove().ok
