"""Answers of the agent: what is taken, and that nothing else is."""

import json

import pytest

from hpbuild.apply.live.protocol import MAX_LINE, Reply, Times, parse_reply
from hpbuild.codes.live import BAD_REPLY, SLUGS
from hpbuild.errors import HpbuildError

APPLIED = {
    "ok": True,
    "result": "applied",
    "packages": [{"id": "P-1", "product": "p", "sequence": 3, "sha256": "00"}],
    "modules": [
        {
            "name": "a.dll",
            "package": 0,
            "base": "0x180000000",
            "block": "0x180010000",
            "size": 4096,
            "delta": 0,
            "redirections": 2,
        }
    ],
    "resident": True,
    "waits": {"count": 2, "longest_ns": 9, "median_ns": 4},
    "looks": {"count": 0, "longest_ns": 0, "median_ns": 0},
    "flips": 3,
    "commit_ns": 100,
    "total_ns": 200,
}


def parsed(document: object) -> Reply:
    return parse_reply(json.dumps(document).encode())


def refused(line: bytes) -> str:
    with pytest.raises(HpbuildError) as caught:
        parse_reply(line)
    assert caught.value.code is BAD_REPLY
    return caught.value.finding.cause


def test_success() -> None:
    reply = parsed(APPLIED)
    assert (reply.ok, reply.result, reply.error, reply.resident) == (True, "applied", "", True)
    assert (reply.packages[0].id, reply.packages[0].sequence) == ("P-1", 3)
    (module,) = reply.modules
    assert (module.name, module.base, module.block, module.redirections) == (
        "a.dll",
        0x180000000,
        0x180010000,
        2,
    )
    assert reply.waits == Times(count=2, longest_ns=9, median_ns=4)
    assert (reply.looks.count, reply.flips, reply.commit_ns, reply.total_ns) == (0, 3, 100, 200)
    with pytest.raises(ValueError, match="succeeded"):
        reply.finding("somewhere")


@pytest.mark.parametrize("slug", SLUGS)
def test_every_failure_has_a_row(slug: str) -> None:
    reply = parsed({"ok": False, "error": slug, "module": "a.dll", "function": "f", "detail": "why"})
    finding = reply.finding("process 5")
    assert finding.code is SLUGS[slug]
    assert (finding.place, finding.cause) == ("a.dll, f", "why")
    assert finding.code.remedy


def test_places() -> None:
    assert parsed({"ok": False, "error": "busy"}).finding("process 5").place == "process 5"
    assert parsed({"ok": False, "error": "hooked", "module": "a.dll"}).finding("x").place == "a.dll"


@pytest.mark.parametrize(
    "line",
    [b"", b"{", b"[]", b"1", b"null", b"\xff", b"[" * 100_000, b'{"ok":1}', b'{"result":"applied"}'],
)
def test_lines_that_are_no_answer(line: bytes) -> None:
    refused(line)


@pytest.mark.parametrize(
    "fields",
    [
        {"result": "done"},
        {"result": 1},
        {"resident": 1},
        {"packages": {}},
        {"packages": [1]},
        {"packages": []},
        {"waits": 1},
        {"waits": {"count": -1}},
        {"waits": {"count": True}},
        {"flips": 1 << 64},
        {"flips": "1"},
        {"modules": [{"name": "a.dll", "package": 0, "base": "180000000", "block": "0x1"}]},
        {"modules": [{"name": "a.dll", "package": 0, "base": "0x", "block": "0x1"}]},
        {"modules": [{"name": "a.dll", "package": 0, "base": "0x" + "1" * 17, "block": "0x1"}]},
        {"modules": [{"name": "a.dll", "package": 1, "base": "0x1", "block": "0x1"}]},
    ],
)
def test_fields_of_the_wrong_kind(fields: dict[str, object]) -> None:
    refused(json.dumps(APPLIED | fields).encode())


def test_a_failure_without_a_name() -> None:
    assert "failure" in refused(b'{"ok":false,"error":"oops"}')
    assert "failure" in refused(b'{"ok":false}')


def test_endless_lines() -> None:
    assert "bytes on one line" in refused(b" " * (MAX_LINE + 1))
