from dataclasses import replace

import pytest

from hpbuild.pe.reader import parse_image
from hpbuild.values import Interval
from hpbuild.verify.windows import WindowState, examine, hook_shape, with_old_bytes


@pytest.mark.parametrize(
    ("code", "shape"),
    [
        ("e900000000", "E9"), ("eb05", "EB"), ("ff2500000000", "FF 25"), ("cc", "CC"),
        ("48b81122334455667788ffe0", "48 B8"), ("49bb112233445566778841ffe3", "48 B8"),
        ("6811223344c3", "68"), ("6811223344c744240411223344c3", "68"),
        ("", ""), ("90", ""), ("ff15", ""), ("e8112233", ""), ("48b811", ""), ("6811223344", ""), ("55", ""),
    ],
)  # fmt: skip
def test_forms_of_jump(code: str, shape: str) -> None:
    found = hook_shape(bytes.fromhex(code))
    assert found.startswith(shape)
    assert bool(found) == bool(shape)


def test_states_and_undoing(release) -> None:
    image = parse_image(release.installed.read_bytes(), "i")
    first, second = release.module.redirections
    memory = image.memory.copy()
    memory[first.window.start : first.window.end] = memoryview(first.new)
    memory[second.entry] = 0xCC
    changed = replace(image, memory=memory)
    outside = replace(second, window=Interval(image.size_of_image - 1, image.size_of_image + 4))
    windows = examine(changed, (first, second, outside))
    assert [item.state for item in windows] == [WindowState.NEW, WindowState.FOREIGN, WindowState.OUTSIDE]
    assert [item.looks_hooked for item in windows] == [False, True, False]
    assert "CC, int3" in windows[1].describe()
    assert "leaves the image" in windows[2].describe()
    undone = with_old_bytes(changed, windows)
    assert (undone.memory == image.memory).all()
    assert not undone.memory.flags.writeable
    assert (changed.memory == memory).all(), "the image that was given is left alone"


def test_nothing_to_undo_copies_nothing(release) -> None:
    image = parse_image(release.installed.read_bytes(), "i")
    windows = examine(image, release.module.redirections)
    assert {item.state for item in windows} == {WindowState.OLD}
    assert with_old_bytes(image, windows) is image


def test_a_baseline_that_begins_with_a_jump_is_not_hooked(release) -> None:
    image = parse_image(release.installed.read_bytes(), "i")
    redirection = replace(release.module.redirections[0], old=b"\xe9\1\2\3\4")
    memory = image.memory.copy()
    memory[redirection.window.start : redirection.window.end] = memoryview(redirection.old)
    (window,) = examine(replace(image, memory=memory), (redirection,))
    assert (window.state, window.looks_hooked) == (WindowState.OLD, False)
