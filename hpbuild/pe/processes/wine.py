"""A Windows process that Wine runs on Linux, read through ``/proc`` without stopping or changing it."""

import errno
import os
from pathlib import Path

from hpbuild.codes import process as codes
from hpbuild.dataclass import replace
from hpbuild.errors import Code, HpbuildError
from hpbuild.pe.processes.environment import wine_prefix
from hpbuild.pe.processes.loader_list import MACHINE_X64, Blocks, blocks_at, main_machine, settled_modules
from hpbuild.pe.processes.mappings import Mapping, mapped_file, parse_mappings, translated_path
from hpbuild.pe.processes.model import ADDRESS_LIMIT, PAGE, LoadedModule, Memory, Process

_CHUNK = 1 << 24
_SCAN_LIMIT = 1 << 32
_TEXT_LIMIT = 1 << 26
_GONE = (errno.ESRCH, errno.ENOENT)
_FORBIDDEN = (errno.EACCES, errno.EPERM)
_ELF_CLASS, _ELF_32 = 4, 1


class ProcessMemory:
    """Memory of a running process through ``/proc/PID/mem``. Bound to that process: when it ends and its
    number goes to another one, reads fail."""

    __slots__ = ("_descriptor", "_place")

    def __init__(self, descriptor: int, place: str) -> None:
        self._descriptor = descriptor
        self._place = place

    def read(self, address: int, size: int) -> bytes:
        """As ``Memory.read``."""
        chunks = []
        while size > 0:
            chunk = self._read_some(address, min(size, _CHUNK))
            chunks.append(chunk)
            address += len(chunk)
            size -= len(chunk)
        return chunks[0] if len(chunks) == 1 else b"".join(chunks)

    def _read_some(self, address: int, size: int) -> bytes:
        where = f"{size:#x} bytes at {address:#x}"
        if not 0 <= address < ADDRESS_LIMIT:
            raise HpbuildError(codes.MEMORY_UNREADABLE, self._place, where)
        try:
            chunk = os.pread(self._descriptor, size, address)
        except OSError as error:
            code = codes.PROCESS_GONE if error.errno == errno.ESRCH else codes.MEMORY_UNREADABLE
            raise HpbuildError(code, self._place, f"{where}: {error.strerror}") from error
        if not chunk:
            raise HpbuildError(codes.PROCESS_GONE, self._place, f"{where}: it has no memory any more")
        return chunk

    def close(self) -> None:
        """Give the descriptor back; later reads fail."""
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)

    def __del__(self) -> None:
        self.close()


def open_wine(pid: int, place: str) -> Process:
    """The Wine process with the Linux process id ``pid``; ``place`` is what to call it.

    Raises HpbuildError: NO_SUCH_PROCESS, PROCESS_FORBIDDEN, NOT_A_WINDOWS_PROCESS, PROCESS_32_BIT,
    PROCESS_STARTING, PROCESS_GONE; LOADER_LIST and MEMORY_UNREADABLE when its list of modules stays
    unreadable.
    """
    try:
        directory = os.open(f"/proc/{pid}", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise _refusal(error, codes.NO_SUCH_PROCESS, place) from error
    try:
        return _open(directory, pid, place)
    except OSError as error:
        raise _refusal(error, codes.PROCESS_GONE, place) from error
    finally:
        os.close(directory)


def _refusal(error: OSError, gone: Code, place: str) -> HpbuildError:
    """The refusal that a failed system call stands for; ``gone`` when the process is not there."""
    words = error.strerror or "it cannot be opened"
    if error.errno in _GONE:
        return HpbuildError(gone, place, words)
    code = codes.PROCESS_FORBIDDEN if error.errno in _FORBIDDEN else codes.MEMORY_UNREADABLE
    return HpbuildError(code, place, words)


def _open(directory: int, pid: int, place: str) -> Process:
    if _elf_class(directory) == _ELF_32:
        mappings = parse_mappings(_text(directory, "maps"))
        wine = any(each.path.endswith((b"/ntdll.so", b"/ntdll.dll")) for each in mappings)
        code = codes.PROCESS_32_BIT if wine else codes.NOT_A_WINDOWS_PROCESS
        raise HpbuildError(code, place, "its program is a 32-bit ELF file")
    memory = ProcessMemory(_descriptor(directory, "mem"), place)
    try:
        return _inspect(directory, memory, pid, place)
    except BaseException:
        memory.close()
        raise


def _inspect(directory: int, memory: ProcessMemory, pid: int, place: str) -> Process:
    mappings = parse_mappings(_text(directory, "maps"))
    if not mappings and _has_ended(directory):
        raise HpbuildError(
            codes.PROCESS_GONE, place, "it has ended, and nobody has asked for its exit status"
        )
    blocks = _find_blocks(memory, mappings)
    if blocks is None:
        raise HpbuildError(codes.NOT_A_WINDOWS_PROCESS, place, "no thread has a thread environment block")
    machine = main_machine(memory, blocks.peb, place)
    if machine != MACHINE_X64:
        raise HpbuildError(codes.PROCESS_32_BIT, place, f"the program's machine type is {machine:#x}")
    environment = _environment(_text(directory, "environ"))
    modules = settled_modules(memory, blocks.peb, place)
    mappings = parse_mappings(_text(directory, "maps"))
    prefix = wine_prefix(environment)
    return Process(
        pid=pid,
        windows_pid=blocks.windows_pid,
        memory=memory,
        modules=tuple(_with_file(each, mappings, prefix) for each in modules),
        environment=environment,
    )


def _with_file(module: LoadedModule, mappings: tuple[Mapping, ...], prefix: Path | None) -> LoadedModule:
    head = next((each for each in mappings if each.start <= module.base < each.end), None)
    if head is not None and head.inode:
        return replace(module, file=mapped_file(mappings, module.base))
    return replace(module, file=translated_path(module.path, prefix))


def _find_blocks(memory: Memory, mappings: tuple[Mapping, ...]) -> Blocks | None:
    """What the first thread environment block says that leads to a process. Blocks begin pages; Wine puts
    them low, so the search goes upwards, through 4 GiB at most. A page of the program's own may look like
    one; the first such counts when nothing better comes."""
    left = _SCAN_LIMIT
    lookalike: Blocks | None = None
    for mapping in sorted(mappings, key=lambda each: each.start):
        if not mapping.is_private_memory:
            continue
        for page in range(mapping.start, min(mapping.end, mapping.start + left, ADDRESS_LIMIT), PAGE):
            left -= PAGE
            try:
                blocks = blocks_at(memory, page)
            except HpbuildError as error:
                if error.code is codes.PROCESS_GONE:
                    raise
                break
            if blocks is not None and _leads_to_process(memory, blocks.peb):
                return blocks
            lookalike = lookalike or blocks
    return lookalike


def _leads_to_process(memory: Memory, peb: int) -> bool:
    """Whether a process environment block at ``peb`` names an image."""
    try:
        main_machine(memory, peb, "")
    except HpbuildError as error:
        if error.code is codes.PROCESS_GONE:
            raise
        return False
    return True


def _environment(raw: bytes) -> dict[str, str]:
    pairs = (os.fsdecode(entry).partition("=") for entry in raw.split(b"\0") if b"=" in entry)
    return {name: value for name, _, value in pairs}


def _elf_class(directory: int) -> int:
    """Class of the ELF file that runs: 1 for 32 bits, 2 for 64; 0 when it has none."""
    try:
        descriptor = _descriptor(directory, "exe")
    except OSError as error:
        if error.errno in _FORBIDDEN:
            raise
        return 0
    try:
        head = os.read(descriptor, 5)
    finally:
        os.close(descriptor)
    return head[_ELF_CLASS] if head[:4] == b"\x7fELF" and len(head) == 5 else 0


def _has_ended(directory: int) -> bool:
    """True for a process without memory whose parent has not fetched its exit status (``proc_pid_stat(5)``,
    states X and Z)."""
    return _text(directory, "stat").rpartition(b")")[2].split()[:1] in ([b"Z"], [b"X"])


def _descriptor(directory: int, name: str) -> int:
    return os.open(name, os.O_RDONLY | os.O_CLOEXEC, dir_fd=directory)


def _text(directory: int, name: str) -> bytes:
    """The whole of a file below ``/proc/PID``, at most 64 MiB."""
    descriptor = _descriptor(directory, name)
    try:
        chunks, size = [], 0
        while size < _TEXT_LIMIT and (chunk := os.read(descriptor, 1 << 20)):
            chunks.append(chunk)
            size += len(chunk)
        return b"".join(chunks)
    finally:
        os.close(descriptor)
