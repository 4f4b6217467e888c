"""The text of a state file: records that follow from each other, and the seal over the last one. Pure.

The file consists of lines, each a JSON value in canonical form (RFC 8785) and a line feed:

    {"format":"urn:hpbuild:state:1"}
    {"accepted":{...},"previous":"SHA-256 of the line before, without its line feed"}     any number of these
    {"count":N,"head":"SHA-256 of the last line before this","seal":"HMAC-SHA256"}

``accepted`` has ``product``, ``id``, ``sequence``, ``statement`` (SHA-256), ``supersedes``, ``time`` and, for
a revert package, ``reverts`` with ``id``, ``sequence``, ``statement``, ``reason``. The seal (RFC 2104) is
made with the key over ``SEALED``, the count as 8 bytes, most significant first, and the 32 bytes of the head.
"""

import hashlib
import hmac
from collections.abc import Sequence
from typing import Final

from hpbuild.bundle.statement import MAX_SEQUENCE, read_reverts, reverts_document
from hpbuild.codes import servicing as codes
from hpbuild.dataclass import dataclass
from hpbuild.errors import HpbuildError
from hpbuild.manifest.readers import root
from hpbuild.manifest.strict_json import JsonLimits, JsonValue, canonical, parse_canonical
from hpbuild.manifest.text_fields import parse_time, read_id
from hpbuild.values import moment_text
from hpbuild.verify.line import Accepted

FORMAT: Final = "urn:hpbuild:state:1"
SEALED: Final = b"hpbuild state 1\0"
MAX_SIZE: Final = 32 << 20
MAX_RECORDS: Final = 20_000
LINE: Final = JsonLimits(size=4 << 20, depth=4, values=20_000, text=4096)
DIGEST: Final = 32

_ACCEPTED = frozenset({"product", "id", "sequence", "statement", "supersedes", "time"})


@dataclass(frozen=True, slots=True)
class Record:
    """One acceptance: the package, and the product line that it belongs to."""

    product: str
    package: Accepted


def encode(records: Sequence[Record], key: bytes) -> bytes:
    """The whole file. Raises HpbuildError HP8030 when it would be too large to be read again."""
    lines = [canonical({"format": FORMAT}, "state")]
    for record in records:
        previous = hashlib.sha256(lines[-1]).hexdigest()
        lines.append(canonical({"accepted": _to_document(record), "previous": previous}, "state"))
    head = hashlib.sha256(lines[-1]).digest()
    seal = _seal(key, len(records), head).hex()
    lines.append(canonical({"count": len(records), "head": head.hex(), "seal": seal}, "state"))
    data = b"".join(line + b"\n" for line in lines)
    if len(records) > MAX_RECORDS or len(data) > MAX_SIZE:
        cause = f"{len(records)} records in {len(data)} bytes, at most {MAX_RECORDS} in {MAX_SIZE} are kept"
        raise HpbuildError(codes.STATE_LIMIT, "state", cause)
    return data


def decode(data: bytes, key: bytes, place: str) -> tuple[Record, ...]:
    """The records of the file ``data``, which ``place`` names in errors.

    Raises HpbuildError: HP8021 for another kind of file, HP8022 for one that is cut off, HP8023 when the
    records do not follow from each other or the seal is not the key's, HP8030 beyond the bounds.
    """
    if len(data) > MAX_SIZE:
        raise HpbuildError(codes.STATE_LIMIT, place, f"more than {MAX_SIZE} bytes")
    lines = data.split(b"\n")
    if lines[0] != canonical({"format": FORMAT}, place):
        raise HpbuildError(codes.STATE_FORMAT, place, f"it does not begin with the format {FORMAT}")
    if lines[-1] or len(lines) < 3:
        raise HpbuildError(codes.STATE_TRUNCATED, place, "the last line is not whole")
    if len(lines) - 3 > MAX_RECORDS:
        raise HpbuildError(codes.STATE_LIMIT, place, f"more than {MAX_RECORDS} records")
    *body, seal = lines[1:-1]
    _check_seal(seal, lines[-3], len(body), key, place)
    records = []
    for number, line in enumerate(body, 1):
        previous, record = _record(line, f"{place} line {number + 1}")
        if previous != hashlib.sha256(lines[number - 1]).digest():
            cause = "it does not follow from the line before"
            raise HpbuildError(codes.STATE_ALTERED, f"{place} line {number + 1}", cause)
        records.append(record)
    return tuple(records)


def _seal(key: bytes, count: int, head: bytes) -> bytes:
    return hmac.digest(key, SEALED + count.to_bytes(8, "big") + head, "sha256")


def _check_seal(line: bytes, last: bytes, count: int, key: bytes, place: str) -> None:
    """The seal comes first: what nobody sealed is not looked at."""
    try:
        fields = root(parse_canonical(line, place, LINE), place).fields({"count", "head", "seal"})
        said = (fields["count"].integer(), fields["head"].hex_bytes(DIGEST))
        seal = fields["seal"].hex_bytes(DIGEST)
    except HpbuildError as error:
        whole = line.startswith(b'{"count":')
        code = codes.STATE_ALTERED if whole else codes.STATE_TRUNCATED
        raise HpbuildError(code, place, f"the last line is no seal: {error.finding.cause}") from None
    head = hashlib.sha256(last).digest()
    if said != (count, head):
        raise HpbuildError(codes.STATE_ALTERED, place, "the seal is about other records")
    if not hmac.compare_digest(seal, _seal(key, count, head)):
        raise HpbuildError(codes.STATE_ALTERED, place, "the seal was not made with this machine's key")


def _to_document(record: Record) -> dict[str, JsonValue]:
    package = record.package
    document: dict[str, JsonValue] = {
        "product": record.product,
        "id": package.id,
        "sequence": package.sequence,
        "statement": package.statement,
        "supersedes": list(package.supersedes),
        "time": moment_text(package.time),
    }
    if (reverts := package.reverts) is not None:
        document["reverts"] = reverts_document(reverts)
    return document


def _record(line: bytes, place: str) -> tuple[bytes, Record]:
    """The digest that a line names, and its record."""
    try:
        fields = root(parse_canonical(line, place, LINE), place).fields({"accepted", "previous"})
        accepted = fields["accepted"].fields(_ACCEPTED, {"reverts"})
        package = Accepted(
            id=read_id(accepted["id"]),
            sequence=accepted["sequence"].integer(1, MAX_SEQUENCE),
            statement=accepted["statement"].digest().hex,
            supersedes=tuple(read_id(item) for item in accepted["supersedes"].items(10_000)),
            reverts=read_reverts(accepted["reverts"]) if "reverts" in accepted else None,
            time=parse_time(accepted["time"], accepted["time"].text(20)),
        )
        product = accepted["product"].text(200, empty=False)
        return fields["previous"].digest().raw, Record(product, package)
    except HpbuildError as error:
        raise HpbuildError(codes.STATE_FORMAT, error.finding.place, error.finding.cause) from None
