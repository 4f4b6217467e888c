"""``hpbuild revert``: take a package out again."""

from pathlib import Path
from typing import Annotated

import typer

from hpbuild.cli.options import (
    Color,
    ColorOption,
    Format,
    FormatOption,
    PidOption,
    QuietOption,
    VerboseOption,
)
from hpbuild.cli.output import Output
from hpbuild.cli.trust import (
    STATE_WAIT,
    AllowUnsignedOption,
    KeyOption,
    LowestTierOption,
    NoRecordOption,
    PolicyOption,
    StateOption,
    StateWaitOption,
    ThresholdOption,
)

PackageArgument = Annotated[
    Path | None,
    typer.Argument(
        metavar="X.hpb",
        readable=False,
        show_default=False,
        help="The package, or a revert package for it.",
    ),
]
AllOption = Annotated[bool, typer.Option("--all", help="Every package in the process; only with --pid.")]
OfflineOption = Annotated[
    bool, typer.Option("--offline", help="Give the original of a patched file or tree back.")
]
InstalledOption = Annotated[
    Path | None,
    typer.Option(
        metavar="PATH",
        readable=False,
        show_default=False,
        help="The patched file, or the tree of them. It is only read.",
    ),
]
OriginalOption = Annotated[
    Path | None,
    typer.Option(
        "--output",
        "-o",
        metavar="PATH",
        readable=False,
        show_default=False,
        help="The original file. For a tree a new directory that gets the originals, and only those.",
    ),
]


def revert(
    bundle: PackageArgument = None,
    every: AllOption = False,
    offline: OfflineOption = False,
    installed: InstalledOption = None,
    output: OriginalOption = None,
    pid: PidOption = None,
    policy: PolicyOption = None,
    key: KeyOption = None,
    threshold: ThresholdOption = None,
    lowest_tier: LowestTierOption = None,
    allow_unsigned: AllowUnsignedOption = False,
    state: StateOption = None,
    no_record: NoRecordOption = False,
    state_wait: StateWaitOption = STATE_WAIT,
    format: FormatOption = Format.TEXT,  # noqa: A002 - the option's name
    quiet: QuietOption = False,
    verbose: VerboseOption = 0,
    color: ColorOption = Color.AUTO,
) -> int:
    """Take a package out: of a patched file (--offline), or of a running process (--pid).

    Offline the verifier has to find the package in the file, and in the result the build that the package is
    for; all files of the package are written, or none. In a process the live agent puts the old bytes back.
    X.hpb is the package or a revert package for it (`hpbuild build --revert`); with --policy or --state
    only the latter will do; with --state it is remembered when the package was taken out.
    Exit status 0: done; 3: the package is not in effect; else that of verify or of what the live agent met.
    """
    from hpbuild.cli.applying import revert_copy, usage
    from hpbuild.cli.remembering import Remembering
    from hpbuild.cli.verifying import make_policy

    shown = Output(format=format, quiet=quiet, verbose=verbose, color=color)
    memory = Remembering(state, no_record, state_wait)
    if pid is not None:
        from hpbuild.cli.living import revert_all_running, revert_running

        if offline or installed is not None or output is not None or (bundle is None) is not every:
            raise usage(
                "revert", "with --pid say X.hpb or --all, and none of --offline, --installed, --output"
            )
        if state is None and policy is None and (key or threshold or lowest_tier or no_record):
            cause = "--key, --threshold, --lowest-tier and --no-record go with --pid only beside --state"
            raise usage("revert", f"{cause}: without it and --policy nobody is asked who made the package")
        if bundle is None:
            if state is not None or policy is not None:
                raise usage(
                    "revert", "--all goes with neither --policy nor --state: nothing says what is meant"
                )
            return revert_all_running(pid, shown)
        if state is None and policy is None:
            return revert_running(bundle, pid, shown)
        trust = make_policy(
            key or [], threshold, lowest_tier, allow_unsigned=allow_unsigned, policy=policy, command="revert"
        )
        return revert_running(bundle, pid, shown, trust, memory)
    if not offline or every or bundle is None or installed is None or output is None:
        raise usage("revert", "say --pid N, or X.hpb, --offline, --installed PATH and --output PATH")
    trust = make_policy(
        key or [], threshold, lowest_tier, allow_unsigned=allow_unsigned, policy=policy, command="revert"
    )
    signed = state is not None or policy is not None
    return revert_copy(bundle, (installed, output), trust, memory, shown, signed=signed)
