"""How the loader protects the memory of an image's sections."""

import numpy as np

from hpbuild.pe.image import Image
from hpbuild.prove.references import Bytes, Numbers

WRITABLE, EXECUTABLE = 1, 2
NO_SECTION = 255


def protection(image: Image, addresses: Numbers) -> Bytes:
    """For each address the bits WRITABLE and EXECUTABLE of its section, or NO_SECTION."""
    result = np.full(len(addresses), NO_SECTION, dtype=np.uint8)
    for section in image.sections:
        bits = WRITABLE * section.writable + EXECUTABLE * section.executable
        inside = (addresses >= section.range.start) & (addresses < section.range.end)
        result[inside] = bits
    return result
