"""The programs that other tests here use do what they say."""

import shutil
from pathlib import Path

import pytest

from tests.live.codec import wait_for_calls
from tests.live.wine import LIMIT, Wine


@pytest.fixture
def folder(tmp_path: Path, binaries: Path) -> Path:
    for name in ("codec.dll", "throwing.dll"):
        shutil.copy(binaries / "baseline" / name, tmp_path / name)
    return tmp_path


def test_host_calls_and_reports(wine: Wine, folder: Path) -> None:
    with wine.host(folder, "codec.dll", "throwing.dll") as host:
        assert Path(f"/proc/{host.pid}/maps").read_text().count("throwing.dll")
        assert host.call("s codec_status_text -1") == '"input ends too early"'
        assert host.call('i number_or_status "12" $0') == "0"
        assert host.do("peek $0 4") == "0c000000"
        assert host.call('i number_or_status "1x" $0') == "-2"
        assert host.call("i read_or 16 77") == "77"
        assert host.call("i read_or 16 -1") == "raised c0000005"
        assert host.call("v &raise 0xE06D7363") == "raised e06d7363"
        assert host.number("base codec.dll") < host.number("address codec_find")
        assert host.number("take 0 read_or") == host.number("address read_or")
        assert host.call("i @0 16 -7") == "-7"
        assert host.call("s &identity 0") == "null"
        for wrong in (
            "bogus",
            "call u nothing",
            "call",
            "finish 3",
            "counts 1",
            "peek 16 4",
            "call u read_or ~",
        ):
            assert host.ask(wrong).startswith("error "), wrong


def test_threads_call_without_pause_and_check_every_result(wine: Wine, folder: Path) -> None:
    with wine.host(folder, "throwing.dll") as host:
        right = host.start(2, 'i number_or_status "5" $1', [7, 0])
        wrong = host.start(1, "u area_of 1", [11])
        raising = host.start(1, "i read_or 16 -1", [])
        texts = host.start(1, "s severity_name 0", ['"note"'])
        host.do("begin q &wait 5")
        host.do("entered 1")
        host.do("release")
        assert host.do("finish 0") == "0x0000000000000005"
        wait_for_calls(host, (right, wrong, raising, texts))
        counts = {group: host.stop(group) for group in (right, wrong, raising, texts)}
        assert counts[right].each == (0, counts[right].calls)
        assert (counts[right].wrong, counts[right].raised) == (0, 0)
        assert counts[wrong].wrong == counts[wrong].calls > 0
        assert counts[wrong].first_wrong == 12
        assert counts[raising].raised == counts[raising].calls > 0
        assert counts[texts].each == (counts[texts].calls,)


def test_host_writes_memory_and_takes_addresses(wine: Wine, folder: Path) -> None:
    with wine.host(folder, "throwing.dll") as host:
        entry = host.number("address largest_number")
        host.do(f"poke {entry} b82a000000c3")
        assert host.call("u largest_number") == "42"
        assert host.number(f"reserve {entry} {entry + (1 << 28)}") > 0
        host.do("give-back")
        host.do("expire 1 7")
        assert host.process.wait(LIMIT) == 7


def test_a_program_is_held_before_its_first_instruction(wine: Wine, folder: Path, binaries: Path) -> None:
    shutil.copy(binaries / "host.exe", folder / "program.exe")
    with wine.held(folder, "program.exe", "missing.dll") as held:
        assert not held.output.read_bytes()
        assert held.pid != held.process.pid
        finished = held.go()
    assert finished.code == 1
    assert finished.output.startswith(b"error not loaded: ")
