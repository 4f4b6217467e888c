"""Every choice of a redirection, at entries made by hand in a real DLL."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from hpbuild.code.bodies import bodies, heads
from hpbuild.code.decode import RefKind
from hpbuild.code.model import Program
from hpbuild.codes import plan as codes
from hpbuild.codes import traps
from hpbuild.errors import Code, Finding
from hpbuild.plan.model import RedirectionKind, RedirectionSite
from hpbuild.plan.redirections import Entries, branch_targets
from hpbuild.values import Interval

TEXT, SIZE = 0x1000, 0x266
ENTRY = 0x1048
SPARE = 0x1200
LONG = bytes.fromhex("8bc1 05ffff0000 c3")  # mov eax,ecx; add eax,0xffff; ret
PUSH = bytes.fromhex("55 8bc1 83c003 5d c3")  # push rbp; mov eax,ecx; add eax,3; pop rbp; ret
TINY = bytes.fromhex("33c0 c3")  # xor eax,eax; ret
RETURN = b"\xc3"


@pytest.fixture(scope="session")
def program(dll: Callable[..., Any]) -> Callable[[dict[int, bytes]], Program]:
    """``program({rva: code})``: a DLL whose only functions are these, all exported, and int3 between."""

    def make(code: dict[int, bytes]) -> Program:
        made = dll("variants/pad_jump/baseline/gadget.dll")
        made.drop_directory(3).write(TEXT, b"\xcc" * SIZE)
        for rva, content in code.items():
            made.write(rva, content)
        places = sorted(code)
        made.write(0x1250, RETURN)  # the entry point
        return made.move_exports(places).program()

    return make


def choose(program: Program, root: int) -> RedirectionSite | Finding:
    (found,) = bodies(program, [(root,)])
    (head,) = heads(found, np.array([root]))
    return Entries(program, [root]).choose(0, head, 7, "f")


def chosen(program: Program, entry: int = ENTRY) -> RedirectionSite | Finding:
    root = program.fragment_at(entry)
    assert int(program.fragments.start[root]) == entry
    return choose(program, root)


def accepted(program: Program, kind: RedirectionKind, window: Interval, entry: int = ENTRY) -> None:
    site = chosen(program, entry)
    assert isinstance(site, RedirectionSite), site
    assert (site.kind, site.window, site.entry, site.function) == (kind, window, entry, 7)
    assert site.old == program.image.read(window.start, len(window))


def refused(program: Program, code: Code, entry: int = ENTRY) -> Finding:
    finding = chosen(program, entry)
    assert isinstance(finding, Finding), finding
    assert (finding.code, finding.place) == (code, "f")
    return finding


def pad(entry: int = ENTRY) -> Interval:
    return Interval(entry - 5, entry + 2)


def jump(entry: int = ENTRY) -> Interval:
    return Interval(entry, entry + 5)


Maker = Callable[[dict[int, bytes]], Program]


def test_pad_jump_where_five_bytes_of_filler_come_before(program: Maker) -> None:
    accepted(program({ENTRY - 6: RETURN, ENTRY: LONG}), RedirectionKind.PAD_JUMP, pad())
    accepted(program({ENTRY: LONG}), RedirectionKind.PAD_JUMP, pad())


def test_entry_jump_where_only_four_do(program: Maker) -> None:
    accepted(program({ENTRY - 5: RETURN, ENTRY: LONG}), RedirectionKind.ENTRY_JUMP, jump())


@pytest.mark.parametrize("entry", range(ENTRY, ENTRY + 8))
def test_two_bytes_that_straddle_eight_are_not_stored_at_once(program: Maker, entry: int) -> None:
    made = program({entry: LONG})
    if entry % 8 == 7:
        accepted(made, RedirectionKind.ENTRY_JUMP, jump(entry), entry)
    else:
        accepted(made, RedirectionKind.PAD_JUMP, pad(entry), entry)


def test_entry_jump_over_a_first_instruction_of_one_byte(program: Maker) -> None:
    accepted(program({ENTRY: PUSH}), RedirectionKind.ENTRY_JUMP, jump())


def test_a_function_of_three_bytes_is_redirected_before_its_entry(program: Maker) -> None:
    accepted(program({ENTRY: TINY}), RedirectionKind.PAD_JUMP, pad())


def test_entry_jump_over_the_filler_behind_a_short_function(program: Maker) -> None:
    made = program({ENTRY - 1: RETURN, ENTRY: TINY, ENTRY + 5: RETURN})
    accepted(made, RedirectionKind.ENTRY_JUMP, jump())


def test_fail_no_room_between_two_functions(program: Maker) -> None:
    made = program({ENTRY - 1: RETURN, ENTRY: TINY, ENTRY + 4: RETURN})
    assert "3 bytes" in refused(made, codes.NO_ROOM).cause


def test_fail_a_function_of_one_byte_has_no_room_for_a_pad_jump(program: Maker) -> None:
    refused(program({ENTRY: RETURN, ENTRY + 1: LONG}), codes.NO_ROOM)


def test_fail_branch_into_the_first_instruction(program: Maker) -> None:
    distance = ENTRY + 1 - (SPARE + 5)
    other = b"\xe9" + distance.to_bytes(4, "little", signed=True)
    made = program({ENTRY: LONG, SPARE: other})
    named = branch_targets(made, np.array([ENTRY]))
    assert named.inside(ENTRY + 1, ENTRY + 2)
    root = made.fragment_at(ENTRY)
    # The fragment may have been cut at the target; what is chosen is for the entry's own bytes.
    finding = choose(made, root)
    assert isinstance(finding, Finding)
    assert finding.code is traps.ENTRY_BRANCH
    assert finding.cause == f"something leads to {ENTRY + 1:#x}"


INNER = bytes.fromhex("8bc1 83e801 75fb c3")  # mov eax,ecx; again: sub eax,1; jnz again; ret


def test_a_loop_behind_the_first_two_bytes_leaves_the_pad_jump(program: Maker) -> None:
    accepted(program({ENTRY: INNER}), RedirectionKind.PAD_JUMP, pad())


def test_fail_loop_into_the_entry_jump_without_filler_before(program: Maker) -> None:
    finding = refused(program({ENTRY - 1: RETURN, ENTRY: INNER}), traps.ENTRY_BRANCH)
    assert finding.cause == f"something leads to {ENTRY + 2:#x}"


def test_a_loop_behind_the_fifth_byte_leaves_the_entry_jump(program: Maker) -> None:
    code = bytes.fromhex("8bc1 0f1f00 83e801 75fb c3")
    accepted(program({ENTRY - 1: RETURN, ENTRY: code}), RedirectionKind.ENTRY_JUMP, jump())


def test_filler_that_somebody_names_is_not_written(program: Maker) -> None:
    site = SPARE + 3
    lea = bytes.fromhex("488d05") + (ENTRY - 3 - site - 4).to_bytes(4, "little", signed=True) + RETURN
    made = program({ENTRY: LONG, SPARE: lea})
    assert branch_targets(made, np.array([ENTRY])).inside(ENTRY - 3, ENTRY - 2)
    accepted(made, RedirectionKind.ENTRY_JUMP, jump())


@pytest.mark.parametrize("code", ["ffc9 75fc 8bc1 c3", "ffc9 0f85f8ffffff 8bc1 c3", "ffc9 7402 ebfa 8bc1 c3"])
def test_fail_loop_to_the_entry(program: Maker, code: str) -> None:
    refused(program({ENTRY: bytes.fromhex(code)}), codes.LOOP_AT_ENTRY)


def test_a_call_of_itself_is_no_loop(program: Maker) -> None:
    code = bytes.fromhex("ffc9 7405 e8f7ffffff c3")
    accepted(program({ENTRY: code}), RedirectionKind.PAD_JUMP, pad())


def test_a_jump_from_another_function_is_no_loop(program: Maker) -> None:
    other = b"\xe9" + (ENTRY - SPARE - 5).to_bytes(4, "little", signed=True)
    made = program({ENTRY: LONG, SPARE: other})
    assert branch_targets(made, np.array([ENTRY])).inside(ENTRY, ENTRY + 1)
    accepted(made, RedirectionKind.PAD_JUMP, pad())


def test_fail_loop_to_the_entry_from_a_split_off_part(program: Maker) -> None:
    other = b"\xe9" + (ENTRY - SPARE - 5).to_bytes(4, "little", signed=True)
    made = program({ENTRY: LONG, SPARE: other})
    root = made.fragments.root.copy()
    root[made.fragment_at(SPARE)] = made.fragment_at(ENTRY)
    refused(replace(made, fragments=replace(made.fragments, root=root)), codes.LOOP_AT_ENTRY)


def test_fail_loop_to_the_entry_through_a_jump_table(dll: Callable[..., Any]) -> None:
    made = dll("baseline/codec.dll")
    whole = made.program()
    (index,) = [number for number, name in whole.exported if name == "codec_transform"]
    start, end = int(whole.fragments.start[index]), int(whole.fragments.end[index])
    fields = whole.fields
    rows = np.flatnonzero((fields.origin > 0) & (fields.target > start) & (fields.target < end))
    site, origin = int(fields.site[rows[3]]), int(fields.origin[rows[3]])
    assert isinstance(chosen(whole, start), RedirectionSite)
    refused(
        made.write(site, (start - origin).to_bytes(4, "little", signed=True)).program(),
        codes.LOOP_AT_ENTRY,
        start,
    )


def test_fail_loop_to_the_entry_from_far_behind(program: Maker) -> None:
    """More than 64 KiB behind: nothing of a long function is left unread."""
    made = program({ENTRY: LONG})
    far = 0x12000
    memory = np.concatenate([made.image.memory, np.full(0x20000, 0x90, dtype=np.uint8)])
    memory[ENTRY : far + 1] = 0x90
    memory[far : far + 5] = np.frombuffer(
        b"\xe9" + (ENTRY - far - 5).to_bytes(4, "little", signed=True), "u1"
    )
    image = replace(made.image, memory=memory, size_of_image=len(memory))
    root = made.fragment_at(ENTRY)
    end = made.fragments.end.copy()
    end[root] = far + 5
    long = replace(made, image=image, fragments=replace(made.fragments, end=end))
    finding = choose(long, root)
    assert isinstance(finding, Finding)
    assert finding.code is codes.LOOP_AT_ENTRY


def test_fail_bytes_that_are_no_instruction(program: Maker) -> None:
    made = program({ENTRY: LONG})
    memory = made.image.memory.copy()
    memory[ENTRY] = 0x06
    bad = replace(made, image=replace(made.image, memory=memory))
    assert "do not decode" in refused(bad, traps.ENTRY_UNREADABLE).cause


def with_reference(program: Program, site: int, target: int, kind: RefKind) -> Program:
    """One more reference of the function at ENTRY, as the analysis would report it."""
    references = program.references
    columns = {"site": site, "target": target, "kind": kind, "width": 8, "trailing": 0, "access": 0}
    columns["fragment"] = program.fragment_at(ENTRY)
    arrays = {
        name: np.append(getattr(references, name), np.array([value], getattr(references, name).dtype))
        for name, value in columns.items()
    }
    return replace(program, references=replace(references, **arrays))


@pytest.mark.parametrize("distance", range(7))
def test_filler_that_is_named_is_left_alone_even_where_it_counts_as_filler(
    program: Maker, distance: int
) -> None:
    made = with_reference(program({ENTRY: LONG}), SPARE, ENTRY - distance, RefKind.LEA)
    if 1 <= distance <= 5:
        accepted(made, RedirectionKind.ENTRY_JUMP, jump())
    else:
        accepted(made, RedirectionKind.PAD_JUMP, pad())


class TestRelocations:
    """An absolute address at the entry: the loader changes its bytes when the image is moved."""

    CODE = bytes.fromhex("48b8") + (0x180003000).to_bytes(8, "little") + RETURN  # mov rax, variable; ret

    @staticmethod
    def relocated(program: Program, site: int) -> Program:
        return with_reference(program, site, 0x3000, RefKind.ABSOLUTE)

    def test_the_pad_jump_ends_before_it(self, program: Maker) -> None:
        made = self.relocated(program({ENTRY: self.CODE}), ENTRY + 2)
        accepted(made, RedirectionKind.PAD_JUMP, pad())

    def test_fail_the_entry_jump_would_be_relocated(self, program: Maker) -> None:
        made = program({ENTRY - 1: RETURN, ENTRY: self.CODE})
        accepted(made, RedirectionKind.ENTRY_JUMP, jump())
        refused(self.relocated(made, ENTRY + 2), traps.ENTRY_RELOCATED)
        accepted(self.relocated(made, ENTRY + 5), RedirectionKind.ENTRY_JUMP, jump())

    def test_fail_the_pad_jump_would_be_relocated(self, program: Maker) -> None:
        made = program({ENTRY: bytes.fromhex("a1") + (0x180003000).to_bytes(8, "little") + RETURN})
        accepted(made, RedirectionKind.PAD_JUMP, pad())
        refused(self.relocated(made, ENTRY + 1), traps.ENTRY_RELOCATED)

    def test_an_address_that_ends_where_the_window_begins_is_none_of_it(self, program: Maker) -> None:
        made = program({ENTRY: LONG})
        accepted(self.relocated(made, ENTRY - 5 - 8), RedirectionKind.PAD_JUMP, pad())
        accepted(self.relocated(made, ENTRY - 5 - 7), RedirectionKind.ENTRY_JUMP, jump())


def test_the_committed_pairs(pair: Callable[..., Any]) -> None:
    """Room before the functions in one, a first instruction of one byte in the other."""
    kinds = {
        variant: {site.kind for site in pair(f"variants/{variant}", "gadget").plan.redirections}
        for variant in ("pad_jump", "line_only")
    }
    assert kinds == {"pad_jump": {RedirectionKind.PAD_JUMP}, "line_only": {RedirectionKind.ENTRY_JUMP}}


@pytest.mark.parametrize(
    ("code", "back"),
    [
        ("ffd0 8bc1 83c003 c3", 2),
        ("50 ffd0 59 83c003 c3", 3),
        ("90 ff5008 59 83c003 c3", 4),  # call [rax+8]
        ("8bc1 90 ffd0 83c003 c3", 5),
        ("e800000000 83c003 c3", 5),
        ("ff9000010000 c3", 6),
        ("8bc1 8bd1 ffd0 c3", 6),
    ],
)
def test_fail_a_call_that_returns_into_the_window(program: Maker, code: str, back: int) -> None:
    """Five bytes of the entry are written; at their end, or behind, a thread may come back."""
    made = program({ENTRY - 1: RETURN, ENTRY: bytes.fromhex(code)})
    if back < 5:
        assert refused(made, traps.CALL_AT_ENTRY).cause == f"a call returns to {ENTRY + back:#x}"
    else:
        accepted(made, RedirectionKind.ENTRY_JUMP, jump())


def test_a_call_of_two_bytes_ends_with_a_pad_jump(program: Maker) -> None:
    made = program({ENTRY: bytes.fromhex("ffd0 8bc1 83c003 c3")})
    accepted(made, RedirectionKind.PAD_JUMP, pad())
