"""Mutations that know the format, so that inputs get past checksums, directories and canonical forms.

A mutator takes an input, the largest size, a seed and ``mutate`` (the fuzzer's own mutation of bytes), and
gives another input. It is a function of its arguments.
"""

import base64
import binascii
import json
import random
import struct
import zlib
from collections.abc import Callable
from typing import Any

import rfc8785

from hpbuild.bundle.zip_profile import (
    ATTRIBUTES,
    CENTRAL,
    CENTRAL_MAGIC,
    DOS_DATE,
    DOS_TIME,
    END,
    END_MAGIC,
    LOCAL,
    LOCAL_MAGIC,
    MADE_BY,
    VERSION,
)
from tests.fuzz import multi_stream

Mutate = Callable[[bytes, int], bytes]
Mutator = Callable[[bytes, int, int, Mutate], bytes]
Json = Any

_BORDERS = (0, 1, 2, 7, 8, 0x7F, 0x80, 0xFF, 0x100, 0x7FFF, 0x8000, 0xFFFF, 0x10000, 0x7FFFFFFF, 0x80000000,
            0xFFFFFFF0, 0xFFFFFFF8, 0xFFFFFFFE, 0xFFFFFFFF, 0x7FFFFFFFFFFFFFFF, 0x8000000000000000,
            0xFFFFFFFFFFFFFFFF)  # fmt: skip
_NAMES = (
    "statement.json", "manifest.json", "signatures.dsse.json", "images/a.dll", "images/A.dll", "../x", "a\\b",
    "attachments/x", "images/", "images/con", "images//x", "\xff", "images/a.dll/b",
)  # fmt: skip
_VALUES = (
    None, True, False, 0, -1, 1, 2**31, 2**32, 2**53 - 1, 2**53, 1.5, "", "0", "\0", "\u202e", "a" * 5000,
    "00" * 32, [], {}, [[]], [0] * 3, {"a": 0},
)  # fmt: skip


def poke(data: bytearray, spans: list[tuple[int, int]], draw: random.Random) -> None:
    """Overwrite one to four numbers inside ``spans`` (start, end): borders, neighbours, other places."""
    for _ in range(draw.randint(1, 4)):
        start, end = draw.choice(spans)
        width = draw.choice((1, 1, 2, 2, 4, 4, 4, 8))
        if end - start < width:
            continue
        at = draw.randrange(start, end - width + 1)
        if draw.random() < 0.75:
            at -= (at - start) % width
        old = int.from_bytes(data[at : at + width], "little")
        # An RVA or offset that is already somewhere in the file is often a meaningful one.
        other = draw.randrange(max(1, len(data) - 8))
        new = draw.choice(
            (
                draw.choice(_BORDERS),
                old + draw.choice((-16, -8, -4, -1, 1, 4, 8, 16, 0x1000, -0x1000)),
                old ^ 1 << draw.randrange(8 * width),
                int.from_bytes(data[other : other + width], "little"),
                draw.randrange(0x8000),
            )
        )
        data[at : at + width] = (new % (1 << 8 * width)).to_bytes(width, "little")


def pe(data: bytes, largest: int, seed: int, mutate: Mutate) -> bytes:
    """Numbers in the headers, in the tables that the directories name, or anywhere; the layout stays."""
    draw = random.Random(seed)
    if len(data) < 0x200 or draw.random() < 0.1:
        return mutate(data, largest)
    content = bytearray(data)
    spans = [*_tables(data), (0, min(len(data), 0x400))] if draw.random() < 0.8 else [(0, len(data))]
    poke(content, spans, draw)
    return bytes(content[:largest])


def _tables(data: bytes) -> list[tuple[int, int]]:
    """File ranges of the tables that the data directories name, as far as the headers make sense."""
    found = []
    try:
        (header,) = struct.unpack_from("<I", data, 0x3C)
        count, size = struct.unpack_from("<2xH12xH", data, header + 4)
        optional = header + 24
        rows = [
            struct.unpack_from("<8x4I", data, optional + size + 40 * index) for index in range(min(count, 96))
        ]
        for index in range(16):
            rva, length = struct.unpack_from("<II", data, optional + 112 + 8 * index)
            for _, start, raw, offset in rows:
                if length and start <= rva < start + raw and offset + rva - start < len(data):
                    at = offset + rva - start
                    found.append((at, min(len(data), at + min(length + 64, 0x400))))
    except struct.error:
        pass
    return found


def native(data: bytes, largest: int, seed: int, mutate: Mutate) -> bytes:
    """Numbers of the table or of the load configuration."""
    draw = random.Random(seed)
    if len(data) < 16 or draw.random() < 0.15:
        return mutate(data, largest)
    content = bytearray(data)
    table = min(0x140, len(data) - 8)
    poke(content, [(table, len(data))] if draw.random() < 0.95 else [(0, len(data))], draw)
    return bytes(content[:largest])


def pdb(data: bytes, largest: int, seed: int, mutate: Mutate) -> bytes:
    """One stream is changed and the container made anew; sometimes the container is."""
    draw = random.Random(seed)
    try:
        streams = multi_stream.unpack(data)
    except (ValueError, IndexError, struct.error):
        return mutate(data, largest)
    if draw.random() < 0.15 or not any(streams):
        content = bytearray(data)
        poke(content, [(0, 64), (max(0, len(data) - 2048), len(data))], draw)
        return bytes(content)
    index = draw.choice([index for index, stream in enumerate(streams) if stream])
    if draw.random() < 0.7:
        stream = bytearray(streams[index])
        first = min(len(stream), 256)
        poke(stream, [(0, len(stream)), (0, first)], draw)
        streams[index] = bytes(stream)
    elif draw.random() < 0.5:
        streams[index] = mutate(streams[index], min(len(streams[index]) + 64, 1 << 15))
    else:
        streams[index] = streams[index][: draw.randrange(len(streams[index]))]
    packed = multi_stream.pack(streams)
    return packed if len(packed) <= largest else data


def zip_members(data: bytes, largest: int, seed: int, mutate: Mutate) -> bytes:
    """Members are changed, renamed, doubled, dropped or swapped; checksums and directory follow. Sometimes a
    number of a header is changed after that."""
    draw = random.Random(seed)
    members = _members(data)
    if not members or draw.random() < 0.1:
        return mutate(data, largest)
    index = draw.randrange(len(members))
    name, content = members[index]
    choice = draw.randrange(8)
    if choice < 3:
        members[index] = name, _document(name, content, draw, mutate)
    elif choice == 3:
        members[index] = (
            draw.choice((draw.choice(_NAMES), mutate(name.encode("latin-1"), 300).decode("latin-1"))),
            content,
        )
    elif choice == 4:
        members.insert(draw.randrange(len(members) + 1), (draw.choice((name, *_NAMES)), content[:64]))
    elif choice == 5 and len(members) > 1:
        del members[index]
    elif choice == 6:
        other = draw.randrange(len(members))
        members[index], members[other] = members[other], members[index]
    packed = bytearray(pack_members(members))
    if choice == 7 or draw.random() < 0.2:
        magics = [at for at in range(len(packed) - 3) if packed[at : at + 2] == b"PK"]
        poke(packed, [(at, min(at + 46, len(packed))) for at in magics], draw)
    return bytes(packed) if len(packed) <= largest else data


def _document(name: str, content: bytes, draw: random.Random, mutate: Mutate) -> bytes:
    if name.endswith(".json"):
        return documents(content, 1 << 15, draw.randrange(1 << 30), mutate)
    return mutate(content, len(content) + 64) if content else content


def _members(data: bytes) -> list[tuple[str, bytes]]:
    """The members from the start of the file, as far as they are stored and whole."""
    found = []
    at = 0
    while data[at : at + 4] == LOCAL_MAGIC and at + LOCAL.size <= len(data) and len(found) < 64:
        *_, size, name_size, extra = LOCAL.unpack_from(data, at)
        start = at + LOCAL.size + name_size + extra
        found.append(
            (
                data[at + LOCAL.size : at + LOCAL.size + name_size].decode("latin-1"),
                data[start : start + size],
            )
        )
        at = start + size
    return found


def pack_members(members: list[tuple[str, bytes]]) -> bytes:
    """A ZIP file of ``members`` in the spelling of the profile, whatever their names and order."""
    content = b""
    rows = b""
    for name, data in members:
        raw = name.encode("latin-1", "replace")
        head = (VERSION, 0, 0, DOS_TIME, DOS_DATE, zlib.crc32(data), len(data), len(data), len(raw))
        rows += CENTRAL.pack(CENTRAL_MAGIC, MADE_BY, *head, 0, 0, 0, 0, ATTRIBUTES, len(content)) + raw
        content += LOCAL.pack(LOCAL_MAGIC, *head, 0) + raw + data
    end = END.pack(END_MAGIC, 0, 0, len(members), len(members), len(rows), len(content), 0)
    return content + rows + end


def documents(data: bytes, largest: int, seed: int, mutate: Mutate) -> bytes:
    """One place of a JSON document is changed and the document written in canonical form again."""
    draw = random.Random(seed)
    try:
        document = json.loads(data)
    except (ValueError, RecursionError):
        return mutate(data, largest)
    if draw.random() < 0.15:
        return mutate(data, largest)
    for _ in range(draw.randint(1, 3)):
        document = _changed(document, draw, mutate)
    return _written(document, largest, data)


def _written(document: Json, largest: int, otherwise: bytes) -> bytes:
    try:
        written = rfc8785.dumps(document)
    except (ValueError, RecursionError):
        try:
            written = json.dumps(document).encode()
        except (ValueError, RecursionError):
            return otherwise
    return bytes(written) if len(written) <= largest else otherwise


def envelope(data: bytes, largest: int, seed: int, mutate: Mutate) -> bytes:
    """Like ``documents``; half of the time what is inside the base64 is changed."""
    draw = random.Random(seed)
    try:
        document = json.loads(data)
        signatures = document["signatures"]
        if draw.random() < 0.5:
            return documents(data, largest, seed, mutate)
        if draw.random() < 0.5:
            document["payload"] = _recoded(document["payload"], draw, mutate)
        else:
            chosen = draw.choice(signatures)
            chosen["sig"] = _recoded(chosen["sig"], draw, mutate)
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        return documents(data, largest, seed, mutate)
    return _written(document, largest, data)


def _recoded(text: str, draw: random.Random, mutate: Mutate) -> str:
    try:
        raw = base64.b64decode(text)
    except (binascii.Error, ValueError):
        raw = b""
    if draw.random() < 0.5:
        raw = documents(raw, 1 << 14, draw.randrange(1 << 30), mutate)
    else:
        raw = mutate(raw, len(raw) + 16)
    return base64.b64encode(raw).decode()


def _changed(node: Json, draw: random.Random, mutate: Mutate) -> Json:
    """``node`` with one place below it changed."""
    if isinstance(node, dict) and node:
        key = draw.choice(sorted(node))
        choice = draw.random()
        if choice < 0.8:
            return {**node, key: _changed(node[key], draw, mutate)}
        if choice < 0.85:
            return {k: v for k, v in node.items() if k != key}
        if choice < 0.9:
            return {**node, key + "x": node[key]}
        return {**node, key: draw.choice(_VALUES)}
    if isinstance(node, list) and node:
        index = draw.randrange(len(node))
        choice = draw.random()
        if choice < 0.75:
            return [*node[:index], _changed(node[index], draw, mutate), *node[index + 1 :]]
        if choice < 0.8:
            return node[:index] + node[index + 1 :]
        if choice < 0.9:
            return [*node[:index], node[index], *node[index:]]
        return [*node[index:], *node[:index]]
    return _changed_leaf(node, draw, mutate)


def _changed_leaf(node: Json, draw: random.Random, mutate: Mutate) -> Json:
    if isinstance(node, bool) or draw.random() < 0.2:
        return draw.choice(_VALUES)
    if isinstance(node, int):
        return node + draw.choice((-0x1000, -8, -1, 1, 8, 0x1000, -node, 2**32))
    if isinstance(node, str):
        return mutate(node.encode(errors="replace")[:4096], 8192).decode("utf-8", "replace")
    return draw.choice(_VALUES)


def numbers(data: bytes, largest: int, seed: int, mutate: Mutate) -> bytes:
    """Numbers anywhere, more of them near the start; sometimes any bytes."""
    draw = random.Random(seed)
    if len(data) < 16 or draw.random() < 0.3:
        return mutate(data, largest)
    content = bytearray(data)
    poke(content, [(0, len(data)), (0, min(len(data), 0x400))], draw)
    return bytes(content[:largest])


def lines(data: bytes, largest: int, seed: int, mutate: Mutate) -> bytes:
    """Lines of a text are changed, doubled, dropped or moved."""
    draw = random.Random(seed)
    rows = data.split(b"\n")
    at = draw.randrange(len(rows))
    choice = draw.randrange(6)
    if choice < 3:
        rows[at] = mutate(rows[at] or b" ", max(64, len(rows[at]) + 32))
    elif choice == 3:
        del rows[at]
    else:
        rows.insert(draw.randrange(len(rows) + 1), rows[at] if choice == 4 else rows.pop(at))
    return b"\n".join(rows)[:largest]


MUTATORS: dict[str, Mutator] = {
    "pe": pe, "zip": zip_members, "envelope": envelope, "documents": documents, "native": native, "pdb": pdb,
    "dump": numbers, "trust": numbers, "attachments": documents, "policy": lines,
}  # fmt: skip
"""Mutators by the name of their target."""
