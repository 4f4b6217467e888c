"""``hpbuild verify``: may this package be used here."""

from hpbuild.cli.bound_options import MaxCpuOption, MaxMemoryOption, MaxSecondsOption
from hpbuild.cli.bounds import CLOCK_SECONDS, CPU_SECONDS, bounds
from hpbuild.cli.options import Color, ColorOption, Format, FormatOption, QuietOption, VerboseOption
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
    TimeOption,
)
from hpbuild.cli.verify_options import (
    AttestHostOption,
    AttestKeyOption,
    AttestOption,
    BundlesArgument,
    DumpOption,
    InstalledOption,
    MemoryOption,
)


def verify(
    bundles: BundlesArgument,
    policy: PolicyOption = None,
    key: KeyOption = None,
    threshold: ThresholdOption = None,
    installed: InstalledOption = None,
    pid: MemoryOption = None,
    dump: DumpOption = None,
    lowest_tier: LowestTierOption = None,
    allow_unsigned: AllowUnsignedOption = False,
    time: TimeOption = None,
    state: StateOption = None,
    no_record: NoRecordOption = False,
    state_wait: StateWaitOption = STATE_WAIT,
    attest: AttestOption = None,
    attest_key: AttestKeyOption = None,
    attest_host: AttestHostOption = None,
    max_memory: MaxMemoryOption = None,
    max_cpu: MaxCpuOption = CPU_SECONDS,
    max_seconds: MaxSecondsOption = CLOCK_SECONDS,
    format: FormatOption = Format.TEXT,  # noqa: A002 - the option's name
    quiet: QuietOption = False,
    verbose: VerboseOption = 0,
    color: ColorOption = Color.AUTO,
) -> int:
    """Check packages: who signed them, that they are consistent, and that they fit what is installed or runs.

    Exit status 0: all verified; 1: one failed; 3: good, but not for this installation; 4, 5, 6: one could
    not be read. With --state the packages that are verified are remembered, and none may go back behind them.
    --attest writes its signed summary whatever the verdict. Nothing is fetched from a network.
    """
    from hpbuild.cli.verifying import run

    return run(
        bundles,
        policy=policy,
        key=key or (),
        threshold=threshold,
        installed=installed,
        pid=pid,
        dump=dump,
        lowest_tier=lowest_tier,
        allow_unsigned=allow_unsigned,
        time=time,
        state=state,
        no_record=no_record,
        state_wait=state_wait,
        attest=attest,
        attest_key=attest_key,
        attest_host=attest_host,
        within=bounds(max_memory, max_cpu, max_seconds),
        output=Output(format=format, quiet=quiet, verbose=verbose, color=color),
    )
