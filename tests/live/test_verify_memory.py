"""`verify` against real processes under Wine, and against dumps of them."""

import importlib.util
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from hpbuild.codes import process as codes
from hpbuild.codes.pins import PAGE_DIFFERS
from hpbuild.codes.verify import (
    APPLIED_NEWER,
    APPLIED_OLDER,
    CONFLICT,
    NOT_NEEDED,
    PARTLY_APPLIED,
    PIN_MISMATCH,
    TIER_TOO_LOW,
    UNKNOWN_BASELINE,
    WINDOW_FOREIGN,
)
from hpbuild.errors import Code, ExitStatus, Severity
from hpbuild.pipeline import BuildRequest, assemble, build
from hpbuild.verify import ModuleResult, Verification, VerifyRequest, verify
from hpbuild.verify.checks import OPTIONAL
from hpbuild.verify.states import CheckStatus, ModuleState, Tier
from tests.live.injecting import STEP, Package, package_of, put_block, redirect, restore, write
from tests.live.packages import UNSIGNED, Packages, patched
from tests.live.wine import Host, Wine, windows_path

FULL_MEMORY, NO_MEMORY, CODE_SEGMENTS = 2, 0, 0x2000


@pytest.fixture
def bundle(packages: Packages, binaries: Path) -> bytes:
    """The package for codec.dll."""
    made = packages.build(binaries / "baseline" / "codec.dll", binaries / "fixed" / "codec.dll", "auto")
    assert made
    return made


@pytest.fixture
def folder(tmp_path: Path, binaries: Path) -> Path:
    """codec.dll and throwing.dll, as installed."""
    place = tmp_path / "program"
    place.mkdir()
    for name in ("codec.dll", "throwing.dll"):
        shutil.copy(binaries / "baseline" / name, place / name)
    return place


def check(bundle: bytes, pid: int, lowest: Tier = Tier.AUTHENTICODE) -> Verification:
    policy = replace(UNSIGNED, lowest_tier=lowest)
    return verify(VerifyRequest(bundle=bundle, name="test.hpb", policy=policy, pid=pid))


def check_dump(bundle: bytes, dump: Path) -> Verification:
    return verify(VerifyRequest(bundle=bundle, name="test.hpb", policy=UNSIGNED, dump=dump))


def only(result: Verification) -> ModuleResult:
    (module,) = result.modules
    return module


def found(result: Verification) -> list[Code]:
    findings = [finding for item in result.checks for finding in item.findings]
    return [finding.code for finding in (*findings, *result.findings)]


def refusals(result: Verification) -> list[Code]:
    return [code for code in found(result) if code.severity is Severity.REFUSE]


def base_of(host: Host) -> int:
    return host.number("base codec.dll")


# States


def test_the_baseline_in_memory_is_applicable(wine: Wine, folder: Path, bundle: bytes) -> None:
    with wine.host(folder, "codec.dll") as host:
        result = check(bundle, host.pid)
        base = base_of(host)
    module = only(result)
    assert (result.exit, module.state, module.tier) == (
        ExitStatus.YES,
        ModuleState.APPLICABLE,
        Tier.SECTIONS,
    ), result.findings
    where = module.memory
    assert where is not None
    assert (where.source, where.base, where.block) == (f"process {host.pid}", base, None)
    assert (module.installed, where.file_tier) == (folder / "codec.dll", Tier.EXACT)
    assert where.path == windows_path(folder / "codec.dll")
    # The import slots lie in .rdata; everything in .data is the process's own.
    assert sum(len(place) for place in where.unknown) > 0
    assert where.writable > 0
    assert all(
        item.status is CheckStatus.PASSED
        for item in result.checks
        if item.module and item.check not in OPTIONAL
    )


@pytest.mark.parametrize("lowest", [Tier.EXACT, Tier.SECTIONS, Tier.FUNCTIONS])
def test_a_policy_asks_memory_for_sections_at_most(
    wine: Wine, folder: Path, bundle: bytes, lowest: Tier
) -> None:
    with wine.host(folder, "codec.dll") as host:
        assert check(bundle, host.pid, lowest).exit is ExitStatus.YES


def test_a_module_away_from_its_preferred_base(wine: Wine, folder: Path, bundle: bytes) -> None:
    other = folder / "aside"
    other.mkdir()
    shutil.copy(folder / "throwing.dll", other / "copy.dll")
    with wine.host(folder, "throwing.dll", "aside\\copy.dll", "codec.dll") as host:
        module = only(check(bundle, host.pid))
        assert module.memory is not None
        assert module.memory.moved != 0
        assert (module.state, module.tier) == (ModuleState.APPLICABLE, Tier.SECTIONS)
        package = package_of(bundle)
        delta = put_block(host, base_of(host), package)
        redirect(host, base_of(host), package, delta)
        assert only(check(bundle, host.pid)).state is ModuleState.APPLIED


@pytest.mark.parametrize("least", [0, 5 * STEP])
def test_applied_reverted_and_applied_again(wine: Wine, folder: Path, bundle: bytes, least: int) -> None:
    package = package_of(bundle)
    with wine.host(folder, "codec.dll") as host:
        base = base_of(host)
        delta = put_block(host, base, package, least)
        assert delta >= least
        assert only(check(bundle, host.pid)).state is ModuleState.APPLICABLE
        redirect(host, base, package, delta)
        result = check(bundle, host.pid)
        module = only(result)
        assert (result.exit, module.state, module.tier) == (
            ExitStatus.YES,
            ModuleState.APPLIED,
            Tier.SECTIONS,
        )
        assert module.memory is not None
        assert module.memory.block is not None
        assert module.memory.block.start == base + package.module.image.range.start + delta
        restore(host, base, package)
        assert only(check(bundle, host.pid)).state is ModuleState.APPLICABLE
        # What the new code wrote into its own variables is the process's own.
        redirect(host, base, package, delta)
        variables = package.patch.section(".data")
        if variables is not None:
            write(host, base + delta + variables.start, b"\xee")
        assert only(check(bundle, host.pid)).state is ModuleState.APPLIED


def test_partly_applied_is_a_conflict(wine: Wine, folder: Path, bundle: bytes) -> None:
    package = package_of(bundle)
    with wine.host(folder, "codec.dll") as host:
        base = base_of(host)
        redirect(host, base, package, put_block(host, base, package), [0])
        result = check(bundle, host.pid)
    assert (result.exit, only(result).state) == (ExitStatus.NOT_APPLICABLE, ModuleState.CONFLICT)
    assert {PARTLY_APPLIED, CONFLICT} <= set(refusals(result))


def test_entries_that_lead_to_two_blocks_are_a_conflict(wine: Wine, folder: Path, bundle: bytes) -> None:
    package = package_of(bundle)
    with wine.host(folder, "codec.dll") as host:
        base = base_of(host)
        first = put_block(host, base, package)
        second = put_block(host, base, package, first + STEP)
        redirect(host, base, package, first)
        redirect(host, base, package, second, [0])
        result = check(bundle, host.pid)
    assert only(result).state is ModuleState.CONFLICT


@pytest.mark.parametrize("section", [".text", ".pdata", ".hotp", ".reloc"])
def test_one_byte_of_the_block_is_enough(wine: Wine, folder: Path, bundle: bytes, section: str) -> None:
    package = package_of(bundle)
    extent = package.patch.section(section)
    if extent is None:
        pytest.skip(f"the package has no {section}")
    with wine.host(folder, "codec.dll") as host:
        base = base_of(host)
        delta = put_block(host, base, package)
        redirect(host, base, package, delta)
        at = base + delta + extent.start
        old = bytes.fromhex(host.do(f"peek {at:#x} 1"))
        write(host, at, bytes([old[0] ^ 1]))
        result = check(bundle, host.pid)
        write(host, at, old)
        assert only(check(bundle, host.pid)).state is ModuleState.APPLIED
    assert only(result).state is ModuleState.CONFLICT
    (cause,) = [item.cause for item in only(result).findings if item.code is PARTLY_APPLIED]
    assert f"section {section} of the new code differ, the first at {at:#x}" in cause


def test_redirections_without_a_block_are_foreign(wine: Wine, folder: Path, bundle: bytes) -> None:
    package = package_of(bundle)
    with wine.host(folder, "codec.dll") as host:
        redirect(host, base_of(host), package, 0x200000)
        result = check(bundle, host.pid)
    assert only(result).state is ModuleState.CONFLICT
    causes = [item.cause for item in only(result).findings if item.code is WINDOW_FOREIGN]
    assert len(causes) == len(package.module.redirections)
    assert all("in no module" in cause for cause in causes)


def test_a_foreign_hook_is_a_conflict_that_names_the_module(wine: Wine, folder: Path, bundle: bytes) -> None:
    package = package_of(bundle)
    shutil.copy(folder / "throwing.dll", folder / "hooking.dll")
    # All three want the same base: the last two come to lie near each other.
    with wine.host(folder, "throwing.dll", "hooking.dll", "codec.dll") as host:
        base, hook = base_of(host), host.number("base hooking.dll") + 0x1000
        item = package.module.redirections[0]
        entry = base + item.entry
        direct = b"\xe9" + (hook - entry - 5).to_bytes(4, "little", signed=True)
        write(host, entry, direct)
        result = check(bundle, host.pid)
        assert only(result).state is ModuleState.CONFLICT
        (cause,) = [each.cause for each in only(result).findings if each.code is WINDOW_FOREIGN]
        assert "leads to hooking.dll" in cause
        # Through a trampoline: memory of no module with an absolute jump.
        host.do("load kernel32.dll")
        trampoline = int(host.call(f"q VirtualAlloc {base + 0x1000000:#x} 0x1000 0x3000 0x40"), 16)
        assert trampoline
        write(host, trampoline, b"\xff\x25\0\0\0\0" + hook.to_bytes(8, "little"))
        write(host, entry, b"\xe9" + (trampoline - entry - 5).to_bytes(4, "little", signed=True))
        result = check(bundle, host.pid)
        (cause,) = [each.cause for each in only(result).findings if each.code is WINDOW_FOREIGN]
        assert f"through memory of no module at {trampoline:#x}" in cause
        assert "leads to hooking.dll" in cause


def test_code_changed_elsewhere_lowers_the_tier(wine: Wine, folder: Path, bundle: bytes) -> None:
    """One byte behind the last function, where nothing that the package touches lies."""
    with wine.host(folder, "codec.dll") as host:
        base = base_of(host)
        at = base + 0x1000
        old = bytes.fromhex(host.do(f"peek {at:#x} 1"))
        write(host, at, bytes([old[0] ^ 0x80]))
        strict, lenient = check(bundle, host.pid), check(bundle, host.pid, Tier.FUNCTIONS)
    assert strict.exit is ExitStatus.NOT_APPLICABLE
    assert only(strict).state is ModuleState.UNKNOWN_BASELINE
    if only(strict).tier is not None:
        assert TIER_TOO_LOW in refusals(strict)
        # The page is one that is written to, so it has to be the baseline's at any tier.
        assert (only(lenient).state, refusals(lenient)[0]) == (ModuleState.UNKNOWN_BASELINE, PAGE_DIFFERS)


def test_the_fixed_build_needs_nothing(wine: Wine, folder: Path, binaries: Path, bundle: bytes) -> None:
    shutil.copy(binaries / "fixed" / "codec.dll", folder / "codec.dll")
    with wine.host(folder, "codec.dll") as host:
        result = check(bundle, host.pid)
    assert (result.exit, only(result).state) == (ExitStatus.NOT_APPLICABLE, ModuleState.NOT_NEEDED)
    assert refusals(result) == [NOT_NEEDED]


def test_another_build_is_unknown(wine: Wine, folder: Path, bundle: bytes) -> None:
    shutil.copy(folder / "throwing.dll", folder / "codec.dll")
    with wine.host(folder, "codec.dll") as host:
        result = check(bundle, host.pid)
    assert (result.exit, only(result).state) == (ExitStatus.NOT_APPLICABLE, ModuleState.UNKNOWN_BASELINE)
    assert {PIN_MISMATCH, UNKNOWN_BASELINE} <= set(refusals(result))


def test_an_offline_patched_copy_is_applied(wine: Wine, folder: Path, bundle: bytes) -> None:
    copy = folder.parent / "patched.dll"
    patched(bundle, folder / "codec.dll", copy)
    shutil.copy(copy, folder / "codec.dll")
    with wine.host(folder, "codec.dll") as host:
        result = check(bundle, host.pid)
    assert (result.exit, only(result).state) == (ExitStatus.YES, ModuleState.APPLIED), only(result).findings


# Other packages of the line


def _other(binaries: Path, sequence: int) -> bytes:
    request = BuildRequest(
        baseline=binaries / "baseline" / "codec.dll", fixed=binaries / "fixed" / "codec.dll", id="TEST-2",
        sequence=sequence, product="test", advisories=(), created="", symbols="auto",
    )  # fmt: skip
    return assemble(build(request, lambda *_: None))


@pytest.mark.parametrize("least", [0, 3 * STEP])
def test_another_sequence_is_named_by_its_table(
    wine: Wine, folder: Path, binaries: Path, bundle: bytes, least: int
) -> None:
    newer = _other(binaries, 2)
    for mine, theirs, state, code in (
        (bundle, newer, ModuleState.APPLIED_NEWER, APPLIED_NEWER),
        (newer, bundle, ModuleState.APPLIED_OLDER, APPLIED_OLDER),
    ):
        other: Package = package_of(theirs)
        with wine.host(folder, "codec.dll") as host:
            base = base_of(host)
            redirect(host, base, other, put_block(host, base, other, least))
            result = check(mine, host.pid)
            assert only(check(theirs, host.pid)).state is ModuleState.APPLIED
        assert (result.exit, only(result).state) == (ExitStatus.NOT_APPLICABLE, state), only(result).findings
        assert code in refusals(result)


# What is loaded, and the file behind it


def test_nothing_loaded_is_no_success(wine: Wine, folder: Path, bundle: bytes) -> None:
    with wine.host(folder, "throwing.dll") as host:
        result = check(bundle, host.pid)
    assert (result.exit, only(result).state) == (ExitStatus.NOT_APPLICABLE, ModuleState.NOT_LOADED)
    assert refusals(result) == [codes.NONE_LOADED]
    assert all(
        item.status is CheckStatus.NOT_RUN
        for item in result.checks
        if item.module and item.check not in OPTIONAL
    )


def test_a_module_that_is_not_loaded_is_left_out(
    wine: Wine, folder: Path, tmp_path: Path, binaries: Path
) -> None:
    trees = []
    for side in ("baseline", "fixed"):
        tree = tmp_path / side / "bin"
        tree.mkdir(parents=True)
        for name in ("codec.dll", "throwing.dll"):
            shutil.copy(binaries / side / name, tree / name)
        trees.append(tree.parent)
    request = BuildRequest(
        baseline=trees[0], fixed=trees[1], id="TREE", sequence=1, product="test", advisories=(), created="",
        symbols="auto",
    )  # fmt: skip
    made = assemble(build(request, lambda *_: None))
    with wine.host(folder, "throwing.dll") as host:
        result = check(made, host.pid)
    states = {module.path: module.state for module in result.modules}
    assert states == {"bin/codec.dll": ModuleState.NOT_LOADED, "bin/throwing.dll": ModuleState.APPLICABLE}
    assert result.exit is ExitStatus.YES


def test_two_files_of_one_name_are_ambiguous(wine: Wine, folder: Path, bundle: bytes) -> None:
    other = folder / "other"
    other.mkdir()
    shutil.copy(folder / "codec.dll", other / "codec.dll")
    with wine.host(folder, "codec.dll", windows_path(other / "codec.dll")) as host:
        result = check(bundle, host.pid)
    assert result.exit is ExitStatus.NOT_APPLICABLE
    assert refusals(result) == [codes.MODULE_AMBIGUOUS]


@pytest.mark.parametrize("change", ["removed", "replaced"])
def test_memory_speaks_for_itself_without_its_file(
    wine: Wine, folder: Path, binaries: Path, bundle: bytes, change: str
) -> None:
    file = folder / "codec.dll"
    with wine.host(folder, "codec.dll") as host:
        file.unlink()
        if change == "replaced":
            shutil.copy(binaries / "fixed" / "codec.dll", file)
        result = check(bundle, host.pid)
    module = only(result)
    assert (result.exit, module.state, module.tier) == (
        ExitStatus.YES,
        ModuleState.APPLICABLE,
        Tier.SECTIONS,
    )
    assert module.memory is not None
    assert (module.memory.file, module.memory.file_tier) == (None, None)


def test_a_file_rewritten_in_place_is_told(wine: Wine, folder: Path, bundle: bytes) -> None:
    file = folder / "codec.dll"
    with wine.host(folder, "codec.dll") as host:
        data = bytearray(file.read_bytes())
        data[-0x200:] = b"\x5a" * 0x200
        file.write_bytes(data)
        result = check(bundle, host.pid)
    assert codes.FILE_BEHIND_OTHER in found(result)
    assert only(result).state is ModuleState.APPLICABLE
    assert result.exit is ExitStatus.YES


# Processes


def test_a_process_that_is_not_there(bundle: bytes) -> None:
    result = check(bundle, 2**22 + 1)
    assert (result.exit, refusals(result)) == (ExitStatus.UNAVAILABLE, [codes.NO_SUCH_PROCESS])


def test_a_process_of_linux(bundle: bytes) -> None:
    result = check(bundle, os.getpid())
    assert (result.exit, refusals(result)) == (ExitStatus.NOT_APPLICABLE, [codes.NOT_A_WINDOWS_PROCESS])


def test_neither_lief_nor_a_decoder_is_imported(
    wine: Wine, folder: Path, root: Path, tmp_path: Path, bundle: bytes
) -> None:
    package = tmp_path / "test.hpb"
    package.write_bytes(bundle)
    command = ("verify", str(package), "--allow-unsigned", "--pid")
    with wine.host(folder, "codec.dll") as host:
        done = subprocess.run(
            # The child's part, whose imports nobody sees else.
            [sys.executable, "-X", "importtime", "-m", "hpbuild.cli.fresh", "0", *command, str(host.pid)],
            cwd=root, capture_output=True, text=True, check=True,
        )  # fmt: skip
    assert f"process {host.pid}" in done.stdout
    imported = {line.rsplit("|", 1)[-1].strip() for line in done.stderr.splitlines()}
    assert "pefile" in imported
    assert not imported & {"lief", "iced_x86", "capstone"}


# Dumps


@pytest.fixture(scope="module")
def dumper(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The program that writes dumps."""
    if importlib.util.find_spec("ziglang") is None:
        pytest.skip("missing tool: ziglang")
    program = tmp_path_factory.mktemp("dumper") / "dumper.exe"
    source = Path(__file__).with_name("dumper.c")
    command = [sys.executable, "-m", "ziglang", "cc", "-target", "x86_64-windows-gnu", "-Os", "-s"]
    subprocess.run([*command, "-o", str(program), str(source)], check=True, cwd=program.parent)
    return program


@pytest.fixture
def write_dump(wine: Wine, dumper: Path, tmp_path: Path) -> Callable[[Host, int], Path]:
    """A function from a process and a type to a dump of it."""

    def make(host: Host, kind: int) -> Path:
        dump = tmp_path / "process.dmp"
        done = wine.run(dumper, windows_path(dump), hex(kind), str(host.windows_pid), folder=tmp_path)
        assert done.code == 0, done.output
        return dump

    return make


def test_a_dump_with_full_memory(
    wine: Wine, folder: Path, bundle: bytes, write_dump: Callable[[Host, int], Path]
) -> None:
    package = package_of(bundle)
    with wine.host(folder, "codec.dll") as host:
        before = check_dump(bundle, write_dump(host, FULL_MEMORY))
        base = base_of(host)
        redirect(host, base, package, put_block(host, base, package))
        dump = write_dump(host, FULL_MEMORY)
    # Nothing of the process or its files is needed.
    shutil.rmtree(folder)
    after = check_dump(bundle, dump)
    assert (before.exit, only(before).state) == (ExitStatus.YES, ModuleState.APPLICABLE), refusals(before)
    assert (after.exit, only(after).state) == (ExitStatus.YES, ModuleState.APPLIED), refusals(after)
    for result in (before, after):
        where = only(result).memory
        assert where is not None
        assert (where.source, where.file) == (f"dump {dump}", None)
        assert only(result).tier is Tier.SECTIONS


@pytest.mark.parametrize("kind", [NO_MEMORY, CODE_SEGMENTS])
def test_a_dump_without_the_memory_says_what_is_missing(
    wine: Wine, folder: Path, bundle: bytes, write_dump: Callable[[Host, int], Path], kind: int
) -> None:
    with wine.host(folder, "codec.dll") as host:
        base = base_of(host)
        dump = write_dump(host, kind)
    result = check_dump(bundle, dump)
    assert result.exit is ExitStatus.UNAVAILABLE
    assert refusals(result) == [codes.DUMP_INCOMPLETE]
    (finding,) = only(result).findings
    assert f"{base:#x}" in finding.cause
    assert only(result).state is None


def test_a_dump_of_a_process_that_has_not_loaded_it(
    wine: Wine, folder: Path, bundle: bytes, write_dump: Callable[[Host, int], Path]
) -> None:
    with wine.host(folder, "throwing.dll") as host:
        result = check_dump(bundle, write_dump(host, FULL_MEMORY))
    assert (result.exit, refusals(result)) == (ExitStatus.NOT_APPLICABLE, [codes.NONE_LOADED])
