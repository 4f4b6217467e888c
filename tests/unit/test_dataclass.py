import contextlib
import copy
import dataclasses
import json
import os
import pickle
import subprocess
import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any

import pytest

from hpbuild import dataclass as ours

DESCRIBE = """
import contextlib, dataclasses, importlib, inspect, json, pkgutil, sys
if sys.argv[1] == "library":
    sys.modules["hpbuild.dataclass"] = dataclasses
import hpbuild
rows = {}
for module in sorted(item.name for item in pkgutil.walk_packages(hpbuild.__path__, "hpbuild.")):
    if module.endswith("__main__") or module.endswith("windows_job") or module == "hpbuild.dataclass":
        continue
    for name, cls in vars(importlib.import_module(module)).items():
        if not isinstance(cls, type) or cls.__module__ != module or not hasattr(cls, "__slots__"):
            continue
        if not dataclasses.is_dataclass(cls):
            continue
        with contextlib.suppress(TypeError):
            cls(**{"no field": 0})  # what is wrong is told by the real method
        made = inspect.signature(cls).parameters.values()
        rows[module + "." + cls.__qualname__] = [
            [[one.name, str(one.kind), one.default is one.empty] for one in made],
            [[one.name, str(one.type), one.init, one.repr, one.compare, one.kw_only,
              one.default is dataclasses.MISSING, one.default_factory is dataclasses.MISSING]
             for one in dataclasses.fields(cls)],
            repr(cls.__dataclass_params__), list(cls.__match_args__), list(cls.__slots__),
            cls.__hash__ is None,
            sorted(name for name, value in vars(cls).items()
                   if callable(value) and name.startswith("__") and name != "__doc__"),
        ]
print(json.dumps(rows))
"""
"""What there is to know of every dataclass of the project, made by ours or by the library."""


def described(by: str) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, "-c", DESCRIBE, by],
        capture_output=True,
        check=True,
        text=True,
        env=dict(os.environ),
    )
    rows: dict[str, Any] = json.loads(done.stdout)
    return rows


def test_every_class_of_the_project_is_what_the_library_makes_of_it() -> None:
    mine, library = described("ours"), described("library")
    assert len(mine) > 300
    assert mine.keys() == library.keys()
    for name, row in mine.items():
        assert row == library[name], name


def classes(of: ModuleType) -> tuple[type[Any], type[Any], type[Any]]:
    @of.dataclass(frozen=True, slots=True, order=True)
    class Run:
        """A run."""

        start: int
        end: int = 7

        def __post_init__(self) -> None:
            if self.end < self.start:
                raise ValueError

    @of.dataclass(slots=True, kw_only=True)
    class Heap:
        """A heap."""

        items: list[int] = of.field(default_factory=list)
        hidden: int = of.field(default=3, repr=False)

    @of.dataclass(frozen=True, slots=True)
    class Own:
        """One with methods of its own."""

        text: str

        def __eq__(self, other: object) -> bool:
            return isinstance(other, type(self)) and self.text.lower() == other.text.lower()

        def __repr__(self) -> str:
            return "own"

    for cls in (Run, Heap, Own):
        cls.__qualname__ = cls.__name__
    return Run, Heap, Own


class Warm:
    """Ours, where so many objects were made that the classes have methods of their own."""

    field = staticmethod(ours.field)
    replace = staticmethod(ours.replace)

    @staticmethod
    def dataclass(**how: Any) -> Callable[[type[Any]], type[Any]]:
        def made(cls: type[Any]) -> type[Any]:
            result: type[Any] = ours.dataclass(**how)(cls)
            for _ in range(40):
                with contextlib.suppress(TypeError):
                    result(*range(how.get("order", False) + (cls.__name__ == "Own")))
            return result

        return made


BOTH = pytest.mark.parametrize("of", [ours, Warm, dataclasses], ids=["ours", "warm", "library"])


@BOTH
def test_objects_are_compared_ordered_and_hashed_by_their_fields(of: ModuleType) -> None:
    run = classes(of)[0]
    assert run(1, 2) == run(1, 2)
    assert run(1, 2) != run(1, 3)
    assert run(1, 2) != (1, 2)
    assert hash(run(1, 2)) == hash(run(1, end=2)) == hash((1, 2))
    assert run(1, 2) < run(1, 3) <= run(1, 3) < run(2, 3)
    assert run(2) >= run(2) > run(1)
    with pytest.raises(TypeError):
        run(1, 2) < (1, 3)  # noqa: B015 - the comparison refuses
    assert {run(1): "one"}[run(1, 7)] == "one"


@BOTH
def test_the_first_use_may_be_any_method(of: ModuleType) -> None:
    run = classes(of)[0]
    one = object.__new__(run)
    one.__setstate__([1, 2])
    assert one.__getstate__() == [1, 2]
    assert hash(one) == hash((1, 2))
    other = classes(of)[0]
    with pytest.raises(ValueError, match=r"^$"):
        other(2, 1)
    with pytest.raises(TypeError, match=r"__init__\(\) missing 1 required positional argument: 'start'"):
        other()
    with pytest.raises(TypeError, match="unexpected keyword argument 'begin'"):
        other(1, begin=1)
    with pytest.raises(TypeError, match="multiple values for argument 'start'"):
        other(1, start=1)
    with pytest.raises(TypeError, match="takes from 2 to 3 positional arguments but 4 were given"):
        other(1, 2, 3)
    assert other(end=3, start=2) == other(2, 3)


@BOTH
def test_nothing_of_a_frozen_object_can_be_changed(of: ModuleType) -> None:
    one = classes(of)[0](1)
    with pytest.raises(dataclasses.FrozenInstanceError, match="cannot assign to field 'start'"):
        one.start = 2
    with pytest.raises(dataclasses.FrozenInstanceError, match="cannot delete field 'start'"):
        del one.start
    with pytest.raises((AttributeError, TypeError)):  # the second is a slip of the library
        one.other = 1
    assert one.start == 1


@BOTH
def test_others_can_be_changed_and_each_has_a_list_of_its_own(of: ModuleType) -> None:
    heap = classes(of)[1]
    one, two = heap(), heap(items=[5])
    one.items.append(4)
    one.hidden = 9
    assert (one.items, one.hidden, two.items, two.hidden) == ([4], 9, [5], 3)
    assert heap() == heap()
    with pytest.raises(TypeError, match="unhashable"):
        hash(one)
    with pytest.raises(TypeError):
        heap([1])
    with pytest.raises(AttributeError):
        one.other = 1


@BOTH
def test_text_leaves_out_what_is_not_to_be_shown(of: ModuleType) -> None:
    run, heap, own = classes(of)
    assert repr(run(1)) == "Run(start=1, end=7)"
    assert repr(heap()) == "Heap(items=[])"
    assert repr(own("x")) == "own"


@BOTH
def test_methods_of_a_class_stay_its_own(of: ModuleType) -> None:
    own = classes(of)[2]
    assert own("A") == own("a")
    assert own("A") != own("b")
    assert hash(own("A")) == hash(("A",))


@BOTH
def test_replaced_objects_go_through_the_checks_again(of: ModuleType) -> None:
    run, heap, _ = classes(of)
    assert of.replace(run(1), start=2) == run(2)
    assert of.replace(heap(items=[1]), hidden=4) == heap(items=[1], hidden=4)
    with pytest.raises(ValueError, match=r"^$"):
        of.replace(run(1), start=8)
    with pytest.raises(TypeError):
        of.replace(run(1), begin=8)


def test_classes_of_the_library_can_be_replaced_too() -> None:
    run = classes(dataclasses)[0]
    assert ours.replace(run(1), start=2) == run(2)


def test_the_library_knows_what_we_make() -> None:
    run, heap, _ = classes(ours)
    assert [item.name for item in dataclasses.fields(run)] == ["start", "end"]
    assert dataclasses.fields(run)[1].default == 7
    assert dataclasses.fields(heap())[0].default_factory is list
    assert dataclasses.asdict(run(1)) == {"start": 1, "end": 7}
    assert dataclasses.replace(run(1), end=8) == run(1, 8)
    assert not dataclasses.fields(heap)[1].repr


@BOTH
def test_matching_by_position(of: ModuleType) -> None:
    run, heap, _ = classes(of)
    match run(3, 4):
        case run(start, end):
            assert (start, end) == (3, 4)
        case _:
            pytest.fail("no match")
    assert heap.__match_args__ == ()


def test_objects_travel_and_are_copied() -> None:
    from hpbuild.values import Interval

    one = Interval(1, 2)
    assert pickle.loads(pickle.dumps(one)) == one
    assert copy.copy(one) == copy.deepcopy(one) == one


def test_what_has_no_slots_is_refused() -> None:
    with pytest.raises(AssertionError):
        ours.dataclass(slots=False)
