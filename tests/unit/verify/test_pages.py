"""Page digests: compared in every state, and with whatever else lies on the page."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from hpbuild.codes import verify as codes
from hpbuild.codes.pins import PAGE_DIFFERS
from hpbuild.errors import Code, ExitStatus
from hpbuild.manifest.model import PagePin
from hpbuild.pe.exports import exports
from hpbuild.pe.reader import parse_image
from hpbuild.values import Digest, Rva
from hpbuild.verify import Verification
from hpbuild.verify.states import ModuleState, Tier


def looked_at(release, data: bytes, lowest: Tier = Tier.FUNCTIONS) -> Verification:
    path: Path = release.root.parent / "installed.dll"
    path.write_bytes(data)
    return release.verify(path, replace(release.policy, lowest_tier=lowest))


def of_windows(result: Verification) -> list[Code]:
    (check,) = [item for item in result.checks if item.number == "V14"]
    return [finding.code for finding in check.findings]


def beside(release) -> int:
    """RVA of code on a page that is written to, in nothing that the package records."""
    module = release.module
    image = parse_image(release.installed.read_bytes(), "x")
    recorded = [part for function in module.functions for part in function.baseline]
    recorded += [item.range for item in module.references]
    for page in module.pages:
        for export in exports(image):
            here = export.rva
            if page.rva <= here < page.rva + 0x1000 and not any(here in part for part in recorded):
                return int(here)
    raise AssertionError("the example has no such function")


def changed(data: bytes, rva: int) -> bytes:
    image = parse_image(data, "x")
    section = image.section_at(rva)
    assert section is not None
    at = section.raw_offset + rva - section.rva
    return data[:at] + bytes([data[at] ^ 0x10]) + data[at + 1 :]


def state(result: Verification) -> ModuleState | None:
    return result.modules[0].state


def test_the_builder_lists_every_page(release) -> None:
    windows = [item.window for item in release.module.redirections]
    assert {page.rva for page in release.module.pages} == {
        Rva(at - at % 0x1000) for window in windows for at in (window.start, window.end - 1)
    }


@pytest.mark.parametrize("lowest", [Tier.EXACT, Tier.FUNCTIONS])
def test_applicable(release, lowest: Tier) -> None:
    result = looked_at(release, release.installed.read_bytes(), lowest)
    assert (result.exit, of_windows(result)) == (ExitStatus.YES, [])
    (check,) = [item for item in result.checks if item.number == "V14"]
    assert dict(check.facts)["pages"] == len(release.module.pages)


def test_applied_without_its_own_redirections(release, applied: bytes) -> None:
    result = looked_at(release, applied)
    assert (result.exit, state(result), of_windows(result)) == (ExitStatus.YES, ModuleState.APPLIED, [])


def test_other_code_on_the_page_of_a_baseline(release) -> None:
    """Functions and references are all there: only the page tells, at the weakest tier too."""
    result = looked_at(release, changed(release.installed.read_bytes(), beside(release)))
    assert (result.exit, state(result)) == (ExitStatus.NOT_APPLICABLE, ModuleState.UNKNOWN_BASELINE)
    assert of_windows(result) == [PAGE_DIFFERS]


def test_other_code_on_the_page_of_a_patched_file(release, applied: bytes) -> None:
    result = looked_at(release, changed(applied, beside(release)))
    assert result.exit is ExitStatus.NOT_APPLICABLE
    assert state(result) is ModuleState.UNKNOWN_BASELINE
    assert of_windows(result) == [PAGE_DIFFERS]


def test_a_manifest_with_another_digest(release) -> None:
    wrong = tuple(PagePin(page.rva, Digest.of(b"another")) for page in release.module.pages)
    result = looked_at(release.with_module(pages=wrong), release.installed.read_bytes())
    assert (result.exit, state(result)) == (ExitStatus.NO, ModuleState.CONFLICT)
    assert of_windows(result) == [PAGE_DIFFERS] * len(wrong)


@pytest.mark.parametrize(
    ("which", "wanted"),
    [((9, (0, 1)), ModuleState.APPLIED_NEWER), ((3, (0,)), ModuleState.APPLIED_OLDER)],
)
def test_another_package_of_the_line_on_the_page(
    release, write_other: Callable[..., bytes], which: tuple[int, tuple[int, ...]], wanted: ModuleState
) -> None:
    assert state(looked_at(release, write_other(*which))) is wanted


def test_another_package_whose_redirection_is_not_ours(
    release, make_other: Callable, write_other: Callable[..., bytes]
) -> None:
    """Its entry is no entry of this package: that page cannot be compared, and is not held against it."""
    only_first = make_other(release.manifest.sequence, (0,))
    data = write_other(9, (0, 1))
    path: Path = release.root.parent / "installed.dll"
    path.write_bytes(data)
    result = only_first.verify(path, replace(release.policy, lowest_tier=Tier.FUNCTIONS))
    assert state(result) is ModuleState.APPLIED_NEWER
    assert codes.APPLIED_NEWER in [finding.code for finding in result.modules[0].findings]
