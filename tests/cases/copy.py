"""Copies, conversions between dtypes, and fills."""

from __future__ import annotations

import numpy as np

import pullback as pb
from harness import Case


def _copy(name, run, torch):
    return Case(
        name=name,
        run=run,
        inputs=lambda rng, shape: [rng.standard_normal(shape)],
        value=lambda x: x,
        vjp=lambda dy, x: (dy,),
        torch=torch,
    )


def _filled(name, run, value, torch):
    """Made like x: of its shape and dtype."""
    return Case(name=name, run=run, inputs=lambda rng, shape: [rng.standard_normal(shape)], value=value, torch=torch)


def _sequence(dtype):
    return Case(
        name=f"arange[{dtype}]",
        run=lambda x: pb.arange(3, 3 + 2 * x.numel(), 2, dtype=x.dtype, device=x.device),
        inputs=lambda rng, shape: [np.zeros(shape, "float64" if dtype == "float" else dtype)],
        value=lambda x: (
            3 + 2.0 * np.arange(x.size) if x.dtype.kind == "f" else 3 + 2 * np.arange(x.size, dtype=x.dtype)
        ),
        shapes=((0,), (1,), (7,), (33,), (2049,), (40000,)) if dtype != "int8" else ((0,), (1,), (7,), (33,)),
        dtypes=("float32", "float64") if dtype == "float" else ("float32",),
        torch="torch.arange(3, 3 + 2 * a.numel(), 2, dtype=a.dtype)",
    )


CASES = [
    _copy("clone", pb.clone, "torch.clone(a)"),
    _copy("to[differentiable]", lambda x: x.double(), "a.double()"),
    _filled("full_like", lambda x: pb.full_like(x, 2.5), lambda x: np.full_like(x, 2.5), "torch.full_like(a, 2.5)"),
    _filled("ones_like", pb.ones_like, np.ones_like, "torch.ones_like(a)"),
    *[_sequence(dtype) for dtype in ("float", "int64", "int32", "int8")],
    *[
        Case(
            name=f"to[{source}->{target}]",
            run=lambda x, target=target: x.to(getattr(pb, target)),
            inputs=lambda rng, shape, source=source: [
                np.trunc(rng.uniform(0, 100, shape)).astype("float64" if source == "float" else source)
            ],
            value=lambda x, target=target: x.astype(target),
            dtypes=("float32", "float64") if source == "float" else ("float32",),
            torch=f"a.to(torch.{target})",
        )
        for source in ("float", "int64", "uint8", "bool")
        for target in ("float32", "float64", "int64", "int32", "int16", "int8", "uint8", "bool")
    ],
]
