"""HP902x: work that is spread over processes or over a cluster."""

from hpbuild.errors import Code, ExitStatus, Severity

WORKER_LOST = Code(
    id="HP9021",
    title="a process that worked on the modules ended without an answer",
    severity=Severity.REFUSE,
    exit=ExitStatus.LIMIT,
    why="Somebody ended it, or the system did because memory ran out, or it crashed. A result without its "
    "modules would look complete, so there is none.",
    remedy="Run it again with fewer --jobs: each one works on another module and needs memory of its own. "
    "If --jobs 1 ends the same way, report the module to the maintainers if it may be shared.",
)
CLUSTER_MISSING = Code(
    id="HP9022",
    title="Dask is not installed",
    severity=Severity.REFUSE,
    exit=ExitStatus.UNAVAILABLE,
    why="--dask spreads the modules over a Dask cluster; the library for that is an extra of hpbuild.",
    remedy="Install hpbuild[dask], in the versions that the cluster's scheduler and workers have.",
)
CLUSTER_UNREACHABLE = Code(
    id="HP9023",
    title="the Dask cluster cannot be reached, or was lost",
    severity=Severity.REFUSE,
    exit=ExitStatus.UNAVAILABLE,
    why="The scheduler does not answer under this address, has no workers, or went away before all modules "
    "were done. A result without them would look complete, so there is none.",
    remedy="Check the address (tcp://HOST:8786, tls:// for an encrypted one) and that the scheduler and its "
    "workers run; or leave --dask away.",
)
CLUSTER_DIFFERS = Code(
    id="HP9024",
    title="a worker of the cluster does not have what this machine has",
    severity=Severity.REFUSE,
    exit=ExitStatus.UNAVAILABLE,
    why="Workers read the modules themselves, under the same paths, with their own hpbuild. Results of other "
    "files, or of another version, would be mixed with those of this machine.",
    remedy="Put both trees on a file system that all workers see under the same path, and install the same "
    "hpbuild with the same libraries and the same Python on all of them.",
)

ROWS: tuple[Code, ...] = (WORKER_LOST, CLUSTER_MISSING, CLUSTER_UNREACHABLE, CLUSTER_DIFFERS)
