"""The file is another one between the verification and the writing."""

import struct
from collections.abc import Callable
from pathlib import Path

import pytest

from hpbuild.apply.offline.apply import apply_offline
from hpbuild.apply.offline.revert import revert_offline
from hpbuild.codes import apply_offline as codes
from hpbuild.codes import pins
from hpbuild.errors import Code, ExitStatus, HpbuildError
from hpbuild.sign.certificates import load_certificates_pem
from hpbuild.values import Digest
from hpbuild.verify import Policy, reading
from hpbuild.verify.policy import PublisherRule
from hpbuild.verify.roles import SubjectRule
from tests.certificates import make_authority

from .conftest import Packaged


@pytest.fixture
def item(package_for: Callable[..., Packaged], codec: bytes) -> Packaged:
    return package_for(codec)


def certified(data: bytes, content: bytes) -> bytes:
    """``data`` with a certificate table: the same build at the tier authenticode, another file."""
    data += bytes(-len(data) % 8)
    table = struct.pack("<IHH", 8 + len(content), 0x200, 2) + content
    at = int.from_bytes(data[0x3C:0x40], "little") + 24 + 112 + 8 * 4
    return data[:at] + struct.pack("<II", len(data), len(table)) + data[at + 8 :] + table


def swapped_after_reading(monkeypatch: pytest.MonkeyPatch, path: Path, other: bytes) -> None:
    """The first reading gives what is there; then the file is replaced."""
    read = reading.read_file

    def swapping(wanted: Path, *limits: int) -> bytes:
        data = read(wanted, *limits)
        replacement = path.with_suffix(".new")
        replacement.write_bytes(other)
        replacement.replace(path)
        return data

    monkeypatch.setattr(reading, "read_file", swapping)


def refused(run: Callable[[], object]) -> Code:
    with pytest.raises(HpbuildError) as caught:
        run()
    return caught.value.code


def test_apply_writes_what_was_verified_or_nothing(
    item: Packaged, codec: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both files would be accepted; but it was the first that was."""
    path, out = tmp_path / "codec.dll", tmp_path / "out.dll"
    path.write_bytes(certified(codec, b"one file"))
    request = item.request(path, out)
    swapped_after_reading(monkeypatch, path, certified(codec, b"another!"))
    assert refused(lambda: apply_offline(request)) is codes.FILE_CHANGED
    assert not out.exists()
    # Now that the file stays as it is, it is written from.
    assert apply_offline(request).status is ExitStatus.YES
    assert out.exists()


def test_revert_likewise(item: Packaged, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, out = tmp_path / "patched.dll", tmp_path / "out.dll"
    patched = item.copy().data
    path.write_bytes(patched)
    request = item.request(path, out)
    swapped_after_reading(monkeypatch, path, patched + bytes(8))
    assert refused(lambda: revert_offline(request)) is codes.FILE_CHANGED
    assert not out.exists()


def test_what_is_written_comes_from_the_verified_bytes(item: Packaged, codec: bytes, tmp_path: Path) -> None:
    path, out = tmp_path / "codec.dll", tmp_path / "out.dll"
    path.write_bytes(codec)
    result = apply_offline(item.request(path, out))
    (written,) = result.modules
    (verified,) = result.verification.modules
    assert written.before.hex == verified.sha256 == Digest.of(codec).hex
    assert out.read_bytes() == item.copy().data


def test_the_publisher_of_the_original_is_asked_for(
    item: Packaged, tmp_path: Path, require_tool: Callable[[str], str]
) -> None:
    """A patched file has no signature; its original, which was given back, has to have one."""
    require_tool("openssl")
    root = make_authority(tmp_path / "root")
    rule = PublisherRule(authorities=load_certificates_pem(root.pem, "root"), subject=SubjectRule())
    path = tmp_path / "patched.dll"
    path.write_bytes(item.copy().data)
    request = item.request(path, tmp_path / "out.dll", policy=Policy(allow_unsigned=True, publisher=rule))
    assert refused(lambda: revert_offline(request)) is pins.UNSIGNED_FILE
    assert not (tmp_path / "out.dll").exists()
