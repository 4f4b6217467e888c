"""The digest of the engine."""

import shutil
import subprocess
import sys
from pathlib import Path

from hpbuild.cache.engine import engine_digest

PRINT = "from hpbuild.cache.engine import engine_digest; print(engine_digest())"


def digest_of(folder: Path) -> str:
    run = subprocess.run(
        [sys.executable, "-c", PRINT], cwd=folder, capture_output=True, text=True, check=True
    )
    return run.stdout.strip()


def test_it_follows_the_source_of_the_engine_and_nothing_else(root: Path, tmp_path: Path) -> None:
    package = tmp_path / "hpbuild"
    for name in ("__init__.py", "errors.py", "cache", "codes", "match", "cli", "values"):
        source = root / "hpbuild" / name
        if source.is_dir():
            shutil.copytree(source, package / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            package.mkdir(exist_ok=True)
            shutil.copy(source, package / name)
    first = digest_of(tmp_path)
    assert len(first) == 64
    assert digest_of(tmp_path) == first
    (package / "cli" / "diff.py").write_text("# another text\n")
    assert digest_of(tmp_path) == first
    with (package / "match" / "model.py").open("a") as file:
        file.write("# another engine\n")
    second = digest_of(tmp_path)
    assert second != first
    (package / "match" / "more.py").write_text("")
    assert digest_of(tmp_path) not in (first, second)


def test_it_is_told_in_this_process() -> None:
    assert set(engine_digest()) <= set("0123456789abcdef")
    assert len(engine_digest()) == 64
