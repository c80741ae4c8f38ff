"""Gradients of a scaled loss divided by the scale, and the scale's next value. The kernels change their operands, so a case
works on copies."""

from __future__ import annotations

import numpy as np

import pullback as pb
from harness import SHAPES, Case

SCALE = 3.0  # of which the inverse is rounded


def _gradients(rng, shape):
    return [rng.standard_normal(shape), rng.standard_normal(5), rng.standard_normal((2, 3))]


def _spoiled(value):
    def inputs(rng, shape):
        gradients = _gradients(rng, shape)
        gradients[1][-1] = value
        return gradients

    return inputs


def _cell(value, like, dtype=pb.float32):
    return pb.full((), value, dtype=dtype, device=like.device)


def _unscaled(*tensors):
    copies = [t.clone() for t in tensors]
    found = _cell(0.0, copies[0])
    found.device.kernels.unscale([t._array for t in copies], found._array, _cell(SCALE, found)._array)
    return (*copies, found)


def _divided(*gradients):
    inverse = np.float32(1 / SCALE)
    with np.errstate(invalid="ignore"):
        found = any(not np.isfinite(g).all() for g in gradients)
    return (*[g * np.float64(inverse) for g in gradients], np.asarray(float(found)))


def _updates(found):
    """Scale and count after one update each from different states, the found values given."""

    def run(x):
        scale, tracker = _cell(4.0, x), _cell(0, x, pb.int32)
        seen = []
        for f in found:
            scale.device.kernels.update_scale(scale._array, tracker._array, _cell(f, x)._array, 2.0, 0.25, 2)
            seen += [scale.clone(), tracker.to(pb.float32)]
        return pb.stack(seen)

    def value(x):
        s, t, seen = 4.0, 0, []
        for f in found:
            s, t = (s / 4, 0) if f else (s * 2, 0) if t == 1 else (s, t + 1)
            seen += [s, float(t)]
        return np.asarray(seen)

    return run, value


_FOUND = (0.0, 0.0, 0.0, 1.0, 0.0, 2.0, 0.0, 0.0)
_run, _value = _updates(_FOUND)

CASES = [
    *[
        Case(
            name=f"unscale{label}",
            run=_unscaled,
            inputs=inputs,
            value=_divided,
            shapes=(*SHAPES, (50001,)),
            torch=torch,
        )
        for label, inputs, torch in (
            (
                "",
                _gradients,
                "torch._amp_foreach_non_finite_check_and_unscale_([a, b, c], a.new_zeros(()), a.new_ones(()))",
            ),
            ("[inf]", _spoiled(-np.inf), None),
            ("[NaN]", _spoiled(np.nan), None),
        )
    ],
    Case(
        name="update_scale",
        run=_run,
        inputs=lambda rng, shape: [rng.standard_normal(shape)],
        value=_value,
        shapes=((1,),),
    ),
]
