"""The agent's own little decoder against one that knows everything: lengths of instructions."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from iced_x86 import Code, Decoder

from hpbuild.pe.reader import read_image
from tests.live.agent import compile_program
from tests.live.wine import Wine, windows_path

RECORD = 16


@pytest.fixture(scope="session")
def lengths(tmp_path_factory: pytest.TempPathFactory, root: Path) -> Path:
    agent = root / "agent"
    source = Path(__file__).with_name("lengths.c")
    return compile_program(source, tmp_path_factory.mktemp("lengths"), f"-I{agent}", str(agent / "decode.c"))


def instructions_of(path: Path) -> Iterator[bytes]:
    """Every instruction of a file's code, as a sweep from the sections' begin reads it."""
    image = read_image(path)
    for section in image.sections:
        if section.executable:
            code = image.read(section.rva, section.virtual_size)
            decoder = Decoder(64, code)
            for instruction in decoder:
                if instruction.code != Code.INVALID:
                    yield code[decoder.position - instruction.len : decoder.position]


def rare() -> Iterator[bytes]:
    """Forms that compilers seldom emit at an entry."""
    texts = (
        "48b88877665544332211 66b83412 a18877665544332211 67a144332211 c8100001 c20800 f6c001",
        "f7c001000000 48f7c001000000 66f7c00100 f7d8 480fbae005 c5f877 c4e27918c0 c4e37904c005",
        "62f17c4828c0 62f37d4803c105 0f38f0c0 660f3a0fc108 f30f1efa 6690 0f1f840000000000",
        "660f1f840000000000 8d042578563412 ff142500000000",
    )
    for text in " ".join(texts).split():
        yield bytes.fromhex(text)


def test_lengths(wine: Wine, lengths: Path, binaries: Path, tmp_path: Path) -> None:
    found = {code for path in sorted(binaries.rglob("*.dll")) for code in instructions_of(path)}
    found |= {code for path in sorted(binaries.glob("*.exe")) for code in instructions_of(path)}
    found |= set(rare())
    codes = sorted(found)
    assert len(codes) > 2000
    (tmp_path / "codes").write_bytes(b"".join(code.ljust(RECORD, b"\xcc") for code in codes))
    done = wine.run(lengths, windows_path(tmp_path / "codes"), folder=tmp_path)
    assert done.code == 0
    wrong = [
        (code.hex(), length) for code, length in zip(codes, done.output, strict=True) if length != len(code)
    ]
    assert not wrong, wrong[:20]
