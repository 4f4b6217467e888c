"""The test programs of the binary patch corpus, and what they did with each DLL when it was made."""

import hashlib
import json
import shutil
import struct
import tarfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.live.packages import locked
from tests.live.wine import Finished, Wine

CORPUS = Path(__file__).resolve().parents[3] / "shared" / "corpus"
"""Beside the checkout; its README describes it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """One run of a test program. ``files`` lie beside it, besides the content of ``data``. ``recorded`` is
    the exit status and the SHA-256 of the output with the fixed DLL, None for a run that the corpus does not
    have. ``differs``: it shows the fix."""

    executable: Path
    arguments: tuple[str, ...]
    data: Path | None = None
    files: tuple[tuple[str, bytes], ...] = ()
    recorded: tuple[int, str] | None = None
    differs: bool = False

    @property
    def name(self) -> str:
        """What tells it from the others of its pair."""
        return " ".join((self.executable.stem, *self.arguments))

    def prepare(self, library: Path, folder: Path) -> Path:
        """A new folder with the program, this DLL and the data; returns it."""
        folder.mkdir(parents=True)
        shutil.copy(self.executable, folder)
        shutil.copy(library, folder / library.name)
        if self.data:
            shutil.copytree(self.data, folder, dirs_exist_ok=True)
        for name, content in self.files:
            folder.joinpath(name).write_bytes(content)
        return folder

    def run(self, wine: Wine, library: Path, folder: Path) -> tuple[int, str]:
        """Exit status and SHA-256 of the output with this DLL, in a new folder."""
        self.prepare(library, folder)
        return observed(wine.run(self.executable.name, *self.arguments, folder=folder))


def observed(finished: Finished) -> tuple[int, str]:
    """What the corpus records of a run."""
    return finished.code, hashlib.sha256(finished.output).hexdigest()


@dataclass(frozen=True, slots=True)
class Pair:
    """One build of one pair of the corpus. ``symbols``: the evidence for its package."""

    name: str
    build: str
    symbols: str

    def library(self, folder: Path, side: str) -> Path:
        """The DLL of `baseline` or `fixed`; ``folder`` is that of the pair."""
        (found,) = (folder / self.build / side).glob("*.dll")
        return found

    def programs(self, folder: Path) -> Iterator[Program]:
        """The test programs of this build, and further runs of them that reach what was fixed."""
        for row in json.loads((folder / "tests.json").read_text()):
            if row["build"] == self.build and row["name"] not in STANDALONE:
                run = row["runs"]["fixed"]
                yield Program(
                    executable=folder / row["exe"],
                    arguments=tuple(row["args"]),
                    data=folder / row["data"] if row["data"] else None,
                    recorded=(run["rc"], run["output_sha256"]),
                )
        for build, differs, arguments, files in MORE.get(self.name, ()):
            if build in (self.build, "both"):
                (executable,) = (folder / "tests" / self.build).glob("*.exe")
                yield Program(executable=executable, arguments=arguments, files=files, differs=differs)


NAMES = (
    "cjson--0001-add-null-checkings",
    "cjson--CVE-2025-57052",
    "expat--CVE-2024-45490",
    "expat--expat-2.5.0-CVE-2024-8176",
    "jq--CVE-2026-43896",
    "libheif--CVE-2024-41311",
    "libpng--CVE-2025-65018",
    "libpng--CVE-2026-33416",
    "tiff--CVE-2023-52356",
    "tinyxml--CVE-2021-42260",
    "yajl--CVE-2017-16516",
    "yajl--CVE-2022-24795",
)
WITHOUT_PACKAGE = ("expat--CVE-2024-45491", "jq--CVE-2026-40164")
"""The first changes nothing in either build; the second is refused in both."""
WITHOUT_PDB = ("expat--expat-2.5.0-CVE-2024-8176",)
"""Its PDBs tell of a structure that grew, and that refuses."""
PAIRS = tuple(
    Pair(name, build, "none" if build == "gcc" or name in WITHOUT_PDB else "auto")
    for name in NAMES
    for build in ("zig", "gcc")
)
"""What a package is built from: clang's builds with their PDBs, gcc's by the two files alone."""


_MERGE = "{a:{b:1,c:{d:2}}} * {a:{c:{e:3}}}"
_DEEP = "try (reduce range(10001) as $_ ({}; {a: .}) | . * . | length) catch ."
_SURROGATES = b'["a\\u0041", "\\ud83d\\ude00", "\\ud800x"]'
MORE: dict[str, tuple[tuple[str, bool, tuple[str, ...], tuple[tuple[str, bytes], ...]], ...]] = {
    "jq--CVE-2026-43896": (
        ("both", False, ("-n", "-c", _MERGE), ()),
        ("zig", True, ("-n", "-c", _DEEP), ()),
    ),
    "yajl--CVE-2017-16516": (("both", True, ("surrogates.json",), (("surrogates.json", _SURROGATES),)),),
}
"""Further runs of a pair's only program: build, whether the fix is seen, arguments, files. The deep one
is more than the stack of gcc's jq holds."""
STANDALONE = ("readme_examples",)
"""Programs that have the library inside and do not import the DLL."""


def _png() -> bytes:
    """8 by 8 pixels, 16 bits a channel, interlaced (Portable Network Graphics, sections 8.2 and 11)."""
    steps = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))
    pixels = b""
    for left, top, across, down in steps:
        for y in range(top, 8, down):
            row = (
                struct.pack(">3H", x * 4096 + y, y * 4096 + x, (x + y) * 3000) for x in range(left, 8, across)
            )
            pixels += b"\0" + b"".join(row)
    head = struct.pack(">IIBBBBB", 8, 8, 16, 2, 0, 0, 1)
    chunks = (b"IHDR" + head, b"IDAT" + zlib.compress(pixels), b"IEND")
    framed = (struct.pack(">I", len(c) - 4) + c + struct.pack(">I", zlib.crc32(c)) for c in chunks)
    return b"\x89PNG\r\n\x1a\n" + b"".join(framed)


_PNG = _png()
_ARRAY = ",".join(map(str, range(30)))
PROBES: dict[str, tuple[str, ...]] = {
    "cjson--0001-add-null-checkings": (
        "call v cJSON_CreateArray",
        "keep 0",
        'call v cJSON_CreateString "one"',
        "keep 1",
        "call i cJSON_AddItemToArray @0 @1",
        "call i cJSON_InsertItemInArray @0 0 0",
        'call s cJSON_SetValuestring 0 "x"',
        "call s cJSON_PrintUnformatted @0",
    ),
    "cjson--CVE-2025-57052": (
        f'call v cJSON_Parse "[{_ARRAY}]"',
        "keep 0",
        'call v cJSONUtils_GetPointer @0 "/1A"',
        "keep 1",
        "call s cJSON_PrintUnformatted @1",
        'call v cJSONUtils_GetPointer @0 "/12"',
        "keep 1",
        "call s cJSON_PrintUnformatted @1",
    ),
    "expat--CVE-2024-45490": (
        "call v XML_ParserCreate 0",
        "keep 0",
        "call v XML_GetBuffer @0 100",
        "call i XML_ParseBuffer @0 -1 0",
        "call i XML_GetErrorCode @0",
    ),
    "libpng--CVE-2025-65018": (
        # A png_image (png.h, "Simplified API"), version 1; the wanted format is RGBA with 8 bits.
        f"poke $0 {struct.pack('<Q24I', 0, 1, *[0] * 23).hex()}",
        f"poke $1 {_PNG.hex()}",
        f"call i png_image_begin_read_from_memory $0 $1 {len(_PNG)}",
        "poke $0+20 03000000",
        f"poke $2 {'ee' * 300}",
        "call i png_image_finish_read $0 0 $2 0 0",
        "peek $2 300",
    ),
    "tiff--CVE-2023-52356": (
        'call v TIFFOpen "in.tiff" "r"',
        "keep 0",
        "call i TIFFReadRGBAStrip @0 3122 $1",
    ),
}
"""Calls that show a fix: commands of `host.exe`, with the content of `tests/data` in its folder."""
UNREACHED = {("libheif--CVE-2024-41311", "zig"), ("tinyxml--CVE-2021-42260", "zig")}
"""No program and no call reaches what these packages replace; an overlay image and a C++ program would."""


def place_probe(folder: Path, library: Path, there: Path) -> Path:
    """A new folder with a DLL and the data of the pair in ``folder``; returns it."""
    there.mkdir(parents=True)
    shutil.copy(library, there / library.name)
    data = folder / "tests" / "data"
    if data.is_dir():
        shutil.copytree(data, there, dirs_exist_ok=True)
    return there


def unpack(folder: Path, name: str) -> Path:
    """The folder of a pair below ``folder``, unpacked once per test run."""
    with locked(folder / f"{name}.lock"):
        if not (folder / name).is_dir():
            with tarfile.open(CORPUS / f"{name}.tar.xz") as archive:
                archive.extractall(folder / "incomplete", filter="data")
            (folder / "incomplete" / name).rename(folder / name)
    return folder / name
