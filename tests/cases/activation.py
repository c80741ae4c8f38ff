"""Activation functions. Derivatives are written from calculus; where there is a corner, PyTorch's choice is stated.

Inputs of the first group keep away from the corners, so that finite differences make sense; the second group is made of
corners, zeros, large numbers, infinities and NaN, and takes the plain formulas at their word there.
"""

from __future__ import annotations

import math

import numpy as np

import pullback as pb
from cases.binary import unbroadcast
from harness import Case

_erfc = np.vectorize(math.erfc, otypes=[float])


def _draw(spread=2.0, corners=(0.0,)):
    """Normal numbers, none nearer to a corner than 0.05."""

    def inputs(rng, shape):
        x = rng.standard_normal(shape) * spread
        for c in corners:
            x = np.where(np.abs(x - c) < 0.05, c + np.where(x < c, -0.05, 0.05), x)
        return [x]

    return inputs


def _sigmoid(x):
    e = np.exp(-np.abs(x))
    return np.where(x < 0, e, 1) / (1 + e)


def _softplus(x):
    return np.maximum(x, 0) + np.log1p(np.exp(-np.abs(x)))


def _cdf(x):
    return 0.5 * _erfc(-x / np.sqrt(2))


def _elu(alpha, scale=1.0, input_scale=1.0):
    def value(x):
        return scale * np.where(x > 0, x, alpha * np.expm1(input_scale * np.minimum(x, 0)))

    def derivative(x):
        return scale * np.where(x > 0, 1, alpha * input_scale * np.exp(input_scale * np.minimum(x, 0)))

    return value, derivative


_K = np.sqrt(2 / np.pi)


def _gelu_tanh_gate(x):
    """(1 + tanh u) / 2 = σ(2u), without the cancellation."""
    return _sigmoid(2 * _K * (x + 0.044715 * x**3))


def _gelu_tanh_derivative(x):
    u = _K * (x + 0.044715 * x**3)
    return 0.5 * (1 + np.tanh(u)) + 0.5 * x / np.cosh(u) ** 2 * _K * (1 + 3 * 0.044715 * x**2)


def _silu(x):
    return x * _sigmoid(x)


def _mish(x):
    return x * np.tanh(_softplus(x))


def _mish_derivative(x):
    w = np.tanh(_softplus(x))
    return w + x * (1 - w * w) * _sigmoid(x)


def _case(name, run, value, derivative, torch, *, corners=(0.0,), spread=2.0, **options):
    """derivative(x) is f'(x). torch is an expression in F = torch.nn.functional."""
    return Case(
        name=name,
        run=run,
        inputs=_draw(spread, corners),
        value=value,
        vjp=lambda dy, x: (dy * derivative(x),),
        torch=f"torch.nn.functional.{torch}",
        **options,
    )


ALPHA, SCALE = 1.6732632423543772848170429916717, 1.0507009873554804934193349852946

SMOOTH = [
    _case("relu", pb.relu, lambda x: np.maximum(x, 0), lambda x: 1.0 * (x > 0), "relu(a)"),
    _case(
        "leaky_relu",
        lambda x: pb.leaky_relu(x, 0.1),
        lambda x: np.where(x > 0, x, 0.1 * x),
        lambda x: np.where(x > 0, 1, 0.1),
        "leaky_relu(a, 0.1)",
    ),
    _case(
        "leaky_relu[negative]",
        lambda x: pb.leaky_relu(x, -0.3),
        lambda x: np.where(x > 0, x, -0.3 * x),
        lambda x: np.where(x > 0, 1, -0.3),
        "leaky_relu(a, -0.3)",
    ),
    _case("elu", lambda x: pb.elu(x, 0.7), *_elu(0.7), "elu(a, 0.7)"),
    _case("celu", lambda x: pb.celu(x, 1.7), *_elu(1.7, 1.0, 1 / 1.7), "celu(a, 1.7)"),
    _case("selu", pb.selu, *_elu(ALPHA, SCALE), "selu(a)"),
    # x²/2 is known to eps x²/2, and so is the normal distribution's tail relatively; and its polynomial adds terms of
    # alternating sign, Σ|p_k| = 2.5 |Σ p_k| at x = 0
    _case(
        "gelu",
        pb.gelu,
        lambda x: x * _cdf(x),
        lambda x: _cdf(x) + x * np.exp(-x * x / 2) / np.sqrt(2 * np.pi),
        "gelu(a)",
        scale=lambda x: np.abs(x) * _cdf(x) * 2.5 * (1 + x * x / 2),
        spread=3.0,
    ),
    # 2u is known to eps |2u|, and so is e^2u relatively
    _case(
        "gelu[tanh]",
        lambda x: pb.gelu(x, approximate="tanh"),
        lambda x: x * _gelu_tanh_gate(x),
        _gelu_tanh_derivative,
        "gelu(a, approximate='tanh')",
        scale=lambda x: np.abs(x) * _gelu_tanh_gate(x) * (1 + 2 * _K * np.abs(x + 0.044715 * x**3)),
        vjp_ulps=16,
    ),
    _case(
        "silu",
        pb.silu,
        _silu,
        lambda x: _sigmoid(x) * (1 + x * (1 - _sigmoid(x))),
        "silu(a)",
        spread=4.0,
    ),
    _case("mish", pb.mish, _mish, _mish_derivative, "mish(a)", spread=4.0),
    _case("softplus", pb.softplus, _softplus, _sigmoid, "softplus(a)", spread=4.0),
    # βx is known to eps |βx|, and so is e^(βx) relatively
    _case(
        "softplus[beta]",
        lambda x: pb.softplus(x, 2.5, 3.0),
        lambda x: np.where(2.5 * x > 3, x, _softplus(2.5 * x) / 2.5),
        lambda x: np.where(2.5 * x > 3, 1, _sigmoid(2.5 * x)),
        "softplus(a, 2.5, 3.0)",
        corners=(1.2,),
        scale=lambda x: _softplus(2.5 * x) * (1 + np.abs(2.5 * x)) + np.maximum(x, 0),
    ),
    _case(
        "hardtanh",
        lambda x: pb.hardtanh(x, -0.5, 2.0),
        lambda x: np.clip(x, -0.5, 2),
        lambda x: 1.0 * ((x > -0.5) & (x < 2)),
        "hardtanh(a, -0.5, 2.0)",
        corners=(-0.5, 2.0),
    ),
    _case(
        "relu6",
        pb.relu6,
        lambda x: np.clip(x, 0, 6),
        lambda x: 1.0 * ((x > 0) & (x < 6)),
        "relu6(a)",
        corners=(0.0, 6.0),
        spread=6.0,
    ),
    # x + 3 is rounded: y to eps (|x| + 3)
    _case(
        "hardsigmoid",
        pb.hardsigmoid,
        lambda x: np.clip(x + 3, 0, 6) / 6,
        lambda x: ((x > -3) & (x < 3)) / 6,
        "hardsigmoid(a)",
        corners=(-3.0, 3.0),
        scale=lambda x: np.abs(x) + 3,
    ),
    _case(
        "hardswish",
        pb.hardswish,
        lambda x: x * np.clip(x + 3, 0, 6) / 6,
        lambda x: np.where(x <= -3, 0, np.where(x < 3, x / 3 + 0.5, 1)),
        "hardswish(a)",
        corners=(-3.0, 3.0),
        scale=lambda x: np.abs(x) * (np.abs(x) + 3),
    ),
    _case("logsigmoid", pb.logsigmoid, lambda x: -_softplus(-x), lambda x: _sigmoid(-x), "logsigmoid(a)", spread=4.0),
    _case("softsign", pb.softsign, lambda x: x / (1 + np.abs(x)), lambda x: (1 + np.abs(x)) ** -2.0, "softsign(a)"),
    _case(
        "threshold",
        lambda x: pb.threshold(x, 0.5, -7.0),
        lambda x: np.where(x <= 0.5, -7, x),
        lambda x: 1.0 * (x > 0.5),
        "threshold(a, 0.5, -7.0)",
        corners=(0.5,),
    ),
]

# --- in place ---------------------------------------------------------------------------------------------------------

# Twice: on the tape, where the input is copied first, and off it, where the kernel overwrites it.
IN_PLACE = [
    Case(
        name=f"{name}[in place{'' if taped else ', not recorded'}]",
        run=lambda x, run=run: run(x.clone()),
        inputs=case.inputs,
        value=case.value,
        vjp=case.vjp if taped else None,
        scale=case.scale,
        vjp_ulps=case.vjp_ulps,
        torch=f"{torch}(a.clone())",
        shapes=((3,), (4, 6), (1, 2049)),
    )
    for name, run, torch in (
        ("relu", pb.relu_, "torch.relu_"),
        ("leaky_relu", lambda x: pb.leaky_relu_(x, 0.1), "(lambda x: torch.nn.functional.leaky_relu_(x, 0.1))"),
        ("elu", lambda x: pb.elu_(x, 0.7), "(lambda x: torch.nn.functional.elu_(x, 0.7))"),
        ("celu", lambda x: pb.celu_(x, 1.7), "(lambda x: torch.celu_(x, 1.7))"),
        ("selu", pb.selu_, "torch.selu_"),
        ("silu", lambda x: pb.silu(x, inplace=True), "(lambda x: torch.nn.functional.silu(x, inplace=True))"),
        ("mish", lambda x: pb.mish(x, inplace=True), "(lambda x: torch.nn.functional.mish(x, inplace=True))"),
        ("hardtanh", lambda x: pb.hardtanh_(x, -0.5, 2.0), "(lambda x: torch.nn.functional.hardtanh_(x, -0.5, 2.0))"),
        ("relu6", lambda x: pb.relu6(x, True), "(lambda x: torch.nn.functional.relu6(x, True))"),
        ("hardsigmoid", lambda x: pb.hardsigmoid(x, True), "(lambda x: torch.nn.functional.hardsigmoid(x, True))"),
        ("hardswish", lambda x: pb.hardswish(x, True), "(lambda x: torch.nn.functional.hardswish(x, True))"),
        ("threshold", lambda x: pb.threshold_(x, 0.5, -7.0), "(lambda x: torch.threshold_(x, 0.5, -7.0))"),
    )
    for case in SMOOTH
    if case.name == name
    for taped in (True, False)
]

# --- corners, large numbers, infinities, NaN --------------------------------------------------------------------------

_VALUES = np.array(
    [np.nan, np.inf, -np.inf, 0.0, -0.0, 0.5, 1.0, -1.0, 3.0, -3.0, 6.0, -6.0, 20.0, -20.0, 100.0, -100.0]
    + [1e4, -1e4, 1e18, -1e18, 1e-30, -1e-30]
)


def _extremes(rng, shape):
    return [_VALUES[rng.integers(0, len(_VALUES), shape)]]


def _extreme(name, run, value, vjp, torch, **options):
    return Case(
        name=f"{name}[extremes]",
        run=run,
        inputs=_extremes,
        value=value,
        vjp=lambda dy, x: (vjp(dy, x),),
        shapes=((64,), (7, 33)),
        differences=False,  # at corners, and where a step of h is lost in x
        differs="PyTorch's is NaN or another one-sided derivative at some of the extremes",
        torch=f"torch.nn.functional.{torch}",
        **options,
    )


def _times(derivative):
    return lambda dy, x: dy * derivative(x)


def _zero_where(mask):
    """dy, but 0 where the mask holds; a NaN is in no mask."""
    return lambda dy, x: np.where(mask(x), 0, dy)


def _finite(x, limit, f):
    """f(x) with x bounded, for derivatives that are constant beyond the limit; NaN stays."""
    return f(np.clip(x, -limit, limit))


def _subnormal(value):
    """Below 2^−126 the gate keeps multiples of 2^−149 only, which x multiplies."""

    def scale(x):
        x = np.clip(x, -1e30, 1e30)
        return np.abs(value(x)) + 2.0**-126 * np.abs(x)

    return scale


EXTREMES = [
    _extreme("relu", pb.relu, lambda x: np.maximum(x, 0), _zero_where(lambda x: x <= 0), "relu(a)"),
    _extreme(
        "leaky_relu",
        pb.leaky_relu,
        lambda x: np.where(x > 0, x, 0.01 * x),
        lambda dy, x: np.where(x > 0, dy, 0.01 * dy),
        "leaky_relu(a)",
    ),
    _extreme(
        "elu",
        lambda x: pb.elu(x, 2.0),
        _elu(2.0)[0],
        _times(lambda x: np.where(x <= 0, 2 * np.exp(np.minimum(x, 0)), 1)),
        "elu(a, 2.0)",
    ),
    _extreme(
        "gelu",
        pb.gelu,
        lambda x: x * _cdf(x),
        _times(lambda x: _cdf(x) + x * np.exp(-x * x / 2) / np.sqrt(2 * np.pi)),
        "gelu(a)",
        scale=np.abs,
    ),
    # PyTorch's derivative is NaN beyond 1e19 in float32, where x³ overflows, and at the infinities; ours is 0 and 1
    _extreme(
        "gelu[tanh]",
        lambda x: pb.gelu(x, approximate="tanh"),
        lambda x: x * _gelu_tanh_gate(x),
        _times(lambda x: _finite(x, 30, _gelu_tanh_derivative)),
        "gelu(a, approximate='tanh')",
        scale=np.abs,
    ),
    _extreme(
        "silu",
        pb.silu,
        _silu,
        _times(lambda x: _sigmoid(x) * (1 + x * _sigmoid(-x))),
        "silu(a)",
        scale=_subnormal(_silu),
    ),
    # PyTorch's derivative is NaN at +∞; ours is 1
    _extreme(
        "mish",
        pb.mish,
        _mish,
        _times(lambda x: np.where(x == -np.inf, np.nan, _finite(x, 800, _mish_derivative))),
        "mish(a)",
        scale=_subnormal(_mish),
        vjp_ulps=16,
    ),
    _extreme("softplus", pb.softplus, lambda x: np.where(x > 20, x, _softplus(x)), _times(_sigmoid), "softplus(a)"),
    # PyTorch overflows below the threshold; ours does not
    _extreme(
        "softplus[threshold]",
        lambda x: pb.softplus(x, 2.0, 1e9),
        lambda x: _softplus(2 * x) / 2,
        _times(lambda x: _sigmoid(2 * x)),
        "softplus(a, 2.0, 1e9)",
    ),
    _extreme(
        "hardtanh", pb.hardtanh, lambda x: np.clip(x, -1, 1), _zero_where(lambda x: np.abs(x) >= 1), "hardtanh(a)"
    ),
    _extreme("relu6", pb.relu6, lambda x: np.clip(x, 0, 6), _zero_where(lambda x: (x <= 0) | (x >= 6)), "relu6(a)"),
    _extreme(
        "hardsigmoid",
        pb.hardsigmoid,
        lambda x: np.clip(x + 3, 0, 6) / 6,
        lambda dy, x: np.where(np.abs(x) < 3, dy / 6, 0),
        "hardsigmoid(a)",
    ),
    _extreme(
        "hardswish",
        pb.hardswish,
        lambda x: x * np.clip(x + 3, 0, 6) / 6,
        lambda dy, x: np.where(x <= -3, 0, np.where(x < 3, dy * (x / 3 + 0.5), dy)),
        "hardswish(a)",
    ),
    _extreme("logsigmoid", pb.logsigmoid, lambda x: -_softplus(-x), _times(lambda x: _sigmoid(-x)), "logsigmoid(a)"),
    _extreme(
        "softsign",
        pb.softsign,
        lambda x: x / (1 + np.abs(x)),
        _times(lambda x: 1 / (1 + np.abs(x)) ** 2),
        "softsign(a)",
    ),
    _extreme(
        "threshold",
        lambda x: pb.threshold(x, 1.0, -7.0),
        lambda x: np.where(x <= 1, -7, x),
        _zero_where(lambda x: x <= 1),
        "threshold(a, 1.0, -7.0)",
    ),
]

# --- integers, and two operands ---------------------------------------------------------------------------------------


def _heaviside(name, inputs, dtypes=("float32",), **options):
    return Case(
        name=f"heaviside[{name}]",
        run=pb.heaviside,
        inputs=inputs,
        value=lambda x, v: np.where(x == 0, v, np.where(x > 0, 1, 0)).astype(np.result_type(x)),
        dtypes=dtypes,
        torch="torch.heaviside(a, b)",
        **options,
    )


def _integers(dtype):
    return lambda rng, shape: [rng.integers(-3 if dtype != "uint8" else 0, 4, shape).astype(dtype)]


def _slopes(count):
    """x away from its corner, and a slope for each channel, which is dimension 1."""

    def inputs(rng, shape):
        return [*_draw()(rng, shape), rng.uniform(-0.5, 0.9, count(shape))]

    return inputs


def _over_channels(w, x):
    return w.reshape((1, -1) + (1,) * (x.ndim - 2)) if x.ndim > 1 else w.reshape(())


def _prelu_vjp(dy, x, w):
    terms = np.where(x > 0, 0, dy * x)
    dw = unbroadcast(terms, _over_channels(w, x)).reshape(w.shape)
    return np.where(x > 0, dy, dy * _over_channels(w, x)), dw


def _prelu_scale(dy, x, w):
    return np.abs(dy), _prelu_vjp(np.abs(dy), -np.abs(x), w)[1] + np.abs(dy).max(initial=0)


def _prelu(name, count, shapes):
    return Case(
        name=f"prelu[{name}]",
        run=pb.prelu,
        inputs=_slopes(count),
        value=lambda x, w: np.where(x > 0, x, _over_channels(w, x) * x),
        vjp=_prelu_vjp,
        vjp_scale=_prelu_scale,
        shapes=shapes,
        bench=((64, 64, 256),),
        torch="torch.nn.functional.prelu(a, b)",
    )


OTHERS = [
    *[
        Case(
            name=f"relu[{dtype}]",
            run=pb.relu,
            inputs=_integers(dtype),
            value=lambda x: np.maximum(x, 0),
            dtypes=("float32",),
            torch="torch.relu(a)",
        )
        for dtype in ("int64", "int32", "int16", "int8", "uint8")
    ],
    Case(
        name="hardtanh[int64]",
        run=lambda x: pb.hardtanh(x, -1, 2),
        inputs=_integers("int64"),
        value=lambda x: np.clip(x, -1, 2),
        dtypes=("float32",),
        torch="torch.nn.functional.hardtanh(a, -1, 2)",
    ),
    *[
        _heaviside(dtype, lambda rng, shape, dtype=dtype: _integers(dtype)(rng, shape) + _integers(dtype)(rng, shape))
        for dtype in ("int64", "int32", "int16", "int8", "uint8")
    ],
    _heaviside("bool", lambda rng, shape: [rng.random(shape) < 0.5, rng.random(shape) < 0.5]),
    _heaviside(
        "float",
        lambda rng, shape: [
            np.array([np.nan, -np.inf, np.inf, 0.0, -0.0, 1.0, -1.0])[rng.integers(0, 7, shape)],
            rng.standard_normal(shape[-1:]),
        ],
        dtypes=("float32", "float64"),
        vjp=lambda dy, x, v: (0 * dy, unbroadcast(dy * (x == 0), v)),
        vjp_scale=lambda dy, x, v: (0 * dy, unbroadcast(np.abs(dy), v)),
        differences=False,  # at the step
    ),
    _prelu("one", lambda shape: 1, ((5,), (3, 4), (2, 3, 5), (0, 3), (4, 3, 8, 9), (2, 5, 600))),
    _prelu("scalar", lambda shape: (), ((), (7,), (2, 3, 5))),
    _prelu("channels", lambda shape: shape[1], ((3, 4), (2, 3, 5), (0, 3), (4, 3, 8, 9), (2, 5, 600))),
]

CASES = [*SMOOTH, *IN_PLACE, *EXTREMES, *OTHERS]
