"""Lists of functions on the command line."""

from pathlib import Path

import pytest

from hpbuild.cli.listing import listed
from hpbuild.codes import bundle, cli
from hpbuild.errors import ExitStatus, HpbuildError

LIST = """# the fix for CVE-2024-0001
codec_decode
  0x1150   # base64_decode

std::fn::{{closure#0}}
codec_decode\t# again
"""


def test_names_and_files_together(tmp_path: Path) -> None:
    file = tmp_path / "list.txt"
    file.write_text(LIST)
    wanted = ("first", "codec_decode", "0x1150", "std::fn::{{closure#0}}")
    assert listed(["first", f"@{file}", "codec_decode"]) == wanted
    assert listed([]) == ()


def test_other_line_ends_and_a_byte_order_mark(tmp_path: Path) -> None:
    file = tmp_path / "list.txt"
    file.write_bytes(b"\xef\xbb\xbffirst\r\nsecond\r\n")
    assert listed([f"@{file}"]) == ("first", "second")


@pytest.mark.parametrize(
    "content",
    [b"", b"\n\n", b"# nothing\n", b"a\xff\n", b"a\x00b\n", b"a\x1b[2J\n", b"x" * 65537],
)
def test_what_is_no_list_is_refused(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "list.txt"
    file.write_bytes(content)
    with pytest.raises(HpbuildError) as caught:
        listed([f"@{file}"])
    assert caught.value.code is cli.BAD_LIST
    assert caught.value.code.exit is ExitStatus.USAGE
    assert str(file) in caught.value.finding.place


def test_the_line_is_named(tmp_path: Path) -> None:
    file = tmp_path / "list.txt"
    file.write_bytes(b"one\n\ntwo\x07\n")
    with pytest.raises(HpbuildError) as caught:
        listed([f"@{file}"])
    assert caught.value.finding.place == f"{file}, line 3"


@pytest.mark.parametrize("value", ["", " ", "a\nb"])
def test_an_entry_that_is_no_name_is_refused(value: str) -> None:
    with pytest.raises(HpbuildError) as caught:
        listed([value])
    assert caught.value.code is cli.BAD_LIST


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(HpbuildError) as caught:
        listed([f"@{tmp_path / 'absent.txt'}"])
    assert caught.value.code is bundle.NO_SUCH_FILE
    with pytest.raises(HpbuildError) as caught:
        listed([f"@{tmp_path}"])
    assert caught.value.code is bundle.NOT_A_FILE
