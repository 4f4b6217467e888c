"""The listed fixups against the patch image's own tables."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from hpbuild.codes import patchimage as codes
from hpbuild.errors import HpbuildError
from hpbuild.manifest import model as manifest
from hpbuild.patchimage.agree import check_fixups
from hpbuild.patchimage.fixups import Fixups
from hpbuild.patchimage.link import LinkedImage
from hpbuild.patchimage.read import read_patch_image
from hpbuild.pe.hotpatch_chunks import HotPatchRecord


def test_the_linkers_fixups_agree(sample: LinkedImage) -> None:
    patch = read_patch_image(sample.data, "sample")
    check_fixups(patch, sample.fixups)
    own = sample.fixups
    check_fixups(patch, manifest.Fixups(addr64=own.addr64, rel32=own.rel32, addr32nb=own.addr32nb))


@pytest.mark.parametrize(
    "change",
    [
        lambda f: replace(f, addr64=f.addr64[1:]),
        lambda f: replace(f, addr64=(*f.addr64, f.addr64[-1] + 8)),
        lambda f: replace(f, rel32=f.rel32[:-1]),
        lambda f: replace(f, rel32=(*f.rel32, f.rel32[-1] + 4)),
        lambda f: replace(f, addr32nb=f.addr32nb[:-1]),
    ],
)
def test_refuses_other_fixups(change: Callable[[Fixups], Fixups], sample: LinkedImage) -> None:
    with pytest.raises(HpbuildError) as caught:
        check_fixups(read_patch_image(sample.data, "sample"), change(sample.fixups))
    assert caught.value.code is codes.FIXUPS_DISAGREE


@pytest.mark.parametrize("kind", ["REL32", "ABSOLUTE"])
def test_refuses_records_that_say_something_else(kind: str, sample: LinkedImage) -> None:
    patch = read_patch_image(sample.data, "sample")
    (base,) = patch.hotpatch.bases

    def changed(record: HotPatchRecord) -> HotPatchRecord:
        return replace(record, other=record.other + 1)

    chunks = tuple(
        replace(chunk, records=tuple(changed(record) for record in chunk.records))
        if chunk.name == kind
        else chunk
        for chunk in base.chunks
    )
    table = replace(patch.hotpatch, bases=(replace(base, chunks=chunks),))
    with pytest.raises(HpbuildError) as caught:
        check_fixups(replace(patch, hotpatch=table), sample.fixups)
    assert caught.value.code is codes.FIXUPS_DISAGREE
