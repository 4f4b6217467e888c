"""The tool record ("Rich header") that Microsoft's linker leaves between MS-DOS stub and PE header.

Not part of the specification; the layout is public from many analyses: 'DanS' and three zero DWORDs,
pairs (product id << 16 | build, count), all XORed with a key; then 'Rich' and the key.
"""

import struct

from hpbuild.pe.image import Image

_STUB = 0x40
_PADDING = 16


def rich_products(image: Image) -> tuple[tuple[int, int, int], ...]:
    """(product id, build, count) of each row, in order; empty when there is no well-formed record.

    Nothing is decided by it, so a damaged record is simply no record. Raises nothing.
    """
    (header,) = image.data.unpack("<I", 0x3C)
    stub = image.data[_STUB:header]
    end = stub.rfind(b"Rich")
    if end < 0 or end + 8 > len(stub) or end % 4:
        return ()
    (key,) = struct.unpack_from("<I", stub, end + 4)
    plain = struct.pack(f"<{end // 4}I", *(word ^ key for word in struct.unpack_from(f"<{end // 4}I", stub)))
    start = plain.rfind(b"DanS\0\0\0\0\0\0\0\0\0\0\0\0")
    if start < 0 or start % 4 or (end - start - _PADDING) % 8:
        return ()
    rows = struct.iter_unpack("<II", plain[start + _PADDING :])
    return tuple((tool >> 16, tool & 0xFFFF, count) for tool, count in rows)
