"""Redirection windows in an installed image: whose bytes they hold."""

from collections.abc import Iterable, Sequence
from enum import StrEnum

from hpbuild.dataclass import dataclass, replace
from hpbuild.manifest.model import Redirection
from hpbuild.pe.image import Image


class WindowState(StrEnum):
    """Whose bytes a redirection window holds."""

    OLD = "old"
    NEW = "new"
    FOREIGN = "foreign"
    OUTSIDE = "outside"
    """The window leaves the installed image."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """One examined window: the redirection, what was found there, and whose bytes they are."""

    redirection: Redirection
    found: bytes
    state: WindowState

    @property
    def looks_hooked(self) -> bool:
        """True when the entry holds foreign bytes that begin with a form of jump that hooking tools write."""
        return self.state is WindowState.FOREIGN and bool(hook_shape(self._from_entry))

    @property
    def _from_entry(self) -> bytes:
        return self.found[self.redirection.entry - self.redirection.window.start :]

    def describe(self) -> str:
        """The foreign bytes, in words and hex."""
        redirection = self.redirection
        if self.state is WindowState.OUTSIDE:
            return f"the window {redirection.window} leaves the image"
        shape = hook_shape(self._from_entry)
        what = f"a foreign redirection ({shape})" if shape else "neither old nor new bytes"
        return (
            f"{redirection.window} holds {what}: {self.found.hex(' ')}; old {redirection.old.hex(' ')}, "
            f"new {redirection.new.hex(' ')}"
        )


def examine(image: Image, redirections: Iterable[Redirection]) -> tuple[Window, ...]:
    """What the windows of ``redirections`` hold in ``image``, in the same order."""
    return tuple(_examine(image, redirection) for redirection in redirections)


def _examine(image: Image, redirection: Redirection) -> Window:
    window = redirection.window
    if window.end > image.size_of_image:
        return Window(redirection=redirection, found=b"", state=WindowState.OUTSIDE)
    found = image.read(window.start, len(window))
    if found == redirection.old:
        state = WindowState.OLD
    else:
        state = WindowState.NEW if found == redirection.new else WindowState.FOREIGN
    return Window(redirection=redirection, found=found, state=state)


def with_old_bytes(image: Image, windows: Sequence[Window]) -> Image:
    """``image`` as it would be without anybody's redirections in these windows."""
    changed = [item for item in windows if item.state in (WindowState.NEW, WindowState.FOREIGN)]
    if not changed:
        return image
    memory = image.memory.copy()
    for item in changed:
        window = item.redirection.window
        memory[window.start : window.end] = memoryview(item.redirection.old)
    memory.flags.writeable = False
    return replace(image, memory=memory)


def hook_shape(code: bytes) -> str:
    """The form of jump that ``code`` begins with, of those that hooking tools write; '' when none.

    Forms as in the Intel manual, volume 2: JMP rel32, JMP rel8, JMP m64, INT3, MOV r64 with JMP r64 or
    PUSH with RET.
    """
    shapes = {b"\xe9": "E9, jmp rel32", b"\xeb": "EB, jmp rel8", b"\xff\x25": "FF 25, jmp [rip+disp32]",
              b"\xcc": "CC, int3"}  # fmt: skip
    for prefix, name in shapes.items():
        if code.startswith(prefix):
            return name
    if len(code) >= 12 and code[0] in (0x48, 0x49) and 0xB8 <= code[1] <= 0xBF and b"\xff" in code[10:12]:
        return "48 B8, mov r64 and jmp r64"
    if len(code) >= 6 and code[0] == 0x68 and (code[5] == 0xC3 or code[5:7] == b"\xc7\x44"):
        return "68, push and ret"
    return ""
