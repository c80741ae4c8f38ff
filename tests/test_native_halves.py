"""Kernels that read and write float16 and bfloat16 themselves give the very bits of float32's kernels on the same numbers,
rounded once: what those get whose operands are widened."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import pullback as pb
from harness import HALVES, numpy_dtype
from test_layout import ROOT

_cuda_emulated = pytest.importorskip(
    "pullback._cuda_emulated", reason="this build has no emulated kernels: make emulated"
)
DEVICE = pb.zeros(1, device="cuda-emulated").device

FAMILIES = (
    "unary",
    "binary",
    "activation",
    "compare",
    "where",
    "loss",
    "optimizer",
    "optimizer_adaptive",
    "clip_grad",
    "grad_scaler",
    "random",
)
# uniform takes fewer bits of a word in halves; bernoulli and multinomial only compare numbers with words, and permutation
# makes no numbers.
OF_THEIR_OWN = {"uniform", "bernoulli", "multinomial", "permutation"}
SIGNATURES = {name: parameters for name, _, parameters in _cuda_emulated.signatures()}
SHAPE = (37, 15)
LAYOUTS = {"contiguous": lambda a: a, "transposed": lambda a: a.T, "apart": lambda a: a[::2, 1::3]}


def kernels() -> Iterator[str]:
    """Those of the families that admit float16."""
    for stem in FAMILIES:
        named = re.findall(r'"(\w+)",\s*"', (ROOT / f"csrc/kernels/{stem}.h").read_text())
        yield from (
            name
            for name in dict.fromkeys(named)
            if name in SIGNATURES and any("float16" in p[3] for p in SIGNATURES[name]) and name not in OF_THEIR_OWN
        )


class Arguments:
    """Of a kernel: the same numbers for every type that they may be stored in."""

    def __init__(self, name: str, half: str, stored: str, layout: str) -> None:
        rng = np.random.default_rng([len(name), *map(ord, name)])
        self.half, self.stored, self.layout = half, stored, layout
        self.outputs: list[Any] = []
        self.given = [self.argument(rng, *p[:4], p[5]) for p in SIGNATURES[name]]

    def argument(self, rng: Any, param: str, kind: str, role: str, dtypes: list[str], is_list: bool) -> Any:
        if kind == "real":
            return 0.0 if param == "found_inf" else float(rng.uniform(0.1, 0.9))
        if kind != "operand":
            return 0  # no reduction, no flag
        array = self.array(rng, param, dtypes)
        if role != "in":
            self.outputs.append(array)
        return [array] if is_list else array

    def array(self, rng: Any, param: str, dtypes: list[str]) -> Any:
        if param == "state":
            return DEVICE.from_host(np.array([5, 7]))
        if dtypes == ["float32"]:  # a step count
            return DEVICE.from_host(np.array(3.0, np.float32))
        if dtypes == ["bool"]:
            return LAYOUTS[self.layout](DEVICE.from_host(rng.integers(0, 2, SHAPE).astype(bool)))
        numbers = rng.normal(size=SHAPE).astype(numpy_dtype(self.half))
        if self.stored == "bfloat16":
            numbers = numbers.view(np.uint16)
        elif self.stored == "float32":
            numbers = numbers.astype(np.float32)
        return LAYOUTS[self.layout](DEVICE.from_host(numbers))


def results(arguments: Arguments, name: str) -> list[Any]:
    getattr(_cuda_emulated, name)(*arguments.given)
    return [a._host for a in arguments.outputs]


@pytest.mark.parametrize("name", list(kernels()))
def test_native_kernels_round_once(name: str) -> None:
    for half in HALVES:
        for layout in LAYOUTS:
            got = results(Arguments(name, half, half, layout), name)
            wide = results(Arguments(name, half, "float32", layout), name)
            for a, b in zip(got, wide, strict=True):
                with np.errstate(over="ignore"):
                    want = b.astype(numpy_dtype(half)) if b.dtype == np.float32 and b.ndim else b
                a = a.view(numpy_dtype(half)) if a.dtype == np.uint16 else a
                np.testing.assert_array_equal(
                    a.astype(np.float64), want.astype(np.float64), err_msg=f"{name} {half} {layout}"
                )
