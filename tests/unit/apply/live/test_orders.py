"""Orders made from a real package and the files that it is for."""

from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest

from hpbuild.apply.live.order import encode
from hpbuild.apply.live.orders import expected_extents, make_order, read_target, sites_in
from hpbuild.bundle.reader import Bundle, read_bundle
from hpbuild.codes import driver as codes
from hpbuild.errors import HpbuildError
from hpbuild.manifest.codec import decode
from hpbuild.manifest.model import BaselineReference, Manifest
from hpbuild.patchimage.read import read_patch_image
from hpbuild.pe.loader_writes import loader_written
from hpbuild.pe.processes import LoadedModule
from hpbuild.pe.reader import read_image
from hpbuild.pe.relocations import relocation_sites
from hpbuild.pipeline import BuildRequest, assemble, build
from hpbuild.values import Digest, Interval, Rva
from hpbuild.verify.states import Tier


def loaded(file: Path | None, base: int = 0x180000000) -> LoadedModule:
    return LoadedModule(name="codec.dll", path=r"C:\app\codec.dll", file=file, base=base, size=0x9000)


@pytest.fixture(scope="module")
def bundle(binaries: Path) -> Bundle:
    baseline, fixed = (binaries / side / "codec.dll" for side in ("baseline", "fixed"))
    request = BuildRequest(
        baseline=baseline, fixed=fixed, id="KB-1", sequence=3, product="codec", advisories=(), created="",
        symbols="auto",
    )  # fmt: skip
    return read_bundle(assemble(build(request, lambda *_: None)))


@pytest.fixture(scope="module")
def manifest(bundle: Bundle) -> Manifest:
    return decode(bundle.manifest)


def test_an_order_holds_what_the_package_relies_on(
    bundle: Bundle, manifest: Manifest, binaries: Path
) -> None:
    (module,) = manifest.modules
    file = binaries / "baseline" / "codec.dll"
    target = read_target(module, loaded(file, 0x7FF600000000), Tier.EXACT)
    order = make_order(manifest, bundle.members, bundle.sha256, [target])
    assert (order.id, order.product, order.sequence) == ("KB-1", "codec", 3)
    assert order.bundle_sha256 == Digest.of(bundle.raw)
    (part,) = order.modules
    image = read_image(file)
    assert (part.name, part.base, part.size_of_image) == ("codec.dll", 0x7FF600000000, image.size_of_image)
    assert Digest.of(part.patch_image) == part.patch_sha256
    held = {rva for item in part.expected for rva in range(item.rva, item.rva + len(item.content))}
    for function in module.functions:
        assert all(rva in held for extent in function.baseline for rva in range(extent.start, extent.end))
    for item in part.expected:
        assert item.content == image.read(item.rva, len(item.content))
    patch = read_patch_image(part.patch_image, "patch")
    code = patch.section(".text")
    assert code is not None
    assert part.call_targets
    assert all(code.start <= rva < code.end for rva in part.call_targets)
    assert encode(order)  # whatever the agent's reader demands of expected ranges and sites


def test_expected_ranges_cut_no_relocation_and_leave_out_what_the_loader_writes(
    manifest: Manifest, binaries: Path
) -> None:
    (module,) = manifest.modules
    image = read_image(binaries / "baseline" / "codec.dll")
    sites = relocation_sites(image)
    first, last = int(sites[0]), int(sites[-1])
    slots = loader_written(image)[0]
    wanted = (
        BaselineReference(range=Interval(first + 3, first + 5), sha256=Digest.of(b"")),
        BaselineReference(range=Interval(last - 1, last + 1), sha256=Digest.of(b"")),
        BaselineReference(range=Interval(slots.start - 2, slots.end + 2), sha256=Digest.of(b"")),
    )
    only = replace(module, functions=(), redirections=(), references=wanted)
    extents = expected_extents(only, image, sites)
    for before, after in pairwise(extents):
        assert before.end < after.start
    for site in map(int, sites):
        field = Interval(site, site + 8)
        assert all(extent.covers(field) or not extent.overlaps(field) for extent in extents)
    assert not any(extent.overlaps(slots) for extent in extents)
    assert {first, last} <= {int(site) for extent in extents for site in sites_in(sites, extent)}
    writable = replace(module, functions=(), redirections=(), references=(replace(wanted[0], sha256=None),))
    assert expected_extents(writable, image, sites) == ()


def test_a_file_of_another_build_is_refused(manifest: Manifest, binaries: Path, tmp_path: Path) -> None:
    (module,) = manifest.modules
    changed = bytearray((binaries / "baseline" / "codec.dll").read_bytes())
    changed[0x40] ^= 1  # in the DOS stub: the sections are the same, the file is not
    path = tmp_path / "codec.dll"
    path.write_bytes(changed)
    assert read_target(module, loaded(path), Tier.SECTIONS).image.name == "codec.dll"
    for file, lowest in ((binaries / "fixed" / "codec.dll", Tier.FUNCTIONS), (path, Tier.EXACT)):
        with pytest.raises(HpbuildError) as caught:
            read_target(module, loaded(file), lowest)
        assert caught.value.code is codes.FILE_NOT_BASELINE


def test_a_file_that_cannot_be_found_is_refused(manifest: Manifest, tmp_path: Path) -> None:
    (module,) = manifest.modules
    (tmp_path / "codec.dll").write_bytes(b"no image")
    for file in (None, tmp_path / "gone.dll", tmp_path / "codec.dll"):
        with pytest.raises(HpbuildError) as caught:
            read_target(module, loaded(file), Tier.FUNCTIONS)
        assert caught.value.code is codes.FILE_UNKNOWN


def test_call_targets_are_entries_only(bundle: Bundle, manifest: Manifest, binaries: Path) -> None:
    (module,) = manifest.modules
    target = read_target(module, loaded(binaries / "baseline" / "codec.dll"), Tier.EXACT)
    (part,) = make_order(manifest, bundle.members, bundle.sha256, [target]).modules
    assert part.call_targets == tuple(sorted(Rva(item.patch[0].start) for item in module.functions))
