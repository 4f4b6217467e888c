"""``hpbuild rehearse``: patch a program while it runs, and see whether it notices."""

from hpbuild.cli.options import (
    BundleArgument,
    Color,
    ColorOption,
    Format,
    FormatOption,
    QuietOption,
    VerboseOption,
)
from hpbuild.cli.output import Output
from hpbuild.cli.rehearse_options import (
    AfterOption,
    CommandArgument,
    ExpectExitOption,
    ExpectOutputOption,
    HoldOption,
    LimitOption,
    LoadLimitOption,
    OutputDirOption,
    RoundsOption,
    SameOutputOption,
    WhenLoadedOption,
)
from hpbuild.cli.trust import (
    AllowUnsignedOption,
    KeyOption,
    LowestTierOption,
    PolicyOption,
    ThresholdOption,
)
from hpbuild.dataclass import replace


def rehearse(
    bundle: BundleArgument,
    command: CommandArgument,
    rounds: RoundsOption = 3,
    after: AfterOption = 0.5,
    when_loaded: WhenLoadedOption = False,
    hold: HoldOption = 0.2,
    load_limit: LoadLimitOption = 60.0,
    limit: LimitOption = 300.0,
    expect_exit: ExpectExitOption = None,
    expect_output: ExpectOutputOption = None,
    same_output: SameOutputOption = False,
    output_dir: OutputDirOption = None,
    policy: PolicyOption = None,
    key: KeyOption = None,
    threshold: ThresholdOption = None,
    lowest_tier: LowestTierOption = None,
    allow_unsigned: AllowUnsignedOption = False,
    format: FormatOption = Format.TEXT,  # noqa: A002 - the option's name
    quiet: QuietOption = False,
    verbose: VerboseOption = 0,
    color: ColorOption = Color.AUTO,
) -> int:
    """Start a program, apply the package while it runs, revert it and apply it again, and watch.

    Without expectations the program has to end with status 0, or be alive after the last round; then it is
    ended. Exit status 0: it did what it should, and every apply and revert succeeded. What the program says
    goes to files that the result names.
    """
    from hpbuild.apply.rehearse.model import Expectation, Schedule
    from hpbuild.cli.rehearsing import run_rehearsal
    from hpbuild.cli.verifying import make_policy

    output = Output(format=format, quiet=quiet, verbose=verbose, color=color)
    trust = make_policy(
        key or [], threshold, lowest_tier, allow_unsigned=allow_unsigned, policy=policy, command="rehearse"
    )
    # A rehearsal puts nothing into service, so there is nothing to remember and nothing to go back behind.
    trust = replace(trust, state_required=False)
    schedule = Schedule(
        rounds=rounds, after=0.0 if when_loaded else after, hold=hold, load_limit=load_limit, limit=limit
    )
    expectation = Expectation(exit_status=expect_exit, pattern=expect_output, same_output=same_output)
    return run_rehearsal(bundle, command, trust, schedule, expectation, output_dir, output)
