"""Every small change of a signed package, one at a time; none may verify.

A container notices flipped bits by its checksums. Whoever attacks a package mends those, so the walks with
*mended* write the container anew around the change.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import cache

from hpbuild.bundle.layout import ENVELOPE
from hpbuild.bundle.reader import read_bundle
from hpbuild.errors import ExitStatus
from hpbuild.sign.dsse import Envelope, decode_envelope
from hpbuild.verify.policy import Policy, policy_from_keys
from hpbuild.verify.request import VerifyRequest
from hpbuild.verify.verifier import verify
from tests.fuzz import carriers
from tests.fuzz.mutators import pack_members
from tests.fuzz.seeds import signed_bundle

_NOW = datetime(2025, 1, 1, tzinfo=UTC)
Change = tuple[str, bytes]
"""What was changed, and the package with it."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """``tried`` changes; ``accepted`` those that verified although they are not in ``hints``, changes of the
    key id alone, which DSSE leaves unsigned and which decides nothing."""

    tried: int
    accepted: tuple[str, ...]
    hints: int


@cache
def package() -> bytes:
    """The package, signed by two keys."""
    return signed_bundle()


@cache
def _policy() -> Policy:
    return policy_from_keys(carriers.public_keys(), threshold=2)


def verifies(data: bytes) -> bool:
    """Whether a verifier that trusts both keys, and needs both, says yes."""
    request = VerifyRequest(bundle=data, name="package.hpb", policy=_policy(), now=_NOW)
    return verify(request).exit is ExitStatus.YES


def bits(step: int) -> Iterator[Change]:
    """Every ``step``-th bit of the file flipped."""
    data = package()
    for bit in range(0, 8 * len(data), step):
        yield f"bit {bit}", _flipped(data, bit)


def lengths(step: int) -> Iterator[Change]:
    """The file cut off after every ``step``-th byte."""
    data = package()
    for length in range(0, len(data), step):
        yield f"{length} bytes", data[:length]


def member_bits(step: int) -> Iterator[Change]:
    """Every ``step``-th bit of every member flipped, checksums and directory mended."""
    members = read_bundle(package()).members
    for name, content in members.items():
        for bit in range(0, 8 * len(content), step):
            yield f"{name} bit {bit}", _mended({**members, name: _flipped(content, bit)})


def member_lengths(step: int) -> Iterator[Change]:
    """Every member cut off after every ``step``-th byte, checksums and directory mended."""
    members = read_bundle(package()).members
    for name, content in members.items():
        for length in range(0, len(content), step):
            yield f"{name} {length} bytes", _mended({**members, name: content[:length]})


def name_bits(step: int) -> Iterator[Change]:
    """Every ``step``-th bit of every member's name flipped, checksums and directory mended."""
    members = read_bundle(package()).members
    for name in members:
        for bit in range(0, 8 * len(name), step):
            other = _flipped(name.encode("latin-1"), bit).decode("latin-1")
            renamed = [(other if key == name else key, content) for key, content in members.items()]
            yield f"name {name} bit {bit}", pack_members(renamed)


def missing_members(step: int) -> Iterator[Change]:
    """One member left out, or doubled, or moved to another place; all of them whatever ``step`` is."""
    members = list(read_bundle(package()).members.items())
    for index, (name, _) in enumerate(members):
        others = [*members[:index], *members[index + 1 :]]
        yield f"without {name}", pack_members(others)
        for place in range(len(members)):
            if place != index:
                moved = [*others[:place], members[index], *others[place:]]
                yield f"{name} at {place}", pack_members(moved)
            yield (
                f"{name} twice, at {place}",
                pack_members([*members[:place], members[index], *members[place:]]),
            )


WALKS: dict[str, Callable[[int], Iterator[Change]]] = {
    "bits of the file": bits,
    "lengths of the file": lengths,
    "bits of the members, mended": member_bits,
    "lengths of the members, mended": member_lengths,
    "bits of the names, mended": name_bits,
    "members left out, doubled or moved": missing_members,
}
STEPS = {"bits of the members, mended": 9, "lengths of the members, mended": 5}
"""Of the walks that take long, what every run of the tests tries: with 9, each bit of a byte in turn."""


def walk(name: str, step: int = 1) -> Outcome:
    """Try every ``step``-th change of the walk ``name``."""
    tried = hints = 0
    accepted: list[str] = []
    for what, data in WALKS[name](step):
        tried += 1
        if not verifies(data):
            continue
        if _only_hints_differ(data):
            hints += 1
        else:
            accepted.append(what)
    return Outcome(tried, tuple(accepted), hints)


def _only_hints_differ(data: bytes) -> bool:
    """Whether ``data`` is the package with other key ids in its envelope."""
    found, real = read_bundle(data).members, read_bundle(package()).members
    if {**found, ENVELOPE: b""} != {**real, ENVELOPE: b""}:
        return False
    return _without_hints(found[ENVELOPE]) == _without_hints(real[ENVELOPE])


def _without_hints(envelope: bytes) -> Envelope:
    decoded = decode_envelope(envelope)
    return replace(decoded, signatures=tuple(replace(item, keyid="") for item in decoded.signatures))


def _flipped(data: bytes, bit: int) -> bytes:
    at, mask = bit // 8, 1 << bit % 8
    return data[:at] + bytes([data[at] ^ mask]) + data[at + 1 :]


def _mended(members: Mapping[str, bytes]) -> bytes:
    return pack_members(list(members.items()))
