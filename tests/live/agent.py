"""The agent without its driver: a courier that takes raw lines, and orders made from packages."""

import contextlib
import dataclasses
import importlib.util
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from hpbuild.apply.live.binaries import Binaries
from hpbuild.apply.live.order import Order, OrderModule, encode
from hpbuild.apply.live.orders import Target, make_order
from hpbuild.apply.live.protocol import Reply, parse_reply
from hpbuild.bundle.reader import read_bundle
from hpbuild.manifest.codec import decode
from hpbuild.manifest.model import Manifest, Redirection
from hpbuild.pe.processes import LoadedModule
from hpbuild.pe.reader import read_image
from tests.live.wine import Conversation, Wine, windows_path


class Agent(Conversation):
    """`hpagent.exe` at work on one process; to be used in a `with`."""

    def __init__(self, wine: Wine, courier: Path, windows_pid: int, folder: Path, limit_ms: int) -> None:
        super().__init__(wine.start(courier, str(windows_pid), str(limit_ms), folder=folder))
        self._folder = folder
        self._orders = 0

    def line(self, command: str) -> Reply:
        """The answer to a raw line."""
        self.send(command)
        return self.line_answered()

    def kill(self) -> None:
        """End the courier at once, whatever it is doing."""
        self.process.kill()
        self.process.wait()
        with contextlib.suppress(OSError):
            self.process.stdin.close()
        self.process.stdout.close()

    def line_answered(self) -> Reply:
        """The answer to a line that was sent before."""
        return parse_reply(self.answer().encode())

    def write(self, order: Order | bytes) -> str:
        """The line that has an order applied, after it was written to a file."""
        self._orders += 1
        path = self._folder / f"{id(self)}-{self._orders}.order"
        path.write_bytes(order if isinstance(order, bytes) else encode(order))
        return f"apply {windows_path(path)}"

    def apply(self, order: Order | bytes) -> Reply:
        """The answer to `apply`."""
        return self.line(self.write(order))


@dataclasses.dataclass(frozen=True, slots=True)
class Agents:
    """Starts couriers."""

    wine: Wine
    binaries: Binaries
    folder: Path

    def on(self, windows_pid: int, limit_ms: int = 30_000) -> Agent:
        """A courier for a process."""
        return Agent(self.wine, self.binaries.courier, windows_pid, self.folder, limit_ms)


def order_of(package: bytes, baseline: Path) -> Order:
    """The order of a package with one module, which the agent is to find by its name."""
    bundle = read_bundle(package)
    manifest = decode(bundle.manifest)
    return make_order(manifest, bundle.members, bundle.sha256, _targets(manifest, baseline))


def _targets(manifest: Manifest, baseline: Path) -> list[Target]:
    loaded = LoadedModule(name=baseline.name, path="", file=None, base=0, size=0)
    return [Target(module=module, loaded=loaded, image=read_image(baseline)) for module in manifest.modules]


def changed(order: Order, **fields: object) -> Order:
    """The order with other fields in its only module."""
    (module,) = order.modules
    values: Mapping[str, object] = fields
    return dataclasses.replace(order, modules=(dataclasses.replace(module, **values),))  # type: ignore[arg-type]


def module_of(order: Order) -> OrderModule:
    """The only module."""
    (module,) = order.modules
    return module


def redirection(order: Order, name: str) -> Redirection:
    """The redirection of a function."""
    module = module_of(order)
    return next(item for item in module.redirections if module.functions[item.function] == name)


def compile_program(source: Path, folder: Path, *more: str) -> Path:
    """A program for Windows from one C file, and what else the compiler is to be told."""
    if importlib.util.find_spec("ziglang") is None:
        pytest.skip("missing tool: ziglang")
    program = folder / f"{source.stem}.exe"
    command = [sys.executable, "-m", "ziglang", "cc", "-target", "x86_64-windows-gnu", "-Os", "-s"]
    subprocess.run([*command, "-o", str(program), str(source), *more], check=True, cwd=folder)
    return program
