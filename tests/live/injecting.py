"""A package put into a process without the agent: memory from VirtualAlloc, bytes written by the program.

What an agent does, and what it must not do: the states that `verify --pid` tells come from both.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from hpbuild.bundle.reader import read_bundle
from hpbuild.manifest.codec import decode
from hpbuild.manifest.model import Module
from hpbuild.patchimage.place import place
from hpbuild.patchimage.read import PatchImage, read_patch_image
from hpbuild.patchimage.redirection import redirected
from tests.live.wine import Host

STEP = 0x10000
_RESERVE_AND_COMMIT, _EXECUTE_READ_WRITE = 0x3000, 0x40


@dataclass(frozen=True, slots=True)
class Package:
    """The only module of a package and its patch image."""

    module: Module
    patch: PatchImage


def package_of(bundle: bytes) -> Package:
    read = read_bundle(bundle, place="test.hpb")
    (module,) = decode(read.members["manifest.json"]).modules
    return Package(module, read_patch_image(read.members[module.image.member], "patch"))


def write(host: Host, address: int, content: bytes) -> None:
    for at in range(0, len(content), 512):
        host.do(f"poke {address + at:#x} {content[at : at + 512].hex()}")


def put_block(host: Host, base: int, package: Package, least: int = 0) -> int:
    """Place the patch image above the module at ``base``, at least ``least`` bytes above its nominal place;
    how far above it lies."""
    nominal = package.module.image.range
    host.do("load kernel32.dll")
    for delta in range(least, least + 0x4000000, STEP):
        asked = base + nominal.start + delta
        found = host.call(
            f"q VirtualAlloc {asked:#x} {len(nominal):#x} {_RESERVE_AND_COMMIT:#x} {_EXECUTE_READ_WRITE:#x}"
        )
        if int(found, 16) == asked:
            moved = place(
                package.patch.memory,
                nominal,
                package.patch.image.image_base,
                package.module.fixups,
                base,
                delta,
            )
            write(host, asked, moved)
            return delta
    raise AssertionError("no room above the module")


def redirect(host: Host, base: int, package: Package, delta: int, which: Sequence[int] | None = None) -> None:
    """Lead the entries (``which``: indexes of redirections) to the block, ``delta`` above nominal."""
    module = package.module
    for index, item in enumerate(module.redirections):
        if which is None or index in which:
            target = module.functions[item.function].patch[0].start + delta
            write(
                host,
                base + item.window.start,
                redirected(item.kind, item.entry, item.window, item.old, target),
            )


def restore(host: Host, base: int, package: Package) -> None:
    """The old bytes of every entry."""
    for item in package.module.redirections:
        write(host, base + item.window.start, item.old)
