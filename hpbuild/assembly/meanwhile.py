"""What making and proving a package need of both images alone, in a process of its own: it goes on while this
one compares and plans."""

import pickle
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from types import TracebackType
from typing import Self

import numpy as np

from hpbuild.assembly.beside import Line, beside
from hpbuild.assembly.forked import can_fork
from hpbuild.assembly.loading import PARALLEL_SIZE, Pair
from hpbuild.assembly.modules import pins
from hpbuild.manifest.model import Module, Pin
from hpbuild.patchimage.native import BaseImage
from hpbuild.pe.image import Image
from hpbuild.prove.ahead import Ahead, Unpatched
from hpbuild.prove.claims import Claims


class Meanwhile:
    """The other process, which ends with the block. ``begun`` tells whether there is one: the images are
    large enough for it, and it can be had. Each of its answers is asked for once, in the order of the
    methods; they raise what the work raises, and HP9021 when the process dies."""

    def __init__(self, *, processes: int, pin: bool) -> None:
        """With 1 of the ``processes`` nothing begins. Without ``pin`` there is nothing but the proof."""
        self._processes, self._pin = processes, pin
        self._stack = ExitStack()
        self._line: Line | None = None

    def __enter__(self) -> Self:
        self._stack.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool | None:
        return self._stack.__exit__(kind, error, trace)

    def begin(self, pair: Pair) -> None:
        """Both programs are there."""
        images = pair.baseline.image, pair.fixed.image
        if self._processes > 1 and can_fork() and min(len(image.data) for image in images) >= PARALLEL_SIZE:
            fragments = pair.fixed.fragments
            code = np.flatnonzero(~fragments.opaque)
            stretches = (
                fragments.start[code].astype(np.int64),
                fragments.end[code].astype(np.int64),
            )
            work = partial(_work, images, self._pin, stretches)
            self._line = self._stack.enter_context(beside(work, images[1].name))

    @property
    def begun(self) -> bool:
        """Is there another process?"""
        return self._line is not None

    def base_image(self) -> BaseImage:
        """What the native table says of the baseline."""
        found: BaseImage = self._given().receive()
        return found

    def pins(self) -> tuple[Pin, Pin]:
        """Those of both images."""
        found: tuple[Pin, Pin] = self._given().receive()
        return found

    def unpatched(self, claims: Claims, module: Module, delta: int) -> Callable[[], Unpatched]:
        """``prove.proof.Elsewhere``."""
        # A module is many small values: as one column they need not pass through the pipe.
        packed = np.frombuffer(pickle.dumps(module, protocol=5), dtype=np.uint8)
        self._given().send((claims, packed, delta))
        return self._given().receive

    def _given(self) -> Line:
        if self._line is None:
            raise RuntimeError("nothing was begun")
        return self._line


def _work(
    images: tuple[Image, Image], pin: bool, stretches: tuple[np.ndarray, np.ndarray], line: Line
) -> None:
    baseline, fixed = images
    if pin:
        line.send(BaseImage.of(baseline.data, baseline.time_date_stamp, baseline.checksum))
        line.send(pins(baseline, fixed))
    ahead = Ahead.of(fixed, baseline).decoded(*stretches)
    claims, module, delta = line.receive()
    line.send(ahead.unpatched(claims, pickle.loads(module), delta))  # noqa: S301 - from the other half
