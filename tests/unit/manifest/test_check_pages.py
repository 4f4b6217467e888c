"""Pages and windows of a manifest: exactly the pages that are touched, in order."""

from collections.abc import Sequence
from dataclasses import replace

import pytest

from hpbuild.codes import manifest as codes
from hpbuild.manifest.check_pages import page_findings
from hpbuild.manifest.consistency import check
from hpbuild.manifest.model import Manifest, Module, PagePin
from hpbuild.manifest.pages import page_range, touched_pages
from hpbuild.values import Digest, Interval, Rva


def pages(*rvas: int) -> tuple[PagePin, ...]:
    return tuple(PagePin(Rva(rva), Digest.of(b"page")) for rva in rvas)


def test_sound(sample_module: Module) -> None:
    assert list(page_findings(sample_module, "m")) == []


@pytest.mark.parametrize(
    ("rvas", "wanted"),
    [
        ((), [codes.BAD_PAGES]),
        ((0x1000, 0x2000), [codes.BAD_PAGES]),
        ((0x2000,), [codes.BAD_PAGES, codes.BAD_PAGES]),
        ((0x1010,), [codes.BAD_PAGES, codes.BAD_PAGES]),
        ((0x1000, 0x1000), [codes.NOT_SORTED]),
    ],
)
def test_other_pages(sample_module: Module, rvas: Sequence[int], wanted: list[object]) -> None:
    found = page_findings(replace(sample_module, pages=pages(*rvas)), "m")
    assert [item.code for item in found] == wanted


def test_it_is_part_of_the_whole(sample_manifest: Manifest, sample_module: Module) -> None:
    broken = replace(sample_manifest, modules=(replace(sample_module, pages=()),))
    assert codes.BAD_PAGES in [item.code for item in check(broken)]


def test_a_window_as_long_as_the_image_costs_nothing(sample_module: Module) -> None:
    first, *others = sample_module.redirections
    endless = replace(first, window=Interval(0x1010, 0x7FFFFFFF))
    found = list(page_findings(replace(sample_module, redirections=(endless, *others)), "m"))
    assert found == []


def test_windows_over_borders_of_pages() -> None:
    windows = [Interval(0x2FFF, 0x3001), Interval(0x1000, 0x1005), Interval(0x5000, 0x5000)]
    assert touched_pages(windows) == (0x1000, 0x2000, 0x3000)
    assert page_range(0x3000, 0x3800) == Interval(0x3000, 0x3800)
    assert not len(page_range(0x4000, 0x3800))
