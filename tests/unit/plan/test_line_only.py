"""Packages of pairs in which some functions differ by line numbers alone."""

from pathlib import Path

import pytest

from hpbuild.codes import plan as codes
from hpbuild.manifest.model import LINE_ONLY
from hpbuild.pipeline import BuildRequest, BuildResult, DiffOptions, build, diff_modules
from tests.assembled import RET, Dll, datum, function

R8D = b"\x41\xb8"
"""mov r8d, imm32"""


def constant(opcode: bytes, value: int) -> bytes:
    return opcode + value.to_bytes(4, "little")


def image(lines: tuple[int, int], limit: int) -> bytes:
    """``checked`` asserts: it tells a function of another image a text, the name of its source and its lines;
    ``bounded`` works with a limit."""
    report = [
        part
        for line in lines
        for part in (
            ("lea rcx", "text"),
            ("lea rdx", "file"),
            constant(R8D, line),
            ("call slot", "import report"),
        )
    ]
    return Dll(
        code=(
            function("checked", *report, RET),
            # mov eax, limit; ret
            function("bounded", constant(b"\xb8", limit), RET, b"\x90" * 8),
        ),
        constants=(datum("file", b"src/check.c\0"), datum("text", b"size > 0\0")),
        imports=("report",),
    ).file()


def files(folder: Path, baseline: bytes, fixed: bytes) -> tuple[Path, Path]:
    paths = (folder / "old" / "tiny.dll", folder / "new" / "tiny.dll")
    for path, content in zip(paths, (baseline, fixed), strict=True):
        path.parent.mkdir()
        path.write_bytes(content)
    return paths


def built(paths: tuple[Path, Path]) -> BuildResult:
    request = BuildRequest(
        baseline=paths[0], fixed=paths[1], id="test-1", sequence=1, product="test", advisories=(), created=""
    )
    return build(request, lambda *_: None)


def test_lines_are_declared_and_not_carried(tmp_path: Path) -> None:
    result = built(files(tmp_path, image((10, 20), 64), image((14, 24), 32)))
    (module,) = result.manifest.modules
    assert [item.name for item in module.functions] == ["bounded"]
    (line,) = [item for item in module.exclusions if item.klass == LINE_ONLY]
    assert (line.place, len(line.fixed)) == ("checked", 2)
    assert codes.LINE_ONLY.id in {item.code for item in module.findings}
    (proof,) = result.proofs
    assert [str(finding) for finding in proof.findings] == []
    assert proof.ok


def test_nothing_but_lines_is_nothing_to_patch(tmp_path: Path) -> None:
    paths = files(tmp_path, image((10, 20), 64), image((14, 24), 64))
    result = built(paths)
    assert (result.manifest.modules, result.members, result.refused) == ((), {}, False)
    (diff,) = diff_modules(*paths, DiffOptions(), lambda *_: None)
    assert [(item.name, item.line_only) for item in diff.difference.functions] == [("checked", True)]
    assert diff.verdict == "nothing-to-patch"
    assert (diff.difference.summary.changed, diff.difference.summary.line_only) == (0, 1)


@pytest.mark.parametrize("lines", [(24, 14), (10, 1), (10, 24), (14, 25)])
def test_constants_that_are_no_lines_are_carried(tmp_path: Path, lines: tuple[int, int]) -> None:
    """What cannot be lines of one file, or did not move together, is a change of the program."""
    result = built(files(tmp_path, image((10, 20), 64), image(lines, 64)))
    (module,) = result.manifest.modules
    assert [item.name for item in module.functions] == ["checked"]
    assert not [item for item in module.exclusions if item.klass == LINE_ONLY]
