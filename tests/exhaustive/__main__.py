"""Every change of every walk: ``python -m tests.exhaustive``. Exit status 1 when one of them verifies."""

import sys
import time

from tests.exhaustive.walks import WALKS, package, verifies, walk


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def main() -> int:
    """The command line."""
    assert verifies(package())
    _say(f"a package of {len(package())} bytes; accepted must be 0")
    _say(f"{'tried':>7} {'accepted':>8} {'key id only':>11} {'CPU s':>6}  walk")
    wrong = 0
    for name in WALKS:
        began = time.process_time()
        found = walk(name)
        wrong += len(found.accepted)
        spent = time.process_time() - began
        _say(f"{found.tried:>7} {len(found.accepted):>8} {found.hints:>11} {spent:>6.0f}  {name}")
        for what in found.accepted[:20]:
            _say(f"  {what}")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
