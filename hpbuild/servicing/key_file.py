"""The key of a state file: FILE.key beside FILE, readable for its owner alone.

It holds 32 random bytes and the number of records that the state file had when it was last written, so that
an old copy of the state file alone is noticed. One line of canonical JSON:
``{"count":N,"format":"urn:hpbuild:state-key:1","key":"64 hexadecimal digits"}``
"""

import os
import secrets
import stat
from pathlib import Path
from typing import Final

from hpbuild.bundle.output import write_atomic
from hpbuild.codes import servicing as codes
from hpbuild.dataclass import dataclass
from hpbuild.errors import HpbuildError
from hpbuild.manifest.readers import root
from hpbuild.manifest.strict_json import JsonLimits, JsonValue, canonical, parse_canonical
from hpbuild.servicing.records import MAX_RECORDS

FORMAT: Final = "urn:hpbuild:state-key:1"
OWNER_ONLY: Final = 0o600
KEY_BYTES: Final = 32
FLAGS: Final = os.O_RDONLY | sum(
    getattr(os, name, 0) for name in ("O_NOFOLLOW", "O_NONBLOCK", "O_CLOEXEC", "O_BINARY")
)
"""No link is followed, and opening a pipe does not wait for its writer."""
LIMITS: Final = JsonLimits(size=4096, depth=1, values=4, text=256)


@dataclass(frozen=True, slots=True)
class StateKey:
    """``secret`` is the key of the seal, ``count`` the records that were last sealed with it."""

    secret: bytes
    count: int

    def __repr__(self) -> str:
        return f"StateKey(count={self.count})"


def key_path(state: Path) -> Path:
    """Where the key of a state file lies."""
    return state.with_name(state.name + ".key")


def new_key() -> StateKey:
    """A key that has sealed nothing yet."""
    return StateKey(secrets.token_bytes(KEY_BYTES), 0)


def write_key(path: Path, key: StateKey) -> None:
    """Replace the key file, whole or not at all. Raises HpbuildError HP8029."""
    document: dict[str, JsonValue] = {"format": FORMAT, "key": key.secret.hex(), "count": key.count}
    try:
        write_atomic(path, canonical(document, path.name) + b"\n", OWNER_ONLY)
    except HpbuildError as error:
        raise HpbuildError(codes.STATE_UNWRITABLE, str(path), error.finding.cause) from None


def read_key(path: Path) -> StateKey | None:
    """The key, None when there is no such file.

    Raises HpbuildError: HP8025 when it cannot be read, HP8026 when others can read or write it, HP8027 when
    it is no key.
    """
    try:
        descriptor = os.open(path, FLAGS)
        with os.fdopen(descriptor, "rb") as file:
            _check_owner(os.fstat(file.fileno()), path)
            data = file.read(LIMITS.size + 1)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise HpbuildError(codes.KEY_MISSING, str(path), error.strerror or type(error).__name__) from None
    return _decode(data, str(path))


def _check_owner(status: os.stat_result, path: Path) -> None:
    """Windows has no such bits; there the folder's access list has to do it."""
    if not stat.S_ISREG(status.st_mode):
        raise HpbuildError(codes.KEY_FORMAT, str(path), "not a regular file")
    if os.name != "posix":
        return
    if status.st_mode & 0o077:
        raise HpbuildError(codes.KEY_EXPOSED, str(path), f"its mode is {stat.S_IMODE(status.st_mode):o}")
    if status.st_uid != os.geteuid():
        raise HpbuildError(codes.KEY_EXPOSED, str(path), f"it belongs to user {status.st_uid}")


def _decode(data: bytes, place: str) -> StateKey:
    try:
        if not data.endswith(b"\n"):
            raise HpbuildError(codes.KEY_FORMAT, place, "it does not end with a line feed")
        fields = root(parse_canonical(data[:-1], place, LIMITS), place).fields({"format", "key", "count"})
        fields["format"].choice((FORMAT,))
        secret = fields["key"].hex_bytes(KEY_BYTES)
        count = fields["count"].integer(0, MAX_RECORDS)
    except HpbuildError as error:
        raise HpbuildError(codes.KEY_FORMAT, place, error.finding.cause) from None
    if len(secret) != KEY_BYTES:
        raise HpbuildError(codes.KEY_FORMAT, place, f"a key has {KEY_BYTES} bytes, not {len(secret)}")
    return StateKey(secret, count)
