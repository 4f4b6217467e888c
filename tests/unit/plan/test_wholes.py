"""All fragments of functions."""

import numpy as np

from hpbuild.code.model import Fragments
from hpbuild.plan.wholes import Wholes


def test_every_fragment_of_every_function_that_was_asked_for() -> None:
    root = np.array([0, 1, 0, 1, 4, 5, 5, 4])
    count = len(root)
    table = Fragments(
        start=np.arange(count) * 16,
        end=np.arange(count) * 16 + 8,
        root=root,
        unwind=np.zeros(count, dtype=np.int64),
        opaque=np.arange(count) == 3,
        falls_through=np.zeros(count, dtype=np.bool_),
    )
    wholes = Wholes(table)
    for roots in ([], [0], [1, 4], [5, 0], [0, 1, 4, 5]):
        found = wholes.of(np.array(roots, dtype=np.int64)).tolist()
        assert sorted(found) == np.flatnonzero(np.isin(root, roots)).tolist()
        assert found[: len(roots)] == roots
