"""The pipeline: files and trees in, packages out; the same inputs give the same bytes anywhere."""

import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from hpbuild.bundle.reader import Bundle, read_bundle
from hpbuild.codes import plan as codes
from hpbuild.codes import prove as prove_codes
from hpbuild.errors import HpbuildError
from hpbuild.manifest.codec import decode
from hpbuild.pipeline import (
    BuildRequest,
    BuildResult,
    DiffOptions,
    assemble,
    build,
    diff_modules,
    prove_bundle,
)


def quiet(*_: object) -> None:
    """No progress."""


def request(baseline: Path, fixed: Path, symbols: str = "auto") -> BuildRequest:
    return BuildRequest(
        baseline=baseline,
        fixed=fixed,
        id="codec-1.4.3-hp1",
        sequence=7,
        product="Codec",
        advisories=("CVE-2025-0001", "CVE-2025-0002"),
        created="2025-01-31T12:00:00Z",
        symbols=symbols,
    )


@pytest.fixture
def codec(binaries: Path) -> tuple[Path, Path]:
    return binaries / "baseline" / "codec.dll", binaries / "fixed" / "codec.dll"


@pytest.fixture
def gadget(binaries: Path) -> Callable[[str, str], Path]:
    return lambda variant, side: binaries / "variants" / variant / side / "gadget.dll"


@pytest.fixture
def trees(tmp_path: Path, binaries: Path, gadget: Callable[[str, str], Path]) -> tuple[Path, Path]:
    """Two releases: two modules that changed, one moved in memory only, one as it was, and other files."""
    for side in ("baseline", "fixed"):
        root = tmp_path / side
        (root / "bin").mkdir(parents=True)
        shutil.copy(binaries / side / "codec.dll", root / "codec.dll")
        shutil.copy(gadget("pad_jump", side), root / "bin" / "gadget.dll")
        shutil.copy(gadget("rebased", side), root / "bin" / "rebased.dll")
        shutil.copy(binaries / "baseline" / "throwing.dll", root / "bin" / "same.dll")
        (root / "notes.txt").write_text(side)
        (root / "link.dll").symlink_to(binaries / side / "throwing.dll")
    return tmp_path / "baseline", tmp_path / "fixed"


def written(result: BuildResult) -> Bundle:
    return read_bundle(assemble(result))


class TestDiff:
    def test_of_a_file_with_itself(self, codec: tuple[Path, Path]) -> None:
        (diff,) = diff_modules(codec[0], codec[0], DiffOptions(), quiet)
        assert (diff.verdict, diff.findings, diff.exclusions) == ("identical", (), ())
        assert diff.symbols == "pdb"

    @pytest.mark.parametrize("symbols", ["auto", "none"])
    @pytest.mark.parametrize("variant", ["identical", "rebased"])
    def test_of_another_order_or_base(
        self, gadget: Callable[[str, str], Path], variant: str, symbols: str
    ) -> None:
        paths = gadget(variant, "baseline"), gadget(variant, "fixed")
        (diff,) = diff_modules(*paths, DiffOptions(symbols=symbols), quiet)
        assert diff.verdict == "identical"

    def test_of_a_fix(self, codec: tuple[Path, Path]) -> None:
        (diff,) = diff_modules(*codec, DiffOptions(symbols="none"), quiet)
        assert (diff.verdict, diff.symbols) == ("hotpatchable", "none")
        assert (diff.baseline, diff.fixed) == (str(codec[0]), str(codec[1]))
        assert diff.difference.summary.changed == 4
        assert diff.difference.summary.added == 1

    def test_that_is_refused(self, gadget: Callable[[str, str], Path]) -> None:
        (diff,) = diff_modules(*(gadget("tls", side) for side in ("baseline", "fixed")), DiffOptions(), quiet)
        assert diff.verdict == "refused"
        assert codes.THREAD_LOCAL in {finding.code for finding in diff.findings}

    def test_of_trees(self, trees: tuple[Path, Path]) -> None:
        diffs = diff_modules(*trees, DiffOptions(symbols="none"), quiet)
        assert [(Path(diff.fixed).name, diff.verdict) for diff in diffs] == [
            ("gadget.dll", "hotpatchable"),
            ("rebased.dll", "identical"),
            ("codec.dll", "hotpatchable"),
        ]

    def test_tells_its_progress(self, codec: tuple[Path, Path]) -> None:
        told: list[tuple[str, str, int, int]] = []
        diff_modules(*codec, DiffOptions(), lambda *row: told.append(row))
        stages = [row[0] for row in told]
        assert list(dict.fromkeys(stages)) == ["decode", "compare", "plan"]
        assert all(0 <= done <= total or total == 0 for _, _, done, total in told)


class TestBuild:
    def test_says_what_it_was_asked_for(self, codec: tuple[Path, Path]) -> None:
        result = build(request(*codec), quiet)
        manifest = decode(written(result).manifest)
        assert (manifest.id, manifest.product, manifest.sequence) == ("codec-1.4.3-hp1", "Codec", 7)
        assert manifest.advisories == ("CVE-2025-0001", "CVE-2025-0002")
        assert manifest.created == "2025-01-31T12:00:00Z"
        assert manifest == result.manifest
        assert [module.path for module in manifest.modules] == ["codec.dll"]
        assert manifest.unchanged == ()
        assert [proof.ok for proof in result.proofs] == [True]

    def test_of_trees(self, trees: tuple[Path, Path]) -> None:
        result = build(request(*trees), quiet)
        manifest = decode(written(result).manifest)
        assert [module.path for module in manifest.modules] == ["bin/gadget.dll", "codec.dll"]
        assert manifest.unchanged == ("bin/rebased.dll", "bin/same.dll")
        assert sorted(result.members) == ["images/bin/gadget.dll", "images/codec.dll"]
        assert [proof.ok for proof in result.proofs] == [True, True]
        assert not result.refused

    def test_of_the_same_files_carries_nothing(self, codec: tuple[Path, Path]) -> None:
        result = build(request(codec[0], codec[0]), quiet)
        assert (result.manifest.modules, result.members, result.proofs, result.refused) == ((), {}, (), False)

    def test_fail_one_refused_module_refuses_all(
        self, trees: tuple[Path, Path], gadget: Callable[[str, str], Path]
    ) -> None:
        for root, side in zip(trees, ("baseline", "fixed"), strict=True):
            shutil.copy(gadget("data_init", side), root / "z.dll")
        result = build(request(*trees), quiet)
        assert result.refused
        assert result.members == {}
        refused = [diff for diff in result.diffs if diff.verdict == "refused"]
        assert [Path(diff.fixed).name for diff in refused] == ["z.dll"]
        assert codes.CHANGED_INITIALISER in {finding.code for finding in refused[0].findings}

    def test_fail_a_file_only_in_the_fixed_tree(
        self, trees: tuple[Path, Path], codec: tuple[Path, Path]
    ) -> None:
        shutil.copy(codec[0], trees[1] / "new.dll")
        with pytest.raises(HpbuildError) as caught:
            build(request(*trees), quiet)
        assert caught.value.code is codes.FILE_ADDED

    def test_fail_a_file_and_a_tree(self, trees: tuple[Path, Path], codec: tuple[Path, Path]) -> None:
        with pytest.raises(HpbuildError) as caught:
            build(request(trees[0], codec[1]), quiet)
        assert caught.value.code is codes.FILE_AND_TREE


class TestProve:
    @pytest.mark.parametrize(("built", "proved"), [("auto", "auto"), ("none", "none"), ("none", "auto")])
    def test_a_written_package(self, codec: tuple[Path, Path], built: str, proved: str) -> None:
        """Without symbols the builder cuts data elsewhere; the proof follows what the package says."""
        bundle = written(build(request(*codec, built), quiet))
        (proof,) = prove_bundle(bundle, *codec, proved, quiet)
        assert [str(finding) for finding in proof.findings] == []
        assert proof.ok

    def test_a_package_of_trees(self, trees: tuple[Path, Path]) -> None:
        bundle = written(build(request(*trees), quiet))
        assert [proof.ok for proof in prove_bundle(bundle, *trees, "auto", quiet)] == [True, True]

    def test_a_package_of_one_file_under_another_name(self, codec: tuple[Path, Path], tmp_path: Path) -> None:
        bundle = written(build(request(*codec, "none"), quiet))
        names = [tmp_path / "old.bin", tmp_path / "new.bin"]
        for path, name in zip(codec, names, strict=True):
            shutil.copy(path, name)
        (proof,) = prove_bundle(bundle, *names, "none", quiet)
        assert proof.ok

    def test_fail_a_package_of_another_fix(self, codec: tuple[Path, Path], tmp_path: Path) -> None:
        bundle = written(build(request(*codec, "none"), quiet))
        other = bytearray(codec[1].read_bytes())
        text = other.index(b"unknown status")
        other[text : text + 7] = b"UNKNOWN"
        fixed = tmp_path / "codec.dll"
        fixed.write_bytes(other)
        with pytest.raises(HpbuildError) as caught:
            prove_bundle(bundle, codec[0], fixed, "none", quiet)
        assert caught.value.code is prove_codes.WRONG_IMAGES

    def test_fail_a_module_that_is_not_among_the_files(self, trees: tuple[Path, Path]) -> None:
        bundle = written(build(request(*trees), quiet))
        shutil.copy(trees[0] / "codec.dll", trees[1] / "codec.dll")
        with pytest.raises(HpbuildError) as caught:
            prove_bundle(bundle, *trees, "auto", quiet)
        assert caught.value.code is prove_codes.WRONG_IMAGES
        assert caught.value.finding.place == "codec.dll"


SCRIPT = """
import os, sys, hashlib
from pathlib import Path
sys.path.insert(0, sys.argv[1])
os.umask(int(sys.argv[2], 8))
from hpbuild.assembly import loading
loading.PARALLEL_SIZE = int(sys.argv[3])
from hpbuild.pipeline import BuildRequest, assemble, build
result = build(
    BuildRequest(baseline=Path(sys.argv[4]), fixed=Path(sys.argv[5]), id="x", sequence=1, product="P",
                 advisories=(), created="2025-01-31T12:00:00Z", symbols="auto"),
    lambda *_: None,
)
print(hashlib.sha256(assemble(result)).hexdigest())
"""


def test_the_same_bytes_anywhere(trees: tuple[Path, Path], tmp_path: Path, root: Path) -> None:
    """Another folder, time zone, seed, umask, number of processes, and copies under another path."""
    copies = tmp_path / "deeper" / "ü copies"
    for tree in trees:
        shutil.copytree(tree, copies / tree.name, symlinks=True)
        for path in (copies / tree.name).rglob("*.dll"):
            if not path.is_symlink():
                os.utime(path, (1, 1))
    settings = [
        (tmp_path, trees, "077", 0, {"TZ": "Asia/Kolkata", "PYTHONHASHSEED": "4242", "LANG": "tr_TR.UTF-8"}),
        (Path("/"), (copies / "baseline", copies / "fixed"), "000", 1 << 30, {"PYTHONHASHSEED": "random"}),
    ]
    digests = []
    for folder, (baseline, fixed), umask, parallel, variables in settings:
        arguments = [str(root), umask, str(parallel), str(baseline), str(fixed)]
        run = subprocess.run(
            [sys.executable, "-c", SCRIPT, *arguments],
            cwd=folder,
            env={"PATH": os.environ["PATH"], **variables},
            capture_output=True,
            text=True,
            check=False,
        )
        assert run.returncode == 0, run.stderr
        digests.append(run.stdout.strip())
    here = build(replace(request(*trees), id="x", sequence=1, product="P", advisories=()), quiet)
    assert set(digests) == {hashlib.sha256(assemble(here)).hexdigest()}
