"""States of one module: each test changes one thing in the installed file or in the manifest."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from hpbuild.codes import verify as codes
from hpbuild.codes.pins import PAGE_DIFFERS
from hpbuild.errors import Code, ExitStatus
from hpbuild.pe.authenticode import authenticode_digest
from hpbuild.pe.image import Image
from hpbuild.pe.reader import parse_image
from hpbuild.values import Digest, Interval
from hpbuild.verify import Verification
from hpbuild.verify.states import CheckStatus, ModuleState, Tier, Verdict

PIN, FUNCTIONS, REFERENCES, WINDOWS, STATE = "V11", "V12", "V13", "V14", "V15"


def failed(result: Verification) -> dict[str, list[Code]]:
    return {
        check.number: [finding.code for finding in check.findings]
        for check in result.checks
        if check.status is CheckStatus.FAILED
    }


def check_file(release, data: bytes, lowest: Tier = Tier.AUTHENTICODE) -> Verification:
    """Verify the release against a file with these bytes."""
    path = release.root.parent / "installed.dll"
    path.write_bytes(data)
    return release.verify(path, replace(release.policy, lowest_tier=lowest))


def state_of(result: Verification) -> ModuleState | None:
    (module,) = result.modules
    return module.state


def patched(data: bytes, rva: int, content: bytes) -> bytes:
    """``data`` with ``content`` at an RVA."""
    offset = _offset(parse_image(data, "image"), rva)
    return data[:offset] + content + data[offset + len(content) :]


def _offset(image: Image, rva: int) -> int:
    section = image.section_at(rva)
    assert section is not None
    return section.raw_offset + rva - section.rva


def signed(data: bytes) -> bytes:
    """``data`` with something in its certificate table, as a signing tool would add it."""
    padded = data + bytes(-len(data) % 8)
    table = (16).to_bytes(4, "little") + b"\0\2\2\0" + bytes(8)
    pe = int.from_bytes(data[0x3C:0x40], "little")
    entry = pe + 24 + 112 + 8 * 4
    changed = bytearray(padded + table)
    changed[entry : entry + 8] = len(padded).to_bytes(4, "little") + len(table).to_bytes(4, "little")
    changed[pe + 24 + 64] ^= 0x55  # CheckSum
    return bytes(changed)


def stamped(data: bytes) -> bytes:
    """``data`` with another time stamp in its COFF header: no longer the same Authenticode digest."""
    pe = int.from_bytes(data[0x3C:0x40], "little")
    return data[: pe + 8] + bytes([data[pe + 8] ^ 1]) + data[pe + 9 :]


def other_resource(data: bytes) -> bytes:
    """``data`` with another byte in the resources, which nothing in the package refers to."""
    section = next(each for each in parse_image(data, "image").sections if each.name == ".rsrc")
    at = section.raw_offset + section.virtual_size - 2
    return data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]


# What the file is


def test_exact(release) -> None:
    result = release.verify(release.installed)
    (module,) = result.modules
    assert (result.exit, result.verdict) == (ExitStatus.YES, Verdict.VERIFIED)
    assert (module.state, module.tier, module.installed) == (
        ModuleState.APPLICABLE,
        Tier.EXACT,
        release.installed,
    )


def test_a_resigned_baseline_matches_at_authenticode(release) -> None:
    data = signed(release.installed.read_bytes())
    assert (
        authenticode_digest(parse_image(data, "i"), cross_check=True) == release.module.baseline.authenticode
    )
    result = check_file(release, data)
    assert (result.exit, result.modules[0].tier) == (ExitStatus.YES, Tier.AUTHENTICODE)
    result = check_file(release, data, Tier.EXACT)
    assert (result.exit, state_of(result)) == (ExitStatus.NOT_APPLICABLE, ModuleState.UNKNOWN_BASELINE)
    assert failed(result) == {PIN: [codes.TIER_TOO_LOW], STATE: [codes.UNKNOWN_BASELINE]}


def test_a_restamped_baseline_matches_at_sections(release) -> None:
    data = stamped(release.installed.read_bytes())
    result = check_file(release, data)
    assert (result.exit, state_of(result)) == (ExitStatus.NOT_APPLICABLE, ModuleState.UNKNOWN_BASELINE)
    assert failed(result) == {PIN: [codes.TIER_TOO_LOW], STATE: [codes.UNKNOWN_BASELINE]}
    result = check_file(release, data, Tier.SECTIONS)
    assert (result.exit, result.modules[0].tier) == (ExitStatus.YES, Tier.SECTIONS)


def test_another_resource_matches_at_functions(release) -> None:
    data = other_resource(release.installed.read_bytes())
    for lowest in (Tier.EXACT, Tier.AUTHENTICODE, Tier.SECTIONS):
        result = check_file(release, data, lowest)
        assert (result.exit, state_of(result)) == (ExitStatus.NOT_APPLICABLE, ModuleState.UNKNOWN_BASELINE)
        assert failed(result) == {PIN: [codes.TIER_TOO_LOW], STATE: [codes.UNKNOWN_BASELINE]}
    result = check_file(release, data, Tier.FUNCTIONS)
    assert (result.exit, state_of(result)) == (ExitStatus.YES, ModuleState.APPLICABLE)
    assert result.modules[0].tier is Tier.FUNCTIONS


def test_another_image_base_matches_at_no_tier(release) -> None:
    """Pointers of the new code into the baseline would be made for the pinned base."""
    data = release.installed.read_bytes()
    at = int.from_bytes(data[0x3C:0x40], "little") + 24 + 24
    rebased = data[:at] + (0x190000000).to_bytes(8, "little") + data[at + 8 :]
    result = check_file(release, rebased, Tier.FUNCTIONS)
    assert (result.exit, state_of(result)) == (ExitStatus.NOT_APPLICABLE, ModuleState.UNKNOWN_BASELINE)
    assert failed(result) == {PIN: [codes.PIN_MISMATCH], STATE: [codes.UNKNOWN_BASELINE]}


@pytest.mark.parametrize("lowest", Tier)
def test_the_fixed_build_is_not_needed(release, lowest: Tier) -> None:
    result = check_file(release, (release.fixed_root / "codec.dll").read_bytes(), lowest)
    assert (result.exit, result.verdict) == (ExitStatus.NOT_APPLICABLE, Verdict.NOT_APPLICABLE)
    assert state_of(result) is ModuleState.NOT_NEEDED
    assert failed(result) == {STATE: [codes.NOT_NEEDED]}


def test_a_resigned_fixed_build_is_not_needed(release) -> None:
    data = signed((release.fixed_root / "codec.dll").read_bytes())
    assert state_of(check_file(release, data)) is ModuleState.NOT_NEEDED
    assert state_of(check_file(release, data, Tier.EXACT)) is ModuleState.UNKNOWN_BASELINE


@pytest.mark.parametrize("lowest", Tier)
def test_any_other_file_is_unknown(release, binaries: Path, lowest: Tier) -> None:
    result = check_file(release, (binaries / "baseline" / "throwing.dll").read_bytes(), lowest)
    assert (result.exit, state_of(result)) == (ExitStatus.NOT_APPLICABLE, ModuleState.UNKNOWN_BASELINE)
    found = failed(result)
    assert (found[PIN], found[STATE]) == ([codes.PIN_MISMATCH], [codes.UNKNOWN_BASELINE])
    assert set(found[FUNCTIONS]) == {codes.FUNCTION_DIFFERS}
    assert set(found[REFERENCES]) == {codes.REFERENCE_DIFFERS}
    assert set(found[WINDOWS]) == {codes.WINDOW_FOREIGN, PAGE_DIFFERS}


@pytest.mark.parametrize("data", [b"", b"text", b"MZ" + bytes(300)])
def test_a_file_that_is_no_image(release, data: bytes) -> None:
    result = check_file(release, data)
    assert (result.exit, state_of(result)) == (ExitStatus.NOT_APPLICABLE, ModuleState.UNKNOWN_BASELINE)
    assert failed(result) == {PIN: [codes.MODULE_NOT_PE], STATE: [codes.UNKNOWN_BASELINE]}
    assert "HP10" in result.modules[0].findings[0].cause


def test_a_file_whose_relocations_are_torn(release) -> None:
    data = release.installed.read_bytes()
    section = next(each for each in parse_image(data, "i").sections if each.name == ".reloc")
    broken = data[: section.raw_offset + 4] + b"\7\0\0\0" + data[section.raw_offset + 8 :]
    result = check_file(release, broken)
    assert (result.exit, state_of(result)) == (ExitStatus.NOT_APPLICABLE, ModuleState.UNKNOWN_BASELINE)
    assert failed(result) == {PIN: [codes.MODULE_NOT_PE], STATE: [codes.UNKNOWN_BASELINE]}


# Each byte that the package relies on


def test_a_replaced_function_that_differs(release) -> None:
    function = release.module.functions[0]
    data = patched(release.installed.read_bytes(), function.baseline[0].end - 2, b"\x90")
    result = check_file(release, data, Tier.FUNCTIONS)
    assert (result.exit, state_of(result)) == (ExitStatus.NOT_APPLICABLE, ModuleState.UNKNOWN_BASELINE)
    assert failed(result) == {
        PIN: [codes.PIN_MISMATCH], FUNCTIONS: [codes.FUNCTION_DIFFERS], WINDOWS: [PAGE_DIFFERS],
        STATE: [codes.UNKNOWN_BASELINE],
    }  # fmt: skip


def test_something_referred_to_that_differs(release) -> None:
    reference = next(item for item in release.module.references if item.sha256 is not None)
    data = patched(release.installed.read_bytes(), reference.range.start, b"\xc3")
    result = check_file(release, data, Tier.FUNCTIONS)
    assert (result.exit, state_of(result)) == (ExitStatus.NOT_APPLICABLE, ModuleState.UNKNOWN_BASELINE)
    assert failed(result) == {
        PIN: [codes.PIN_MISMATCH], REFERENCES: [codes.REFERENCE_DIFFERS], WINDOWS: [PAGE_DIFFERS],
        STATE: [codes.UNKNOWN_BASELINE],
    }  # fmt: skip


def test_writable_data_may_differ(release) -> None:
    reference = next(item for item in release.module.references if item.sha256 is None)
    data = patched(release.installed.read_bytes(), reference.range.start, b"\x7f")
    assert check_file(release, data, Tier.FUNCTIONS).exit is ExitStatus.YES


@pytest.mark.parametrize("hook", ["e911223344", "ebfe", "ff2500000000", "cc"])
def test_a_foreign_hook_is_a_conflict(release, hook: str) -> None:
    entry = release.module.redirections[0].entry
    data = patched(release.installed.read_bytes(), entry, bytes.fromhex(hook))
    result = check_file(release, data)
    assert (result.exit, result.verdict, state_of(result)) == (
        ExitStatus.NOT_APPLICABLE, Verdict.NOT_APPLICABLE, ModuleState.CONFLICT,
    )  # fmt: skip
    found = failed(result)
    # A hook longer than the window changes its page too.
    assert (set(found[WINDOWS]) - {PAGE_DIFFERS}, found[STATE]) == ({codes.WINDOW_FOREIGN}, [codes.CONFLICT])
    (cause,) = [f.cause for f in result.modules[0].findings if f.code is codes.WINDOW_FOREIGN]
    assert hook[:2].upper() in cause


def test_a_hook_longer_than_the_window_is_a_conflict(release) -> None:
    entry = release.module.redirections[0].entry
    hook = bytes.fromhex("ff2500000000") + b"\x11" * 4
    result = check_file(release, patched(release.installed.read_bytes(), entry, hook))
    assert state_of(result) is ModuleState.CONFLICT
    found = failed(result)
    assert found[FUNCTIONS] == [codes.FUNCTION_DIFFERS]
    assert found[WINDOWS] == [codes.WINDOW_FOREIGN, PAGE_DIFFERS]


def test_another_build_whose_functions_begin_with_jumps_is_unknown(release) -> None:
    """Jumps at our entries prove nothing when the ids say that it is another build."""
    data = release.installed.read_bytes()
    for redirection in release.module.redirections:
        data = patched(data, redirection.entry, bytes.fromhex("e911223344") + b"\x11" * 3)
    assert state_of(check_file(release, data)) is ModuleState.CONFLICT
    assert state_of(check_file(release, stamped(data))) is ModuleState.UNKNOWN_BASELINE


def test_other_bytes_that_are_no_jump_are_a_conflict_too(release) -> None:
    entry = release.module.redirections[0].entry
    result = check_file(release, patched(release.installed.read_bytes(), entry, b"\x90\x90"))
    assert (state_of(result), result.exit) == (ModuleState.CONFLICT, ExitStatus.NOT_APPLICABLE)


# The package written into the file


def test_applied(release, applied: bytes) -> None:
    result = check_file(release, applied)
    assert (result.exit, result.verdict) == (ExitStatus.YES, Verdict.VERIFIED)
    assert (state_of(result), result.modules[0].tier) == (ModuleState.APPLIED, Tier.SECTIONS)


def test_applied_counts_at_the_tier_exact_too(release, applied: bytes) -> None:
    assert state_of(check_file(release, applied, Tier.EXACT)) is ModuleState.APPLIED


def test_applied_to_a_file_that_differs_elsewhere(release, applied: bytes) -> None:
    data = other_resource(applied)
    result = check_file(release, data)
    assert (result.exit, state_of(result)) == (ExitStatus.NOT_APPLICABLE, ModuleState.UNKNOWN_BASELINE)
    assert failed(result)[PIN] == [codes.TIER_TOO_LOW]
    assert state_of(check_file(release, data, Tier.FUNCTIONS)) is ModuleState.APPLIED


def test_applied_with_another_entry_point(release, applied: bytes) -> None:
    """Added sections are the package's own; the loader must not be led to anything else in them."""
    pe = int.from_bytes(applied[0x3C:0x40], "little")
    patch = release.module.functions[0].patch[0].start
    data = applied[: pe + 40] + patch.to_bytes(4, "little") + applied[pe + 44 :]
    result = check_file(release, data)
    assert (result.exit, state_of(result)) == (ExitStatus.NOT_APPLICABLE, ModuleState.UNKNOWN_BASELINE)


def test_partly_applied_is_a_conflict(release, write_applied: Callable[..., bytes]) -> None:
    result = check_file(release, write_applied(functions=[0]))
    assert (result.exit, state_of(result)) == (ExitStatus.NOT_APPLICABLE, ModuleState.CONFLICT)
    assert failed(result)[WINDOWS] == [codes.PARTLY_APPLIED]


def test_applied_with_altered_new_code_is_a_conflict(release, applied: bytes) -> None:
    data = patched(applied, release.module.functions[0].patch[0].start, b"\x90")
    result = check_file(release, data)
    assert (result.exit, state_of(result)) == (ExitStatus.NOT_APPLICABLE, ModuleState.CONFLICT)
    assert failed(result)[WINDOWS] == [codes.PARTLY_APPLIED]


def test_redirected_without_the_new_code_is_a_conflict(release) -> None:
    data = release.installed.read_bytes()
    for redirection in release.module.redirections:
        data = patched(data, redirection.window.start, redirection.new)
    result = check_file(release, data)
    assert (result.exit, state_of(result)) == (ExitStatus.NOT_APPLICABLE, ModuleState.CONFLICT)
    assert failed(result)[WINDOWS] == [codes.PARTLY_APPLIED]


def test_applied_cannot_be_told_without_a_sound_patch_image(release, applied: bytes) -> None:
    broken = replace(release, images={release.module.image.member: b"none"})
    result = check_file(broken, applied)
    assert (result.exit, state_of(result)) == (ExitStatus.NO, ModuleState.CONFLICT)


# The manifest against its own baseline: each record alone


def test_function_digest_contradicts(release) -> None:
    first, second = release.module.functions
    changed = release.with_module(functions=(replace(first, baseline_sha256=Digest(bytes(32))), second))
    result = changed.verify(release.installed)
    assert result.exit is ExitStatus.NO
    code = codes.PACKAGE_CONTRADICTS_BASELINE
    assert failed(result) == {FUNCTIONS: [code], STATE: [code]}


def test_reference_digest_contradicts(release) -> None:
    first, *rest = release.module.references
    changed = release.with_module(references=(replace(first, sha256=Digest(bytes(32))), *rest))
    result = changed.verify(release.installed)
    code = codes.PACKAGE_CONTRADICTS_BASELINE
    assert (result.exit, failed(result)) == (ExitStatus.NO, {REFERENCES: [code], STATE: [code]})


def test_code_without_a_digest_contradicts(release) -> None:
    first, *rest = release.module.references
    changed = release.with_module(references=(replace(first, sha256=None), *rest))
    result = changed.verify(release.installed)
    code = codes.PACKAGE_CONTRADICTS_BASELINE
    assert (result.exit, failed(result)) == (ExitStatus.NO, {REFERENCES: [code], STATE: [code]})


def test_imported_addresses_need_no_digest(release) -> None:
    table = parse_image(release.installed.read_bytes(), "i").directories[12]
    assert len(table) >= 8
    slot = Interval(table.start, table.start + 8)
    reference = replace(release.module.references[0], range=slot, sha256=None)
    references = tuple(sorted((*release.module.references, reference), key=lambda item: item.range))
    assert release.with_module(references=references).verify(release.installed).exit is ExitStatus.YES


def test_size_of_image_contradicts(release) -> None:
    """A smaller SizeOfImage would let the patch image lie over the baseline's last sections."""
    pin = replace(release.module.baseline, size_of_image=0x7200)
    result = release.with_module(baseline=pin).verify(release.installed)
    code = codes.PACKAGE_CONTRADICTS_BASELINE
    assert (result.exit, failed(result)) == (ExitStatus.NO, {PIN: [code], STATE: [code]})


def test_old_bytes_contradict(release) -> None:
    first, *rest = release.module.redirections
    old = bytes([first.old[0] ^ 1]) + first.old[1:]
    changed = release.with_module(redirections=(replace(first, old=old), *rest))
    result = changed.verify(release.installed)
    code = codes.PACKAGE_CONTRADICTS_BASELINE
    assert result.exit is ExitStatus.NO
    assert failed(result)[WINDOWS] == [code]


# Each pin alone


@pytest.mark.parametrize("field", ["size", "sha256"])
def test_exact_pin(release, field: str) -> None:
    pin = release.module.baseline
    value = pin.size + 1 if field == "size" else Digest(bytes(32))
    changed = release.with_module(baseline=replace(pin, **{field: value}))
    result = changed.verify(release.installed)
    assert result.modules[0].tier is Tier.AUTHENTICODE


def without_exact(release, **changes: object):
    """The release with a baseline pin that cannot match exactly, and these changes."""
    return release.with_module(baseline=replace(release.module.baseline, sha256=Digest(bytes(32)), **changes))


def test_authenticode_pin(release) -> None:
    for value in (None, Digest(bytes(32))):
        result = without_exact(release, authenticode=value).verify(release.installed)
        assert result.modules[0].tier is Tier.SECTIONS
        assert failed(result)[PIN] == [codes.TIER_TOO_LOW]


@pytest.mark.parametrize(
    ("field", "value"), [("name", ".other"), ("rva", 0x1008), ("size", 16), ("sha256", Digest(bytes(32)))]
)
def test_section_pins(release, field: str, value: object) -> None:
    first, *rest = release.module.baseline.sections
    sections = (replace(first, **{field: value}), *rest)
    changed = without_exact(release, authenticode=None, sections=sections)
    result = changed.verify(release.installed, replace(release.policy, lowest_tier=Tier.FUNCTIONS))
    assert result.modules[0].tier is Tier.FUNCTIONS


def test_fewer_section_pins(release) -> None:
    """A section that nobody pinned, inside the image or behind it."""
    changed = without_exact(release, authenticode=None, sections=release.module.baseline.sections[:-1])
    policy = replace(release.policy, lowest_tier=Tier.SECTIONS)
    result = changed.verify(release.installed, policy)
    assert (result.modules[0].tier, failed(result)[PIN]) == (Tier.FUNCTIONS, [codes.TIER_TOO_LOW])


def test_a_section_added_behind_the_baseline(release, add_section: Callable[[int], bytes]) -> None:
    """Everything pinned is there, and something that nobody pinned."""
    data = add_section(release.module.baseline.size_of_image)
    result = check_file(release, data, Tier.SECTIONS)
    assert (result.exit, result.modules[0].tier) == (ExitStatus.NOT_APPLICABLE, Tier.FUNCTIONS)
    assert check_file(release, data, Tier.FUNCTIONS).exit is ExitStatus.YES


def test_no_room_for_the_patch_image(release, add_section: Callable[[int], bytes]) -> None:
    result = check_file(release, add_section(release.module.image.range.start), Tier.FUNCTIONS)
    assert (result.exit, state_of(result)) == (ExitStatus.NOT_APPLICABLE, ModuleState.UNKNOWN_BASELINE)


@pytest.mark.parametrize(
    ("field", "value"),
    [("machine", 0xAA64), ("image_base", 0x1_4000_0000), ("size_of_image", 0x9000), ("time_date_stamp", 1)],
)
def test_ids_of_the_pin(release, field: str, value: int) -> None:
    """Wrong ids never make a build acceptable under the default policy unless the file is it exactly."""
    pin = replace(release.module.baseline, **{field: value})
    exact = release.with_module(baseline=pin).verify(release.installed)
    assert exact.modules[0].tier in (Tier.EXACT, None)
    changed = without_exact(release, **{field: value})
    assert changed.verify(release.installed).exit is not ExitStatus.YES


def test_fixed_pin(release) -> None:
    fixed = replace(release.module.fixed, sha256=Digest(bytes(32)), authenticode=None, sections=())
    result = release.with_module(fixed=fixed).verify(release.fixed_root / "codec.dll")
    assert state_of(result) is ModuleState.UNKNOWN_BASELINE
