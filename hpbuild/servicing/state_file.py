"""The state file: which packages of which product lines were accepted on this machine.

It is replaced as a whole, so that it is old or new whenever the machine stops. The records are chained and
sealed with a key that only its owner can read (``records``, ``key_file``). The state file is written before
the count in the key: after a stop between the two it is one record ahead, which is mended at the next use. A
state file that is behind its key is an old copy and is refused.

What this cannot notice: state file and key put back together to an earlier moment (a snapshot of the
machine), both removed, and whoever may read the key.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from hpbuild.bundle.output import read_bounded, write_atomic
from hpbuild.codes import bundle as file_codes
from hpbuild.codes import servicing as codes
from hpbuild.errors import HpbuildError
from hpbuild.servicing.key_file import StateKey, key_path, new_key, read_key, write_key
from hpbuild.servicing.lock import locked
from hpbuild.servicing.records import MAX_SIZE, Record, decode, encode
from hpbuild.verify.line import Accepted, AcceptedLines

DEFAULT_WAIT = 10.0
"""Seconds to wait for another run that uses the file."""


class StateFile:
    """A state file that this run alone uses; made by ``open_state``."""

    def __init__(self, path: Path, *, record: bool = True) -> None:
        """Read what is there. Raises as ``open_state``."""
        self._path = path
        self._record = record
        self._key_path = key_path(path)
        key = read_key(self._key_path)
        data = _read(path)
        self._exists = data is not None
        self._records = _checked(data, key, path, self._key_path)
        self._key = key or new_key()
        self._kept = key is not None
        lines = AcceptedLines()
        for entry in self._records:
            lines = lines.having(entry.product, entry.package)
        self._lines = lines

    @property
    def exists(self) -> bool:
        """True when there was a state file before this run."""
        return self._exists

    @property
    def records(self) -> bool:
        """True when acceptances are written to the disk."""
        return self._record

    @property
    def lines(self) -> AcceptedLines:
        """What was accepted, with what this run has accepted."""
        return self._lines

    def accept(self, product: str, package: Accepted) -> None:
        """Remember ``package`` of the line ``product``; nothing is done for one that is remembered already.

        Afterwards it is on the disk, unless this is a run that records nothing. Raises HpbuildError HP8029,
        HP8030."""
        if self._lines.of(product).find(package.statement) is not None:
            return
        if not self._record:
            self._lines = self._lines.having(product, package)
            return
        records = (*self._records, Record(product, package))
        data = encode(records, self._key.secret)
        if not self._kept or self._key.count != len(self._records):
            # The key first: a state file without one could not be read again.
            self._write_key(len(self._records))
        try:
            write_atomic(self._path, data)
        except HpbuildError as error:
            raise HpbuildError(codes.STATE_UNWRITABLE, str(self._path), error.finding.cause) from None
        self._records = records
        self._lines = self._lines.having(product, package)
        self._write_key(len(records))

    def _write_key(self, count: int) -> None:
        self._key = StateKey(self._key.secret, count)
        write_key(self._key_path, self._key)
        self._kept = True


@contextmanager
def open_state(path: Path, wait: float = DEFAULT_WAIT, *, record: bool = True) -> Iterator[StateFile]:
    """The state file ``path``, locked while the block runs. Nothing but the lock is made when it does not
    exist yet; it comes into being with the first acceptance. Without ``record`` nothing is written:
    acceptances are kept for this run alone.

    Raises HpbuildError: HP8021 to HP8030.
    """
    with locked(path.with_name(path.name + ".lock"), wait):
        yield StateFile(path, record=record)


def view_state(path: Path) -> StateFile:
    """The state file as it is now, without the lock and with nothing recorded: for a process that works for
    one which has the lock. Raises as ``open_state``."""
    return StateFile(path, record=False)


def _read(path: Path) -> bytes | None:
    try:
        return read_bounded(path, MAX_SIZE)
    except HpbuildError as error:
        if error.code is file_codes.NO_SUCH_FILE:
            return None
        code = codes.STATE_LIMIT if error.code is file_codes.TOO_LARGE else codes.STATE_UNWRITABLE
        raise HpbuildError(code, str(path), error.finding.cause) from None


def _checked(data: bytes | None, key: StateKey | None, path: Path, where: Path) -> tuple[Record, ...]:
    """The records, after state file and key were held against each other."""
    if data is None:
        if key is not None and key.count:
            cause = f"it does not exist, and its key has sealed {key.count} records"
            raise HpbuildError(codes.STATE_ROLLED_BACK, str(path), cause)
        return ()
    if key is None:
        raise HpbuildError(codes.KEY_MISSING, str(where), "it does not exist, and the state file does")
    records = decode(data, key.secret, str(path))
    if len(records) not in (key.count, key.count + 1):
        cause = f"it has {len(records)} records, its key has sealed {key.count}"
        raise HpbuildError(codes.STATE_ROLLED_BACK, str(path), cause)
    return records
