"""Opening a process, whatever the system."""

import sys

from hpbuild.codes import process as codes
from hpbuild.errors import HpbuildError
from hpbuild.pe.processes.model import Process


def open_process(pid: int) -> Process:
    """The Windows process ``pid``, as it is now: on Linux a Wine process by its Linux process id.

    Raises HpbuildError: PROCESSES_NOT_HERE on other systems; NO_SUCH_PROCESS, PROCESS_FORBIDDEN,
    NOT_A_WINDOWS_PROCESS, PROCESS_32_BIT, PROCESS_STARTING, PROCESS_GONE; LOADER_LIST and
    MEMORY_UNREADABLE when its list of modules stays unreadable.
    """
    place = f"process {pid}"
    if pid <= 0:
        raise HpbuildError(codes.NO_SUCH_PROCESS, place, "process ids are above 0")
    if sys.platform == "win32":
        from hpbuild.pe.processes.native import open_native

        return open_native(pid, place)
    if sys.platform == "linux":
        from hpbuild.pe.processes.wine import open_wine

        return open_wine(pid, place)
    raise HpbuildError(codes.PROCESSES_NOT_HERE, place, f"this is {sys.platform}")
