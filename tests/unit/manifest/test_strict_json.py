import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpbuild.codes import manifest as codes
from hpbuild.errors import Code, HpbuildError
from hpbuild.manifest.strict_json import (
    DEFAULT_LIMITS,
    MAX_INTEGER,
    JsonLimits,
    canonical,
    parse,
    parse_canonical,
)

TIGHT = JsonLimits(size=100, depth=3, values=10, text=8)

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-MAX_INTEGER, MAX_INTEGER) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


def refusal(data: bytes, limits: JsonLimits = DEFAULT_LIMITS) -> Code:
    with pytest.raises(HpbuildError) as caught:
        parse(data, "doc", limits)
    assert caught.value.finding.place == "doc"
    return caught.value.code


@given(VALUES)
def test_canonical_bytes_read_back(value: object) -> None:
    assert parse_canonical(canonical(value, "doc"), "doc") == value


@given(VALUES)
def test_any_spelling_has_the_same_value(value: object) -> None:
    assert parse(json.dumps(value, indent=1).encode(), "doc") == value


@given(st.binary(max_size=60) | st.text(alphabet='[]{}",:\\u0d8 1e.-ntrfalse', max_size=60).map(str.encode))
def test_only_hpbuild_errors_come_out(data: bytes) -> None:
    try:
        value = parse(data, "doc", TIGHT)
    except HpbuildError:
        return
    assert json.loads(data) == value


@pytest.mark.parametrize(
    "data", [b"", b"{", b"nul", b"[1,]", b"\xff", b"\xef\xbb\xbf1", b"'a'", b'"\x01"', b"1 2"]
)
def test_broken_syntax_fails(data: bytes) -> None:
    assert refusal(data) is codes.NOT_JSON


@pytest.mark.parametrize("data", [rb'"\ud800"', rb'"\udc00\ud800"', rb'{"\uDFFF":1}'])
def test_lone_surrogate_fails(data: bytes) -> None:
    assert refusal(data) is codes.NOT_JSON


def test_surrogate_pair_is_one_character() -> None:
    assert parse(rb'"\ud83d\ude00"', "doc") == "\U0001f600"


@pytest.mark.parametrize("data", [b'{"a":1,"a":1}', b'[{"b":{"a":1,"b":2,"a":3}}]', rb'{"a":1,"\u0061":2}'])
def test_duplicate_key_fails(data: bytes) -> None:
    assert refusal(data) is codes.DUPLICATE_KEY


@pytest.mark.parametrize(
    "data",
    [
        b"4096.0",
        b"1e3",
        b"NaN",
        b"Infinity",
        b"-Infinity",
        b"9007199254740992",
        b"-9007199254740992",
        b"1" * 5000,
    ],
)
def test_number_without_one_meaning_fails(data: bytes) -> None:
    assert refusal(data) is codes.NUMBER


@pytest.mark.parametrize(
    "data",
    [
        b" " * 101,
        b"[[[[1]]]]",
        b'{"a":{"b":{"c":[]}}}',
        b"[1,2,3,4,5,6,7,8,9,10,11]",
        b'"123456789"',
        b"[{},{},{},{},{},{}]",
    ],
)
def test_over_a_limit_fails(data: bytes) -> None:
    assert refusal(data, TIGHT) is codes.LIMIT


@pytest.mark.parametrize("data", [b"[[[1]]]", b'"12345678"', b"[1,2,3,4,5,6,7,8,9]", b'"[[[["', rb'"\"[[["'])
def test_at_a_limit_is_read(data: bytes) -> None:
    assert parse(data, "doc", TIGHT) == json.loads(data)


@pytest.mark.parametrize(
    "data", [b'{"b":1,"a":2}', b"[1, 2]", b"1\n", rb'"\u0061"', b"-0", rb'"\/"', b'"\\u000A"']
)
def test_other_spelling_than_the_canonical_one_fails(data: bytes) -> None:
    parse(data, "doc")
    with pytest.raises(HpbuildError) as caught:
        parse_canonical(data, "doc")
    assert caught.value.code is codes.NOT_CANONICAL


@pytest.mark.parametrize("value", [2**53, {"a": "\ud800"}, {"\ud800": 1}])
def test_value_without_canonical_form_fails(value: object) -> None:
    with pytest.raises(HpbuildError) as caught:
        canonical(value, "doc")
    assert caught.value.code is codes.UNENCODABLE


@pytest.mark.parametrize("name", ["arrays", "french", "structures", "unicode", "values", "weird"])
def test_published_vectors(root: Path, name: str) -> None:
    folder = root.parent / "shared" / "vectors" / "jcs"
    if not folder.is_dir():
        pytest.skip("no ../shared/vectors beside the checkout")
    source = json.loads((folder / f"{name}.input.json").read_bytes())
    assert canonical(source, name) == (folder / f"{name}.output.json").read_bytes()


@pytest.mark.parametrize(
    ("name", "spelling", "form"),
    [
        ("arrays", None, None),
        ("french", None, None),
        ("structures", codes.NUMBER, None),
        ("unicode", None, None),
        ("values", codes.NUMBER, codes.NUMBER),
        ("weird", None, None),
    ],
)
def test_published_vectors_through_the_reader(
    root: Path, name: str, spelling: Code | None, form: Code | None
) -> None:
    """What hpbuild reads of them. It takes no fractions: 56.0 in an input, 1e-27 in an output."""
    folder = root.parent / "shared" / "vectors" / "jcs"
    if not folder.is_dir():
        pytest.skip("no ../shared/vectors beside the checkout")
    source, output = ((folder / f"{name}.{kind}.json").read_bytes() for kind in ("input", "output"))
    if spelling is None:
        assert canonical(parse(source, name), name) == output
    else:
        assert refusal_of(source, name) is spelling
    if form is None:
        assert canonical(parse_canonical(output, name), name) == output
    else:
        assert refusal_of(output, name) is form


def refusal_of(data: bytes, name: str) -> Code:
    with pytest.raises(HpbuildError) as caught:
        parse(data, name)
    return caught.value.code


def measured(text: str) -> tuple[int, int, int]:
    """Depth, number of values and longest string of ``text``, a character at a time."""
    depth = deepest = values = longest = 0
    start, escaped = -1, False
    for position, character in enumerate(text):
        if start >= 0:
            if not escaped and character == '"':
                longest, start = max(longest, position - start - 1), -1
            escaped = character == "\\" and not escaped
        elif character == '"':
            start, escaped = position, False
        elif character in "[{":
            depth, values = depth + 1, values + 1
            deepest = max(deepest, depth)
        elif character in "]}":
            depth -= 1
        elif character == ",":
            values += 1
    if start >= 0:
        # A string without an end counts from its quote on, less two for quotes.
        longest = max(longest, len(text) - start - 2)
    return deepest, values, longest


@given(st.text(alphabet='[]{},":a\\ ', max_size=60))
def test_limits_hold_for_any_text(text: str) -> None:
    depth, values, longest = measured(text)
    beyond = depth > TIGHT.depth or values > TIGHT.values or longest > TIGHT.text
    code = None
    try:
        parse(text.encode(), "doc", TIGHT)
    except HpbuildError as error:
        code = error.code
    assert (code is codes.LIMIT) == beyond


@pytest.mark.parametrize(
    "data",
    [
        b'{"b":1,"a":2}', b'[1, 2]', b'["\\u0041"]', b'["\\/"]', b'["\\u000A"]', b'["\\u007f"]', b"[1]\n",
        b'{"a":1 }', b"[-0]",
    ],
)  # fmt: skip
def test_another_spelling_fails(data: bytes) -> None:
    with pytest.raises(HpbuildError) as caught:
        parse_canonical(data, "doc")
    assert caught.value.code is codes.NOT_CANONICAL


@pytest.mark.parametrize(
    "data",
    [
        b'["\x7f"]',
        b'["\\b\\t\\n\\f\\r\\u0001\\u001f\\"\\\\/"]',
        '{"\U0001d11e":1,"\ufb33":2}'.encode(),
        b'{"A":1,"a":2}',
    ],
)
def test_the_one_spelling_passes(data: bytes) -> None:
    assert canonical(parse_canonical(data, "doc"), "doc") == data
