"""The command lines of hpbuild and of the tools beside it."""

import importlib.util
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from bench.measure import RUN
from bench.performance.race import HPBUILD, LIMIT, PEER, Lane
from bench.sources import ROOT, Pair

PYTHON = sys.executable
CACHE = "HPBUILD_CACHE"
NOT_INSTALLED = "{} is not installed"


class Missing(Exception):
    """Something that a race needs is not there, and why."""


@dataclass(frozen=True, slots=True)
class Hpbuild:
    """How to call hpbuild. ``options`` has command and option for those used here that it knows. ``cache`` is
    a folder that is empty before each run."""

    options: frozenset[tuple[str, str]]
    cache: Path

    def plain(self, *words: str) -> tuple[str, ...]:
        """A command line as it is."""
        return (PYTHON, "-c", RUN, *words)

    def command(self, *words: str) -> tuple[str, ...]:
        """A command line; nothing is taken from the cache where that can be said."""
        uncached = ("--no-cache",) if (words[0], "--no-cache") in self.options else ()
        return self.plain(*words, *uncached)

    def lane(self, name: str, about: str, *words: str, expected: tuple[int, ...] = (0,)) -> Lane:
        """A measured command."""
        return Lane(
            name=name,
            role=HPBUILD,
            about=about,
            command=self.command(*words),
            expected=expected,
            environment=environment() | {CACHE: str(self.cache)},
            fresh=(self.cache,),
        )


def environment() -> dict[str, str]:
    """What commands find the modules of this checkout with, wherever they run."""
    before = os.environ.get("PYTHONPATH")
    return {"PYTHONPATH": os.pathsep.join([str(ROOT), *([before] if before else [])])}


def hpbuild(cache: Path) -> Hpbuild:
    """Ask this hpbuild which of the options it has: one that it does not know ends it with another status."""
    wanted: dict[tuple[str, str], tuple[str, ...]] = {("diff", "--jobs"): ("--jobs", "1")}
    wanted |= {(command, "--no-cache"): ("--no-cache",) for command in ("diff", "build", "prove")}
    found = {
        key
        for key, words in wanted.items()
        if not subprocess.run(
            (PYTHON, "-c", RUN, key[0], *words, "--help"), cwd=ROOT, capture_output=True, check=False
        ).returncode
    }
    return Hpbuild(frozenset(found), cache)


def prepare(lane: Lane, folder: Path) -> None:
    """Run a lane and what follows it once, unmeasured. Raises Missing when a step fails."""
    for path in lane.fresh:
        path.unlink(missing_ok=True) if not path.is_dir() else shutil.rmtree(path)
    for command in (lane.command, *lane.afterwards):
        call(command, folder)


def call(command: Sequence[str], folder: Path) -> None:
    """Run a command that must succeed. Raises Missing when it does not."""
    done = subprocess.run(
        command, cwd=folder, env={**os.environ, **environment()}, capture_output=True, text=True, check=False
    )
    if done.returncode:
        said = " ".join((done.stderr or done.stdout).split())[:300]
        what = " ".join(word for word in command[1:5] if word not in ("-c", RUN))
        raise Missing(f"{what}: exit status {done.returncode}" + (f": {said}" if said else ""))


def keys(folder: Path) -> None:
    """Make ``bench.key`` and ``bench.pub`` in *folder*."""
    words = ("keys", "generate", "--algorithm", "ed25519", "--no-passphrase", "-o", str(folder / "bench"))
    for name in ("bench.key", "bench.pub"):
        (folder / name).unlink(missing_ok=True)
    call((PYTHON, "-c", RUN, *words), folder)


def extended(lane: Lane, *, fresh: tuple[Path, ...] = (), **changes: Any) -> Lane:
    """*lane* with other fields, and with more that is removed before each run."""
    return replace(lane, fresh=lane.fresh + fresh, **changes)


def module(name: str, *words: str) -> tuple[str, ...]:
    """A module of this package as a command."""
    return (PYTHON, "-m", f"bench.performance.{name}", *words)


def decoding(pair: Pair, decoder: str, role: str, rounds: int = 0) -> Lane:
    """Both images decoded on two processes, and nothing else."""
    package = {"iced": "iced_x86", "capstone": "capstone"}[decoder]
    return Lane(
        name=f"{decoder}, bare",
        role=role,
        about=f"{decoder} decodes all code of both files on two processes and counts the instructions",
        command=module("decoding", decoder, str(pair.baseline), str(pair.fixed)),
        environment=environment(),
        rounds=rounds,
        absent="" if importlib.util.find_spec(package) else NOT_INSTALLED.format(package),
    )


def rested(seconds: float) -> tuple[str, ...]:
    """A command that lets the machine lie idle."""
    return sys.executable, "-c", f"import time; time.sleep({seconds})"


def tool(name: str, about: str, *words: str, role: str = PEER, rounds: int = 0, lane: str = "") -> Lane:
    """A program of the system; the reason to leave it out when it is not there."""
    path = shutil.which(name)
    return Lane(
        name=lane or name,
        role=role,
        about=about,
        command=(path or name, *words),
        rounds=rounds,
        absent="" if path else NOT_INSTALLED.format(name),
    )


def python(name: str, about: str, code: str, *words: str, needs: str = "", rounds: int = 0) -> Lane:
    """A line of Python in a process of its own."""
    missing = needs and importlib.util.find_spec(needs) is None
    return Lane(
        name=name,
        role=PEER if needs else LIMIT,
        about=about,
        command=(PYTHON, "-c", code, *words),
        rounds=rounds,
        absent=NOT_INSTALLED.format(needs) if missing else "",
    )


def hashing(path: Path) -> tuple[Lane, Lane]:
    """SHA-256 of one file by two programs; the processor's own instructions for it are used by the second."""
    return (
        tool("sha256sum", "coreutils hash the baseline", str(path), role=LIMIT),
        tool("openssl", "OpenSSL hashes the baseline", "dgst", "-sha256", str(path), lane="openssl sha256"),
    )


def differs(pair: Pair, folder: Path, *, large: bool) -> tuple[Lane, ...]:
    """Binary differs for the same pair: they find bytes, not functions."""
    baseline, fixed = str(pair.baseline), str(pair.fixed)
    window = ("--long=27",) if large else ()
    lanes = [
        tool("zstd", "zstd --patch-from makes a delta of the bytes", "-q", "-f", *window,
             f"--patch-from={baseline}", fixed, "-o", str(folder / "delta.zst"), lane="zstd delta"),
        tool("bsdiff", "bsdiff makes a delta of the bytes", baseline, fixed, str(folder / "delta.bs"),
             rounds=1),
    ]  # fmt: skip
    return tuple(lanes[:1] if large else lanes)


def authenticode(path: Path, folder: Path) -> Lane:
    """osslsigncode verifies a copy of *path* that is signed here, by a certificate made for it."""
    lane = tool(
        "osslsigncode",
        "osslsigncode verifies the Authenticode signature of the baseline (a copy signed for this)",
        "verify", "-ignore-cdp", "-ignore-timestamp", "-CAfile", str(folder / "signer.pem"),
        "-in", str(folder / "signed.exe"),
    )  # fmt: skip
    if lane.absent or shutil.which("openssl") is None:
        return lane if lane.absent else _without(lane, NOT_INSTALLED.format("openssl"))
    for name in ("signed.exe", "unsigned.exe"):
        (folder / name).unlink(missing_ok=True)
    shutil.copyfile(path, folder / "unsigned.exe")
    steps = (
        ("openssl", "req", "-x509", "-newkey", "rsa:3072", "-nodes", "-subj", "/CN=bench", "-days", "30",
         "-addext", "extendedKeyUsage=codeSigning", "-keyout", "signer.key", "-out", "signer.pem"),
        ("osslsigncode", "remove-signature", "-in", "unsigned.exe", "-out", "bare.exe"),
        ("osslsigncode", "sign", "-certs", "signer.pem", "-key", "signer.key", "-h", "sha256",
         "-in", "bare.exe", "-out", "signed.exe"),
    )  # fmt: skip
    (folder / "bare.exe").unlink(missing_ok=True)
    for step in steps:  # a file without a signature cannot lose it: that is no failure
        done = subprocess.run(step, cwd=folder, capture_output=True, check=False)
        if step[1] == "remove-signature" and not (folder / "bare.exe").exists():
            shutil.copyfile(path, folder / "bare.exe")
        elif done.returncode:
            return _without(lane, f"{' '.join(step[:2])} failed: exit status {done.returncode}")
    for name in ("unsigned.exe", "bare.exe"):
        (folder / name).unlink()
    return lane


def _without(lane: Lane, why: str) -> Lane:
    return Lane(name=lane.name, role=lane.role, about=lane.about, absent=why)
