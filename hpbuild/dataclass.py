"""Dataclasses whose methods are made when they are first used, by the names of ``dataclasses``.

The library makes each method of a class at once, by compiling its text: half a millisecond for each class,
and the hundreds that a command imports take longer than many a command runs. Most are never made an object
of, or their objects are never compared. Here a class gets its slots at once, and stubs that compile the real
method, of the same text as the library's, when one is called for the first time; the first few objects do
without. ``fields`` and all else of
the library works too: it is asked to make its own fields when they are first looked at. Imports nothing
else, for the library itself takes a while to import.

Only what classes of this project have: slots, no inheritance, no ``ClassVar`` or ``InitVar``, and of
``field`` what its signature says. A test holds every class of the project against the library's. Type
checkers see the library's own.
"""

from sys import version_info

TYPE_CHECKING = False
if TYPE_CHECKING:  # as in typing, which is not imported for it
    from dataclasses import dataclass as dataclass
    from dataclasses import field as field
    from dataclasses import replace as replace
else:

    class _Missing:
        """What no default is."""

        __slots__ = ()

    _MISSING = _Missing()
    _FEW = 16
    """So many objects of a class are made without a method of its own: to compile one takes longer."""

    class _Field:
        """How one field was described."""

        __slots__ = ("default", "factory", "repr")

        def __init__(self, default, factory, repr):  # noqa: A002 - the library's word
            self.default, self.factory, self.repr = default, factory, repr

    class _Plan:
        """What a class was described as; kept at the class as ``__plan__``."""

        __slots__ = ("fields", "frozen", "hints", "kw_only", "names", "order", "owner")

        def __init__(self, cls, frozen, kw_only, order):
            self.owner, self.frozen, self.kw_only, self.order = cls, frozen, kw_only, order
            self.hints = cls.__annotations__
            self.names = tuple(self.hints)
            self.fields = tuple(_described(cls.__dict__.get(name, _MISSING)) for name in self.names)

    def _described(value):
        return value if type(value) is _Field else _Field(value, _MISSING, True)

    class _Library:
        """A name that the library looks up in a class: made by the library when it is first looked at."""

        __slots__ = ("name", "plan")

        def __init__(self, plan, name):
            self.plan, self.name = plan, name

        def __get__(self, instance, owner=None):
            made = getattr(_library_class(self.plan), self.name)
            setattr(self.plan.owner, self.name, made)
            return made

    def field(*, default=_MISSING, default_factory=_MISSING, repr=True):  # noqa: A002
        """As ``dataclasses.field``."""
        return _Field(default, default_factory, repr)

    def replace(value, /, **changes):
        """As ``dataclasses.replace``."""
        plan = getattr(type(value), "__plan__", None)
        if plan is None:
            from dataclasses import replace as of_library

            return of_library(value, **changes)
        for name in plan.names:
            if name not in changes:
                changes[name] = getattr(value, name)
        return type(value)(**changes)

    def dataclass(*, frozen=False, slots, kw_only=False, order=False):
        """As ``dataclasses.dataclass``; there have to be ``slots``."""
        assert slots

        def made(cls):
            return _class(_Plan(cls, frozen, kw_only, order))

        return made

    def _class(plan):
        """The class once more, with slots, which cannot be added to one that is there."""
        before = plan.owner
        space = dict(before.__dict__)
        for name in (*plan.names, "__dict__", "__weakref__"):
            space.pop(name, None)
        own = set(space)
        if "__eq__" in own and space.get("__hash__") is None:
            own.discard("__hash__")  # Python's own None, for a class with an __eq__
        space["__slots__"] = plan.names
        space["__plan__"] = plan
        space["__match_args__"] = () if plan.kw_only else plan.names
        makers = {"__init__": _init, "__repr__": _repr, "__eq__": _eq}
        if plan.frozen:
            makers |= {"__hash__": _hash}
            makers |= {"__setattr__": _setattr, "__delattr__": _delattr}
            makers |= {"__getstate__": _getstate, "__setstate__": _setstate}
        elif "__hash__" not in own:
            space["__hash__"] = None
        if plan.order:
            makers |= {name: _order(name) for name in _ORDERS}
        if version_info >= (3, 13):  # for copy.replace
            makers["__replace__"] = _replaced
        for name, make in makers.items():
            if name not in own:
                space[name] = make(plan)
        for name in ("__dataclass_fields__", "__dataclass_params__"):
            space[name] = _Library(plan, name)
        plan.owner = type(before)(before.__name__, before.__bases__, space)
        plan.owner.__qualname__ = before.__qualname__
        return plan.owner

    def _library_class(plan):
        """A class of the same fields that the library makes."""
        import dataclasses

        rows = []
        for name, one in zip(plan.names, plan.fields, strict=True):
            words = {"repr": one.repr}
            if one.default is not _MISSING:
                words["default"] = one.default
            if one.factory is not _MISSING:
                words["default_factory"] = one.factory
            rows.append((name, plan.hints[name], dataclasses.field(**words)))
        return dataclasses.make_dataclass(
            plan.owner.__name__,
            rows,
            frozen=plan.frozen,
            slots=True,
            kw_only=plan.kw_only,
            order=plan.order,
        )

    def _compiled(plan, name, head, body, known):
        """Make the method ``name`` of this text and put it in its place."""
        found = {}
        text = "\n ".join([f"def {name}({head}):", *(body or ["pass"])])
        exec(text, known, found)  # noqa: S102 - as the library does, names of fields are all that varies
        method = found[name]
        method.__qualname__ = f"{plan.owner.__qualname__}.{name}"
        setattr(plan.owner, name, method)
        return method

    def _init(plan):
        left = _FEW

        def __init__(self, *values, **words):  # noqa: N807
            nonlocal left
            left -= 1
            if left < 0 or not _filled(plan, self, values, words):
                _real_init(plan)(self, *values, **words)

        return __init__

    def _filled(plan, made, values, words):
        """Give ``made`` its fields without a method for them; whether the arguments fit. When not, the
        real method has the words for it."""
        if len(values) > (0 if plan.kw_only else len(plan.names)):
            return False
        found = dict(zip(plan.names, values, strict=False))
        if found.keys() & words.keys():
            return False
        found |= words
        for name, one in zip(plan.names, plan.fields, strict=True):
            if name not in found:
                if one.default is _MISSING and one.factory is _MISSING:
                    return False
                found[name] = one.default if one.factory is _MISSING else one.factory()
        if len(found) != len(plan.names):
            return False
        for name, value in found.items():
            object.__setattr__(made, name, value)
        if hasattr(plan.owner, "__post_init__"):
            made.__post_init__()
        return True

    def _real_init(plan):
        known = {"__builtins__": {}, "_missing": _MISSING}
        head, body = ["self"], []
        if plan.kw_only and plan.names:
            head.append("*")
        for number, (name, one) in enumerate(zip(plan.names, plan.fields, strict=True)):
            value = name
            if one.factory is not _MISSING:
                known[f"_factory_{number}"] = one.factory
                value = f"_factory_{number}() if {name} is _missing else {name}"
                head.append(f"{name}=_missing")
            elif one.default is not _MISSING:
                known[f"_default_{number}"] = one.default
                head.append(f"{name}=_default_{number}")
            else:
                head.append(name)
            if plan.frozen:  # the slot itself, past __setattr__, which refuses
                known[f"_set_{number}"] = plan.owner.__dict__[name].__set__
                body.append(f"_set_{number}(self, {value})")
            else:
                body.append(f"self.{name} = {value}")
        if hasattr(plan.owner, "__post_init__"):
            body.append("self.__post_init__()")
        return _compiled(plan, "__init__", ", ".join(head), body, known)

    def _values(plan, of):
        return "(" + "".join(f"{of}.{name}, " for name in plan.names) + ")"

    def _eq(plan):
        def __eq__(self, other):  # noqa: N807
            return _compared(plan, "__eq__", "==")(self, other)

        return __eq__

    def _compared(plan, name, sign):
        known = {"__builtins__": {"NotImplemented": NotImplemented}}
        body = [
            "if other.__class__ is self.__class__:",
            f" return {_values(plan, 'self')} {sign} {_values(plan, 'other')}",
            "return NotImplemented",
        ]
        return _compiled(plan, name, "self, other", body, known)

    _ORDERS = {"__lt__": "<", "__le__": "<=", "__gt__": ">", "__ge__": ">="}

    def _order(name):
        def of(plan):
            def compare(self, other):
                return _compared(plan, name, _ORDERS[name])(self, other)

            return compare

        return of

    def _hash(plan):
        def __hash__(self):  # noqa: N807
            known = {"__builtins__": {"hash": hash}}
            return _compiled(plan, "__hash__", "self", [f"return hash({_values(plan, 'self')})"], known)(self)

        return __hash__

    def _repr(plan):
        shown = [name for name, one in zip(plan.names, plan.fields, strict=True) if one.repr]

        def __repr__(self):  # noqa: N807
            return (
                f"{type(self).__qualname__}({', '.join(f'{name}={getattr(self, name)!r}' for name in shown)})"
            )

        return __repr__

    def _setattr(plan):
        def __setattr__(self, name, value):  # noqa: N807
            _refuse_change(f"cannot assign to field {name!r}")

        return __setattr__

    def _delattr(plan):
        def __delattr__(self, name):  # noqa: N807
            _refuse_change(f"cannot delete field {name!r}")

        return __delattr__

    def _replaced(plan):
        def __replace__(self, /, **changes):  # noqa: N807
            return replace(self, **changes)

        return __replace__

    def _refuse_change(text):
        from dataclasses import FrozenInstanceError

        raise FrozenInstanceError(text)

    def _getstate(plan):
        names = plan.names

        def __getstate__(self):  # noqa: N807
            return [getattr(self, name) for name in names]

        return __getstate__

    def _setstate(plan):
        names = plan.names

        def __setstate__(self, state):  # noqa: N807
            for name, value in zip(names, state, strict=True):
                object.__setattr__(self, name, value)

        return __setstate__
