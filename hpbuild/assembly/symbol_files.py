"""Which symbol files a result depends on: the files that are looked for, and what they hold."""

import json
from pathlib import Path

from hpbuild.dataclass import dataclass
from hpbuild.pe.image import Image
from hpbuild.pe.pdb.file import AUTO, NONE, candidate_names


@dataclass(frozen=True, slots=True)
class Sought:
    """The symbol files of one image: ``choice`` as in ``load_symbols``, ``names`` of the files next to the
    image that 'auto' looks for. What is found there may be of no use; it counts all the same."""

    choice: str
    names: tuple[str, ...]

    def state(self, path: Path) -> str:
        """A text that tells what is there for the image at ``path``: for each file its path and digest. ''
        when one of them cannot be read."""
        import hashlib

        rows = []
        for file in self._files(path):
            try:
                if not file.is_file():
                    rows.append(("", ""))
                    continue
                with file.open("rb") as stream:
                    rows.append((str(file), hashlib.file_digest(stream, "sha256").hexdigest()))
            except (OSError, ValueError):  # ValueError: a NUL in the path
                return ""
        return json.dumps([self.choice, rows])

    def _files(self, path: Path) -> list[Path]:
        if self.choice == NONE:
            return []
        if self.choice == AUTO:
            return [path.parent / name for name in self.names]
        return [Path(self.choice)]


def sought(image: Image, path: Path, choice: str) -> Sought:
    """The symbol files that ``image``, read from ``path``, depends on. A damaged debug directory refuses."""
    return Sought(choice, candidate_names(image, path) if choice == AUTO else ())


def choices(symbols: str) -> tuple[str, str]:
    """The choice for the baseline and for the fixed image: a symbol file by path is the baseline's."""
    return symbols, symbols if symbols in (AUTO, NONE) else AUTO
