"""Build the example binaries of the test suite from the sources in `src/`.

    python testdata/build.py [--output DIR] [--only NAME]

Needs the `ziglang` package, which brings clang and lld. The bytes do not depend on the folder, the machine
or the time: no path and no clock reading enters an object, a DLL or a PDB.

A *library* is a folder of sources and a patch that turns its baseline into its fixed version. The variants
of `gadget` share one baseline; each of their patches makes one change, mostly one that cannot be hotpatched.
"""

from __future__ import annotations

import argparse
import hashlib
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
SOURCES = HERE / "src"
SUMS = "SHA256SUMS"

COMPILE = [
    "-target", "x86_64-windows-msvc", "-O2", "-ffreestanding", "-fno-builtin", "-nostdinc",
    "-fno-sanitize=all", "-ffunction-sections", "-fdata-sections", "-g", "-gcodeview",
    "-gno-codeview-command-line", "-fdebug-compilation-dir=.", "-Wall", "-Wextra", "-Werror", "-c",
]  # fmt: skip
COMPILE_CXX = [
    "-std=c++17",
    "-fexceptions",
    "-fcxx-exceptions",
    "-fno-rtti",
    "-Wno-unused-command-line-argument",
]
LINK = [
    "/dll", "/entry:DllMain", "/nodefaultlib", "/opt:noref,noicf", "/debug", "/pdbaltpath:%_PDB%",
    "/pdbsourcepath:.", "/brepro",
]  # fmt: skip

IMPORTED = {
    "kernel32": (
        "DisableThreadLibraryCalls", "GetCurrentProcessId", "GetCurrentThreadId", "GetProcessHeap",
        "HeapAlloc", "HeapFree", "OutputDebugStringA",
    ),
    "vcruntime140": ("__C_specific_handler", "__CxxFrameHandler3", "_CxxThrowException", "__std_terminate"),
}  # fmt: skip


PROGRAM = [
    "/entry:begin_process", "/subsystem:console", "/nodefaultlib", "/opt:noref,noicf", "/brepro",
]  # fmt: skip
PROGRAMS = {
    "host": {
        "kernel32": (
            "CloseHandle", "CreateEventA", "CreateThread", "ExitProcess", "FlushInstructionCache",
            "GetCommandLineA", "GetCurrentProcess", "GetCurrentProcessId", "GetLastError", "GetModuleHandleA",
            "GetProcAddress", "GetProcessHeap", "GetStdHandle", "HeapAlloc", "LoadLibraryA",
            "QueryPerformanceCounter", "QueryPerformanceFrequency", "RaiseException", "ReadFile",
            "ResetEvent", "SetEvent", "Sleep", "VirtualAlloc", "VirtualFree", "VirtualProtect",
            "VirtualQuery", "WaitForSingleObject", "WriteFile",
        ),
        "ntdll": ("__C_specific_handler",),
    },
    "launcher": {
        "kernel32": (
            "CreateFileA", "CreateProcessA", "ExitProcess", "FlushInstructionCache", "GetCommandLineA",
            "GetExitCodeProcess", "GetLastError", "GetStdHandle", "GetThreadContext", "ReadFile",
            "ReadProcessMemory", "ResumeThread", "Sleep", "SuspendThread", "TerminateProcess",
            "VirtualProtectEx", "WaitForSingleObject", "WriteFile", "WriteProcessMemory",
        ),
        "ntdll": ("NtQueryInformationProcess",),
    },
}  # fmt: skip
"""Programs that run the DLLs: name -> DLL -> names imported. They need no C runtime."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Library:
    """One pair of DLLs to build: where its sources are and how each side is made."""

    name: str
    folder: str
    source: str
    patch: str
    pdb: bool = False
    compile: tuple[str, ...] = ()
    link: tuple[str, ...] = ()
    link_fixed: tuple[str, ...] = ()


def variant(name: str, *, patch: bool = True, **choices: bool | tuple[str, ...]) -> Library:
    """A pair made from `gadget`; without a patch both sides have the same source."""
    return Library(
        name="gadget",
        folder=f"variants/{name}",
        source="gadget",
        patch=f"variants/{name}.patch" if patch else "",
        **choices,  # type: ignore[arg-type]
    )


def trap(name: str, *, patch: bool = True, **choices: bool | tuple[str, ...]) -> Library:
    """A pair made from `snare`: one kind of change that looks harmless and is not, or its harmless twin."""
    return Library(
        name="snare",
        folder=f"traps/{name}",
        source="snare",
        patch=f"traps/{name}.patch" if patch else "",
        **choices,  # type: ignore[arg-type]
    )


LIBRARIES = (
    Library(name="codec", folder=".", source="codec", patch="codec.patch", pdb=True),
    Library(
        name="throwing", folder=".", source="throwing", patch="throwing.patch", pdb=True, link=("/guard:cf",)
    ),
    Library(name="stage", folder="scenes", source="stage", patch="stage.patch", pdb=True),
    variant("constant_table", pdb=True),
    variant("data_init"),
    variant("folded", link=("/opt:icf",)),
    variant("identical", patch=False, link_fixed=("/order:@gadget.order",)),
    variant("initialiser"),
    variant("line_only"),
    variant("new_export"),
    variant("new_import"),
    variant("pad_jump", compile=("-fms-hotpatch", "-fomit-frame-pointer"), link=("/functionpadmin:6",)),
    variant("rebased", patch=False, link_fixed=("/base:0x1c0000000",)),
    variant("removed"),
    variant("static_var", pdb=True),
    variant("tls"),
    variant("type_layout", pdb=True),
    trap("constant_object"),
    trap("constructor"),
    trap("constructor_grown"),
    trap("delayed", link=("/delayload:kernel32.dll",)),
    trap("dllmain_variable"),
    trap("ending"),
    trap("endless"),
    trap("export_moved"),
    trap("exports"),
    trap("folded_new", link_fixed=("/opt:icf",)),
    trap("load_only"),
    trap("load_too"),
    trap("mitigations", link_fixed=("/guard:cf", "/highentropyva:no")),
    trap("taken", link=("/guard:cf",)),
    trap("thread_callback"),
    trap("thread_swap"),
    trap("thread_use"),
)


def patched(files: dict[str, str], patch: str) -> dict[str, str]:
    """Apply a unified diff (GNU format, every file `a/NAME` to `b/NAME`) exactly: no offset, no fuzz."""
    result = dict(files)
    for part in patch.split("--- a/")[1:]:
        header, *lines = part.splitlines(keepends=True)
        name = header.split("\t")[0].strip()
        old, new, at = files.get(name, "").splitlines(keepends=True), [], 0
        for line in lines[1:]:
            if line.startswith("@@ -"):
                start = int(line.split()[1].split(",")[0][1:]) - 1
                new += old[at:start]
                at = start
                continue
            if line[0] in " -":
                if old[at] != line[1:]:
                    raise SystemExit(f"{name}:{at + 1}: the patch expects {line[1:]!r}")
                at += 1
            if line[0] in " +":
                new.append(line[1:])
        result[name] = "".join(new + old[at:])
    return result


def zig(arguments: list[str], folder: Path) -> None:
    """Run the zig of the `ziglang` package in *folder*; argument 0 is fixed because lld records it."""
    import ziglang

    program = Path(ziglang.__file__).parent / ("zig.exe" if sys.platform == "win32" else "zig")
    result = subprocess.run(
        ["zig", *arguments], executable=program, cwd=folder, capture_output=True, text=True
    )
    if result.returncode:
        raise SystemExit(f"zig {' '.join(arguments[:2])} failed in {folder}:\n{result.stderr}")


def import_libraries(folder: Path, imported: Mapping[str, tuple[str, ...]]) -> list[str]:
    """Write one import library for each DLL of *imported*."""
    for dll, names in imported.items():
        folder.joinpath(f"{dll}.def").write_text("\n".join([f"LIBRARY {dll}.dll", "EXPORTS", *names, ""]))
        zig(["dlltool", "-m", "i386:x86-64", "-d", f"{dll}.def", "-l", f"{dll}.lib"], folder)
    return [f"{dll}.lib" for dll in imported]


def compiled(name: str, folder: Path, extra: tuple[str, ...] = ()) -> str:
    """Compile the source *name* in *folder*; returns the name of the object file."""
    stem, suffix = name.rsplit(".", 1)
    options = [
        *COMPILE,
        *extra,
        f"-ffile-prefix-map={folder}=.",
        "-Xclang",
        f"-object-file-name={stem}.obj",
    ]
    language = ["c++", *COMPILE_CXX] if suffix == "cpp" else ["cc"]
    zig([*language, *options, name, "-o", f"{stem}.obj"], folder)
    return f"{stem}.obj"


def compile_and_link(library: Library, side: str, files: dict[str, str], folder: Path) -> None:
    """Compile *files* in *folder* and link them into `NAME.dll` and `NAME.pdb` there."""
    for name, text in sorted(files.items()):
        folder.joinpath(name).write_text(text, newline="\n")
    sources = [name for name in sorted(files) if name.endswith((".c", ".cpp"))]
    objects = [compiled(name, folder, library.compile) for name in sources]
    options = [*LINK, *library.link, *(library.link_fixed if side == "fixed" else ())]
    zig(
        ["lld-link", *options, f"/out:{library.name}.dll", *objects, *import_libraries(folder, IMPORTED)],
        folder,
    )


def program(name: str, folder: Path) -> Path:
    """Compile and link `src/NAME/NAME.c` into `NAME.exe` in *folder*; returns its path."""
    folder.mkdir()
    shutil.copyfile(SOURCES / name / f"{name}.c", folder / f"{name}.c")
    linked = [compiled(f"{name}.c", folder, ("-fms-extensions",)), *import_libraries(folder, PROGRAMS[name])]
    zig(["lld-link", *PROGRAM, f"/out:{name}.exe", *linked], folder)
    return folder / f"{name}.exe"


def built(library: Library, scratch: Path) -> Iterator[tuple[Path, Path]]:
    """Build both sides of *library*; yields (path below the output folder, path of the built file)."""
    baseline = {path.name: path.read_text() for path in SOURCES.joinpath(library.source).iterdir()}
    fixed = patched(baseline, SOURCES.joinpath(library.patch).read_text()) if library.patch else baseline
    for side, files in (("baseline", baseline), ("fixed", fixed)):
        folder = scratch / library.folder / side
        folder.mkdir(parents=True, exist_ok=True)
        compile_and_link(library, side, files, folder)
        for suffix in ("dll", "pdb") if library.pdb else ("dll",):
            name = f"{library.name}.{suffix}"
            yield Path(library.folder) / side / name, folder / name


def build(output: Path, only: str = "") -> list[Path]:
    """Build every library and program (or those with *only* in their name) into *output*; returns paths."""
    made = []
    with tempfile.TemporaryDirectory() as name:
        for library in LIBRARIES:
            if only not in f"{library.folder}/{library.name}":
                continue
            for relative, path in built(library, Path(name).resolve() / library.name):
                output.joinpath(relative).parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(path, output / relative)
                made.append(relative)
        for program_name in PROGRAMS:
            if only in program_name:
                path = program(program_name, Path(name).resolve() / program_name)
                shutil.copyfile(path, output / path.name)
                made.append(Path(path.name))
    return made


def sums(folder: Path) -> str:
    """The lines of `SHA256SUMS` for every DLL, PDB and program below *folder*, as sha256sum writes them."""
    files = sorted(path for path in folder.rglob("*") if path.suffix in (".dll", ".exe", ".pdb"))
    return "".join(
        f"{hashlib.sha256(path.read_bytes()).hexdigest()}  bin/{path.relative_to(folder).as_posix()}\n"
        for path in files
    )


def main() -> None:
    parser = argparse.ArgumentParser(description="Build the example binaries of the test suite.")
    parser.add_argument("--output", type=Path, default=HERE / "bin", help="folder to write to")
    parser.add_argument("--only", default="", help="build what has this in its name")
    arguments = parser.parse_args()
    for relative in build(arguments.output, arguments.only):
        print(f"{arguments.output.joinpath(relative).stat().st_size:8} {relative.as_posix()}")
    if arguments.output == HERE / "bin":
        HERE.joinpath(SUMS).write_text(sums(arguments.output), newline="\n")


if __name__ == "__main__":
    main()
