"""A process of the Windows that this runs on, read with ``ReadProcessMemory``.

Source: Microsoft Learn, ``OpenProcess``, ``ReadProcessMemory``, ``GetExitCodeProcess`` and
``NtQueryInformationProcess`` (information class 0, ``PROCESS_BASIC_INFORMATION``).
"""

import ctypes
import sys
from pathlib import Path

from hpbuild.codes import process as codes
from hpbuild.dataclass import replace
from hpbuild.errors import HpbuildError
from hpbuild.pe.processes.loader_list import MACHINE_X64, main_machine, settled_modules
from hpbuild.pe.processes.model import ADDRESS_LIMIT, LoadedModule, Process

_QUERY_AND_READ = 0x0410
_ACCESS_DENIED = 5
_STILL_ACTIVE = 259
_CHUNK = 1 << 24

if sys.platform == "win32":

    class NativeMemory:
        """Memory of a running process through its handle, which stays that process's when it has ended."""

        def __init__(self, handle: int, place: str) -> None:
            self._handle = handle
            self._place = place
            self._kernel = ctypes.WinDLL("kernel32", use_last_error=True)

        def read(self, address: int, size: int) -> bytes:
            """As ``Memory.read``."""
            if not 0 <= address <= address + size <= ADDRESS_LIMIT:
                raise HpbuildError(codes.MEMORY_UNREADABLE, self._place, f"{size:#x} bytes at {address:#x}")
            chunks = []
            for start in range(address, address + size, _CHUNK):
                chunks.append(self._read_some(start, min(_CHUNK, address + size - start)))
            return b"".join(chunks)

        def _read_some(self, address: int, size: int) -> bytes:
            buffer, done = ctypes.create_string_buffer(size), ctypes.c_size_t()
            read = self._kernel.ReadProcessMemory(
                ctypes.c_void_p(self._handle), ctypes.c_void_p(address), buffer, ctypes.c_size_t(size),
                ctypes.byref(done),
            )  # fmt: skip
            if read and done.value == size:
                return buffer.raw
            error = ctypes.get_last_error()
            code = codes.PROCESS_GONE if self._ended() else codes.MEMORY_UNREADABLE
            raise HpbuildError(code, self._place, f"{size:#x} bytes at {address:#x}: error {error}")

        def _ended(self) -> bool:
            status = ctypes.c_uint32()
            known = self._kernel.GetExitCodeProcess(ctypes.c_void_p(self._handle), ctypes.byref(status))
            return bool(known) and status.value != _STILL_ACTIVE

        def close(self) -> None:
            """Give the handle back; later reads fail."""
            handle, self._handle = self._handle, 0
            if handle:
                self._kernel.CloseHandle(ctypes.c_void_p(handle))

        def __del__(self) -> None:
            self.close()

    def open_native(pid: int, place: str) -> Process:
        """The process ``pid``; ``place`` is what to call it. Raises HpbuildError as ``open_process``."""
        kernel = ctypes.WinDLL("kernel32", use_last_error=True)
        kernel.OpenProcess.restype = ctypes.c_void_p
        handle = kernel.OpenProcess(_QUERY_AND_READ, 0, pid)
        if not handle:
            error = ctypes.get_last_error()
            code = codes.PROCESS_FORBIDDEN if error == _ACCESS_DENIED else codes.NO_SUCH_PROCESS
            raise HpbuildError(code, place, f"error {error}")
        memory = NativeMemory(handle, place)
        try:
            peb = _peb(handle, place)
            machine = main_machine(memory, peb, place)
            if machine != MACHINE_X64:
                raise HpbuildError(codes.PROCESS_32_BIT, place, f"the program's machine type is {machine:#x}")
            modules = settled_modules(memory, peb, place)
        except BaseException:
            memory.close()
            raise
        return Process(
            pid=pid, windows_pid=pid, memory=memory, modules=tuple(map(_with_file, modules)), environment={}
        )

    def _peb(handle: int, place: str) -> int:
        """Address of the process environment block. A 32-bit process has a second one, which is not used:
        its program's machine type tells."""
        basic, length = (ctypes.c_void_p * 6)(), ctypes.c_uint32()
        query = ctypes.WinDLL("ntdll").NtQueryInformationProcess
        status = query(
            ctypes.c_void_p(handle), 0, basic, ctypes.c_uint32(ctypes.sizeof(basic)), ctypes.byref(length)
        )
        address = basic[1]
        if status or not address:
            raise HpbuildError(codes.PROCESS_STARTING, place, f"status {status & 0xFFFFFFFF:#x}")
        return address

    def _with_file(module: LoadedModule) -> LoadedModule:
        file = Path(module.path)
        return replace(module, file=file if file.is_file() else None)
