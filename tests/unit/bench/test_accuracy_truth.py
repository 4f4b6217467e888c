"""Reading the truth of a pair, and unpacking corpora."""

import copy
import io
import tarfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from bench import unpacking
from bench.truth import TruthError, parse_truth, read_truth
from bench.unpacking import CorpusError, built_pairs

DOCUMENT: dict[str, Any] = {
    "functions": {
        "changed": [
            {"name": "f", "file": "src/a.c", "linkage": "static", "size": [16, 32], "line_only": None},
            {"name": "g", "file": "src/a.c", "linkage": "global", "size": [8, 8], "line_only": True},
        ],
        "added": [{"name": "h", "file": "src/a.c", "linkage": "global", "size": 48}],
        "removed": [],
    },
    "data": {
        "changed": [{"name": "v", "file": "a.c", "linkage": "static", "size": [4, 4], "kind": "data"}],
        "added": [],
        "removed": [],
    },
    "anonymous_constants": {"added": ["new"], "removed": ["old"]},
    "exports": {"functions": {"added": ["h"], "removed": []}, "data": {"added": [], "removed": ["d"]}},
    "imports": {"added": ["Sleep"], "removed": []},
}


def test_truth_is_read_whole() -> None:
    truth = parse_truth(DOCUMENT)
    first, second = truth.functions.changed
    assert (first.name, first.static, first.size, first.line_only) == ("f", True, (16, 32), None)
    assert (second.static, second.line_only) == (False, True)
    assert truth.functions.added[0].size == (48,)
    assert truth.data.changed[0].kind == "data"
    assert truth.constants == (("new",), ("old",))
    assert truth.exports == ("h", "d")
    assert truth.imports == (("Sleep",), ())


@pytest.mark.parametrize(
    ("line_only", "data", "carries"),
    [(True, False, False), (None, False, True), (False, False, True), (True, True, True)],
)
def test_line_numbers_alone_are_nothing_to_carry(line_only: bool | None, data: bool, carries: bool) -> None:
    document = copy.deepcopy(DOCUMENT)
    document["functions"]["changed"] = document["functions"]["changed"][:1]
    document["functions"]["changed"][0]["line_only"] = line_only
    if not data:
        document["data"]["changed"] = []
    assert parse_truth(document).carries is carries


@pytest.mark.parametrize(
    ("path", "value", "complaint"),
    [
        ((), [], "the document: an object"),
        (("functions",), None, "functions: an object"),
        (("functions", "added"), {}, "functions.added: a list"),
        (("functions", "changed", 1), "g", "functions.changed[1]: an object"),
        (("functions", "changed", 0, "name"), "", "functions.changed[0].name: a name"),
        (("functions", "changed", 0, "file"), 3, "functions.changed[0].file: a path"),
        (("functions", "changed", 0, "size"), 16, "functions.changed[0].size: 2 numbers"),
        (("functions", "added", 0, "size"), -1, "functions.added[0].size: 1 number of"),
        (("functions", "added", 0, "size"), True, "functions.added[0].size: 1 number of"),
        (("functions", "changed", 0, "line_only"), "no", "functions.changed[0].line_only: true, false"),
        (("data", "changed", 0, "kind"), "code", "data.changed[0].kind: data, rodata or bss"),
        (("anonymous_constants", "added"), [1], "anonymous_constants.added: a list of texts"),
        (("exports", "data"), [], "exports.data: an object"),
        (("imports", "removed"), "x", "imports.removed: a list of texts"),
    ],
)
def test_what_does_not_fit_is_named(path: tuple[Any, ...], value: object, complaint: str) -> None:
    document: Any = copy.deepcopy(DOCUMENT)
    if path:
        holder = document
        for step in path[:-1]:
            holder = holder[step]
        holder[path[-1]] = value
    else:
        document = value
    with pytest.raises(TruthError) as caught:
        parse_truth(document)
    assert str(caught.value).startswith(complaint)


@pytest.mark.parametrize("content", [b"{", b"\xff\xfe", b"[" * 100_000, b"null"])
def test_file_that_is_no_truth_is_named(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "truth.json"
    path.write_bytes(content)
    with pytest.raises(TruthError, match=r"truth\.json: "):
        read_truth(path)
    with pytest.raises(TruthError, match=r"other\.json: "):
        read_truth(tmp_path / "other.json")


def corpus(folder: Path, text: str = "{}", name: str = "lib--fix", top: str = "") -> Path:
    """A corpus of one archive with one build."""
    folder.mkdir(exist_ok=True)
    with tarfile.open(folder / f"{name}.tar.xz", "w:xz") as archive:
        for path in ("zig/baseline/a.dll", "zig/fixed/a.dll", "zig/truth.json", "tests/x.exe"):
            member = tarfile.TarInfo(f"{top or name}/{path}")
            member.size = len(text)
            archive.addfile(member, io.BytesIO(text.encode()))
    return folder


def test_archives_are_unpacked_once_and_again_when_they_changed(tmp_path: Path) -> None:
    source, work = corpus(tmp_path / "in"), tmp_path / "out"
    (pair,) = built_pairs(source, work)
    assert (pair.name, pair.build, pair.truth.read_text()) == ("lib--fix", "zig", "{}")
    assert not (work / "lib--fix" / "tests").exists()
    pair.truth.write_text("kept")
    assert built_pairs(source, work)[0].truth.read_text() == "kept"
    corpus(source, "[]")
    assert built_pairs(source, work)[0].truth.read_text() == "[]"
    assert sorted(path.name for path in work.iterdir()) == ["lib--fix"]


def test_many_may_unpack_at_once(tmp_path: Path) -> None:
    source, work = corpus(tmp_path / "in", "x" * 100_000), tmp_path / "out"
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda _: built_pairs(source, work), range(16)))
    assert all(pairs == found[0] for pairs in found)
    assert found[0][0].truth.stat().st_size == 100_000
    assert [path.name for path in work.iterdir()] == ["lib--fix"]


def test_unpacked_pairs_are_used_where_they_are(tmp_path: Path) -> None:
    (pair,) = built_pairs(corpus(tmp_path / "in"), tmp_path / "out")
    (again,) = built_pairs(tmp_path / "out", tmp_path / "unused")
    assert again == pair
    assert not (tmp_path / "unused").exists()


def test_corpora_that_cannot_be_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source, work = corpus(tmp_path / "in"), tmp_path / "out"
    with pytest.raises(CorpusError, match="no pair whose name contains 'nothing'"):
        built_pairs(source, work, "nothing")
    with pytest.raises(CorpusError, match="no such folder"):
        built_pairs(tmp_path / "none", work)
    with pytest.raises(CorpusError, match="no folder other--fix"):
        built_pairs(corpus(tmp_path / "other", name="other--fix", top="wrong"), work)
    monkeypatch.setattr(unpacking, "MAX_FILES", 3)
    with pytest.raises(CorpusError, match="more than 3 files"):
        built_pairs(source, work)
    (source / "lib--fix.tar.xz").write_bytes(b"no archive")
    with pytest.raises(CorpusError, match=r"lib--fix\.tar\.xz: "):
        built_pairs(source, work)


def test_a_pair_needs_both_images(tmp_path: Path) -> None:
    (pair,) = built_pairs(corpus(tmp_path / "in"), tmp_path / "out")
    pair.fixed.unlink()
    with pytest.raises(CorpusError, match="one DLL of the same name"):
        built_pairs(tmp_path / "out", tmp_path)
