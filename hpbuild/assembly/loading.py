"""Reading both images of a pair into programs, two processes at a time when they are large."""

from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from multiprocessing import get_context
from pathlib import Path

import numpy as np

from hpbuild.code.model import Program
from hpbuild.code.program import load_program
from hpbuild.pe.evidence import load_evidence
from hpbuild.pe.image import Image
from hpbuild.pe.reader import read_image
from hpbuild.pe.symbols import Symbols
from hpbuild.plan.builds import Builds

Progress = Callable[[str, str, int, int], None]
PARALLEL_SIZE = 4 << 20
"""File bytes above which a second process pays for its start."""


@dataclass(frozen=True, slots=True)
class Pair:
    """Both programs of one module, and how they were made."""

    baseline: Program
    fixed: Program
    builds: Builds


def load_pair(baseline: Path, fixed: Path, symbols: str, progress: Progress) -> Pair:
    """Read and analyse both images. ``symbols`` is 'auto', 'none' or the path of a symbol file of the
    baseline (the fixed image then uses 'auto'). Raises HpbuildError from the pe stage."""
    images = read_image(baseline), read_image(fixed)
    found = (
        load_evidence(images[0], baseline, symbols),
        load_evidence(images[1], fixed, symbols if symbols in ("auto", "none") else "auto"),
    )
    evidence, builds = (found[0].symbols, found[1].symbols), Builds(found[0].build, found[1].build)
    if min(len(image.data) for image in images) < PARALLEL_SIZE:
        first = load_program(images[0], evidence[0], _tick(progress, images[0].name))
        return Pair(first, load_program(images[1], evidence[1], _tick(progress, images[1].name)), builds)
    progress("analyse", images[0].name, 0, 0)
    with ProcessPoolExecutor(1, mp_context=get_context("fork")) as pool:
        other = pool.submit(_columns, images[1], evidence[1])
        first = load_program(images[0], evidence[0], _tick(progress, images[0].name))
        return Pair(first, replace(other.result(), image=images[1], symbols=evidence[1]), builds)


def _columns(image: Image, symbols: Symbols) -> Program:
    """The program without what the parent has already: the image's bytes and the symbols."""
    program = load_program(image, symbols)
    bare = replace(image, data=b"", memory=np.zeros(0, dtype=np.uint8))
    return replace(program, image=bare, symbols=replace(symbols, items=()))


def _tick(progress: Progress, name: str) -> Callable[[int, int], None]:
    return lambda done, total: progress("decode", name, done, total)
