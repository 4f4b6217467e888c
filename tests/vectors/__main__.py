"""Run the suite over a verifier: ``python -m tests.vectors --cli "COMMAND"``.

COMMAND is called as ``COMMAND verify PACKAGE [--policy FILE] [--installed PATH] [--state FILE [--no-record]]
[--time T] --format json`` and must end with the exit status of the case. When it writes a JSON document, the
HP codes that the case names must be in it; a verifier with codes of its own says ``--status-only``.
"""

import argparse
import shlex
import sys

from tests.vectors.case import all_cases
from tests.vectors.running import external, run_case


def main() -> int:
    """0 when every case came out as it should."""
    parser = argparse.ArgumentParser(prog="python -m tests.vectors", description=__doc__)
    parser.add_argument("--cli", default=f"{sys.executable} -m hpbuild", help="the verifier's command")
    parser.add_argument("--only", default="", help="cases whose names contain this")
    parser.add_argument("--status-only", action="store_true", help="compare exit statuses, not codes")
    given = parser.parse_args()
    verifier = external(shlex.split(given.cli))
    cases = [case for case in all_cases() if given.only in case.name]
    wrong = without_codes = 0
    for case in cases:
        outcome = run_case(case, verifier)
        complaint = outcome.complaint
        if given.status_only and complaint.startswith("no finding"):
            complaint = ""
        without_codes += not outcome.codes and bool(case.codes)
        wrong += bool(complaint)
        sys.stdout.write(
            f"{'WRONG' if complaint else 'ok':5}  {case.name}  {complaint}\n".rstrip(" \n") + "\n"
        )
    sys.stdout.write(f"{len(cases) - wrong} of {len(cases)} cases are as they should be\n")
    if without_codes and not given.status_only:
        sys.stdout.write(f"{without_codes} gave no JSON, so their codes were not compared\n")
    return 1 if wrong or not cases else 0


if __name__ == "__main__":
    sys.exit(main())
