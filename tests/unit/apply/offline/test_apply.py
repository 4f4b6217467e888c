"""apply and revert over files and trees: what is written, and what keeps everything from being written."""

import dataclasses
import struct
from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from hpbuild.apply.offline.apply import apply_offline, check_copy
from hpbuild.apply.offline.installed import verified_modules
from hpbuild.apply.offline.result import OfflineRequest
from hpbuild.apply.offline.revert import revert_offline
from hpbuild.apply.offline.undo import Part, encode
from hpbuild.codes import apply_offline as codes
from hpbuild.codes import bundle as bundle_codes
from hpbuild.errors import Code, ExitStatus, HpbuildError
from hpbuild.pe.reader import parse_image
from hpbuild.verify import Limits, Policy, VerifyRequest, verify
from hpbuild.verify.states import ModuleState, Tier

from .conftest import Packaged, put, signed

UNSIGNED = Policy(allow_unsigned=True)


@pytest.fixture
def item(package_for: Callable[..., Packaged], codec: bytes) -> Packaged:
    return package_for(codec)


@pytest.fixture
def installed(tmp_path: Path, codec: bytes) -> Path:
    path = tmp_path / "codec.dll"
    path.write_bytes(codec)
    return path


@pytest.fixture
def patched(item: Packaged, tmp_path: Path) -> Path:
    path = tmp_path / "patched.dll"
    path.write_bytes(item.copy().data)
    return path


def files(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def refused(run: Callable[[OfflineRequest], Any], request: OfflineRequest) -> Code:
    """The code of a refusal, after a check that nothing was written."""
    before = files(request.output.parent)
    with pytest.raises(HpbuildError) as caught:
        run(request)
    assert files(request.output.parent) == before
    return caught.value.code


def test_there_and_back(item: Packaged, installed: Path, tmp_path: Path) -> None:
    out, back = tmp_path / "out.dll", tmp_path / "back.dll"
    result = apply_offline(item.request(installed, out))
    assert result.done
    (module,) = result.modules
    assert (module.path, module.installed, module.output, module.tier) == (
        "codec.dll",
        installed,
        out,
        "exact",
    )
    assert (module.after.hex, module.after_size) == (parse_digest(out), out.stat().st_size)
    assert module.copy is not None
    assert out.read_bytes() == item.copy().data
    result = revert_offline(item.request(out, back))
    assert result.done
    assert result.modules[0].tier == "exact"
    assert back.read_bytes() == installed.read_bytes()
    assert files(tmp_path) == {"codec.dll", "out.dll", "back.dll"}


def parse_digest(path: Path) -> str:
    from hpbuild.values import Digest

    return Digest.of(path.read_bytes()).hex


def test_in_place(item: Packaged, installed: Path) -> None:
    original = installed.read_bytes()
    assert apply_offline(item.request(installed, installed)).done
    assert installed.read_bytes() != original
    assert revert_offline(item.request(installed, installed)).done
    assert installed.read_bytes() == original


def test_a_re_signed_copy_comes_back_as_it_was(item: Packaged, tmp_path: Path, codec: bytes) -> None:
    """The identity by Authenticode digest: the file is not the one that the package was made from."""
    given = tmp_path / "codec.dll"
    given.write_bytes(signed(codec))
    out, back = tmp_path / "out.dll", tmp_path / "back.dll"
    result = apply_offline(item.request(given, out))
    assert result.modules[0].tier == "authenticode"
    assert codes.SIGNATURE_REMOVED in {finding.code for finding in result.findings}
    assert revert_offline(item.request(out, back)).modules[0].tier == "authenticode"
    assert back.read_bytes() == given.read_bytes()


def test_a_policy_that_asks_for_the_exact_file(item: Packaged, tmp_path: Path, codec: bytes) -> None:
    given = tmp_path / "codec.dll"
    given.write_bytes(signed(codec))
    strict = Policy(allow_unsigned=True, lowest_tier=Tier.EXACT)
    result = apply_offline(item.request(given, tmp_path / "out.dll", policy=strict))
    assert (result.done, result.status, result.modules) == (False, ExitStatus.NOT_APPLICABLE, ())
    out = tmp_path / "out.dll"
    assert apply_offline(item.request(given, out)).done
    request = item.request(out, tmp_path / "back.dll", policy=strict)
    assert refused(revert_offline, request) is codes.UNDO_RESULT_DIFFERS


def test_a_patched_copy_that_was_signed_again(item: Packaged, patched: Path, tmp_path: Path) -> None:
    patched.write_bytes(signed(patched.read_bytes()))
    assert revert_offline(item.request(patched, tmp_path / "back.dll")).done
    assert (tmp_path / "back.dll").read_bytes() == item.baseline.data.whole()


@pytest.mark.parametrize("run", [apply_offline, revert_offline])
def test_the_verifier_says_no(
    run: Callable[[OfflineRequest], Any], item: Packaged, installed: Path, tmp_path: Path
) -> None:
    broken = bytearray(item.bundle)
    broken[len(broken) // 2] ^= 1
    for changes in ({"bundle": bytes(broken)}, {"policy": Policy()}):
        result = run(item.request(installed, tmp_path / "out.dll", **changes))
        assert not result.done
        assert result.status is result.verification.exit
        assert result.findings[0].code is codes.NOT_VERIFIED
        assert len(result.findings) > 1
        assert result.modules == ()
        assert files(tmp_path) == {"codec.dll"}


def test_another_build_is_installed(item: Packaged, installed: Path, tmp_path: Path) -> None:
    data = bytearray(installed.read_bytes())
    data[0x800] ^= 1
    installed.write_bytes(data)
    result = apply_offline(item.request(installed, tmp_path / "out.dll"))
    assert result.status is ExitStatus.NOT_APPLICABLE
    assert files(tmp_path) == {"codec.dll"}


def test_applied_already(item: Packaged, patched: Path, tmp_path: Path) -> None:
    assert refused(apply_offline, item.request(patched, tmp_path / "out.dll")) is codes.ALREADY_APPLIED


def test_nothing_to_revert(item: Packaged, installed: Path, tmp_path: Path) -> None:
    assert refused(revert_offline, item.request(installed, tmp_path / "out.dll")) is codes.NOT_APPLIED


def test_a_newer_package_does_not_go_over_an_older_one(
    package_for: Callable[..., Packaged], codec: bytes, item: Packaged, patched: Path, tmp_path: Path,
    making: ModuleType,
) -> None:  # fmt: skip
    release = making.make_release(
        ["codec.dll"], tmp_path / "other", Path(making.__file__).parents[3] / "testdata" / "bin", (), 9
    )
    request = item.request(patched, tmp_path / "out.dll", bundle=release.bundle(signers=()))
    result = apply_offline(request)
    assert result.status is ExitStatus.NOT_APPLICABLE
    assert [state.state for state in result.verification.modules] == [ModuleState.APPLIED_OLDER]


def test_the_file_changes_after_it_was_verified(item: Packaged, installed: Path) -> None:
    request = VerifyRequest(bundle=item.bundle, name="p.hpb", policy=UNSIGNED, installed=installed)
    verification = verify(request)
    installed.write_bytes(item.copy().data)
    with pytest.raises(HpbuildError) as caught:
        list(
            verified_modules(
                item.bundle, verification, UNSIGNED, ModuleState.APPLICABLE, codes.ALREADY_APPLIED
            )
        )
    assert caught.value.code is codes.FILE_CHANGED


def spoiled(data: bytes, name: str) -> bytes:
    """A patched copy with one byte less of its first new section, or of its undo record."""
    section = next(each for each in parse_image(data, "copy").sections if each.name == name)
    changed = bytearray(data)
    changed[section.raw_offset + section.virtual_size - 1] ^= 1
    return bytes(changed)


@pytest.mark.parametrize("name", [".hptext", ".hpundo"])
def test_a_result_that_does_not_stand_its_check(item: Packaged, installed: Path, name: str) -> None:
    verification = verify(VerifyRequest(bundle=item.bundle, name="p", policy=UNSIGNED, installed=installed))
    (verified,) = verified_modules(
        item.bundle, verification, UNSIGNED, ModuleState.APPLICABLE, codes.ALREADY_APPLIED
    )
    copy = item.copy()
    check_copy(verified, copy, UNSIGNED, item.sequence)
    with pytest.raises(HpbuildError) as caught:
        check_copy(
            verified, dataclasses.replace(copy, data=spoiled(copy.data, name)), UNSIGNED, item.sequence
        )
    assert caught.value.code is codes.RESULT_WRONG


def with_record(data: bytes, record: bytes | None, name: bytes = b".hpundo\0") -> bytes:
    """A patched copy with another undo record (None: as it is), in a section of another name."""
    image = parse_image(data, "copy")
    (index,) = (i for i, section in enumerate(image.sections) if section.name == ".hpundo")
    section = image.sections[index]
    row = struct.unpack_from("<I", data, 0x3C)[0] + 24 + 240 + 40 * index
    changed = put(data, "8B", row, *name)
    if record is not None:
        assert len(record) <= section.raw_size
        changed = put(changed, "I", row + 8, len(record))
        record = record.ljust(section.raw_size, b"\0")
        changed = changed[: section.raw_offset] + record + changed[section.raw_offset + len(record) :]
    return changed


def records(item: Packaged) -> dict[str, tuple[bytes, Code]]:
    data = item.copy().data
    original = item.baseline.data.whole()
    sha256 = item.module.image.sha256
    wrong = [Part(None, b"another file")]
    long = encode(original, sha256, []) + bytes(8)
    return {
        "no record": (with_record(data, None, b".other\0\0"), codes.NO_UNDO_RECORD),
        "no magic": (with_record(data, b"nothing"), codes.UNDO_MALFORMED),
        "too large": (with_record(data, put(long, "Q", 8, 1 << 40)), codes.UNDO_TOO_LARGE),
        "another patch image": (
            with_record(data, encode(original, item.module.baseline.sha256, [])), codes.UNDO_MALFORMED
        ),
        "no image": (with_record(data, encode(b"another file", sha256, wrong)), codes.UNDO_RESULT_DIFFERS),
    }  # fmt: skip


@pytest.mark.parametrize("which", ["no record", "no magic", "too large", "another patch image", "no image"])
def test_hostile_undo_records(item: Packaged, tmp_path: Path, which: str) -> None:
    data, code = records(item)[which]
    path = tmp_path / "patched.dll"
    path.write_bytes(data)
    assert refused(revert_offline, item.request(path, tmp_path / "back.dll")) is code


def test_a_whole_record_of_another_original(item: Packaged, tmp_path: Path) -> None:
    """It gives back a file that agrees with its own digest, and is not the baseline."""
    copy = item.copy().data
    evil = bytearray(item.baseline.data.whole())
    evil[0x800] ^= 1
    kept = [Part(None, bytes(evil[:0x400])), *_copies(bytes(evil), copy)]
    path = tmp_path / "patched.dll"
    path.write_bytes(with_record(copy, encode(bytes(evil), item.module.image.sha256, kept)))
    assert refused(revert_offline, item.request(path, tmp_path / "back.dll")) is codes.UNDO_RESULT_DIFFERS


def _copies(original: bytes, patched: bytes) -> Sequence[Part]:
    """Everything behind the headers in terms of the patched file, which has it at the same offsets."""
    from hpbuild.apply.offline.undo import changed_runs
    from hpbuild.values import Interval

    parts, cursor = [], 0x400
    for run in changed_runs(original[0x400:], patched[0x400 : len(original)]):
        parts += [
            Part(Interval(cursor, 0x400 + run.start)),
            Part(None, original[0x400 + run.start : 0x400 + run.end]),
        ]
        cursor = 0x400 + run.end
    return [*parts, Part(Interval(cursor, len(original)))]


def test_the_limit_of_the_policy(item: Packaged, patched: Path, tmp_path: Path) -> None:
    limits = Limits(installed_size=len(item.copy().data) - 1)
    policy = Policy(allow_unsigned=True, limits=limits)
    result = revert_offline(item.request(patched, tmp_path / "back.dll", policy=policy))
    assert result.status is ExitStatus.LIMIT
    assert not (tmp_path / "back.dll").exists()


@pytest.fixture
def tree(making: ModuleType, binaries: Path, tmp_path: Path) -> Any:
    """Two modules, and beside them a file that is none."""
    release = making.make_release(["bin/codec.dll", "lib/throwing.dll"], tmp_path / "r", binaries, ())
    (release.root / "readme.txt").write_text("x")
    return release


def tree_request(tree: Any, installed: Path, output: Path) -> OfflineRequest:
    return OfflineRequest(
        bundle=tree.bundle(signers=()), name="p", installed=installed, output=output, policy=UNSIGNED
    )


def test_a_tree(tree: Any, tmp_path: Path) -> None:
    out, back = tmp_path / "out", tmp_path / "back"
    result = apply_offline(tree_request(tree, tree.root, out))
    assert [module.path for module in result.modules] == ["bin/codec.dll", "lib/throwing.dll"]
    assert [module.output for module in result.modules] == [out / "bin/codec.dll", out / "lib/throwing.dll"]
    assert files(out) == {"bin/codec.dll", "lib/throwing.dll"}
    assert revert_offline(tree_request(tree, out, back)).done
    for path in files(back):
        assert (back / path).read_bytes() == (tree.root / path).read_bytes()
    assert {path.name for path in tmp_path.iterdir()} == {"r", "out", "back"}


def test_one_of_two_modules_cannot_be_written(tree: Any, tmp_path: Path) -> None:
    """Something follows the section table of the second file. The pin still agrees: the builder saw it."""
    second = tree.root / "lib" / "throwing.dll"
    data = second.read_bytes()
    at = struct.unpack_from("<I", data, 0x3C)[0] + 24 + 240
    image = parse_image(data, "throwing.dll")
    second.write_bytes(put(data, "B", at + 40 * len(image.sections) + 4, 1))
    policy = Policy(allow_unsigned=True, lowest_tier=Tier.SECTIONS)
    request = dataclasses.replace(tree_request(tree, tree.root, tmp_path / "out"), policy=policy)
    assert refused(apply_offline, request) is codes.NO_HEADER_ROOM
    assert {path.name for path in tmp_path.iterdir()} == {"r"}


def test_one_of_two_modules_is_applied_already(tree: Any, tmp_path: Path) -> None:
    assert apply_offline(tree_request(tree, tree.root, tmp_path / "out")).done
    done = tree.root / "bin" / "codec.dll"
    done.write_bytes((tmp_path / "out" / "bin" / "codec.dll").read_bytes())
    request = tree_request(tree, tree.root, tmp_path / "again")
    assert refused(apply_offline, request) is codes.ALREADY_APPLIED
    request = tree_request(tree, tree.root, tmp_path / "back")
    assert refused(revert_offline, request) is codes.NOT_APPLIED


@pytest.mark.parametrize("what", ["directory", "file", "link"])
def test_the_output_tree_is_there(tree: Any, tmp_path: Path, what: str) -> None:
    out = tmp_path / "out"
    if what == "directory":
        out.mkdir()
    elif what == "file":
        out.write_text("")
    else:
        out.symlink_to("nowhere")
    assert refused(apply_offline, tree_request(tree, tree.root, out)) is codes.OUTPUT_IN_THE_WAY


def test_the_output_has_no_place(tree: Any, item: Packaged, installed: Path, tmp_path: Path) -> None:
    out = tmp_path / "absent" / "out"
    for request in (tree_request(tree, tree.root, out), item.request(installed, out)):
        with pytest.raises(HpbuildError) as caught:
            apply_offline(request)
        assert caught.value.code is bundle_codes.NO_SUCH_FILE


def test_one_file_of_a_package_for_two(tree: Any, tmp_path: Path) -> None:
    out = tmp_path / "throwing.dll"
    result = apply_offline(tree_request(tree, tree.root / "lib" / "throwing.dll", out))
    assert [module.path for module in result.modules] == ["lib/throwing.dll"]
    assert out.is_file()
