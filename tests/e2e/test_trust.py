"""A policy with certificates, time stamps and roles, from the command line alone."""

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from hpbuild.sign.keys import read_public
from tests import certificates as openssl
from tests.policies import authority, identity, policy_text
from tests.publishers import make_publisher

AFTER_ALL_CERTIFICATES = "2046-01-01T00:00:00Z"


def codes_in(document: dict[str, Any]) -> list[str]:
    return [item["code"] for check in document["packages"][0]["checks"] for item in check["findings"]]


def test_two_roles_a_raw_key_and_a_certificate(
    hpbuild: Any, work: Any, tmp_path: Path, require_tool: Callable[[str], str]
) -> None:
    """The build server signs with a certificate, the security team with a key that the policy names."""
    require_tool("openssl")
    root = openssl.make_authority(tmp_path / "root", "Corp Root")
    issuing = openssl.make_authority(tmp_path / "issuing", "Corp Issuing", issuer=root)
    leaf = openssl.make_leaf(tmp_path / "leaf", issuing, subject="/O=Example/CN=Build Server")
    chain = tmp_path / "chain.pem"
    chain.write_bytes(leaf.pem + issuing.pem)
    policy = tmp_path / "trust.toml"

    with openssl.start_timestamp_authority(tmp_path / "time") as stamps:

        def write(name: str, *, stamped: bool = True) -> None:
            tail = authority("corp", root.pem) + identity(
                "builder", ["corp"], common_name=name, organization="Example"
            )
            if stamped:
                tail += authority("time", stamps.root.pem, "timestamp_authorities")
            tail += '[[roles]]\nname = "build"\nidentities = ["builder"]\n'
            keys = {"team": read_public(work.public)}
            policy.write_text(policy_text(keys, roles={"security": ["team"]}, tail=tail))

        def verify(*more: object) -> tuple[int, dict[str, Any]]:
            run = hpbuild(
                "verify",
                work.package,
                "--policy",
                policy,
                "--installed",
                work.baseline,
                "--format",
                "json",
                *more,
            )
            return run.status, run.document()

        write("Build Server")
        status, document = verify()
        assert (status, codes_in(document)) == (1, ["HP6003"])
        done = hpbuild(
            "sign", work.package, "--key", f"file:{leaf.key}", "--cert", chain, "--timestamp-url", stamps.url
        )
        assert done.status == 0, done
        status, document = verify()
        assert status == 0
        signers = {signer["role"]: signer for signer in document["packages"][0]["signers"]}
        assert (signers["security"]["name"], signers["security"]["certificate"]) == ("team", "")
        assert signers["build"]["name"] == "builder"
        assert "CN=Build Server" in signers["build"]["certificate"]
        assert signers["build"]["timestamp_authority"] == "CN=Test Time"
        assert verify("--time", AFTER_ALL_CERTIFICATES)[0] == 0
        write("Another Server")
        status, document = verify()
        assert (status, codes_in(document)) == (1, ["HP6003", "HP6126"])
        write("Build Server", stamped=False)
        assert verify()[0] == 0
        status, document = verify("--time", AFTER_ALL_CERTIFICATES)
        assert (status, codes_in(document)) == (1, ["HP6003", "HP5311"])


def test_the_time_reaches_the_publisher_of_the_installed_file(
    hpbuild: Any, work: Any, tmp_path: Path, require_tool: Callable[[str], str]
) -> None:
    """No time stamp, so that the time of the verification says whether the certificate counts."""
    require_tool("openssl")
    require_tool("osslsigncode")
    valid = (datetime(2020, 1, 1, tzinfo=UTC), datetime(2021, 1, 1, tzinfo=UTC))
    publisher = make_publisher(tmp_path / "vendor", valid)
    policy, installed = tmp_path / "trust.toml", tmp_path / "codec.dll"
    policy.write_text(policy_text({"team": read_public(work.public)}, tail=publisher.rule))
    publisher.sign(work.baseline, installed)

    def verify(file: Path, *more: object) -> tuple[int, list[str], str]:
        command = ("verify", work.package, "--policy", policy, "--installed", file, "--format", "json")
        run = hpbuild(*command, *more)
        (entry,) = run.document()["packages"]
        (made,) = [check["status"] for check in entry["checks"] if check["number"] == "V18"]
        return run.status, codes_in(run.document()), made

    assert verify(installed, "--time", "2020-06-01T00:00:00Z") == (0, [], "passed")
    assert verify(installed, "--time", "2021-06-01T00:00:00Z") == (3, ["HP5311"], "failed")
    assert verify(installed) == (3, ["HP5311"], "failed")
    assert verify(installed, "--time", "2019-06-01T00:00:00Z")[0] == 3
    assert verify(work.baseline, "--time", "2020-06-01T00:00:00Z") == (3, ["HP6211"], "failed")


def test_a_policy_from_nothing(hpbuild: Any, work: Any, tmp_path: Path) -> None:
    """The commands of the quick start."""
    policy = tmp_path / "trust.toml"
    assert hpbuild("policy", "init", "-o", policy).status == 0
    assert hpbuild("verify", work.package, "--policy", policy, "--format", "json").error() == (2, "HP6106")
    assert hpbuild("policy", "add-key", policy, work.public, "--role", "release").status == 0
    assert hpbuild("policy", "check", policy).status == 0
    assert hpbuild("verify", work.package, "--policy", policy).status == 0
    out = tmp_path / "patched.dll"
    copy = ("--offline", "--installed", work.baseline, "-o", out, "--policy", policy)
    assert hpbuild("apply", work.package, *copy).status == 0
    assert out.exists()
