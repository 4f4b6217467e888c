"""``python -m hpbuild.cli.fresh NUMBER COMMAND…``: the child process where none can be forked.

It runs the same command line as its parent up to the piece of work ``NUMBER``, which ends the process with
its answer on stdout.
"""

import os
import sys

from hpbuild.cli.main import main
from hpbuild.cli.piece import CHILD_VARIABLE


def run_piece() -> None:
    """Run the command line for the piece of work that its first argument names, and end the process. One that
    ends without having come to it has failed."""
    os.environ[CHILD_VARIABLE] = sys.argv.pop(1)
    sys.exit(main(sys.argv[1:]) or 1)


if __name__ == "__main__":
    run_piece()
