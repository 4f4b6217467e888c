"""Build hpagent.exe and hpagent.dll with the clang and lld of the `ziglang` package.

    python agent/build.py OUTPUT...

writes both into each folder. The bytes depend on the sources and the version of `ziglang` alone: no path and
no clock reading enters them.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import ziglang

HERE = Path(__file__).resolve().parent
SHARED = ("journal.c", "text.c")
RESIDENT = (
    "answer.c", "compare.c", "decode.c", "handler.c", "hooks.c", "look.c", "memory.c", "order.c",
    "packages.c", "place.c", "plan.c", "resident.c", "sha256.c", "unwind.c", "write.c",
)  # fmt: skip
COURIER = ("courier.c", "remote.c", "status.c")
COMPILE = (
    "-target", "x86_64-windows-gnu", "-mcpu=x86_64", "-std=c11", "-Os", "-g0", "-Wall", "-Wextra", "-Werror",
    "-isystem", str(Path(ziglang.__file__).parent / "lib" / "libc" / "include" / "any-windows-any"),
    "-ffreestanding", "-fno-builtin", "-fno-stack-protector", "-mno-stack-arg-probe", "-fno-sanitize=all",
    "-fno-ident", "-ffile-prefix-map=.=", "-nostdlib", "-s", "-lkernel32",
)  # fmt: skip
LIBRARY = ("-shared", "-Wl,-e,DllMain", "-Wl,--image-base,0x6d50000000")
PROGRAM = ("-Wl,-e,begin_courier", "-Wl,--subsystem,console")


def make(name: str, sources: tuple[str, ...], link: tuple[str, ...], folder: Path) -> None:
    """Compile and link one binary into ``folder``. Raises CalledProcessError."""
    command = [
        sys.executable, "-m", "ziglang", "cc", *COMPILE, *link, *SHARED, *sources, "-o", str(folder / name),
    ]  # fmt: skip
    subprocess.run(command, cwd=HERE, check=True)


def build(outputs: list[Path]) -> None:
    """Build both binaries and put them into every folder of ``outputs``, each at once."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make("hpagent.dll", RESIDENT, LIBRARY, folder)
        make("hpagent.exe", COURIER, PROGRAM, folder)
        for output in outputs:
            output.mkdir(parents=True, exist_ok=True)
            for binary in ("hpagent.dll", "hpagent.exe"):
                fresh = output / f".{binary}.new"
                shutil.copyfile(folder / binary, fresh)
                fresh.replace(output / binary)


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    try:
        build([Path(name) for name in sys.argv[1:]])
    except subprocess.CalledProcessError:
        sys.exit("the agent could not be built")
