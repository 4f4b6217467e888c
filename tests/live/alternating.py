"""A driver that is to be killed: python -m tests.live.alternating PID PACKAGE.

Applies and reverts in turn without end. It says `ready` when its first command is about to begin.
"""

import sys
from pathlib import Path

from hpbuild.apply.live.driver import EVERY_PACKAGE, open_session
from hpbuild.apply.live.preparing import prepare
from hpbuild.apply.live.result import LiveRequest
from hpbuild.codes.live import NOT_APPLIED
from hpbuild.errors import HpbuildError
from hpbuild.pe.processes import open_process
from hpbuild.verify import Policy


def main(pid: int, bundle: bytes) -> None:
    """Alternate until somebody ends this program."""
    request = LiveRequest(bundle=bundle, name="test.hpb", policy=Policy(allow_unsigned=True), pid=pid)
    with open_process(pid) as process, open_session(process) as session:
        try:
            session.revert(EVERY_PACKAGE)
        except HpbuildError as error:
            if error.code is not NOT_APPLIED:
                raise
        order = prepare(request, process).order
        assert order is not None
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        while True:
            session.apply(order)
            session.revert(order.id)


if __name__ == "__main__":
    main(int(sys.argv[1]), Path(sys.argv[2]).read_bytes())
