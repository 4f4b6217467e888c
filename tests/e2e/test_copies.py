"""The same build under another signature, stamp or address has nothing to patch."""

import json
import shutil
import struct
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hpbuild.cli.main import main
from hpbuild.manifest.schema import validate

COFF_STAMP, CHECKSUM, DIRECTORIES, DEBUG = 8, 24 + 64, 24 + 112, 6


def images(binaries: Path) -> list[Path]:
    found = sorted(binaries.rglob("*.dll"))
    assert len(found) >= 30
    return found


def is_whole(module: dict[str, Any]) -> bool:
    """Nothing was found, and the account has every byte."""
    sizes = [row["size"] for row in module["account"]["classes"]]
    changed = [row["class"] for row in module["account"]["classes"] if "identical" not in row["class"]]
    return (
        module["verdict"] == "identical"
        and not module["functions"]
        and not module["data"]
        and sum(sizes) == module["account"]["total"]
        and not [name for name in changed if name.startswith(("changed", "added"))]
    )


@pytest.mark.parametrize("symbols", ["auto", "none"])
def test_every_image_is_identical_with_itself(
    binaries: Path, capsys: pytest.CaptureFixture[str], symbols: str
) -> None:
    for path in images(binaries):
        assert main(["diff", str(path), str(path), "--symbols", symbols, "--format", "json"]) == 0
        document = json.loads(capsys.readouterr().out)
        validate(document, document["schema"], "stdout")
        assert is_whole(document), path


def copy_tree(binaries: Path, target: Path, change: Callable[[Path], None]) -> int:
    """A copy of the example binaries with every image changed; how many images."""
    shutil.copytree(binaries, target)
    paths = images(target)
    for path in paths:
        change(path)
    return len(paths)


def identical_trees(hpbuild: Any, first: Path, second: Path) -> list[str]:
    run = hpbuild("diff", first, second, "--format", "json")
    document = run.document()
    assert (run.status, document["verdict"]) == (0, "identical")
    assert all(is_whole(module) for module in document["modules"])
    return [module["baseline"] for module in document["modules"]]


def restamp(path: Path) -> None:
    """Other times and another checksum, as a rebuild of the same sources at another time has."""
    data = bytearray(path.read_bytes())
    (start,) = struct.unpack_from("<I", data, 0x3C)
    struct.pack_into("<I", data, start + COFF_STAMP, 0x5F5E1000)
    struct.pack_into("<I", data, start + CHECKSUM, 0x00ABCDEF)
    rva, size = struct.unpack_from("<II", data, start + DIRECTORIES + 8 * DEBUG)
    count, optional = struct.unpack_from("<6xH12xH", data, start)
    for row in range(start + 24 + optional, start + 24 + optional + 40 * count, 40):
        address, raw_size, raw_offset = struct.unpack_from("<3I", data, row + 12)
        if address <= rva < address + raw_size:
            for entry in range(0, size, 28):
                struct.pack_into("<I", data, raw_offset + rva - address + entry + 4, 0x5F5E1000)
    assert bytes(data) != path.read_bytes()
    path.write_bytes(data)


def test_restamped_copies_are_identical(hpbuild: Any, binaries: Path, tmp_path: Path) -> None:
    count = copy_tree(binaries, tmp_path / "restamped", restamp)
    assert len(identical_trees(hpbuild, binaries, tmp_path / "restamped")) == count


def test_a_rebased_copy_is_identical(hpbuild: Any, binaries: Path, tmp_path: Path) -> None:
    sides = [binaries / "variants" / "rebased" / side for side in ("baseline", "fixed")]
    bases = [
        struct.unpack_from("<Q", (side / "gadget.dll").read_bytes(), 0x78 + 24 + 24)[0] for side in sides
    ]
    assert bases[0] != bases[1]
    assert len(identical_trees(hpbuild, *sides)) == 1
    arguments = ("-o", tmp_path / "x.hpb", "--id", "T", "--sequence", 1, "--format", "json")
    assert hpbuild("build", *sides, *arguments).error() == (3, "HP9011")
    assert not list(tmp_path.iterdir())


@pytest.fixture
def resign(require_tool: Callable[[str], str], tmp_path: Path) -> Callable[[Path], None]:
    """A function that adds an Authenticode signature of a throw-away certificate to a file."""
    openssl, osslsigncode = require_tool("openssl"), require_tool("osslsigncode")
    key, certificate = tmp_path / "authenticode.key", tmp_path / "authenticode.pem"
    make = [openssl, "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=Throw-away"]
    make += ["-addext", "extendedKeyUsage=codeSigning", "-keyout", str(key), "-out", str(certificate)]
    subprocess.run(make, check=True, capture_output=True)

    def sign(path: Path) -> None:
        signed = path.with_suffix(".signed")
        call = [osslsigncode, "sign", "-certs", str(certificate), "-key", str(key)]
        subprocess.run([*call, "-in", str(path), "-out", str(signed)], check=True, capture_output=True)
        assert signed.read_bytes() != path.read_bytes()
        signed.replace(path)

    return sign


def test_resigned_copies_are_identical(
    hpbuild: Any, binaries: Path, tmp_path: Path, resign: Callable[[Path], None]
) -> None:
    count = copy_tree(binaries, tmp_path / "signed", resign)
    assert len(identical_trees(hpbuild, binaries, tmp_path / "signed")) == count


def test_a_package_fits_the_resigned_baseline(
    hpbuild: Any, work: Any, resign: Callable[[Path], None]
) -> None:
    resign(work.baseline)
    verify = ("verify", work.package, "--key", work.public, "--installed", work.baseline, "--format", "json")
    run = hpbuild(*verify)
    (module,) = run.document()["packages"][0]["modules"]
    assert (run.status, module["state"], module["tier"]) == (0, "applicable", "authenticode")
    assert hpbuild(*verify, "--lowest-tier", "exact").status in (1, 3)
    resign(work.fixed)
    run = hpbuild(*verify[:5], work.fixed, "--format", "json")
    (module,) = run.document()["packages"][0]["modules"]
    assert (run.status, module["state"]) == (3, "not-needed")


def test_a_restamped_baseline_is_below_the_default(hpbuild: Any, work: Any) -> None:
    restamp(work.baseline)
    verify = ("verify", work.package, "--key", work.public, "--installed", work.baseline, "--format", "json")
    run = hpbuild(*verify)
    assert run.status in (1, 3)
    (module,) = run.document()["packages"][0]["modules"]
    assert module["tier"] != "exact"
