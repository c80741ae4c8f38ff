"""Divisions to the last bit, and angles and lengths at the edges of the plane and of the numbers."""

from __future__ import annotations

import numpy as np
import pytest

import pullback as pb

NAN, INF = float("nan"), float("inf")
DTYPES = ("float32", "float64")


def hard_divisions(dtype, n=20000):
    """a and b: specials, any bits, subnormal numbers, numbers beside multiples of b up to more than 2^digits times it."""
    rng = np.random.default_rng(7)
    info, bits = np.finfo(dtype), {"float32": np.uint32, "float64": np.uint64}[dtype]
    edges = [
        0,
        0.1,
        0.5,
        1,
        3,
        info.smallest_subnormal,
        3 * info.tiny,
        2**info.nmant,
        2.0**info.nmant + 1,
        info.max,
        INF,
        NAN,
    ]
    specials = np.array([*edges, *[-x for x in edges]], dtype)
    a, b = (x.ravel() for x in np.meshgrid(specials, specials))

    any_bits = rng.integers(0, np.iinfo(bits).max, (2, n), dtype=bits).view(dtype)
    subnormal = rng.integers(0, 1 << info.nmant, (2, n), dtype=bits)
    subnormal[1] >>= rng.integers(0, info.nmant, n, dtype=bits)
    divisor = (rng.standard_normal(n) * 2.0 ** rng.integers(-20, 20, n)).astype(dtype)
    near = divisor * np.round(2.0 ** rng.uniform(0, info.nmant + 4, n)).astype(dtype)
    near = np.nextafter(near, near * rng.choice([-2, 1, 2], n).astype(dtype)).astype(dtype)
    few = (divisor * rng.uniform(-3, 3, n)).astype(dtype)
    rows = [(a, b), any_bits, subnormal.view(dtype), (near, divisor), (few, divisor)]
    return np.concatenate([r[0] for r in rows]), np.concatenate([r[1] for r in rows])


def remainder(a, b):
    r = np.fmod(a, b)
    return np.where((r != 0) & ((b < 0) != (r < 0)), r + b, r)


def floor_quotient(a, b):
    r = np.fmod(a, b)
    q = (a - r) / b - ((r != 0) & ((b < 0) != (r < 0))).astype(a.dtype)
    floored = np.floor(q)
    nearest = np.where(q - floored > 0.5, floored + 1, floored)
    return np.where(b == 0, a / b, np.where(q == 0, np.copysign(0, a / b), nearest))


def same(got, want):
    """Equal numbers, zeros with their signs, and NaN where NaN is."""
    nan = np.isnan(want)
    assert got.dtype == want.dtype and np.array_equal(np.isnan(got), nan)
    wrong = ~nan & ((got != want) | (np.signbit(got) != np.signbit(want)))
    assert not wrong.any(), (np.flatnonzero(wrong)[:5], got[wrong][:5], want[wrong][:5])


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(
    ("op", "reference"), [(pb.fmod, np.fmod), (pb.remainder, remainder), (pb.floor_divide, floor_quotient)]
)
def test_division_is_exact(op, reference, dtype) -> None:
    a, b = hard_divisions(dtype)
    with np.errstate(all="ignore"):
        same(op(pb.tensor(a), pb.tensor(b)).numpy(), reference(a, b))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("op", [pb.fmod, pb.remainder, pb.floor_divide, pb.atan2, pb.hypot])
def test_elements_do_not_depend_on_their_neighbours(op, dtype) -> None:
    """A vector with one hard division in it computes the others as a vector without one."""
    a, b = hard_divisions(dtype, 2000)
    y = op(pb.tensor(a), pb.tensor(b)).numpy()
    for n in (1, 3, 5, 7):
        order = np.random.default_rng(n).permutation(a.size)[: a.size - n]
        assert op(pb.tensor(a[order]), pb.tensor(b[order])).numpy().tobytes() == y[order].tobytes()


@pytest.mark.parametrize("dtype", DTYPES)
def test_angles_and_lengths_at_the_edges(dtype) -> None:
    """C's rules for signed zeros, infinities and NaN; no square overflows or vanishes."""
    info = np.finfo(dtype)
    edges = [0, 1, 1e-3, info.smallest_subnormal, info.tiny, info.max, info.max / 2, INF, NAN]
    specials = np.array([*edges, *[-x for x in edges]], dtype)
    y, x = (v.ravel() for v in np.meshgrid(specials, specials))
    for op, reference in ((pb.atan2, np.arctan2), (pb.hypot, np.hypot)):
        with np.errstate(all="ignore"):
            got, want = op(pb.tensor(y), pb.tensor(x)).numpy(), reference(y, x)
        np.testing.assert_array_max_ulp(got[~np.isnan(want)], want[~np.isnan(want)], 2 if dtype == "float32" else 4)
        assert np.array_equal(np.isnan(got), np.isnan(want)) and np.array_equal(
            np.signbit(got)[~np.isnan(want)], np.signbit(want)[~np.isnan(want)]
        )
