"""What inputs are embedded in or judged by: keys, the signed statement, a patch image, an image with a PDB.

Everything is made from the committed example binaries and fixed numbers, so it is the same on every machine.
"""

from functools import cache
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import ec, ed25519

from hpbuild.bundle.layout import STATEMENT
from hpbuild.bundle.reader import read_bundle
from hpbuild.bundle.writer import assemble
from hpbuild.pe.access import LOAD_CONFIG
from hpbuild.pe.image import Image
from hpbuild.pe.reader import read_image
from hpbuild.pipeline import BuildRequest, BuildResult, build
from hpbuild.sign.algorithms import PrivateKey, PublicKey
from tests.minimal_pe import MinimalPe

SMALLEST = ("variants/pad_jump", "gadget.dll")
"""The pair whose package is the smallest."""
BIN = Path(__file__).resolve().parent.parent.parent / "testdata" / "bin"
CONFIG_SIZE = 0x140
NATIVE_AT = 0x2000
"""RVA of the load configuration in the carrier of native tables; the table follows it."""
NATIVE_ROOM = 0x4000


@cache
def private_keys() -> tuple[PrivateKey, ...]:
    """Keys that sign the example bundle."""
    return ed25519.Ed25519PrivateKey.from_private_bytes(bytes(range(32))), ec.derive_private_key(
        0x1234567890ABCDEF, ec.SECP256R1()
    )


@cache
def public_keys() -> tuple[PublicKey, ...]:
    """Their public halves."""
    return tuple(key.public_key() for key in private_keys())


@cache
def built(folder: str, name: str) -> BuildResult:
    """The package from ``folder``/baseline/``name`` to ``folder``/fixed/``name`` of the example binaries."""
    request = BuildRequest(
        baseline=BIN / folder / "baseline" / name, fixed=BIN / folder / "fixed" / name, id="fuzz-1",
        sequence=1, product="Example", advisories=("CVE-2024-0001",), created="",
    )  # fmt: skip
    return build(request, lambda *_: None)


@cache
def unsigned_bundle() -> bytes:
    """The smallest bundle that the example binaries give, without signatures."""
    result = built(*SMALLEST)
    return assemble(result.manifest, result.members)


@cache
def statement() -> bytes:
    """The statement that the keys have signed."""
    return read_bundle(unsigned_bundle()).members[STATEMENT]


@cache
def codec() -> Image:
    """An image with a PDB."""
    return read_image(BIN / "baseline" / "codec.dll")


@cache
def native_carrier() -> bytes:
    """A PE with code at 0x1000 and room for a load configuration and a native table behind it."""
    pe = MinimalPe()
    room = pe.section(b".rdata", bytes(NATIVE_ROOM))
    assert room == NATIVE_AT
    pe.directories[LOAD_CONFIG] = (room, CONFIG_SIZE)
    return pe.build()
