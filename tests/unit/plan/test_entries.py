"""Entries of a list of functions against the modules of a release."""

import pytest

from hpbuild.codes import match as codes
from hpbuild.errors import HpbuildError
from hpbuild.match.lookup import Found
from hpbuild.plan.entries import Entry, Hits, entries
from tests.comparing import compared

PATHS = ("bin/codec.dll", "bin/x64/gadget.dll", "old/gadget.dll")


@pytest.mark.parametrize(
    ("text", "entry"),
    [
        ("codec_find", Entry("codec_find", "codec_find", None)),
        ("codec.dll!codec_find", Entry("codec.dll!codec_find", "codec_find", "bin/codec.dll")),
        ("BIN\\Codec.DLL!0x10", Entry("BIN\\Codec.DLL!0x10", "0x10", "bin/codec.dll")),
        ("old/gadget.dll!a!b", Entry("old/gadget.dll!a!b", "a!b", "old/gadget.dll")),
        ("Vector::operator!=", Entry("Vector::operator!=", "Vector::operator!=", None)),
        ("codec.dll!", Entry("codec.dll!", "codec.dll!", None)),
        ("other.dll!x", Entry("other.dll!x", "other.dll!x", None)),
    ],
)
def test_an_entry_may_name_its_module(text: str, entry: Entry) -> None:
    assert entries([text, text], PATHS) == (entry,)


def test_a_file_name_of_two_modules_is_ambiguous() -> None:
    with pytest.raises(HpbuildError) as caught:
        entries(["gadget.dll!x"], PATHS)
    assert caught.value.code is codes.AMBIGUOUS_FUNCTION
    assert "bin/x64/gadget.dll or old/gadget.dll" in caught.value.finding.cause


def looked(*texts: str) -> tuple[Hits, tuple[Entry, ...], list[dict[str, Found]]]:
    wanted = entries(texts, ("codec.dll", "gadget.dll"))
    hits = Hits()
    modules = (("codec.dll", "codec"), ("gadget.dll", "variants/static_var"))
    found = [hits.look(compared(pair, "auto"), wanted, path) for path, pair in modules]
    return hits, wanted, found


def test_each_module_gets_its_own() -> None:
    hits, wanted, (codec, gadget) = looked("codec_find", "gadget.dll!gadget_measure", "codec.dll!DllMain")
    hits.settle(wanted)
    assert set(codec) == {"codec_find", "codec.dll!DllMain"}
    assert set(gadget) == {"gadget.dll!gadget_measure"}


def test_a_name_of_no_module_is_unknown() -> None:
    hits, wanted, _ = looked("codec_find", "codec_fnd")
    with pytest.raises(HpbuildError) as caught:
        hits.settle(wanted)
    assert caught.value.code is codes.UNKNOWN_FUNCTION
    assert caught.value.finding.place == "codec_fnd"
    assert "codec_find" in caught.value.finding.cause


def test_a_name_of_another_module_is_unknown() -> None:
    hits, wanted, _ = looked("gadget.dll!codec_find")
    with pytest.raises(HpbuildError) as caught:
        hits.settle(wanted)
    assert caught.value.code is codes.UNKNOWN_FUNCTION


def test_a_name_of_two_modules_is_ambiguous() -> None:
    hits, wanted, _ = looked("DllMain")
    with pytest.raises(HpbuildError) as caught:
        hits.settle(wanted)
    assert caught.value.code is codes.AMBIGUOUS_FUNCTION
    assert "codec.dll, gadget.dll" in caught.value.finding.cause
