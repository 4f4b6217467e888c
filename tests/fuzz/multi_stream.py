"""Containers of PDB streams taken apart and put together, without judging what is in them."""

import struct

MAGIC = b"Microsoft C/C++ MSF 7.00\r\n\x1aDS\0\0\0"
_BLOCK = 512


def unpack(data: bytes) -> list[bytes]:
    """The streams of a container that is well-formed; ValueError, IndexError or struct.error otherwise."""
    if not data.startswith(MAGIC):
        raise ValueError("not a container")
    block, _, _, size, _, map_block = struct.unpack_from("<6I", data, len(MAGIC))
    if not 1 <= block <= 1 << 16 or size > len(data):
        raise ValueError("not a container")
    numbers = struct.unpack_from(f"<{-(-size // block)}I", data, map_block * block)
    directory = b"".join(data[n * block : (n + 1) * block] for n in numbers)[:size]
    (count,) = struct.unpack_from("<I", directory)
    sizes = struct.unpack_from(f"<{count}I", directory, 4)
    at = 4 + 4 * count
    streams = []
    for length in sizes:
        length = 0 if length == 0xFFFFFFFF else length
        blocks = struct.unpack_from(f"<{-(-length // block)}I", directory, at)
        at += 4 * len(blocks)
        streams.append(b"".join(data[n * block : (n + 1) * block] for n in blocks)[:length])
    return streams


def pack(streams: list[bytes]) -> bytes:
    """A container of ``streams`` in small blocks."""
    content = bytearray(3 * _BLOCK)
    lists = []
    for stream in streams:
        first = len(content) // _BLOCK
        content += stream + bytes(-len(stream) % _BLOCK)
        lists += list(range(first, len(content) // _BLOCK))
    directory = struct.pack(f"<{1 + len(streams)}I", len(streams), *map(len, streams))
    directory += struct.pack(f"<{len(lists)}I", *lists)
    first = len(content) // _BLOCK
    content += directory + bytes(-len(directory) % _BLOCK)
    numbers = struct.pack(f"<{len(content) // _BLOCK - first}I", *range(first, len(content) // _BLOCK))
    at = len(content) // _BLOCK
    content += numbers + bytes(-len(numbers) % _BLOCK)
    head = MAGIC + struct.pack("<6I", _BLOCK, 1, len(content) // _BLOCK, len(directory), 0, at)
    content[: len(head)] = head
    return bytes(content)
