"""Whatever is done to a signed package, the answer is no."""

import base64
import json
import struct
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from hpbuild.bundle.reader import read_bundle
from hpbuild.bundle.writer import write_bundle
from hpbuild.bundle.zip_profile import Entry, crc32, directory, local_header

ENVELOPE = "signatures.dsse.json"


def members_of(package: Path) -> dict[str, bytes]:
    return dict(read_bundle(package.read_bytes()).members)


def container(members: list[tuple[str, bytes]]) -> bytes:
    """A container with exactly these members in this order, every checksum right."""
    parts, entries, offset = [], [], 0
    for name, content in members:
        entry = Entry(name, crc32(content), len(content), offset)
        entries.append(entry)
        parts += [local_header(entry), content]
        offset += len(parts[-2]) + len(content)
    return b"".join(parts) + directory(tuple(entries), offset)


def refused(hpbuild: Any, release: Any, folder: Path, packages: dict[str, bytes]) -> None:
    """Every package is refused: one run says so for all, with the real files beside them untouched."""
    folder.mkdir()
    for name, data in packages.items():
        (folder / f"{name}.hpb").write_bytes(data)
    paths = sorted(folder.iterdir())
    before = {path: path.read_bytes() for path in paths}
    trust = ("--key", release.public, "--installed", release.baseline)
    run = hpbuild("verify", *paths, *trust, "--format", "json")
    assert run.status in (1, 4)
    document = run.document()
    assert len(document["packages"]) == len(paths)
    for package in document["packages"]:
        assert package["status"] in (1, 4), (package["path"], package["verdict"])
        assert package["verdict"] in ("failed", "malformed"), package["path"]
    assert {path: path.read_bytes() for path in sorted(folder.iterdir())} == before


def positions(size: int) -> Iterator[int]:
    """First, last and some between."""
    yield from sorted({0, 1, size // 3, size // 2, size - 2, size - 1})


def test_the_package_itself_is_fine(hpbuild: Any, release: Any) -> None:
    assert container(list(members_of(release.package).items())) == release.package.read_bytes()
    trust = ("--key", release.public, "--installed", release.baseline)
    assert hpbuild("verify", release.package, *trust).status == 0


def test_a_flipped_bit_anywhere_in_the_file(hpbuild: Any, release: Any, tmp_path: Path) -> None:
    data = release.package.read_bytes()
    places = set(range(0, len(data), 61))
    with zipfile.ZipFile(release.package) as archive:
        for info in archive.infolist():
            start = info.header_offset + 30 + len(info.filename)
            places |= {start + position for position in positions(info.file_size)}
            places |= set(range(info.header_offset, start, 5))
    places |= set(range(len(data) - 22, len(data)))
    packages = {}
    for place in sorted(places):
        flipped = bytearray(data)
        flipped[place] ^= 1 << place % 8
        packages[f"{place:06}"] = bytes(flipped)
    refused(hpbuild, release, tmp_path / "flipped", packages)


def test_a_flipped_bit_with_a_matching_checksum(hpbuild: Any, release: Any, tmp_path: Path) -> None:
    members = members_of(release.package)
    packages = {}
    for number, (name, content) in enumerate(members.items()):
        for position in positions(len(content)):
            for bit in (0, 7):
                flipped = bytearray(content)
                flipped[position] ^= 1 << bit
                packages[f"{number}-{position}-{bit}"] = write_bundle({**members, name: bytes(flipped)})
    refused(hpbuild, release, tmp_path / "flipped", packages)


@pytest.mark.parametrize("field", ["payload", "sig"])
def test_a_flipped_bit_in_what_the_envelope_holds(
    hpbuild: Any, release: Any, tmp_path: Path, field: str
) -> None:
    members = members_of(release.package)
    envelope = json.loads(members[ENVELOPE])
    holder = envelope if field == "payload" else envelope["signatures"][0]
    content = base64.b64decode(holder[field])
    packages = {}
    for position in positions(len(content)):
        flipped = bytearray(content)
        flipped[position] ^= 1 << position % 8
        holder[field] = base64.b64encode(flipped).decode()
        text = json.dumps(envelope, separators=(",", ":"), sort_keys=True).encode()
        packages[str(position)] = write_bundle({**members, ENVELOPE: text})
    refused(hpbuild, release, tmp_path / "flipped", packages)


def test_a_removed_member(hpbuild: Any, release: Any, tmp_path: Path) -> None:
    members = list(members_of(release.package).items())
    assert len(members) == 7
    packages = {
        str(number): container(members[:number] + members[number + 1 :]) for number in range(len(members))
    }
    refused(hpbuild, release, tmp_path / "removed", packages)


ADDED = (
    "images/other.dll",
    "images/zz.dll",
    "attachments/notes.txt",
    "other.txt",
    "../evil.dll",
    "/etc/evil",
    "images/CODEC.DLL",
    "images/codec.dll",
    "images/",
    "a",
)


def test_an_added_member(hpbuild: Any, release: Any, tmp_path: Path) -> None:
    members = list(members_of(release.package).items())
    packages = {
        f"{number}-{place}": container([*members[:place], (name, b"MZ"), *members[place:]])
        for number, name in enumerate(ADDED)
        for place in range(len(members) + 1)
    }
    refused(hpbuild, release, tmp_path / "added", packages)


def test_members_in_another_order(hpbuild: Any, release: Any, tmp_path: Path) -> None:
    members = list(members_of(release.package).items())
    packages = {
        "reversed": container(members[::-1]),
        "rotated": container(members[1:] + members[:1]),
        "twice": container([*members, members[-1]]),
    }
    refused(hpbuild, release, tmp_path / "order", packages)


def test_cut_and_extended(hpbuild: Any, release: Any, tmp_path: Path) -> None:
    data = release.package.read_bytes()
    packages = {f"cut-{size:06}": data[:size] for size in (1, 4, 30, 100, len(data) // 2, len(data) - 1)}
    packages["behind"] = data + b"\0"
    packages["before"] = b"\0" + data
    comment = bytearray(data)
    struct.pack_into("<H", comment, len(data) - 2, 4)
    packages["comment"] = bytes(comment) + b"note"
    packages["empty"] = b""
    refused(hpbuild, release, tmp_path / "cut", packages)


def test_members_of_another_package(hpbuild: Any, work: Any, tmp_path: Path) -> None:
    other = work.folder / "other.hpb"
    built = hpbuild("build", work.baseline, work.fixed, "-o", other, "--id", "T-2", "--sequence", 2)
    assert built.status == 0
    ours, theirs = members_of(work.package), members_of(other)
    packages = {}
    for number, name in enumerate(theirs):
        if theirs[name] != ours[name]:
            packages[f"one-{number}"] = write_bundle({**ours, name: theirs[name]})
    packages["all"] = write_bundle({**theirs, ENVELOPE: ours[ENVELOPE]})
    assert len(packages) >= 3
    refused(hpbuild, work, tmp_path / "mixed", packages)


def test_sign_refuses_a_package_that_was_changed(hpbuild: Any, work: Any) -> None:
    members = members_of(work.package)
    (image,) = (name for name in members if name.startswith("images/"))
    changed = write_bundle({**members, image: members[image][:-1] + b"\xcc"})
    work.package.write_bytes(changed)
    run = hpbuild("sign", work.package, "--key", f"file:{work.key}", "--format", "json")
    status, code = run.error()
    assert status in (1, 4)
    assert code.startswith("HP4")
    assert work.package.read_bytes() == changed
    assert not list(work.folder.glob("*.part")) + list(work.folder.glob(".*"))
