"""Another package of the line in the file: each test breaks one of the things that make it one."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from hpbuild.codes import verify as codes
from hpbuild.errors import ExitStatus
from hpbuild.manifest.model import Module
from hpbuild.patchimage.format import LOAD_CONFIG_SIZE
from hpbuild.pe.image import Image
from hpbuild.pe.reader import parse_image
from hpbuild.values import Digest
from hpbuild.verify import Verification
from hpbuild.verify.lineage import find_other
from hpbuild.verify.states import CheckStatus, ModuleState, Tier, Verdict

OWN = 7
OLDER, NEWER = OWN - 1, OWN + 1


def check_file(release, data: bytes) -> Verification:
    path = release.root.parent / "installed.dll"
    path.write_bytes(data)
    return release.verify(path)


def state_of(result: Verification) -> ModuleState | None:
    (module,) = result.modules
    return module.state


def table_offset(data: bytes) -> int:
    """File offset of the native hotpatch table in the last ``.hotp`` section."""
    section = next(each for each in parse_image(data, "i").sections if each.name == ".hotp")
    return section.raw_offset + LOAD_CONFIG_SIZE


def written(data: bytes, offset: int, content: bytes) -> bytes:
    return data[:offset] + content + data[offset + len(content) :]


def at(data: bytes, rva: int, content: bytes) -> bytes:
    section = parse_image(data, "i").section_at(rva)
    assert section is not None
    return written(data, section.raw_offset + rva - section.rva, content)


@pytest.mark.parametrize("functions", [(0, 1), (0,), (1,)])
@pytest.mark.parametrize(
    ("sequence", "state", "code"),
    [
        (OLDER, ModuleState.APPLIED_OLDER, codes.APPLIED_OLDER),
        (NEWER, ModuleState.APPLIED_NEWER, codes.APPLIED_NEWER),
    ],
)
def test_the_state_and_its_code(release, write_other, functions, sequence, state, code) -> None:
    """Also when entry, place and size of the new code are this package's own, as with (0, 1)."""
    result = check_file(release, write_other(sequence, functions))
    assert (result.exit, result.verdict) == (ExitStatus.NOT_APPLICABLE, Verdict.NOT_APPLICABLE)
    assert state_of(result) is state
    failed = {check.number: check.findings for check in result.checks if check.status is CheckStatus.FAILED}
    assert set(failed) == {"V14", "V15"}
    assert {finding.code for findings in failed.values() for finding in findings} == {code}
    assert f"sequence {sequence}" in failed["V15"][0].cause
    assert result.modules[0].tier is Tier.SECTIONS


def test_more_redirections_than_this_package_has(make_other, write_other) -> None:
    """The newer package redirects an entry that this one does not know: that is not held against the file,
    but what lies there cannot be compared."""
    result = check_file(make_other(OWN, (0,)), write_other(NEWER))
    assert (result.exit, state_of(result)) == (ExitStatus.NOT_APPLICABLE, ModuleState.APPLIED_NEWER)
    assert result.modules[0].tier is Tier.FUNCTIONS


def test_the_same_sequence_with_other_code_is_a_conflict(release, write_other) -> None:
    """Two packages with one sequence: somebody made one of them out of turn."""
    result = check_file(release, write_other(OWN, (1,)))
    assert (result.exit, state_of(result)) == (ExitStatus.NOT_APPLICABLE, ModuleState.UNKNOWN_BASELINE)


# Each thing that the recognition rests on


def broken_digest(data: bytes) -> bytes:
    """One bit of the baseline's SHA-256 in the table (behind INFO, list and BASE)."""
    offset = table_offset(data) + 28 + 4 + 32
    return written(data, offset, bytes([data[offset] ^ 1]))


def broken_stamp(data: bytes) -> bytes:
    offset = table_offset(data) + 28 + 4 + 8
    return written(data, offset, bytes([data[offset] ^ 1]))


def broken_checksum(data: bytes) -> bytes:
    offset = table_offset(data) + 28 + 4 + 12
    return written(data, offset, bytes([data[offset] ^ 1]))


def broken_version(data: bytes) -> bytes:
    return written(data, table_offset(data), b"\x09")


def no_table(data: bytes) -> bytes:
    return data.replace(b".hotp\0", b".hotq\0")


@pytest.mark.parametrize("harm", [broken_digest, broken_stamp, broken_checksum, broken_version, no_table])
def test_a_table_that_does_not_name_this_baseline(
    release, write_other, harm: Callable[[bytes], bytes]
) -> None:
    result = check_file(release, harm(write_other(OLDER, (1,))))
    assert (result.exit, state_of(result)) == (ExitStatus.NOT_APPLICABLE, ModuleState.UNKNOWN_BASELINE)


def test_two_tables(release, write_other) -> None:
    """Which of two is in effect cannot be told."""
    data = write_other(OLDER, (1,)).replace(b".reloc\0\0", b".hotp\0\0\0")
    assert sum(1 for each in parse_image(data, "i").sections if each.name == ".hotp") == 2 + 1
    assert state_of(check_file(release, data)) is not ModuleState.APPLIED_OLDER


def test_an_entry_that_leads_elsewhere(release, write_other) -> None:
    """The table says where each entry leads; one that leads past that place is a hook under cover."""
    data = write_other(OLDER, (1,))
    entry = release.module.redirections[1].entry
    distance = parse_image(data, "i").read(entry, 5)[1] + 1
    result = check_file(release, at(data, entry + 1, bytes([distance])))
    assert (result.exit, state_of(result)) == (ExitStatus.NOT_APPLICABLE, ModuleState.UNKNOWN_BASELINE)


def test_a_hook_beside_the_other_package(release, write_other) -> None:
    """The other package redirects the second entry only; somebody has hooked the first."""
    data = at(write_other(OLDER, (1,)), release.module.redirections[0].entry, bytes.fromhex("e911223344"))
    result = check_file(release, data)
    assert (result.exit, state_of(result)) == (ExitStatus.NOT_APPLICABLE, ModuleState.UNKNOWN_BASELINE)


def test_a_function_that_differs_beside_the_other_package(release, write_other) -> None:
    last = release.module.functions[0].baseline[0].end - 2
    result = check_file(release, at(write_other(OLDER, (1,)), last, b"\x90"))
    assert (result.exit, state_of(result)) == (ExitStatus.NOT_APPLICABLE, ModuleState.UNKNOWN_BASELINE)


def found_in(module: Module, data: bytes, sequence: int = OWN) -> object:
    return find_other(module.baseline, parsed(data), sequence)


def parsed(data: bytes) -> Image:
    return parse_image(data, "installed.dll")


def test_nothing_is_found_in_the_baseline_or_in_this_package(release, applied: bytes) -> None:
    assert found_in(release.module, release.installed.read_bytes()) is None
    assert found_in(release.module, applied) is None
    assert found_in(release.module, applied, OLDER) is not None


def test_a_target_inside_the_baseline_is_no_package(release, write_other) -> None:
    """With a smaller baseline the patch's code would count as added, with a larger one it must not."""
    data = write_other(OLDER)
    larger = replace(release.module.baseline, size_of_image=parsed(data).size_of_image)
    assert find_other(larger, parsed(data), OWN) is None
    other_file = replace(release.module.baseline, sha256=Digest(bytes(32)))
    assert find_other(other_file, parsed(data), OWN) is None
