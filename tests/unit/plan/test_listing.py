"""What a package is limited to."""

from hpbuild.match.lookup import Found, find
from hpbuild.plan.listing import limit, limit_of_package
from tests.comparing import compared


def test_functions_are_listed_by_the_name_that_reports_have() -> None:
    codec = compared("codec", "auto")
    found = find(codec, "codec_find")
    start = int(codec.fixed.program.fragments.start[found.fixed])
    made = limit(codec, {f"{start:#x}": found, "codec_find": found})
    assert made.names == ("codec_find",)
    assert made.roots == {found.fixed: "codec_find"}
    assert limit(codec, {"gone": Found(-1, 3)}).gone == ("gone",)


def test_a_package_is_looked_at_by_its_addresses() -> None:
    codec = compared("codec", "none")
    found = find(codec, "codec_find")
    start = int(codec.fixed.program.fragments.start[found.fixed])
    made = limit_of_package(codec, ("any name",), [start, 0, 1 << 30])
    assert made is not None
    assert set(made.roots) == {found.fixed}
    assert limit_of_package(codec, (), [start]) is None
