"""``python -m tests.vectors.making [PART...]``: write the cases anew, all or those of some parts.

Signatures with random salt, certificates and time stamps come out differently each time; what the cases say
does not. Needs the commands openssl and osslsigncode.
"""

import importlib
import shutil
import sys

from tests.vectors.case import CASES, FILES
from tests.vectors.making.base import BINARIES, CODEC, GADGET
from tests.vectors.making.model import Made, write_case

PARTS = (
    "container", "json_text", "statements", "manifests", "images", "envelopes", "algorithms", "certified",
    "stamped", "roles", "rules", "attached", "lines", "installed", "publishers", "crashes",
)  # fmt: skip


def made(part: str) -> list[Made]:
    """The cases of one module."""
    found: list[Made] = importlib.import_module(f"tests.vectors.making.{part}").cases()
    return found


def main() -> None:
    """Write the folders; with all parts, folders that nothing makes any more are removed."""
    wanted = sys.argv[1:] or PARTS
    installed = FILES / "installed"
    installed.mkdir(parents=True, exist_ok=True)
    for pair in (GADGET, CODEC):
        source = BINARIES / pair.format("baseline")
        shutil.copyfile(source, installed / source.name)
    names: list[str] = []
    for part in wanted:
        for item in made(part):
            write_case(item, CASES)
            names.append(item.name)
    if twice := {name for name in names if names.count(name) > 1}:
        raise SystemExit(f"made twice: {', '.join(sorted(twice))}")
    if not sys.argv[1:]:
        for folder in CASES.iterdir():
            if folder.name not in names:
                shutil.rmtree(folder)
    sys.stdout.write(f"{len(names)} cases\n")


if __name__ == "__main__":
    main()
