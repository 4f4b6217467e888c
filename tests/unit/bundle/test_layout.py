import pytest

from hpbuild.bundle.layout import check_names, ordered
from hpbuild.codes import bundle as codes
from hpbuild.errors import Code, HpbuildError

FILE_ORDER = (
    "statement.json",
    "manifest.json",
    "images/a.dll",
    "images/b/c.dll",
    "attachments/notes.md",
    "signatures.dsse.json",
)


def test_order_of_the_file() -> None:
    assert ordered(reversed(FILE_ORDER)) == FILE_ORDER
    assert check_names(FILE_ORDER) == FILE_ORDER


@pytest.mark.parametrize(
    ("names", "code"),
    [
        (("statement.json", "manifest.json", "images/A"), codes.BAD_NAME),
        (("statement.json", "manifest.json", "images/../a"), codes.BAD_NAME),
        (("statement.json", "manifest.json", "images/a", "images/a/b"), codes.BAD_NAME),
        (("statement.json", "manifest.json", "manifest.json"), codes.DUPLICATE_MEMBER),
        (("manifest.json", "statement.json"), codes.BAD_ORDER),
        (("statement.json", "manifest.json", "attachments/a", "images/a"), codes.BAD_ORDER),
        (("statement.json", "manifest.json", "signatures.dsse.json", "attachments/a"), codes.BAD_ORDER),
        (("statement.json",), codes.MISSING_MEMBER),
        (("manifest.json", "images/a"), codes.MISSING_MEMBER),
        ((), codes.MISSING_MEMBER),
        (("statement.json", "manifest.json", "readme"), codes.UNKNOWN_MEMBER),
        (("statement.json", "manifest.json", "images"), codes.UNKNOWN_MEMBER),
    ],
)
def test_other_members_fail(names: tuple[str, ...], code: Code) -> None:
    with pytest.raises(HpbuildError) as caught:
        check_names(names)
    assert caught.value.code is code


def test_members_to_write_are_checked_too() -> None:
    with pytest.raises(HpbuildError) as caught:
        ordered(["statement.json", "manifest.json", "images/\n"])
    assert caught.value.code is codes.BAD_NAME
