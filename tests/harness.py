"""The table of cases: what one is, where they all are, and how inputs are laid out.

A case is one op with inputs, a NumPy reference in float64 for value and pullback, and the figures that the benchmarks
need. `tests/cases/<stem>.py` holds the cases of one kernel family in a list `CASES`; tests and benchmarks read the same
list.
"""

from __future__ import annotations

import contextlib
import importlib
import pkgutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import ml_dtypes
import numpy as np

from pullback import _cpu, bfloat16, int16
from pullback._backend import adopt, cpu

Arrays = list[Any]

# Sizes around what a vector holds (4, 8, 16 floats), odd ones, and one that spans several tiles of 512 elements.
VECTOR_SIZES = ((0,), (1,), (3,), (4,), (5,), (7,), (8,), (9,), (15,), (16,), (17,), (33,))
SHAPES = (*VECTOR_SIZES, (), (3, 5), (2, 0, 3), (4, 1, 6), (37, 41), (2, 3, 4, 5), (1, 2049))
LAYOUTS = ("contiguous", "transposed", "strided", "misaligned", "reversed")
HALVES = ("float16", "bfloat16")


@dataclass(frozen=True)
class Case:
    """One op and what is known about it.

    inputs(rng, shape)  float64 and integer arrays; the float64 ones are rounded to the dtype under test before the
                        reference sees them, so that their rounding is not held against the kernel
    run(*tensors)       the op
    value(*arrays)      the reference, in float64
    vjp(dy, *arrays)    the gradients of Σ dy · value, one an input, None where there is none; None for an op that
                        has no derivative
    scale(*arrays)      the size of what rounding acts on, elementwise: tol = ulps · eps(dtype) · scale. By default
                        |value|; for a sum of K terms Σ|terms|, as its rounding error grows with the terms, not with
                        their sum
    vjp_scale(dy, *arrays)   likewise for the gradients; by default |gradient| + max|dy|
    """

    name: str
    run: Callable[..., Any]
    inputs: Callable[[np.random.Generator, tuple[int, ...]], Arrays]
    value: Callable[..., Any]
    vjp: Callable[..., Sequence[Any]] | None = None
    shapes: Sequence[tuple[int, ...]] = SHAPES
    layouts: Sequence[str] = LAYOUTS
    dtypes: Sequence[str] = ("float32", "float64")
    ulps: float = 4
    vjp_ulps: float = 8
    scale: Callable[..., Any] | None = None
    vjp_scale: Callable[..., Sequence[Any]] | None = None
    second: bool = True  # its pullback has a pullback
    differences: bool = True  # compare with finite differences (False only where a kink is what is tested)
    bench: Sequence[tuple[int, ...]] = ((1024, 1024),)
    work: Callable[..., tuple[float, float]] | None = None  # (FLOPs, bytes) at a shape; by default bytes moved only
    torch: str | None = None  # the peer's equivalent, an expression over `torch` and the inputs a, b, c, …
    differs: str = ""  # why the peer's result may be another one, where that is known

    @property
    def every_dtype(self) -> Sequence[str]:
        """With the halves, where it is on any floating-point type."""
        return (*self.dtypes, *HALVES) if {"float32", "float64"} <= set(self.dtypes) else self.dtypes


def all_cases() -> list[Case]:
    """Every case of every family."""
    import cases

    found = []
    for module in pkgutil.iter_modules(cases.__path__):
        found += importlib.import_module(f"cases.{module.name}").CASES
    names = [c.name for c in found]
    assert len(set(names)) == len(names), (
        f"names of cases must differ: {sorted({n for n in names if names.count(n) > 1})}"
    )
    return found


def lay_out(array: Any, layout: str) -> Any:
    """The same values in another layout of memory."""
    if layout == "contiguous" or array.ndim == 0:
        return np.array(array)
    if layout == "transposed":
        return np.array(array.T, order="C").T
    if layout == "strided":
        wide = np.zeros((*array.shape[:-1], 2 * array.shape[-1]), array.dtype)
        wide[..., ::2] = array
        return wide[..., ::2]
    if layout == "misaligned":
        flat = np.empty(array.size + 1, array.dtype)
        flat[1:] = array.ravel()
        return flat[1:].reshape(array.shape)
    return np.array(array[..., ::-1])[..., ::-1]


def numpy_dtype(name: str) -> Any:
    """NumPy's dtype of that name; of bfloat16, that of ml_dtypes."""
    return np.dtype(ml_dtypes.bfloat16 if name == "bfloat16" else name)


def is_floating(array: Any) -> bool:
    """Whether its elements are floating-point numbers, bfloat16 too."""
    return array.dtype.kind == "f" or array.dtype == ml_dtypes.bfloat16


def rounded(arrays: Arrays, dtype: str) -> Arrays:
    """The floating-point arrays in the dtype under test."""
    with np.errstate(over="ignore"):
        return [a.astype(numpy_dtype(dtype)) if a.dtype == np.float64 else a for a in map(np.asarray, arrays)]


def widened(arrays: Arrays) -> Arrays:
    """What the reference sees: float64."""
    return [a.astype(np.float64) if is_floating(a) else a for a in arrays]


def on_host(t: Any) -> Any:
    """A tensor's elements as NumPy's array, those of bfloat16 as ml_dtypes has them."""
    t = t.detach().cpu()
    return t.view(int16).numpy().view(ml_dtypes.bfloat16) if t.dtype is bfloat16 else t.numpy()


def on_device(array: Any, device: Any) -> Any:
    """A NumPy array's elements in a device's memory, laid out there as here."""
    if device is cpu or not array.size:
        return device.from_host(adopt(array, "on_device"))
    owner = array
    while isinstance(owner.base, np.ndarray):
        owner = owner.base
    offset = (cpu.pointer(array) - cpu.pointer(owner)) // array.itemsize
    memory = device.from_host(adopt(owner.reshape(-1), "on_device"))
    return device.as_strided(memory[offset:], array.shape, array.strides)


# What no kernel means, by NumPy's letter for the type: NaN where there is one; 0x7FFF is bfloat16's.
POISON = {"f": np.nan, "d": np.nan, "e": np.nan, "?": True, "H": 0x7FFF}


@contextlib.contextmanager
def poisoned(device: Any = cpu) -> Iterator[None]:
    """Fill every new array with NaN (or a value that no kernel means), so that what a kernel leaves out shows."""
    real = device.empty

    def empty(shape: tuple[int, ...], dtype: Any) -> Any:
        array = real(shape, dtype)
        value = POISON.get(array.dtype.char, 113)
        if device is cpu:
            array[...] = value
        else:
            array.set(np.full(shape, value, dtype))
        return array

    device.empty = empty
    try:
        yield
    finally:
        device.empty = real


@contextlib.contextmanager
def instruction_set(name: str) -> Iterator[None]:
    """Use one of `_cpu.isas()` for a while."""
    before = _cpu.isa()
    _cpu.set_isa(name)
    try:
        yield
    finally:
        _cpu.set_isa(before)


@contextlib.contextmanager
def threads(n: int) -> Iterator[None]:
    """Use n threads for a while."""
    before = _cpu.num_threads()
    _cpu.set_num_threads(n)
    try:
        yield
    finally:
        _cpu.set_num_threads(before)


def assert_close(got: Any, want: Any, scale: Any, ulps: float, what: str) -> None:
    """|got − want| ≤ ulps · eps(dtype) · scale, NaN and ±inf in the same places."""
    want = np.asarray(want)
    assert got.shape == want.shape, f"{what}: shape {got.shape}, expected {want.shape}"
    if not is_floating(got):
        np.testing.assert_array_equal(got, want, err_msg=what)
        return
    info = ml_dtypes.finfo(got.dtype)
    with np.errstate(over="ignore", invalid="ignore"):
        nearest = want.astype(got.dtype).astype(np.float64)
        special = ~np.isfinite(nearest)
        if special.any():
            np.testing.assert_array_equal(got.astype(np.float64)[special], nearest[special], err_msg=what)
        bound = ulps * (float(info.eps) * np.broadcast_to(np.abs(scale), want.shape) + float(info.smallest_subnormal))
        wrong = ~special & ~(np.abs(got.astype(np.float64) - want) <= bound)
    if wrong.any():
        i = tuple(int(k[0]) for k in np.nonzero(wrong))
        raise AssertionError(
            f"{what}: {int(wrong.sum())} of {wrong.size} elements off; at {list(i)} got {got[i]!r}, expected "
            f"{want[i]!r}, tolerance {bound[i]:.3g}"
        )


class Recorded:
    """The kernel calls of a `with` block; afterwards `replay()` runs them again, rewritten by every pass."""

    def __enter__(self) -> Recorded:
        self.calls = _cpu.Recording()
        self.calls.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.calls.stop()

    def names(self) -> list[str]:
        return self.calls.names()

    def plan(self, passes: Any = None) -> Any:
        self.calls.settle()
        return _cpu.Plan(
            self.calls, (), [], [name for name, _, exact in _cpu.PASSES if exact] if passes is None else passes, ()
        )

    def replay(self) -> None:
        self.plan().run(())
