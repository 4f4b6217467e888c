"""Looking up one code."""

from hpbuild.codes import all_codes, find_code


def test_find_code() -> None:
    for row in all_codes():
        assert find_code(row.id) is row
    assert find_code(" hp9001 ") is find_code("HP9001")
    assert find_code("HP0000") is None
    assert find_code("") is None
