"""Reading Wine processes through ``/proc``: what is found, and every way of not finding it."""

import os
import pwd
import shutil
import struct
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from hpbuild.codes import process as codes
from hpbuild.errors import Code, HpbuildError
from hpbuild.pe.mapped import image_from_memory
from hpbuild.pe.processes import open_process
from hpbuild.pe.reader import read_image
from tests.live.wine import Wine, windows_path


@pytest.fixture
def folder(tmp_path: Path, binaries: Path) -> Path:
    for name in ("codec.dll", "throwing.dll"):
        shutil.copy(binaries / "baseline" / name, tmp_path / name)
    return tmp_path


def refusal(pid: int) -> Code:
    with pytest.raises(HpbuildError) as caught:
        open_process(pid)
    assert str(pid) in caught.value.finding.place
    return caught.value.code


def test_a_process_and_its_modules(wine: Wine, folder: Path) -> None:
    with wine.host(folder, "codec.dll", "throwing.dll") as host:
        bases = {name: host.number(f"base {name}") for name in ("codec.dll", "throwing.dll", "ntdll.dll")}
        with open_process(host.pid) as process:
            assert (process.pid, process.windows_pid) == (host.pid, host.windows_pid)
            assert process.environment["WINEPREFIX"] == str(wine.prefix)
            assert process.prefix == wine.prefix
            found = {module.name.lower(): module for module in process.modules}
            assert {name: found[name].base for name in bases} == bases
            assert process.modules[0].file == wine.binaries / "host.exe"
            assert found["codec.dll"].path == windows_path(folder / "codec.dll")
            assert found["codec.dll"].file == folder / "codec.dll"
            assert found["ntdll.dll"].path.lower() == "c:\\windows\\system32\\ntdll.dll"
            said = bytes.fromhex(host.do(f"peek {bases['codec.dll'] + 0x1000:#x} 4096"))
            assert process.memory.read(bases["codec.dll"] + 0x1000, 4096) == said


def test_every_module_is_the_image_in_its_file(wine: Wine, folder: Path) -> None:
    """The example libraries, one of them moved, and Wine's own: relocations taken off, import slots filled in
    from the name tables, all that is not writable is the file's, but for what is listed as unknown."""
    moved = 0
    with wine.host(folder, "codec.dll", "throwing.dll") as host, open_process(host.pid) as process:
        assert len(process.modules) >= 5
        for module in process.modules:
            assert module.file is not None
            image = read_image(module.file)
            mapped = image_from_memory(process.memory, module)
            moved += mapped.moved != 0
            assert mapped.image.image_base == image.image_base
            assert mapped.image.sections == tuple(
                found if found.name.startswith("/") else own
                for own, found in zip(image.sections, mapped.image.sections, strict=True)
            )
            for section in image.sections:
                if section.writable:
                    continue
                part = slice(section.rva, section.rva + section.raw_size)
                differs = np.flatnonzero(mapped.image.memory[part] != image.memory[part]) + section.rva
                listed = [at for at in differs if any(int(at) in place for place in mapped.unknown)]
                assert len(differs) == len(listed), (module.name, section.name)
    assert moved


def test_with_its_file_only_what_the_loader_changed_is_unknown(wine: Wine, folder: Path) -> None:
    with wine.host(folder, "codec.dll") as host, open_process(host.pid) as process:
        module = next(each for each in process.modules if each.name == "codec.dll")
        image = read_image(folder / "codec.dll")
        mapped = image_from_memory(process.memory, module, file=image)
    assert mapped.unknown
    for section in image.sections:
        if not section.writable:
            part = slice(section.rva, section.rva + section.raw_size)
            assert np.array_equal(mapped.image.memory[part], image.memory[part])


def test_a_program_that_has_not_begun(wine: Wine, folder: Path, binaries: Path) -> None:
    """It stands at its first instruction: what it will load is not there yet, and nothing is made up."""
    shutil.copy(binaries / "host.exe", folder / "program.exe")
    with wine.held(folder, "program.exe", "codec.dll") as held:
        with open_process(held.pid) as process:
            names = [module.name.lower() for module in process.modules]
        assert names[:2] == ["program.exe", "ntdll.dll"]
        assert "codec.dll" not in names
        held.go()


def test_it_ends_while_it_is_looked_at(wine: Wine, folder: Path) -> None:
    with wine.host(folder, "codec.dll") as host:
        process = open_process(host.pid)
        module = process.modules[0]
        assert process.memory.read(module.base, 2) == b"MZ"
    with process, pytest.raises(HpbuildError) as caught:
        process.memory.read(module.base, 2)
    assert caught.value.code is codes.PROCESS_GONE


def test_it_has_ended_and_waits_for_its_parent() -> None:
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        state = Path(f"/proc/{process.pid}/stat")
        end = time.monotonic() + 300
        while " Z " not in state.read_text() and time.monotonic() < end:
            time.sleep(0.01)
        assert refusal(process.pid) is codes.PROCESS_GONE


def test_addresses_without_memory(wine: Wine, folder: Path) -> None:
    with wine.host(folder) as host, open_process(host.pid) as process:
        end = process.modules[0].end
        for address, size in ((8, 8), (1 << 48, 8), (-8, 8), (end - 8, 1 << 40)):
            with pytest.raises(HpbuildError) as caught:
                process.memory.read(address, size)
            assert caught.value.code is codes.MEMORY_UNREADABLE
    with pytest.raises(HpbuildError) as caught:
        process.memory.read(process.modules[0].base, 8)
    assert caught.value.code is codes.MEMORY_UNREADABLE


@pytest.mark.skipif(sys.platform != "linux", reason="these are processes of Linux")
def test_no_such_process() -> None:
    for pid in (2**22 + 1, 0, -1):
        assert refusal(pid) is codes.NO_SUCH_PROCESS


def test_processes_of_linux(wine: Wine, folder: Path) -> None:
    assert refusal(os.getpid()) is codes.NOT_A_WINDOWS_PROCESS
    with wine.host(folder):
        servers = [
            int(entry.name)
            for entry in Path("/proc").iterdir()
            if entry.name.isdigit() and _is_server(entry, wine.prefix)
        ]
        # One that was started beside it by another test ends at once.
        assert codes.NOT_A_WINDOWS_PROCESS in {refusal(server) for server in servers}


def _is_server(entry: Path, prefix: Path) -> bool:
    try:
        command = (entry / "cmdline").read_bytes()
        environment = (entry / "environ").read_bytes()
    except OSError:
        return False
    return b"wineserver" in command and f"WINEPREFIX={prefix}\0".encode() in environment


def test_a_process_of_somebody_else(root: Path) -> None:
    """As another user, look at this process."""
    if os.geteuid() != 0:
        assert refusal(1) is codes.PROCESS_FORBIDDEN
        return
    program = (
        "import sys\n"
        "from hpbuild.errors import HpbuildError\n"
        "from hpbuild.pe.processes import open_process\n"
        "import os\n"
        "os.setuid(int(sys.argv[2]))\n"
        "try:\n    open_process(int(sys.argv[1]))\n"
        "except HpbuildError as error:\n    print(error.code.id)\n"
    )
    nobody = str(pwd.getpwnam("nobody").pw_uid)
    done = subprocess.run(
        [sys.executable, "-c", program, str(os.getpid()), nobody],
        cwd=root, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stdout.split() == [codes.PROCESS_FORBIDDEN.id]


PRETENDER = """
import ctypes, mmap, struct, sys
kind = sys.argv[1]
memory = mmap.mmap(-1, 0x10000, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
base = ctypes.addressof(ctypes.c_char.from_buffer(memory))
teb, peb, image, loader, entry = (base + 0x1000 * number for number in range(5))
def put(address, layout, *values):
    struct.pack_into(layout, memory, address - base, *values)
put(teb + 0x30, "<Q", teb)
put(teb + 0x40, "<Q", 32)
put(teb + 0x60, "<Q", peb)
put(peb + 0x10, "<QQ", image, 0 if kind == "starting" else loader)
put(image, "<2s58xI", b"MZ", 0x80)
put(image + 0x80, "<4sH", b"PE", 0x14C if kind == "32-bit" else 0x8664)
put(loader + 0x20, "<Q", entry + 0x10)
put(entry + 0x10, "<Q", entry + 0x10 if kind == "looping" else loader + 0x20)
put(entry + 0x30, "<QQI", image, image, 0x1000)
print("ready", flush=True)
sys.stdin.read()
"""


@pytest.mark.parametrize(
    ("kind", "code"),
    [
        ("sound", None),
        ("32-bit", codes.PROCESS_32_BIT),
        ("starting", codes.PROCESS_STARTING),
        ("looping", codes.LOADER_LIST),
    ],
)
def test_a_process_that_has_the_blocks_of_a_windows_process(kind: str, code: Code | None) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", PRETENDER, kind], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        if code is not None:
            assert refusal(process.pid) is code
        else:
            with open_process(process.pid) as opened:
                assert opened.windows_pid == 32
                assert [(each.name, each.size, each.file) for each in opened.modules] == [("", 0x1000, None)]
        process.communicate()


@pytest.mark.skipif(os.uname().machine != "x86_64", reason="32-bit x86 programs do not run here")
@pytest.mark.parametrize(
    ("name", "code"), [("ntdll.so", codes.PROCESS_32_BIT), ("other", codes.NOT_A_WINDOWS_PROCESS)]
)
def test_a_32_bit_program(tmp_path: Path, name: str, code: Code) -> None:
    """A 32-bit ELF program of this name: 32-bit Wine is one that maps ntdll.so."""
    program = tmp_path / name
    program.write_bytes(small_program())
    program.chmod(0o700)
    with subprocess.Popen([program], stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.read(1) == b"\x7f"
            assert refusal(process.pid) is code
        finally:
            process.kill()


def small_program() -> bytes:
    """An ELF file for i386 that writes its own first byte to its output and waits."""
    base, entry = 0x8048000, 52 + 32
    code = bytes.fromhex("b804000000bb01000000b900800408ba01000000cd80b81d000000cd80ebf7")
    size = entry + len(code)
    kind = b"\x7fELF\x01\x01\x01" + bytes(9)
    header = struct.pack("<HHIIIIIHHHHHH", 2, 3, 1, base + entry, 52, 0, 0, 52, 32, 1, 0, 0, 0)
    segment = struct.pack("<8I", 1, 0, base, base, size, size, 5, 0x1000)
    return kind + header + segment + code
