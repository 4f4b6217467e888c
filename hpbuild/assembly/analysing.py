"""Both images of a pair into programs. What is decoded of the baseline's code is not decoded again where the
fixed image has the same."""

from collections.abc import Callable, Sequence
from functools import partial

import numpy as np

from hpbuild.assembly.beside import Line, beside
from hpbuild.assembly.collector import collector_aside
from hpbuild.code.carrying import Target, carried, carried_part, completed
from hpbuild.code.lengths import Piece
from hpbuild.code.model import Program
from hpbuild.code.partners import partners
from hpbuild.code.program import analyse, load_program, outside_of_code
from hpbuild.code.scanned import joined
from hpbuild.code.scanning import Tick, scan_runs
from hpbuild.code.survey import Survey, survey
from hpbuild.dataclass import dataclass, replace
from hpbuild.errors import HpbuildError
from hpbuild.match.both import LARGE
from hpbuild.match.sides import Bearings, Contents, bearings, contents
from hpbuild.pe.file_bytes import FileBytes
from hpbuild.pe.image import Image
from hpbuild.pe.symbols import Symbols

Progress = Callable[[str, str, int, int], None]
Part = tuple[Image, Symbols]
FIRST_SHARE = 0.58
"""Which part of the baseline's code the first of two processes decodes: the second has more to do."""


@dataclass(frozen=True, slots=True)
class Known:
    """What is known of one image, with what comparing needs of it alone; ``bearings`` only where it is better
    to compute them in two processes, and to copy them, than in one."""

    program: Program
    contents: Contents
    bearings: Bearings | None = None


@dataclass(frozen=True, slots=True)
class Second:
    """What there is to a second process: ``decoded`` gives what is known of the baseline's code; ``begun`` is
    called when the process has begun, before this one does its part."""

    decoded: Callable[[], Sequence[Piece]]
    begun: Callable[[], None]


def analyse_image(image: Image, symbols: Symbols, progress: Progress) -> Known:
    """One image alone."""
    return _with_contents(load_program(image, symbols, _told(image, progress)), apart=False)


def analyse_pair(
    baseline: Part, fixed: Part, progress: Progress, second: Second | None
) -> tuple[Known, Known]:
    """Both images, the fixed one in the ``second`` process when there is to be one. Raises HpbuildError: what
    is wrong with the baseline, else with the fixed image; HP9021 when the second process dies."""
    old = survey(baseline[0])
    if second is not None:
        return _at_once(old, baseline, fixed, progress, second)
    scanned = scan_runs(old.image, old.rows.start, old.rows.end, _told(old.image, progress))
    first = _with_contents(analyse(outside_of_code(old, baseline[1]), scanned), apart=False)
    new = survey(fixed[0])
    scanned = carried(scanned, old, new, _told(new.image, progress))
    return first, _with_contents(analyse(outside_of_code(new, fixed[1]), scanned), apart=False)


def _at_once(
    old: Survey, baseline: Part, fixed: Part, progress: Progress, second: Second
) -> tuple[Known, Known]:
    """Each process decodes a part of the baseline's code, carries that over to the fixed image and decodes a
    part of what is new there. Then this one goes on with the baseline, the other with the fixed image."""
    image, symbols = fixed
    progress("analyse", old.image.name, 0, 0)
    decoded = second.decoded()
    with beside(partial(_other, old, image, symbols, decoded), image.name) as line:
        second.begun()
        half = _half(old)
        part = old.rows.only(slice(half))
        scanned = scan_runs(old.image, part.start, part.end, _told(old.image, progress), decoded)
        try:
            target = Target(image, *line.receive())
        except HpbuildError:
            outside_of_code(old, baseline[1])  # what is wrong with the baseline is said first
            raise
        line.send(carried_part(scanned, old, target, target.shares(half, FIRST_SHARE)[0]))
        del target
        outside = outside_of_code(old, baseline[1])  # not before: the other waits for what was sent
        scanned = joined([scanned, line.receive()])
        first = _with_contents(analyse(outside, scanned), apart=True)
        del scanned, outside
        program, (found, whither) = line.receive(), line.receive()
    return first, Known(replace(program, image=image, symbols=symbols), found, whither)


def _other(old: Survey, image: Image, symbols: Symbols, decoded: Sequence[Piece], line: Line) -> None:
    """The second process. It sends the program without what the first has already: the image's bytes and the
    symbols."""
    with collector_aside():
        new = survey(image)
        target = Target(image, new.rows, partners(old.rows, new.rows))
        line.send((target.rows, target.partner))
        half = _half(old)
        part = old.rows.only(slice(half, None))
        scanned = scan_runs(old.image, part.start, part.end, decoded=decoded)
        line.send(scanned)
        own = carried_part(scanned, old, target, target.shares(half, FIRST_SHARE)[1], half)
        del scanned, target
        outside = outside_of_code(new, symbols)
        program = analyse(outside, completed([line.receive(), own]))
        bare = replace(image, data=FileBytes.of(b""), memory=np.zeros(0, dtype=np.uint8))
        line.offer(replace(program, image=bare, symbols=replace(symbols, items=())))
        known = _with_contents(program, apart=True)
        line.offer((known.contents, known.bearings))
    line.settle()


def _half(old: Survey) -> int:
    """How many of the baseline's unwind rows the first process decodes."""
    sizes = np.cumsum(old.rows.end - old.rows.start)
    return int(np.searchsorted(sizes, FIRST_SHARE * int(sizes[-1]))) if len(sizes) else 0


def _with_contents(program: Program, *, apart: bool) -> Known:
    """The program with its contents; ``apart`` when another process does the same with the other one."""
    found = contents(program)
    # Those of large images are computed on two threads sooner than copied.
    whither = bearings(program, found.atoms) if apart and len(program.references) < LARGE else None
    return Known(program, found, whither)


def _told(image: Image, progress: Progress) -> Tick:
    """Progress with the code of one image."""
    return lambda done, total: progress("decode", image.name, done, total)
