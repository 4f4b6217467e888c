"""Steps 4 and 5: what carried code and data refer to in the baseline is listed in the manifest."""

import numpy as np

from hpbuild.codes import prove as codes
from hpbuild.manifest.model import Module
from hpbuild.prove.checks import Recorder
from hpbuild.prove.references import Numbers


def check_pinned(recorder: Recorder, module: Module, targets: Numbers, patch_start: int) -> None:
    """Every address below the patch image that carried bytes name lies in a range that the manifest lists:
    a reference, or a replaced function. RVA 0 is the module itself, or no address at all."""
    ranges = [item.range for item in module.references]
    ranges += [part for function in module.functions for part in function.baseline]
    runs = sorted((run.start, run.end) for run in ranges)
    start = np.array([run[0] for run in runs], dtype=np.int64)
    reach = np.maximum.accumulate(np.array([run[1] for run in runs], dtype=np.int64))
    named = np.unique(targets[(targets > 0) & (targets < patch_start)])
    row = np.searchsorted(start, named, side="right") - 1
    covered = (row >= 0) & (named <= reach[row]) if len(runs) else named < 0
    for address in named[~covered].tolist():
        recorder.fail(codes.REFERENCE_NOT_PINNED, f"{address:#x}", "no reference of the manifest holds it")
