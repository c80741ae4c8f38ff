"""Softmax along every axis: the one that lies side by side in memory, and outer ones. Inputs are large enough that e^x would
overflow in float32 without the maximum taken off."""

from __future__ import annotations

import numpy as np

import pullback as pb
from harness import Case

SHAPES = ((2, 3, 5), (1, 7, 1), (33, 2, 17), (3, 65, 40), (5, 4, 1030), (0, 3, 2), (2, 0, 3))


def _softmax(x, d):
    if not x.size:
        return x
    e = np.exp(x - x.max(d, keepdims=True))
    return e / e.sum(d, keepdims=True)


def _log_softmax(x, d):
    if not x.size:
        return x
    m = x - x.max(d, keepdims=True)
    return m - np.log(np.exp(m).sum(d, keepdims=True))


def _softmax_vjp(dy, x, d):
    y = _softmax(x, d)
    return y * (dy - (dy * y).sum(d, keepdims=True))


def _log_softmax_vjp(dy, x, d):
    return dy - _softmax(x, d) * dy.sum(d, keepdims=True)


def _reach(x, d):
    """x − max x is rounded to its size, and e^ turns that into a relative error. (Where it says 1 + n/64: a lane adds up
    its share of the n terms in a row.)"""
    return 1 + np.abs(x).max(d, keepdims=True, initial=0)


def _family(name, run, value, vjp, **options):
    inputs = options.pop("inputs", lambda rng, shape: [rng.standard_normal(shape) * 40])
    scales = {k: options.pop(k) for k in ("scale", "vjp_scale") if k in options}
    return [
        Case(
            name=f"{name}[{d}]",
            run=lambda x, d=d: run(x, d),
            inputs=inputs,
            value=lambda x, d=d: value(x, d),
            vjp=None if vjp is None else (lambda dy, x, d=d: (vjp(dy, x, d),)),
            shapes=SHAPES,
            bench=((64, 128, 128),),
            torch=f"torch.nn.functional.{name.partition('[')[0]}(a, {d})",
            **{k: (lambda *arrays, f=f, d=d: f(*arrays, d)) for k, f in scales.items()},
            **options,
        )
        for d in (0, 1, 2)
    ]


def _special(rng, shape):
    return [rng.choice([np.nan, np.inf, -np.inf, 0.0, 1e4, -1e4], shape, p=[0.02, 0.02, 0.3, 0.3, 0.16, 0.2])]


CASES = [
    *_family(
        "softmax",
        pb.softmax,
        _softmax,
        _softmax_vjp,
        scale=lambda x, d: _softmax(x, d) * _reach(x, d) * (1 + x.shape[d] / 64),
        vjp_scale=lambda dy, x, d: (
            _softmax(x, d) * (np.abs(dy) + (np.abs(dy) * _softmax(x, d)).sum(d, keepdims=True)) * _reach(x, d),
        ),
    ),
    *_family(
        "log_softmax",
        pb.log_softmax,
        _log_softmax,
        _log_softmax_vjp,
        scale=lambda x, d: np.abs(_log_softmax(x, d)) + _reach(x, d),
        vjp_scale=lambda dy, x, d: (np.abs(dy) + _softmax(x, d) * np.abs(dy).sum(d, keepdims=True) * _reach(x, d),),
    ),
    *_family(
        "softmin",
        pb.softmin,
        lambda x, d: _softmax(-x, d),
        lambda dy, x, d: -_softmax_vjp(dy, -x, d),
        inputs=lambda rng, shape: [rng.standard_normal(shape)],
        scale=lambda x, d: _softmax(-x, d) * _reach(x, d) * (1 + x.shape[d] / 64),
        vjp_scale=lambda dy, x, d: (
            _softmax(-x, d) * (np.abs(dy) + (np.abs(dy) * _softmax(-x, d)).sum(d, keepdims=True)) * _reach(x, d),
        ),
    ),
    *_family("softmax[special]", lambda x, d: pb.softmax(x.detach(), d), _softmax, None, inputs=_special),
    *_family("log_softmax[special]", lambda x, d: pb.log_softmax(x.detach(), d), _log_softmax, None, inputs=_special),
]
