"""Dask's executor (dask.distributed, the extra ``hpbuild[dask]``): modules go to the workers of a cluster.

The workers read the modules themselves, so both trees lie under the same path for all of them. Dask gives a
module whose worker died to another one. A cluster runs what its members send it, as the user that started it:
its network must be trusted, or the address a tls:// one with certificates in Dask's configuration.
"""

import logging
from collections.abc import Iterator
from concurrent.futures import Executor
from contextlib import contextmanager

from hpbuild.codes import work as codes
from hpbuild.errors import Code, HpbuildError

PATIENCE = 15
"""Seconds to wait for the scheduler."""
PATIENCE_FOR_WORKERS = 15
"""Seconds to wait for its first worker."""


@contextmanager
def cluster(address: str) -> Iterator[Executor]:
    """The executor of the Dask cluster whose scheduler is at ``address``. Work that is not done when the
    block ends is cancelled.

    Raises HpbuildError: HP9022 without Dask, HP9023 when no scheduler answers or it has no workers.
    """
    try:
        from distributed import Client
    except ImportError as error:
        raise HpbuildError(codes.CLUSTER_MISSING, "--dask", str(error)) from None
    # It tells each lost connection on stderr, in lines of its own.
    logging.getLogger("distributed").setLevel(logging.CRITICAL)
    try:
        client = Client(address, set_as_default=False, timeout=PATIENCE)
    except (OSError, ValueError, ImportError, RuntimeError, TypeError) as error:
        raise HpbuildError(codes.CLUSTER_UNREACHABLE, address, _first_line(error)) from None
    try:
        try:
            client.wait_for_workers(1, timeout=PATIENCE_FOR_WORKERS)
        except TimeoutError:
            raise HpbuildError(codes.CLUSTER_UNREACHABLE, address, "it has no workers") from None
        executor = client.get_executor(pure=False)
        try:
            yield executor
        finally:
            executor.shutdown(wait=False)
    finally:
        client.close(timeout=2)


def trouble(error: BaseException) -> tuple[Code, str] | None:
    """The code and cause of an exception that is the cluster's and not the module's, else None."""
    name = type(error).__name__
    if name == "KilledWorker":  # by name: distributed is not imported for errors of other executors
        return codes.WORKER_LOST, "each worker of the cluster that worked on it died"
    if name in ("CancelledError", "FutureCancelledError", "CommClosedError"):
        return codes.CLUSTER_UNREACHABLE, "the connection to the scheduler was lost"
    if isinstance(error, ImportError | RuntimeError):
        return codes.CLUSTER_DIFFERS, f"a worker could not begin: {_first_line(error)}"
    return None


def _first_line(error: BaseException) -> str:
    text = str(error).strip()
    return text.splitlines()[0][:200] if text else type(error).__name__
