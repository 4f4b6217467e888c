"""Writes bundles, byte for byte the same on every machine."""

from collections.abc import Mapping, Sequence

from hpbuild.bundle.layout import ENVELOPE, MANIFEST, STATEMENT, ordered
from hpbuild.bundle.statement import encode_statement, make_statement
from hpbuild.bundle.zip_profile import MAX_MEMBERS, MAX_SIZE, Entry, crc32, directory, local_header
from hpbuild.codes import bundle as codes
from hpbuild.errors import HpbuildError
from hpbuild.manifest.codec import encode
from hpbuild.manifest.model import Manifest


def write_bundle(members: Mapping[str, bytes]) -> bytes:
    """Bundle file with ``members`` (name to content), whatever the order of the mapping.

    Raises HP4207 to HP4212 for names, missing members or sizes that a bundle cannot have.
    """
    names = ordered(members)
    size = sum(len(content) for content in members.values()) + 512 * len(names)
    if size > MAX_SIZE or len(names) > MAX_MEMBERS:
        raise HpbuildError(codes.LIMIT, "bundle", f"{len(names)} members of {size} bytes in all are too many")
    parts: list[bytes] = []
    entries: list[Entry] = []
    offset = 0
    for name in names:
        content = members[name]
        entry = Entry(name, crc32(content), len(content), offset)
        header = local_header(entry)
        parts += (header, content)
        entries.append(entry)
        offset += len(header) + len(content)
    parts.append(directory(tuple(entries), offset))
    return b"".join(parts)


def assemble(
    manifest: Manifest,
    images: Mapping[str, bytes],
    attachments: Mapping[str, bytes] | None = None,
    supersedes: Sequence[str] = (),
    expiry: str = "",
    encoded: bytes | None = None,
) -> bytes:
    """Unsigned bundle: manifest, patch ``images`` and ``attachments`` by member name, and the statement
    over them all. ``supersedes`` are ids of older packages, ``expiry`` a UTC time or ''. ``encoded`` is what
    ``encode`` made of the manifest, when somebody has it.
    """
    members = {MANIFEST: encode(manifest) if encoded is None else encoded, **images, **(attachments or {})}
    for reserved in (STATEMENT, ENVELOPE):
        if reserved in members:
            raise HpbuildError(codes.BAD_NAME, reserved, "the name is reserved")
    statement = make_statement(manifest, members, tuple(supersedes), expiry)
    return write_bundle({STATEMENT: encode_statement(statement), **members})
