"""The entry to a verification. Imports little: what judges is imported while the installed file is read."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

from hpbuild.verify.reading import Reading, reading
from hpbuild.verify.request import Verification, VerifyRequest


def verify(request: VerifyRequest) -> Verification:
    """Run every check that can be run and compute the verdict.

    Never raises for a bad package or a bad installed file; those are findings. The exit status and how it
    is chosen are described in ``hpbuild.verify.verdict``.
    """
    now = (request.now or datetime.now(UTC)).astimezone(UTC)
    with _begun(request) as begun:
        from hpbuild.verify.judging import judge

        return judge(request, now, begun)


def import_checks() -> None:
    """Import what ``verify`` imports when it is called, for one who calls it several times, each in a process
    of its own."""
    from hpbuild.verify import judging  # noqa: F401


@contextmanager
def _begun(request: VerifyRequest) -> Iterator[Reading | None]:
    """The installed file, when one is given, while it is being read. Its bytes are looked at when the
    package has been."""
    path = request.installed
    try:
        there = path is not None and path.is_file()
    except (OSError, ValueError):
        there = False
    if path is None or not there:
        yield None
        return
    with reading(path, request.policy.limits.installed_size) as begun:
        yield begun
