"""Columns of 64-bit labels: mixed two by two, and summed by group."""

import numpy as np

from hpbuild.code.model import I64

U64 = np.ndarray[tuple[int], np.dtype[np.uint64]]
_A, _B, _C = np.uint64(0x9E3779B97F4A7C15), np.uint64(0xC2B2AE3D27D4EB4F), np.uint64(0x165667B19E3779F9)


def mix(left: U64, right: U64) -> U64:
    """A 64-bit mixing function of two columns (multiply, rotate, add; no claim to be cryptographic)."""
    value = left * _A
    value ^= right + _B
    value ^= value >> np.uint64(29)
    value *= _C
    value ^= value >> np.uint64(32)
    return value


def pair_labels(numbers: I64) -> U64:
    """Labels of pairs by their numbers from 0."""
    labels = (numbers + 1).view(np.uint64) * _B
    labels ^= labels >> np.uint64(29)
    labels *= _C
    return labels


def summed(values: U64, groups: I64, count: int) -> U64:
    """Sum of ``values`` by group, modulo 2**64 (order does not matter, repetition does)."""
    result = np.zeros(count, dtype=np.uint64)
    np.add.at(result, groups, values)
    return result


def summed_runs(values: U64, groups: I64, count: int) -> U64:
    """``summed`` for groups that are ascending."""
    bounds = np.zeros(count + 1, dtype=np.int64)
    np.cumsum(np.bincount(groups, minlength=count), out=bounds[1:])
    sums = np.zeros(len(values) + 1, dtype=np.uint64)
    np.cumsum(values, out=sums[1:])
    sums = sums[bounds]
    return sums[1:] - sums[:-1]
