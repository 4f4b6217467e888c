"""Memory and loaded modules of a running Windows process, or of one that a dump was made of."""

from hpbuild.pe.processes.minidump import Dump, open_dump
from hpbuild.pe.processes.model import LoadedModule, Memory, Process, module_at
from hpbuild.pe.processes.opening import open_process

__all__ = ["Dump", "LoadedModule", "Memory", "Process", "module_at", "open_dump", "open_process"]
