"""Page digests of a module: one for each page that a redirection touches, and for no other."""

from collections.abc import Iterator

from hpbuild.codes import manifest as codes
from hpbuild.errors import Finding
from hpbuild.manifest.model import Module
from hpbuild.manifest.pages import PAGE, ascending, touched_pages


def page_findings(module: Module, place: str) -> Iterator[Finding]:
    """Contradictions between the pages and the windows of ``module``, at ``place`` (HP4112, HP4127)."""
    rvas = tuple(int(page.rva) for page in module.pages)
    if not ascending(rvas):
        yield Finding(codes.NOT_SORTED, f"{place}.pages", "pages are not in ascending order, or twice there")
    for index, rva in enumerate(rvas):
        if rva % PAGE:
            yield Finding(codes.BAD_PAGES, f"{place}.pages[{index}]", f"{rva:#x} is not where a page begins")
    # A window whose length is not that of its bytes is reported as such; it may be as long as the image.
    windows = (item.window for item in module.redirections if len(item.window) == len(item.old))
    touched = set(touched_pages(windows))
    for index, rva in enumerate(rvas):
        if rva not in touched and not rva % PAGE:
            cause = f"no redirection touches the page at {rva:#x}"
            yield Finding(codes.BAD_PAGES, f"{place}.pages[{index}]", cause)
    for rva in sorted(touched - set(rvas)):
        yield Finding(codes.BAD_PAGES, f"{place}.pages", f"the page at {rva:#x} is touched and not listed")
