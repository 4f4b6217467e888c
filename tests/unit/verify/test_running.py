"""`verify` against memory that no loader makes, in dumps: other loaders' habits, gaps, lies."""

import struct
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from hpbuild.codes import process as codes
from hpbuild.codes import verify as verify_codes
from hpbuild.errors import Code, ExitStatus, Severity
from hpbuild.manifest.model import BaselineReference
from hpbuild.patchimage.place import place
from hpbuild.patchimage.redirection import redirected
from hpbuild.pe.identity import masked_digest
from hpbuild.pe.image import Image
from hpbuild.pe.imports import slot_tables
from hpbuild.pe.processes import Dump, LoadedModule
from hpbuild.pe.reader import parse_image
from hpbuild.values import Interval
from hpbuild.verify import Verification, VerifyRequest, verify
from hpbuild.verify.running import OwnPackage, Target, agreement, find_loaded, open_target, take_from
from hpbuild.verify.states import CheckStatus, ModuleState, Tier
from tests.memories import Parts, dump_of, loaded, module

BASE = 0x190000000


@dataclass(frozen=True)
class Scene:
    """The baseline of a release in memory at BASE."""

    release: object
    memory: Parts
    modules: tuple[LoadedModule, ...]

    def verify(self, folder: Path, lowest: Tier = Tier.AUTHENTICODE) -> Verification:
        dump = folder / "process.dmp"
        dump.write_bytes(dump_of(self.modules, self.memory))
        policy = replace(self.release.policy, lowest_tier=lowest)
        return verify(VerifyRequest(bundle=self.release.bundle(), name="p.hpb", policy=policy, dump=dump))


@pytest.fixture
def image(release) -> Image:
    return parse_image(release.installed.read_bytes(), "codec.dll")


@pytest.fixture
def scene(release, image: Image) -> Scene:
    return in_memory(release, image, loaded(image, BASE))


def in_memory(release, image: Image, content: bytearray) -> Scene:
    memory = Parts()
    memory.put(BASE, bytes(content))
    return Scene(release, memory, (module(image, BASE),))


def put_patch(scene: Scene, release, delta: int, *, redirect: bool = True) -> None:
    """The package in memory: its block ``delta`` above its nominal place, and the entries led there."""
    manifest = release.module
    nominal = manifest.image.range
    patch = parse_image(release.images[manifest.image.member], "patch")
    linked = patch.memory[nominal.start : nominal.end].tobytes()
    moved = place(linked, nominal, patch.image_base, manifest.fixups, BASE, delta)
    scene.memory.put(BASE + nominal.start + delta, moved)
    for item in manifest.redirections if redirect else ():
        target = manifest.functions[item.function].patch[0].start + delta
        scene.memory.put(
            BASE + item.window.start, redirected(item.kind, item.entry, item.window, item.old, target)
        )


def refusals(result: Verification) -> list[Code]:
    findings = [finding for item in result.checks for finding in item.findings]
    found = [finding.code for finding in (*findings, *result.findings)]
    return [code for code in found if code.severity is Severity.REFUSE]


def state(result: Verification) -> ModuleState | None:
    (found,) = result.modules
    return found.state


@pytest.mark.parametrize("rename_base", [False, True])
def test_applicable_wherever_it_lies(release, image: Image, tmp_path: Path, rename_base: bool) -> None:
    """With the preferred base in its header, as Wine leaves it, or the real one, as Windows does."""
    result = in_memory(release, image, loaded(image, BASE, rename_base=rename_base)).verify(tmp_path)
    assert (result.exit, state(result)) == (ExitStatus.YES, ModuleState.APPLICABLE), refusals(result)
    (found,) = result.modules
    assert found.tier is Tier.SECTIONS
    assert found.memory is not None
    assert found.memory.moved == BASE - image.image_base


@pytest.mark.parametrize("delta", [0, 0x10000, 0x40000000])
def test_applied_at_any_legal_place(scene: Scene, release, tmp_path: Path, delta: int) -> None:
    put_patch(scene, release, delta)
    result = scene.verify(tmp_path)
    assert (result.exit, state(result)) == (ExitStatus.YES, ModuleState.APPLIED), refusals(result)


@pytest.mark.parametrize("delta", [0x1000, 0x7FF00000])
def test_an_illegal_place_is_a_foreign_redirection(scene: Scene, release, tmp_path: Path, delta: int) -> None:
    """Not a multiple of 64 KiB; beyond 2 GiB, where nothing can be."""
    put_patch(scene, release, 0)
    for item in release.module.redirections:
        target = release.module.functions[item.function].patch[0].start + delta
        content = redirected(item.kind, item.entry, item.window, item.old, target)
        scene.memory.put(BASE + item.window.start, content)
    result = scene.verify(tmp_path)
    assert state(result) is ModuleState.CONFLICT
    assert verify_codes.WINDOW_FOREIGN in refusals(result)


def test_a_block_without_redirections_is_not_applied(scene: Scene, release, tmp_path: Path) -> None:
    put_patch(scene, release, 0, redirect=False)
    assert state(scene.verify(tmp_path)) is ModuleState.APPLICABLE


def test_another_sequence(scene: Scene, make_other: Callable, tmp_path: Path) -> None:
    """With other functions, so that not all of its windows are this package's."""
    for sequence, functions, expected in (
        (9, (0, 1), ModuleState.APPLIED_NEWER),
        (3, (0,), ModuleState.APPLIED_OLDER),
        (9, (1,), ModuleState.APPLIED_NEWER),
    ):
        held = Scene(
            scene.release, Parts({k: bytearray(v) for k, v in scene.memory.parts.items()}), scene.modules
        )
        put_patch(held, make_other(sequence, functions), 0x30000)
        result = held.verify(tmp_path)
        assert (result.exit, state(result)) == (ExitStatus.NOT_APPLICABLE, expected), refusals(result)


def test_a_table_of_another_sequence_whose_entries_lead_elsewhere(
    scene: Scene, release, make_other: Callable, tmp_path: Path
) -> None:
    other = make_other(9)
    put_patch(scene, other, 0x30000)
    item = release.module.redirections[0]
    scene.memory.put(BASE + item.entry, b"\xe9" + struct.pack("<i", 0x123456))
    assert state(scene.verify(tmp_path)) is ModuleState.CONFLICT


@pytest.mark.parametrize("at", [0, 0x140, 0x144, 0x148, 0x150])
def test_a_spoilt_table_says_nothing(scene: Scene, make_other: Callable, tmp_path: Path, at: int) -> None:
    other = make_other(9)
    put_patch(scene, other, 0)
    patch = parse_image(other.images[other.module.image.member], "patch")
    table = next(section for section in patch.sections if section.name == ".hotp")
    scene.memory.put(BASE + table.rva + at, b"\xff\xff\xff\xff")
    assert state(scene.verify(tmp_path)) is ModuleState.CONFLICT


def test_another_time_stamp_in_memory_is_another_build(release, image: Image, tmp_path: Path) -> None:
    """Every section agrees; Windows pins by the stamp, and so does whoever patches memory."""
    content = loaded(image, BASE)
    at = int.from_bytes(content[0x3C:0x40], "little") + 8
    content[at] ^= 1
    result = in_memory(release, image, content).verify(tmp_path, Tier.FUNCTIONS)
    assert (result.exit, state(result)) == (ExitStatus.NOT_APPLICABLE, ModuleState.UNKNOWN_BASELINE)


def test_code_declared_writable_is_compared_all_the_same(release, image: Image, tmp_path: Path) -> None:
    content = loaded(image, BASE)
    header = int.from_bytes(content[0x3C:0x40], "little")
    rows = header + 24 + int.from_bytes(content[header + 20 : header + 22], "little")
    text = next(index for index, section in enumerate(image.sections) if section.executable)
    content[rows + 40 * text + 39] |= 0x80
    unaltered = in_memory(release, image, content).verify(tmp_path)
    assert state(unaltered) is ModuleState.APPLICABLE
    content[image.sections[text].rva + 1] ^= 0xFF
    assert state(in_memory(release, image, content).verify(tmp_path)) is not ModuleState.APPLICABLE


def test_what_the_loader_wrote_is_never_a_reference_that_agrees(
    scene: Scene, release, image: Image, tmp_path: Path
) -> None:
    """A package that records the bytes of an import slot: memory cannot tell them."""
    slots = next(
        table.slots for table in slot_tables(image)
        if (section := image.section_at(table.slots.start)) and not section.writable
    )  # fmt: skip
    wanted = BaselineReference(
        range=Interval(slots.start, slots.start + 8),
        sha256=masked_digest(image, (Interval(slots.start, slots.start + 8),)),
    )
    changed = release.with_module(
        references=tuple(sorted((*release.module.references, wanted), key=lambda r: r.range))
    )
    result = replace(scene, release=changed).verify(tmp_path)
    assert (result.exit, state(result)) == (ExitStatus.NOT_APPLICABLE, ModuleState.UNKNOWN_BASELINE)
    assert refusals(result) == [codes.NOT_COMPARABLE, verify_codes.UNKNOWN_BASELINE]


def test_headers_that_are_no_image(release, image: Image, tmp_path: Path) -> None:
    content = loaded(image, BASE)
    content[:2] = b"\0\0"
    result = in_memory(release, image, content).verify(tmp_path)
    assert (result.exit, state(result)) == (ExitStatus.NOT_APPLICABLE, ModuleState.UNKNOWN_BASELINE)
    assert verify_codes.MODULE_NOT_PE in refusals(result)


def test_a_list_that_contradicts_the_headers(scene: Scene, image: Image, tmp_path: Path) -> None:
    larger = replace(scene.modules[0], size=image.size_of_image + 0x1000)
    result = replace(scene, modules=(larger,)).verify(tmp_path)
    assert (result.exit, refusals(result)) == (ExitStatus.NOT_APPLICABLE, [codes.MAPPED_IMAGE])


def test_missing_pages_are_named_and_nothing_else_is_said(scene: Scene, image: Image, tmp_path: Path) -> None:
    text = next(section for section in image.sections if section.executable)
    (content,) = scene.memory.parts.values()
    held = Parts()
    held.put(BASE, bytes(content[: text.rva]))
    held.put(BASE + text.rva + 0x1000, bytes(content[text.rva + 0x1000 :]))
    result = replace(scene, memory=held).verify(tmp_path)
    assert (result.exit, refusals(result)) == (ExitStatus.UNAVAILABLE, [codes.DUMP_INCOMPLETE])
    (found,) = result.modules
    assert f"[{text.rva:#x}, {text.rva + 0x1000:#x})" in found.findings[0].cause
    of_module = [item.status for item in result.checks if item.module]
    assert of_module == [CheckStatus.FAILED, *[CheckStatus.NOT_RUN] * 6]


def test_nothing_loaded_is_no_success(scene: Scene, tmp_path: Path) -> None:
    elsewhere = replace(scene.modules[0], name="other.dll", path="C:\\app\\other.dll")
    result = replace(scene, modules=(elsewhere,)).verify(tmp_path)
    assert (result.exit, refusals(result)) == (ExitStatus.NOT_APPLICABLE, [codes.NONE_LOADED])
    assert state(result) is ModuleState.NOT_LOADED


def test_a_file_behind_that_is_another_build_is_a_warning(
    scene: Scene, release, image: Image, tmp_path: Path
) -> None:
    """What runs counts; the file is only told about."""
    package = OwnPackage(None, release.manifest.sequence)
    target = Target("a process", Dump(memory=scene.memory, modules=scene.modules, full=True))
    fixed = release.fixed_root / release.module.path
    (tmp_path / "none.dll").write_bytes(b"")
    for file, tier, warned in (
        (release.installed, Tier.EXACT, False),
        (fixed, None, True),
        (tmp_path / "none.dll", None, True),
        (tmp_path / "missing.dll", None, True),
    ):
        behind = replace(scene.modules[0], file=file)
        taken = take_from(target, behind, release.module, package, 1 << 20)
        assert taken.where.file_tier is tier
        assert [item.code for item in taken.remarks] == [codes.FILE_BEHIND_OTHER] * warned
        assert taken.subject.image.image_base == image.image_base


def test_an_unusable_dump(release, tmp_path: Path) -> None:
    path = tmp_path / "x.dmp"
    path.write_bytes(b"nothing of the kind" * 8)
    request = VerifyRequest(bundle=release.bundle(), name="p.hpb", policy=release.policy, dump=path)
    assert (verify(request).exit, refusals(verify(request))) == (ExitStatus.MALFORMED, [codes.DUMP_MALFORMED])


def test_one_thing_at_a_time(release, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="one thing"):
        VerifyRequest(bundle=b"", name="x", policy=release.policy, dump=tmp_path, pid=1)
    with pytest.raises(ValueError, match="neither"):
        open_target(None, None)


# Which loaded module is meant


def entry(path: str, base: int = BASE) -> LoadedModule:
    return LoadedModule(name=path.rpartition("\\")[2], path=path, file=None, base=base, size=0x1000)


def test_agreement() -> None:
    assert agreement("bin/x64/a.dll", "C:\\App\\BIN\\x64\\A.DLL") == 3
    assert agreement("bin/x64/a.dll", "C:\\App\\x86\\a.dll") == 1
    assert agreement("a.dll", "a.dll") == 1
    assert agreement("a.dll", "C:\\b.dll") == 0


def test_the_folders_tell_which_is_meant(pair) -> None:
    codec, throwing = pair.manifest.modules
    near, far = entry("C:\\app\\bin\\codec.dll"), entry("C:\\other\\codec.dll", BASE + 0x10000)
    found = find_loaded((codec, throwing), (far, near))
    assert [item.loaded for item in found] == [near, None]
    (found,) = find_loaded((codec,), (entry("C:\\a\\codec.dll"), entry("C:\\b\\codec.dll")))
    assert found.finding is not None
    assert found.finding.code is codes.MODULE_AMBIGUOUS


def test_two_modules_never_share_a_counterpart(pair) -> None:
    codec, _ = pair.manifest.modules
    other = replace(codec, path="lib/codec.dll")
    (loaded_one,) = modules = (entry("C:\\app\\bin\\codec.dll"),)
    assert [item.loaded for item in find_loaded((codec, other), modules)] == [loaded_one, None]
    assert [item.loaded for item in find_loaded((other, codec), modules)] == [None, loaded_one]
    elsewhere = (entry("C:\\app\\codec.dll"),)
    assert [item.loaded for item in find_loaded((codec, other), elsewhere)] == [None, None]
