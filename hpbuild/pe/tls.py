"""The TLS directory. Source: PE specification, section "The .tls Section"; IMAGE_TLS_DIRECTORY64."""

from hpbuild.codes import pe as codes
from hpbuild.dataclass import dataclass
from hpbuild.errors import HpbuildError
from hpbuild.pe.access import TLS, to_rva, unpack
from hpbuild.pe.image import Image
from hpbuild.values import Interval, Rva

MAX_CALLBACKS = 4096
DIRECTORY_SIZE = 40


@dataclass(frozen=True, slots=True, kw_only=True)
class Tls:
    """``template``: RVAs of the initial thread-local data, ``Interval(0, 0)`` if none; ``zero_fill``: zero
    bytes after it; ``index``: RVA of the index variable; ``callbacks``: RVAs of the callbacks in order;
    ``callbacks_table``: where their list lies, end mark included, ``Interval(0, 0)`` if none."""

    template: Interval
    zero_fill: int
    index: Rva
    callbacks: tuple[Rva, ...]
    callbacks_table: Interval


def tls(image: Image) -> Tls | None:
    """The TLS directory, or None. Raises HpbuildError: HP1311 malformed, HP1312 list of callbacks."""
    directory = image.directories[TLS]
    if not len(directory):
        return None
    if len(directory) < DIRECTORY_SIZE:
        raise HpbuildError(codes.TLS_MALFORMED, image.name, f"directory of {len(directory)} bytes")
    start, end, index, callbacks, zero_fill, _ = unpack(
        image, "QQQQII", directory.start, codes.TLS_MALFORMED, "TLS directory"
    )
    template = Interval(0, 0)
    if start or end:
        first = to_rva(image, start, codes.TLS_MALFORMED, "TLS template start")
        if not start <= end <= image.image_base + image.size_of_image:
            raise HpbuildError(codes.TLS_MALFORMED, image.name, f"TLS template [{start:#x}, {end:#x})")
        template = Interval(first, first + end - start)
    table, targets = _callbacks(image, callbacks)
    return Tls(
        template=template,
        zero_fill=zero_fill,
        index=to_rva(image, index, codes.TLS_MALFORMED, "TLS index"),
        callbacks=targets,
        callbacks_table=table,
    )


def _callbacks(image: Image, address: int) -> tuple[Interval, tuple[Rva, ...]]:
    if not address:
        return Interval(0, 0), ()
    first = at = to_rva(image, address, codes.TLS_CALLBACKS, "list of TLS callbacks")
    targets: list[Rva] = []
    while True:
        (entry,) = unpack(image, "Q", at, codes.TLS_CALLBACKS, "TLS callback")
        at = Rva(at + 8)
        if not entry:
            return Interval(first, at), tuple(targets)
        target = to_rva(image, entry, codes.TLS_CALLBACKS, "TLS callback")
        section = image.section_at(target)
        if section is None or not section.executable or len(targets) == MAX_CALLBACKS:
            raise HpbuildError(codes.TLS_CALLBACKS, image.name, f"callback {len(targets)} at RVA {target:#x}")
        targets.append(target)
