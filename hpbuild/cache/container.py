"""One file of the cache: numbered arrays behind a digest of all that follows.

    8 bytes  mark
    32       SHA-256 of everything behind it
    4        length of the header, little-endian
    ...      header: JSON, {"arrays": [[type, stored type, [shape]], ...], "key": "..."}
    ...      the arrays one behind the other, each begins at a multiple of 8 in the file

Types are numpy's names of plain little-endian numbers. An array of 64-bit numbers that all fit into 32 bits
is stored in 32. Nothing in a file can name a class or be run.
"""

import hashlib
import json
import math
from collections.abc import Sequence

import numpy as np

from hpbuild.cache.forms import KINDS, Array, Damaged

MARK = b"HPCACHE1"
_DIGEST_END = len(MARK) + 32
_HEADER = _DIGEST_END + 4
_MAX_HEADER = 1 << 24
_NARROW = {"<i8": "<u4", "<u8": "<u4"}


def encode(key: str, arrays: Sequence[Array]) -> bytes:
    """The file that holds ``arrays`` under ``key``."""
    rows, parts = [], []
    for array in arrays:
        plain = np.ascontiguousarray(array)
        if plain.dtype.kind not in KINDS:
            raise TypeError(f"no plain numbers: {plain.dtype}")
        plain = plain.astype(plain.dtype.newbyteorder("<"), copy=False)
        stored = _narrowed(plain)
        rows.append([plain.dtype.str, stored.dtype.str, list(array.shape)])
        parts.append(stored.tobytes())
    header = json.dumps({"arrays": rows, "key": key}, separators=(",", ":")).encode("ascii")
    header += b" " * (-(_HEADER + len(header)) % 8)
    behind = [len(header).to_bytes(4, "little"), header]
    for part in parts:
        behind += [part, bytes(-len(part) % 8)]
    digest = hashlib.sha256()
    for piece in behind:
        digest.update(piece)
    return b"".join([MARK, digest.digest(), *behind])


def _narrowed(array: Array) -> Array:
    small = _NARROW.get(array.dtype.str)
    if small is None or not array.size or int(array.min()) < 0 or int(array.max()) >= 1 << 32:
        return array
    return array.astype(small)


def decode(data: bytes, key: str) -> list[Array]:
    """The arrays of a file, which must be the one of ``key``; they cannot be written to. Raises ``Damaged``
    for any other bytes than ``encode`` makes."""
    if data[: len(MARK)] != MARK or len(data) < _HEADER:
        raise Damaged("not a file of the cache")
    if hashlib.sha256(memoryview(data)[_DIGEST_END:]).digest() != data[len(MARK) : _DIGEST_END]:
        raise Damaged("the digest is wrong")
    length = int.from_bytes(data[_DIGEST_END:_HEADER], "little")
    if length > _MAX_HEADER or _HEADER + length > len(data):
        raise Damaged("the header is too long")
    try:
        header = json.loads(data[_HEADER : _HEADER + length].decode("ascii"))
    except (ValueError, RecursionError) as error:
        raise Damaged(str(error)) from None
    if not isinstance(header, dict) or set(header) != {"arrays", "key"} or header["key"] != key:
        raise Damaged("the header is of another file")
    if not isinstance(header["arrays"], list):
        raise Damaged("the header lists no arrays")
    return _arrays(data, header["arrays"], _HEADER + length)


def _arrays(data: bytes, rows: list[object], at: int) -> list[Array]:
    found = []
    for row in rows:
        dtype, stored, shape = _row(row)
        count = math.prod(shape)
        size = count * stored.itemsize
        if at + size > len(data):
            raise Damaged("an array is cut off")
        array = np.frombuffer(data, dtype=stored, count=count, offset=at).reshape(shape)
        if stored != dtype:
            array = array.astype(dtype)
            array.flags.writeable = False
        found.append(array)
        at += size + -size % 8
    if at != len(data):
        raise Damaged("something is left over")
    return found


def _row(row: object) -> tuple[np.dtype[np.generic], np.dtype[np.generic], tuple[int, ...]]:
    """One row of the header: type, type in the file, shape."""
    if not isinstance(row, list) or len(row) != 3 or not isinstance(row[2], list):
        raise Damaged("a row of the header is none")
    name, stored, shape = row
    if name not in _TYPES or stored not in (name, _NARROW.get(name)):
        raise Damaged("an array of an unknown type")
    if len(shape) > 4 or not all(type(item) is int and 0 <= item < 1 << 40 for item in shape):
        raise Damaged("an array of an unknown shape")
    return np.dtype(name), np.dtype(stored), tuple(shape)


_TYPES = ("|b1", "|i1", "|u1", "<i2", "<u2", "<i4", "<u4", "<i8", "<u8", "<f4", "<f8")
