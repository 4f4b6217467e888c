"""Every command speaks JSON with a published schema, and looking loads nothing heavy."""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

HEAVY = ("lief", "iced_x86", "capstone", "pefile", "numpy", "cryptography", "rich", "jsonschema")


def test_every_command_writes_valid_documents(hpbuild: Any, work: Any) -> None:
    baseline, fixed, package = work.baseline, work.fixed, work.package
    files = ("--baseline", baseline, "--fixed", fixed)
    commands: dict[str, tuple[object, ...]] = {
        "diff": ("diff", baseline, fixed),
        "build": ("build", baseline, fixed, "-o", work.folder / "y.hpb", "--id", "T", "--sequence", 1),
        "keys": ("keys", "generate", "--no-passphrase", "-o", work.folder / "new"),
        "sign": ("sign", package, "--key", f"file:{work.folder / 'new.key'}"),
        "verify": ("verify", package, "--key", work.public, "--installed", work.folder / "installed"),
        "apply": (
            "apply", package, "--offline", "--key", work.public, "--installed", work.folder / "installed",
            "-o", work.folder / "patched",
        ),
        "revert": (
            "revert", package, "--offline", "--key", work.public, "--installed", work.folder / "patched",
            "-o", work.folder / "original",
        ),
        "prove": ("prove", package, *files),
        "rebuild": ("rebuild", "--check", package, baseline, fixed),
        "inspect": ("inspect", package, "--asm", "--baseline", baseline),
        "compare": ("compare", package, package),
        "explain": ("explain", "HP3001"),
    }  # fmt: skip
    for name, arguments in commands.items():
        run = hpbuild(*arguments, "--format", "json")
        assert run.status == 0, (name, run)
        assert run.document()["schema"] == f"urn:hpbuild:schema:{name}:1"
        assert run.err == ""
    assert hpbuild("inspect", baseline, "--format", "json").document()["schema"].startswith("urn:hpbuild:")
    refused = hpbuild("diff", "absent", fixed, env={"HPBUILD_FORMAT": "json"})
    assert refused.document()["schema"] == "urn:hpbuild:schema:error:1"


def imported(root: Path, *arguments: object) -> set[str]:
    """Packages that a command imports."""
    code = (
        "import sys; from hpbuild.cli.main import main; status = main(sys.argv[1:])\n"
        "print(*{name.partition('.')[0] for name in sys.modules}, file=sys.stderr); sys.exit(status)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONPATH": str(root)},
    )
    return set(done.stderr.split())


def test_what_help_inspect_and_verify_import(root: Path, release: Any) -> None:
    assert not imported(root, "--help") & set(HEAVY)
    assert not imported(root, "verify", "--help") & set(HEAVY)
    decoders = {"lief", "iced_x86", "capstone"}
    assert not imported(root, "inspect", release.package) & decoders
    verify = ("verify", release.package, "--key", release.public, "--installed", release.baseline)
    assert not imported(root, *verify) & decoders


def examples(text: str) -> list[tuple[list[str], list[str]]]:
    """Command lines that the text shows, each with the lines it shows of the output."""
    blocks = re.findall(r"```text\n(.*?)```", text, flags=re.DOTALL)
    found: list[tuple[list[str], list[str]]] = []
    for line in "".join(blocks).splitlines():
        if line.startswith("$ hpbuild"):
            found.append((shlex.split(line)[2:], []))
        elif found and line.strip() and line != "...":
            found[-1][1].append(line)
    return found


def test_the_readme_shows_what_happens(hpbuild: Any, root: Path, binaries: Path, tmp_path: Path) -> None:
    """Every line of the quick start comes out of its command; sizes and digests may be others."""
    quick_start = (root / "README.md").read_text(encoding="utf-8").partition("## Quick start")[2]
    shown = examples(quick_start)
    assert [arguments[0] for arguments, _ in shown] == [
        "keys", "diff", "build", "sign", "policy", "policy", "verify", "line", "diff", "build", "inspect",
    ]  # fmt: skip
    for side in ("baseline", "fixed"):
        shutil.copytree(binaries / side, tmp_path / side)
    for arguments, lines in shown:
        run = hpbuild(*arguments, cwd=tmp_path)
        assert run.status == 0, run
        wanted = set(map(neutral, lines))
        assert not wanted - {neutral(line) for line in run.out.splitlines()}, arguments


def neutral(line: str) -> str:
    return re.sub(r"^size .*|[0-9a-f]{64}|[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:]{8}Z", "~", line).rstrip()


@pytest.mark.parametrize("code", ["HP1012", "HP1017", "HP3001", "HP3002", "HP3004", "HP3007", "HP3020"])
def test_codes_of_the_readme_are_explained(hpbuild: Any, root: Path, code: str) -> None:
    assert code in (root / "README.md").read_text(encoding="utf-8")
    rows = json.loads(hpbuild("explain", code, "--format", "json").out)["codes"]
    assert [row["code"] for row in rows] == [code]
