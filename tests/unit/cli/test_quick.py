"""Command lines without typer come to the same as with it."""

from collections.abc import Callable
from typing import Any

import pytest

from hpbuild.cli import differing, inspecting, verifying
from hpbuild.cli.app import dispatch
from hpbuild.cli.quick import LINES, parse, quick_run

Runner = Callable[..., Any]


class Call:
    """What ``run`` of a command's steps is called with, given defaults and the defaults of typer alike."""

    def __init__(self) -> None:
        self.seen: list[tuple[Any, dict[str, Any]]] = []

    def __call__(self, *files: Any, **keywords: Any) -> int:
        known = {"baseline": None, "asm": False, "within": None, "policy": None, "key": (), "threshold": None,
                 "installed": None, "pid": None, "dump": None, "lowest_tier": None, "allow_unsigned": False,
                 "time": None, "state": None, "no_record": False, "state_wait": 10.0, "attest": None,
                 "attest_key": None, "attest_host": None, "only": (), "explain_function": (),
                 "symbols": "auto", "jobs": None, "no_cache": False, "dask": ""}  # fmt: skip
        keywords = {**known, **keywords}
        keywords["key"] = list(keywords["key"])
        keywords["within"] = keywords["within"] or inspecting.bounds()
        self.seen.append((files, keywords))
        return 0


@pytest.mark.parametrize(
    "line",
    [
        ["inspect", "x.hpb"],
        ["inspect", "x.hpb", "--format", "json"],
        ["inspect", "--format=text", "a b/x.hpb"],
        ["inspect", "/a/../b.c/.d/x.hpb"],
        ["diff", "a.dll", "./b.dll"],
        ["diff", "a", "b", "--jobs", "2", "--no-cache", "--quiet", "--format", "json"],
        ["diff", "--quiet", "a", "--jobs=1", "b"],
        ["diff", "a", "b", "--symbols", "none"],
        ["diff", "a", "--symbols=x y.pdb", "b"],
        ["verify", "x.hpb", "--key", "k.pub"],
        ["verify", "--key", "k.pub", "x.hpb", "y.hpb", "--key=l.pub", "--installed", "tree"],
        ["verify", "--policy", "p.toml", "x.hpb", "--format", "json"],
        ["verify", "x.hpb", "--allow-unsigned"],
        ["verify", "x.hpb", "--allow-unsigned", "--allow-unsigned", "--installed=a=b"],
    ],
)
def test_both_ways_come_to_the_same(monkeypatch: pytest.MonkeyPatch, line: list[str]) -> None:
    call = Call()
    monkeypatch.setattr(inspecting, "run", call)
    monkeypatch.setattr(verifying, "run", call)
    monkeypatch.setattr(differing, "run", call)
    run = quick_run(line)
    assert run is not None
    assert run() == 0
    assert dispatch(line) == 0
    quick, typed = call.seen
    assert quick == typed


@pytest.mark.parametrize(
    "line",
    [
        ["inspect"],
        ["inspect", "a", "b"],
        ["inspect", "a", "--asm"],
        ["inspect", "a", "-v"],
        ["inspect", "a", "--format", "xml"],
        ["inspect", "a", "--format"],
        ["inspect", "a", "--format="],
        ["inspect", "a", "--format", "json", "--format", "text"],
        ["inspect", ""],
        ["inspect", "--", "a"],
        ["inspect", "-"],
        ["inspect", "a", "--form", "json"],
        ["verify", "a", "--key"],
        ["verify", "a", "--key", "--policy"],
        ["verify", "a", "--policy", "p", "--policy", "q"],
        ["verify", "a", "--allow-unsigned=1"],
        ["verify", "a", "--lowest-tier", "exact"],
        ["verify", "a", "--help"],
        ["inspect", "../a b/./x.hpb"],
        ["inspect", "a//x.hpb"],
        ["inspect", "./x.hpb"],
        ["inspect", "x.hpb/"],
        ["inspect", "x/."],
        ["inspect", "."],
        ["diff", "a"],
        ["diff", "a", "b", "c"],
        ["diff", "a", "b", "--jobs", "0"],
        ["diff", "a", "b", "--jobs", "two"],
        ["diff", "a", "b", "--jobs", "\u0662"],
        ["diff", "a", "b", "--jobs", "2", "--jobs", "3"],
        ["diff", "a", "b", "--jobs"],
        ["diff", "a", "b", "--symbols"],
        ["diff", "a", "b", "--symbols", ""],
        ["diff", "a", "b", "--symbols", "none", "--symbols", "auto"],
        ["diff", "a", "b", "--only", "f"],
        ["diff", "a", "b", "-v"],
        ["compare", "a", "b"],
        [],
    ],
)
def test_fail_everything_else_is_for_typer(line: list[str]) -> None:
    assert quick_run(line) is None


@pytest.mark.parametrize("name", ["HPBUILD_FORMAT", "HPBUILD_VERIFY_KEY", "HPBUILD_INSPECT_ASM"])
def test_fail_variables_are_for_typer(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    assert quick_run(["inspect", "a"]) is not None
    monkeypatch.setenv(name, "1")
    assert quick_run(["inspect", "a"]) is None


def test_a_child_goes_the_same_way(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HPBUILD_CHILD", "0")
    assert quick_run(["inspect", "a"]) is not None


def test_real_runs_print_the_same(hpbuild: Runner, package: Any, capsys: pytest.CaptureFixture[str]) -> None:
    for line in (["inspect", package.path], ["verify", package.path, "--key", package.public]):
        words = [*map(str, line), "--format", "json"]
        quick = hpbuild(*words)
        status = dispatch(words)
        typed = capsys.readouterr().out
        assert status == quick.status == 0
        assert len(quick.out) > 1000
        if line[0] == "inspect":
            assert quick.out == typed


def test_options_keep_their_order() -> None:
    found = parse(LINES["verify"], ["--key", "b", "x", "--key", "a"])
    assert found == (["x"], {"--key": ["b", "a"]})
