"""A piece of address space: bytes at RVAs under an image base. The proof compares two of them."""

import numpy as np

from hpbuild.dataclass import dataclass
from hpbuild.pe.image import Image
from hpbuild.prove.references import Bytes, Form, Numbers, References

_FORMS = (
    (Form.RELATIVE, 1),
    (Form.RELATIVE, 4),
    (Form.ABSOLUTE, 8),
    (Form.RVA, 4),
    (Form.TABLE, 4),
    (Form.END, 4),
)
"""Forms with the widths that they come in, in bytes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Space:
    """``memory`` has the bytes from RVA ``start`` on, contiguous; absolute addresses in it count from
    ``image_base``; ``relocated`` are the sorted RVAs of the 8-byte fields that move with the base."""

    name: str
    memory: Bytes
    start: int
    image_base: int
    relocated: Numbers

    @property
    def end(self) -> int:
        """The RVA after the last byte."""
        return self.start + len(self.memory)

    def slice(self, start: int, size: int) -> Bytes:
        """The bytes ``[start, start + size)``, fewer where the space ends."""
        low = max(start - self.start, 0)
        return self.memory[low : max(start + size - self.start, low)]

    def unsigned(self, sites: Numbers, width: int) -> Numbers:
        """Little-endian values of ``width`` bytes at ``sites``, modulo 2**64 as int64; a site outside the
        space gives -1."""
        at = sites - self.start
        last = len(self.memory) - width
        if last < 0:
            return np.full(len(sites), -1, dtype=np.int64)
        # One element for every byte of the memory, each made of the ``width`` bytes from there on.
        words = np.ndarray((last + 1,), dtype=f"<u{width}", buffer=self.memory, strides=(1,))
        if not len(at) or (at.min() >= 0 and at.max() <= last):
            return words[at].astype(np.uint64).view(np.int64)
        inside = (at >= 0) & (at <= last)
        values = words[np.where(inside, at, 0)].astype(np.uint64).view(np.int64)
        return np.where(inside, values, -1)

    def targets(self, references: References, shift: Numbers, origin: Numbers) -> Numbers:
        """RVAs that ``references`` name (of an END the byte before) when read ``shift`` bytes further on in
        this space. ``origin`` is the address that TABLE values are relative to here, else ignored."""
        result = np.full(len(references), -1, dtype=np.int64)
        sites = references.site + shift
        for form, width in _FORMS:
            pick = (references.form == form) & (references.width == width)
            if not pick.any():
                continue
            values = self.unsigned(sites[pick], width)
            if form in (Form.RELATIVE, Form.TABLE):
                bits = np.int64(64 - 8 * width)
                values = (values << bits) >> bits
                values = values + (
                    references.anchor[pick] + shift[pick] if form == Form.RELATIVE else origin[pick]
                )
            elif form == Form.ABSOLUTE:
                values = (values.view(np.uint64) - np.uint64(self.image_base)).view(np.int64)
            elif form == Form.END:
                values = values - 1
            result[pick] = values
        return result


def image_space(image: Image, relocated: Numbers) -> Space:
    """The space of a whole image at its preferred base."""
    memory = np.ascontiguousarray(image.memory)
    return Space(name=image.name, memory=memory, start=0, image_base=image.image_base, relocated=relocated)
