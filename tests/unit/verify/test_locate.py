import errno
import os
from dataclasses import replace
from pathlib import Path

import pytest

from hpbuild.codes import verify as codes
from hpbuild.errors import ExitStatus, HpbuildError
from hpbuild.verify import Limits
from hpbuild.verify.locate import locate, read_installed
from hpbuild.verify.states import CheckStatus, ModuleState


def test_a_tree(pair) -> None:
    result = pair.verify(pair.root)
    assert result.exit is ExitStatus.YES
    assert [(m.path, m.installed, m.state) for m in result.modules] == [
        ("bin/codec.dll", pair.root / "bin" / "codec.dll", ModuleState.APPLICABLE),
        ("lib/throwing.dll", pair.root / "lib" / "throwing.dll", ModuleState.APPLICABLE),
    ]


def test_a_tree_in_other_letter_case(pair) -> None:
    (pair.root / "bin").rename(pair.root / "BIN")
    (pair.root / "BIN" / "codec.dll").rename(pair.root / "BIN" / "Codec.DLL")
    result = pair.verify(pair.root)
    assert result.exit is ExitStatus.YES
    assert result.modules[0].installed == pair.root / "BIN" / "Codec.DLL"


def test_the_exact_name_wins(pair) -> None:
    (pair.root / "bin" / "CODEC.DLL").write_bytes(b"x")
    if (pair.root / "bin" / "codec.dll").read_bytes() == b"x":
        pytest.skip("this file system ignores letter case")
    assert pair.verify(pair.root).exit is ExitStatus.YES


def test_two_names_that_differ_in_case_only(pair) -> None:
    (pair.root / "bin" / "codec.dll").rename(pair.root / "bin" / "Codec.dll")
    (pair.root / "bin" / "CODEC.dll").write_bytes(b"x")
    if (pair.root / "bin" / "Codec.dll").read_bytes() == b"x":
        pytest.skip("this file system ignores letter case")
    result = pair.verify(pair.root)
    assert result.exit is ExitStatus.NOT_APPLICABLE
    assert [finding.code for finding in result.modules[0].findings] == [codes.MODULE_NOT_FOUND]


@pytest.mark.parametrize("remove", ["bin/codec.dll", "lib/throwing.dll"])
def test_a_missing_file(pair, remove: str) -> None:
    (pair.root / remove).unlink()
    result = pair.verify(pair.root)
    assert result.exit is ExitStatus.NOT_APPLICABLE
    missing = next(module for module in result.modules if module.path == remove)
    assert missing.state is None
    assert [finding.code for finding in missing.findings] == [codes.MODULE_NOT_FOUND]
    other = next(module for module in result.modules if module.path != remove)
    assert other.state is ModuleState.APPLICABLE


def test_a_directory_where_a_file_should_be(pair) -> None:
    (pair.root / "bin" / "codec.dll").unlink()
    (pair.root / "bin" / "codec.dll").mkdir()
    result = pair.verify(pair.root)
    assert result.exit is ExitStatus.NOT_APPLICABLE
    assert [finding.code for finding in result.modules[0].findings] == [codes.MODULE_NOT_FOUND]


def test_nothing_there_at_all(pair) -> None:
    result = pair.verify(pair.root / "absent")
    assert result.exit is ExitStatus.NOT_APPLICABLE
    assert {f.code for module in result.modules for f in module.findings} == {codes.MODULE_NOT_FOUND}


def test_a_file_is_the_only_module_whatever_its_name(release, tmp_path: Path) -> None:
    other = tmp_path / "renamed.bin"
    other.write_bytes(release.installed.read_bytes())
    assert release.verify(other).exit is ExitStatus.YES


def test_a_file_is_the_module_of_its_name(pair, tmp_path: Path) -> None:
    other = tmp_path / "THROWING.dll"
    other.write_bytes((pair.root / "lib" / "throwing.dll").read_bytes())
    result = pair.verify(other)
    assert result.exit is ExitStatus.YES
    assert [(module.path, module.state) for module in result.modules] == [
        ("lib/throwing.dll", ModuleState.APPLICABLE)
    ]


def test_a_file_of_another_name_is_no_module(pair, tmp_path: Path) -> None:
    other = tmp_path / "renamed.bin"
    other.write_bytes(pair.installed.read_bytes())
    result = pair.verify(other)
    assert result.exit is ExitStatus.USAGE
    assert {f.code for module in result.modules for f in module.findings} == {codes.MODULE_NOT_CHOSEN}
    assert {c.status for c in result.checks if c.number in ("V11", "V15")} == {CheckStatus.NOT_RUN}


def test_the_worst_module_decides(pair) -> None:
    (pair.root / "lib" / "throwing.dll").write_bytes((pair.fixed_root / "lib" / "throwing.dll").read_bytes())
    result = pair.verify(pair.root)
    assert result.exit is ExitStatus.NOT_APPLICABLE
    assert [module.state for module in result.modules] == [ModuleState.APPLICABLE, ModuleState.NOT_NEEDED]


def test_too_large(release) -> None:
    size = release.installed.stat().st_size
    for limit, status in ((size, ExitStatus.YES), (size - 1, ExitStatus.LIMIT)):
        policy = replace(release.policy, limits=replace(Limits(), installed_size=limit))
        result = release.verify(release.installed, policy)
        assert result.exit is status
    assert [finding.code for finding in result.modules[0].findings] == [codes.MODULE_TOO_LARGE]


@pytest.mark.usefixtures("mortal")
def test_no_permission(release) -> None:
    release.installed.chmod(0)
    result = release.verify(release.installed)
    assert result.exit is ExitStatus.UNAVAILABLE
    assert [finding.code for finding in result.modules[0].findings] == [codes.MODULE_UNREADABLE]


def test_the_system_refuses(release, monkeypatch: pytest.MonkeyPatch) -> None:
    """As above, for the superuser too."""
    from hpbuild.pe import files

    def refuse(path: Path, flags: int) -> int:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))

    monkeypatch.setattr(files.os, "open", refuse)
    result = release.verify(release.installed)
    assert result.exit is ExitStatus.UNAVAILABLE
    assert [finding.code for finding in result.modules[0].findings] == [codes.MODULE_UNREADABLE]


def test_a_pipe_is_no_file(tmp_path: Path) -> None:
    if not hasattr(os, "mkfifo"):
        pytest.skip("this system has no named pipes")
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with pytest.raises(HpbuildError) as caught:
        read_installed(pipe, "m", 100)
    assert caught.value.code is codes.MODULE_NOT_FOUND


@pytest.mark.parametrize(
    "path", ["../codec.dll", "/codec.dll", "C:/codec.dll", "bin\\codec.dll", "a//b", "", "."]
)
def test_paths_that_leave_the_root_are_not_followed(release, path: str) -> None:
    """Consistent manifests have none; this is the second lock."""
    (located,) = locate(release.root, (replace(release.module, path=path),))
    assert located.path is None
    assert located.finding is not None
    assert located.finding.code is codes.MODULE_NOT_FOUND
