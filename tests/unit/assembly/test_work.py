"""The modules of a release over executors of all kinds: one result."""

import os
import shutil
import signal
from collections.abc import Callable
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from hpbuild.assembly.jobs import Job
from hpbuild.assembly.lists import Lists
from hpbuild.assembly.pool import process_pool
from hpbuild.assembly.spreading import spread
from hpbuild.assembly.start import Start
from hpbuild.assembly.trees import FilePair
from hpbuild.assembly.work import Work
from hpbuild.bundle.reader import read_bundle
from hpbuild.cache.store import Store, open_store
from hpbuild.codes import match as match_codes
from hpbuild.codes import pe as pe_codes
from hpbuild.codes import work as codes
from hpbuild.errors import HpbuildError
from hpbuild.pe.file_bytes import FileBytes
from hpbuild.pe.files import read_file
from hpbuild.pipeline import (
    BuildRequest,
    BuildResult,
    DiffOptions,
    ModuleDiff,
    assemble,
    build,
    diff_modules,
    prove_bundle,
)

Told = list[tuple[str, str, int, int]]


class Backwards(Executor):
    """Does everything in this process, the last that was submitted first, as soon as somebody waits."""

    def __init__(self) -> None:
        self.submitted: list[tuple[Future[Any], Callable[..., Any], tuple[Any, ...]]] = []
        self.expected = 0

    def submit(self, function: Callable[..., Any], /, *arguments: Any, **named: Any) -> Future[Any]:
        future: Future[Any] = Future()
        self.submitted.append((future, function, arguments))
        if len(self.submitted) == self.expected:
            for waiting, call, values in reversed(self.submitted):
                waiting.set_result(call(*values))
        return future


def quiet(*_: object) -> None:
    """No progress."""


@pytest.fixture
def trees(tmp_path: Path, binaries: Path) -> tuple[Path, Path]:
    """Two releases of five modules: four that differ, of several sizes, and one that does not."""
    for side in ("baseline", "fixed"):
        root = tmp_path / side
        (root / "bin").mkdir(parents=True)
        for name in ("codec.dll", "codec.pdb"):
            shutil.copy(binaries / side / name, root / name)
        shutil.copy(binaries / side / "throwing.dll", root / "bin" / "throwing.dll")
        for variant in ("pad_jump", "rebased"):
            shutil.copy(
                binaries / "variants" / variant / side / "gadget.dll", root / "bin" / f"{variant}.dll"
            )
        shutil.copy(binaries / "baseline" / "codec.dll", root / "same.dll")
    return tmp_path / "baseline", tmp_path / "fixed"


@pytest.fixture
def store(tmp_path: Path) -> Store:
    found, why = open_store(tmp_path / "cache", 1 << 28, "engine")
    assert found is not None, why
    return found


def request(trees: tuple[Path, Path]) -> BuildRequest:
    return BuildRequest(
        baseline=trees[0],
        fixed=trees[1],
        id="x-1",
        sequence=1,
        product="X",
        advisories=(),
        created="2025-01-31T12:00:00Z",
    )


def diffs(trees: tuple[Path, Path], work: Work, told: Told | None = None) -> tuple[ModuleDiff, ...]:
    return diff_modules(*trees, DiffOptions(), quiet if told is None else lambda *row: told.append(row), work)


def test_a_diff_is_the_same_wherever_it_is_done(trees: tuple[Path, Path]) -> None:
    here = diffs(trees, Work())
    assert len(here) == 4
    assert diffs(trees, Work(jobs=1)) == here
    assert diffs(trees, Work(jobs=2)) == here
    with ThreadPoolExecutor(3) as threads:
        assert diffs(trees, Work(executor=threads)) == here


def test_files_are_read_as_the_work_says(binaries: Path) -> None:
    """Each once, for a diff, a build and a proof."""
    files = [binaries / side / "codec.dll" for side in ("baseline", "fixed")]
    asked: list[Path] = []

    def read(path: Path) -> FileBytes:
        asked.append(path)
        return read_file(path)

    pair = files[0], files[1]
    assert diffs(pair, Work(start=Start(read))) == diffs(pair, Work())
    assert sorted(asked) == files
    result = build(request(pair), quiet, Work(start=Start(read)))
    assert sorted(asked[2:]) == files
    bundle = read_bundle(assemble(result))
    prove_bundle(bundle, *pair, "auto", quiet, Work(start=Start(read)))
    assert sorted(asked[4:]) == files


def test_the_order_of_finishing_does_not_matter(trees: tuple[Path, Path]) -> None:
    executor = Backwards()
    executor.expected = 4
    assert diffs(trees, Work(executor=executor)) == diffs(trees, Work())


def test_large_modules_go_first(trees: tuple[Path, Path]) -> None:
    executor = Backwards()
    executor.expected = 4
    diffs(trees, Work(executor=executor))
    sizes = [
        job.pair.baseline.stat().st_size + job.pair.fixed.stat().st_size
        for _, _, (job, *_) in executor.submitted
    ]
    assert sizes == sorted(sizes, reverse=True)
    assert sizes[0] > sizes[-1]


def test_a_package_is_the_same_wherever_it_is_made_and_proved(trees: tuple[Path, Path], store: Store) -> None:
    def made(work: Work) -> tuple[bytes, BuildResult]:
        result = build(request(trees), quiet, work)
        return assemble(result), result

    here, result = made(Work())
    assert [proof.ok for proof in result.proofs] == [True] * len(result.manifest.modules)
    for work in (Work(jobs=2), Work(jobs=2, store=store), Work(jobs=1, store=store)):
        data, other = made(work)
        assert data == here
        assert (other.diffs, other.proofs, other.symbols) == (result.diffs, result.proofs, result.symbols)
    bundle = read_bundle(here)
    proofs = prove_bundle(bundle, *trees, "auto", quiet, Work(jobs=2))
    assert proofs == prove_bundle(bundle, *trees, "auto", quiet) == result.proofs


def test_the_prover_reads_and_fills_no_cache(trees: tuple[Path, Path], store: Store) -> None:
    bundle = read_bundle(assemble(build(request(trees), quiet)))
    prove_bundle(bundle, *trees, "auto", quiet, Work(jobs=1, store=store))
    assert list(store.folder.iterdir()) == []


def test_progress_counts_modules(trees: tuple[Path, Path]) -> None:
    told: Told = []
    diffs(trees, Work(jobs=2), told)
    assert {row[0] for row in told} == {"examine"}
    assert told[-1][2:] == (4, 4)
    assert [row[2] for row in told] == sorted(row[2] for row in told)


def test_lists_of_functions_are_settled_over_all_modules(trees: tuple[Path, Path]) -> None:
    options = DiffOptions(explain=("codec.dll!codec_count",))
    asked = [diff_modules(*trees, options, quiet, work) for work in (Work(), Work(jobs=2))]
    assert asked[0] == asked[1]
    assert [bool(diff.explanations) for diff in asked[0]] == [
        Path(d.fixed).name == "codec.dll" for d in asked[0]
    ]


@pytest.mark.parametrize("name", ["nowhere", "gadget_run"])
def test_fail_lists_that_name_nothing_or_several(trees: tuple[Path, Path], name: str) -> None:
    errors = []
    for work in (Work(), Work(jobs=2)):
        with pytest.raises(HpbuildError) as caught:
            diff_modules(*trees, DiffOptions(only=(name,), symbols="none"), quiet, work)
        errors.append(caught.value.finding)
    assert errors[0] == errors[1]
    assert errors[0].code in (match_codes.UNKNOWN_FUNCTION, match_codes.AMBIGUOUS_FUNCTION)


def test_fail_the_first_module_in_the_order_of_paths(trees: tuple[Path, Path]) -> None:
    """The smallest, and so the last to be begun, is the first that is told."""
    for name, size in (("aa.dll", 100), ("zz.dll", 1 << 20)):
        for root in trees:
            (root / name).write_bytes(b"MZ" + root.name.encode() + bytes(size))
    found = []
    for work in (Work(), Work(jobs=2), Work(jobs=3)):
        with pytest.raises(HpbuildError) as caught:
            diffs(trees, work)
        found.append(caught.value.finding)
        assert caught.value.code in pe_codes.ROWS
    assert found[0] == found[1] == found[2]
    assert found[0].place.endswith("aa.dll")


class Deadly(Executor):
    """Real processes, of which those die that are given the module ``path``."""

    def __init__(self, pool: Executor, path: str) -> None:
        self.pool, self.path = pool, path

    def submit(self, function: Callable[..., Any], /, *arguments: Any, **named: Any) -> Future[Any]:
        if arguments[0].pair.path == self.path:
            return self.pool.submit(kill_oneself)
        return self.pool.submit(function, *arguments)


def kill_oneself() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


@pytest.mark.skipif(os.name != "posix", reason="signals are POSIX's")
def test_fail_a_process_that_dies(trees: tuple[Path, Path]) -> None:
    with process_pool(1) as pool, pytest.raises(HpbuildError) as caught:
        diffs(trees, Work(executor=Deadly(pool, "bin/throwing.dll"), jobs=1))
    assert caught.value.code is codes.WORKER_LOST
    assert caught.value.finding.place == "bin/throwing.dll"
    assert "--jobs" in caught.value.finding.remedy


def test_fail_another_machine_with_another_engine_or_other_files(trees: tuple[Path, Path]) -> None:
    """``elsewhere`` is what a cluster is; here its one worker is this process."""
    pairs = [FilePair("codec.dll", trees[0] / "codec.dll", trees[1] / "codec.dll")]
    lists = Lists.of((), (), ["codec.dll"])
    jobs = [Job(pair=pair, symbols="auto", lists=lists) for pair in pairs]
    for change in (lambda job, engine: (job, "another"), lambda job, engine: (swapped(job), engine)):
        with ThreadPoolExecutor(1) as threads, pytest.raises(HpbuildError) as caught:
            spread(jobs, Elsewhere(threads, change), quiet, at_once=1, elsewhere=True)
        assert caught.value.code is codes.CLUSTER_DIFFERS
    with ThreadPoolExecutor(1) as threads:
        (result,) = spread(jobs, threads, quiet, at_once=1, elsewhere=True)
    assert result.diff is not None
    assert result.diff.baseline == str(pairs[0].baseline)


def swapped(job: Job) -> Job:
    return replace(job, pair=FilePair(job.pair.path, job.pair.fixed, job.pair.baseline))


class Elsewhere(Executor):
    """Threads that are handed something else than was sent."""

    def __init__(self, pool: Executor, change: Callable[[Job, str], tuple[Job, str]]) -> None:
        self.pool, self.change = pool, change

    def submit(self, function: Callable[..., Any], /, *arguments: Any, **named: Any) -> Future[Any]:
        return self.pool.submit(function, *self.change(*arguments))


def test_a_second_run_analyses_nothing(trees: tuple[Path, Path], store: Store) -> None:
    first, second = list[tuple[str, str, int, int]](), list[tuple[str, str, int, int]]()
    here = diffs(trees, Work())
    assert diffs(trees, Work(jobs=1, store=store), first) == here
    assert diffs(trees, Work(jobs=1, store=store), second) == here
    assert "compare" in {row[0] for row in first}
    assert second == []


def test_a_second_fix_of_a_baseline_analyses_the_fix_alone(
    trees: tuple[Path, Path], store: Store, tmp_path: Path
) -> None:
    codec = [root / "codec.dll" for root in trees]
    diff_modules(*codec, DiffOptions(symbols="none"), quiet, Work(store=store))
    other = tmp_path / "other" / "codec2.dll"
    other.parent.mkdir()
    data = bytearray(codec[1].read_bytes())
    text = data.index(b"unknown status")
    data[text : text + 7] = b"UNKNOWN"
    other.write_bytes(data)
    told: Told = []
    options = DiffOptions(symbols="none")
    found = diff_modules(codec[0], other, options, lambda *row: told.append(row), Work(store=store))
    assert {row[1] for row in told if row[0] == "decode"} == {"codec2.dll"}
    assert found == diff_modules(codec[0], other, options, quiet)


def test_symbol_files_are_a_part_of_what_is_looked_up(trees: tuple[Path, Path], store: Store) -> None:
    codec = [root / "codec.dll" for root in trees]

    def symbols(work: Work) -> str:
        (diff,) = diff_modules(*codec, DiffOptions(), quiet, work)
        assert diff == diff_modules(*codec, DiffOptions(), quiet)[0]
        return diff.symbols

    assert symbols(Work(store=store)) == "pdb"
    pdb = trees[1] / "codec.pdb"
    data = pdb.read_bytes()
    pdb.unlink()
    assert symbols(Work(store=store)) == "pdb/none"
    pdb.write_bytes(b"Microsoft C/C++ MSF 7.00\r\n\x1aDS" + bytes(99))
    assert symbols(Work(store=store)) == "pdb/none"
    pdb.write_bytes(data)
    assert symbols(Work(store=store)) == "pdb"
    (diff,) = diff_modules(*codec, DiffOptions(symbols="none"), quiet, Work(store=store))
    assert diff.symbols == "none"


def test_damaged_files_of_the_cache_change_nothing(trees: tuple[Path, Path], store: Store) -> None:
    here = diffs(trees, Work(jobs=1, store=store))
    for number, path in enumerate(sorted(store.folder.iterdir())):
        data = bytearray(path.read_bytes())
        data[number * 37 % len(data)] ^= 255
        path.write_bytes(data)
    assert diffs(trees, Work(jobs=1, store=store)) == here
    told: Told = []
    assert diffs(trees, Work(jobs=1, store=store), told) == here
    assert told == []
