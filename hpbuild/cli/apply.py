"""``hpbuild apply``: put a package to work."""

from pathlib import Path
from typing import Annotated

import typer

from hpbuild.cli.options import (
    BundleArgument,
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


def apply(
    bundle: BundleArgument,
    offline: Annotated[
        bool, typer.Option("--offline", help="Write a patched copy of the installed file or tree.")
    ] = False,
    installed: Annotated[
        Path | None,
        typer.Option(
            metavar="PATH",
            readable=False,
            show_default=False,
            help="The file to patch, or the tree of files. It is only read.",
        ),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            metavar="PATH",
            readable=False,
            show_default=False,
            help="The patched file. For a tree a new directory that gets the patched files, and only those.",
        ),
    ] = None,
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
    """Write a package into a copy of the installed file (--offline), or into a running process (--pid).

    The verifier has to say yes first. All files, or all loaded modules, of the package are written, or none.
    Exit status 0: written, or in effect already in the process; else that of verify, with all findings, or of
    what the live agent met. With --state the package is remembered when it was written.
    """
    from hpbuild.cli.applying import apply_to_copy, usage
    from hpbuild.cli.remembering import Remembering
    from hpbuild.cli.verifying import make_policy

    shown = Output(format=format, quiet=quiet, verbose=verbose, color=color)
    memory = Remembering(state, no_record, state_wait)
    if pid is not None:
        if offline or installed is not None or output is not None:
            raise usage("apply", "--pid goes with none of --offline, --installed and --output")
        from hpbuild.cli.living import apply_running

        trust = make_policy(
            key or [], threshold, lowest_tier, allow_unsigned=allow_unsigned, policy=policy, command="apply"
        )
        return apply_running(bundle, pid, trust, memory, shown)
    if not offline or installed is None or output is None:
        raise usage("apply", "say --pid N, or --offline, --installed PATH and --output PATH")
    trust = make_policy(
        key or [], threshold, lowest_tier, allow_unsigned=allow_unsigned, policy=policy, command="apply"
    )
    return apply_to_copy(bundle, (installed, output), trust, memory, shown)
