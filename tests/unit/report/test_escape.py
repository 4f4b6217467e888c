"""Nothing from a file reaches a terminal raw."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpbuild.report.escape import escape


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("std::vector<int>::push_back(int &&)", "std::vector<int>::push_back(int &&)"),
        ("\x1b[31mred", "\\x1b[31mred"),
        ("a\nb\tc\r\0", "a\\x0ab\\x09c\\x0d\\x00"),
        ("\x9b2J", "\\x9b2J"),
        ("admin\u202etxt.exe", "admin\\u202etxt.exe"),
        ("\u2066\u200b\ufeff", "\\u2066\\u200b\\ufeff"),
        ("\ud800", "\\ud800"),
        ("\U000e0041", "\\U000e0041"),
        ("\u2028", "\\u2028"),
        ("größe 関数", "größe 関数"),
        ("C:\\temp", "C:\\temp"),
        ("", ""),
    ],
)
def test_escape(text: str, shown: str) -> None:
    assert escape(text) == shown


@given(st.text(alphabet=st.characters(codec=None)))
def test_what_is_left_is_printable_and_stays(text: str) -> None:
    shown = escape(text)
    assert shown.isprintable()
    assert escape(shown) == shown
