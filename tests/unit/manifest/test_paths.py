import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpbuild.manifest.paths import fold, image_member, member_defect, path_defect


@pytest.mark.parametrize(
    "path", ["a.dll", "bin/Qt6Core.dll", "a b/ä.dll", ".hidden", "console.dll", "x..y/auxiliary", "com.dll"]
)
def test_plain_paths_are_fine(path: str) -> None:
    assert path_defect(path) == ""


@pytest.mark.parametrize(
    "path",
    [
        "",
        "/a",
        "a//b",
        "a/",
        ".",
        "..",
        "a/../b",
        "./a",
        "C:/a",
        "a\\b",
        "a:b",
        "a?",
        "a\n",
        "a\x00",
        "a.",
        "a ",
        " a",
        "con",
        "NUL.txt",
        "bin/aux",
        "com1",
        "LPT9.dll",
        "con .txt",
        "COM\u00b9",
        "a\udc80",
        "a" * 256,
        "a/" * 600 + "a",
    ],
)
def test_dangerous_paths_have_a_defect(path: str) -> None:
    assert path_defect(path)


@pytest.mark.parametrize(
    "name", ["A", "a b", "ä", "a\n", "a\\b", "../a", "/a", "a//b", "", "images/con", "a" * 201]
)
def test_bad_member_names_have_a_defect(name: str) -> None:
    assert member_defect(name)


def test_plain_path_is_its_own_member() -> None:
    assert image_member("bin/Qt6Core.dll") == "images/bin/qt6core.dll"


@given(st.text(min_size=1, max_size=300) | st.just("a\udc80"))
def test_every_path_has_a_legal_member(path: str) -> None:
    assert member_defect(image_member(path)) == ""


@given(
    st.lists(st.text(alphabet="aAbB-_ äß.", min_size=1, max_size=4), min_size=2, max_size=2, unique_by=fold)
)
def test_different_files_have_different_members(paths: list[str]) -> None:
    assert image_member(paths[0]) != image_member(paths[1])
