"""Code that differs only in where it reaches from a pointer. Bytes with their assembly."""

import pytest

from hpbuild.code.displacements import displacement_changes

LOAD_20 = "488b4120"  # mov rax, [rcx+0x20]
LOAD_28 = "488b4128"  # mov rax, [rcx+0x28]
LOAD_FAR = "488b8120010000"  # mov rax, [rcx+0x120]
RET = "c3"


def changes(ours: str, theirs: str) -> set[tuple[int, int]]:
    return set(displacement_changes((bytes.fromhex(ours), 0x1000), (bytes.fromhex(theirs), 0x5000)))


def test_equal_code_has_none() -> None:
    assert changes(LOAD_20 + RET, LOAD_20 + RET) == set()


def test_old_and_new_are_told() -> None:
    assert changes(LOAD_28 + RET, LOAD_20 + RET) == {(0x20, 0x28)}


def test_a_longer_encoding_is_the_same_operation() -> None:
    assert changes(LOAD_FAR + RET, LOAD_20 + RET) == {(0x20, 0x120)}


def test_references_to_addresses_do_not_count() -> None:
    # lea rdx, [rip+n]; call n
    assert changes("488d1500020000" + "e810000000" + LOAD_28, "488d1500010000" + "e820000000" + LOAD_20) == {
        (0x20, 0x28)
    }


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (LOAD_28 + "90" + RET, LOAD_20 + RET),  # one more instruction
        ("488b5128" + RET, LOAD_20 + RET),  # into another register: mov rdx, [rcx+0x28]
        ("488b4228" + RET, LOAD_20 + RET),  # from another pointer: mov rax, [rdx+0x28]
        ("48034128" + RET, LOAD_20 + RET),  # another operation: add rax, [rcx+0x28]
        ("8b4128" + RET, LOAD_20 + RET),  # another width: mov eax, [rcx+0x28]
        ("488b442428" + RET, "488b442420" + RET),  # the stack: mov rax, [rsp+0x28]
        ("488b4528" + RET, "488b4520" + RET),  # the frame: mov rax, [rbp+0x28]
        (LOAD_28 + "b805000000" + RET, LOAD_20 + "b804000000" + RET),  # a constant too: mov eax, 5
        ("c7412801000000" + RET, "c7412002000000" + RET),  # mov dword [rcx+0x28], 1
        (LOAD_28 + RET, "4889c8" + RET),  # a register instead: mov rax, rcx
    ],
)
def test_any_other_difference_fails(ours: str, theirs: str) -> None:
    assert changes(ours, theirs) == set()


def test_what_is_no_code_fails() -> None:
    assert changes("06", "07") == set()
