"""Packages for the tests here, each built once per test run, and files patched with them."""

import contextlib
import fcntl
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from hpbuild.apply.live.patching import apply_live, revert_live
from hpbuild.apply.live.result import LiveRequest, LiveResult, LiveVerdict
from hpbuild.apply.offline.apply import apply_offline
from hpbuild.apply.offline.result import OfflineRequest, OfflineResult
from hpbuild.apply.offline.revert import revert_offline
from hpbuild.pipeline import BuildRequest, assemble, build
from hpbuild.verify import Policy

UNSIGNED = Policy(allow_unsigned=True)
NO_PACKAGE = b""


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Holds a lock that all workers of a test run share."""
    with path.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@dataclass(frozen=True, slots=True)
class Packages:
    """Where the packages of a test run are kept."""

    folder: Path

    def build(self, baseline: Path, fixed: Path, symbols: str) -> bytes:
        """The package of a pair; NO_PACKAGE when there is nothing to patch or the builder refuses."""
        key = hashlib.sha256(symbols.encode() + baseline.read_bytes() + fixed.read_bytes()).hexdigest()[:32]
        kept = self.folder / f"{key}.hpb"
        with locked(self.folder / f"{key}.lock"):
            if not kept.exists():
                kept.write_bytes(_built(baseline, fixed, symbols))
            return kept.read_bytes()


def _built(baseline: Path, fixed: Path, symbols: str) -> bytes:
    request = BuildRequest(
        baseline=baseline,
        fixed=fixed,
        id="TEST-1",
        sequence=1,
        product="test",
        advisories=(),
        created="",
        symbols=symbols,
    )
    result = build(request, lambda *_: None)
    if result.refused or not result.members:
        return NO_PACKAGE
    assert all(proof.ok for proof in result.proofs)
    return assemble(result)


def _request(package: bytes, installed: Path, output: Path) -> OfflineRequest:
    return OfflineRequest(
        bundle=package, name="test.hpb", installed=installed, output=output, policy=UNSIGNED
    )


def patched(package: bytes, installed: Path, output: Path) -> OfflineResult:
    """Write the patched copy of a file, as `hpbuild apply --offline` does."""
    result = apply_offline(_request(package, installed, output))
    assert result.done, result.findings
    return result


def reverted(package: bytes, installed: Path, output: Path) -> OfflineResult:
    """Write the original of a patched copy, as `hpbuild revert --offline` does."""
    result = revert_offline(_request(package, installed, output))
    assert result.done, result.findings
    return result


def asked(package: bytes, pid: int) -> LiveRequest:
    """What the functions for a process take."""
    return LiveRequest(bundle=package, name="test.hpb", policy=UNSIGNED, pid=pid)


def apply(package: bytes, pid: int) -> LiveResult:
    """Put the package into a process, as `hpbuild apply --pid` does."""
    result = apply_live(asked(package, pid))
    assert result.verdict is LiveVerdict.APPLIED, result.findings
    return result


def revert(package: bytes, pid: int) -> LiveResult:
    """Take it out again, as `hpbuild revert --pid` does."""
    result = revert_live(asked(package, pid))
    assert result.verdict is LiveVerdict.REVERTED, result.findings
    return result
