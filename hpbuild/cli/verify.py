"""``hpbuild verify``: may this package be used here."""

from hpbuild.cli.bounds import (
    CLOCK_SECONDS,
    CPU_SECONDS,
    MaxCpuOption,
    MaxMemoryOption,
    MaxSecondsOption,
    bounds,
)
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
    from hpbuild.cli.attesting import attestation, refuse_hollow, write_summary
    from hpbuild.cli.remembering import Remembering
    from hpbuild.cli.verifying import Comparand, check_packages, given_time, make_policy
    from hpbuild.report import verify as report

    at = given_time(time)
    within = bounds(max_memory, max_cpu, max_seconds)
    output = Output(format=format, quiet=quiet, verbose=verbose, color=color)
    trust = make_policy(
        key or [], threshold, lowest_tier, allow_unsigned=allow_unsigned, policy=policy, command="verify"
    )
    inputs = (*bundles, *(key or ()), policy, installed, dump, state)
    wanted = attestation(attest, attest_key, attest_host, inputs)
    if wanted is not None:
        refuse_hollow(trust, at)
    with Remembering(state, no_record, state_wait).opened(trust, "verify", at) as kept:
        comparand = Comparand(installed, pid, dump)
        packages, status = check_packages(bundles, trust, comparand, output, within, kept, at)
    if wanted is not None:
        write_summary(wanted, packages, status, trust.sha256, output)
    document = report.document(packages, status)
    output.emit(document, lambda entries: report.blocks(entries, full=output.full))
    return status
