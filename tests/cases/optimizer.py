"""Steps of optimizers over two parameters at once, against the formulas written in NumPy. The kernels change their
operands, so a case works on copies, laid out as the inputs are."""

from __future__ import annotations

import numpy as np

import pullback as pb
from harness import Case
from pullback._backend import device_of

SHAPES = ((0,), (1,), (7,), (17,), (3, 5), (4, 1, 6), (37, 41), (1, 2049), (150, 260))
STEPS = 3
LR, EPS = 0.05, 1e-6


def _copy(x):
    """A copy of an array with the same strides where it has gaps or another order of dimensions."""
    on = device_of(x)
    if x.flags.c_contiguous or 0 in x.shape or min(x.strides) < 0:
        out = on.empty(x.shape, x.dtype)
    else:
        extent = 1 + sum((n - 1) * s for n, s in zip(x.shape, x.strides)) // x.itemsize
        out = on.as_strided(on.empty((extent,), x.dtype), x.shape, x.strides)
    on.kernels.copy(x, out)
    return out


def _inputs(states, first):
    """Two parameters, their gradients, and as many states for each: second moments well above first ones
    squared, so that their difference is not lost in rounding."""

    def inputs(rng, shape):
        other = (3,)
        pairs = [rng.standard_normal(s) for s in (shape, other, shape, other)]
        return [*pairs, *[rng.random(s) * 0.3 + (k != first) for k in range(states) for s in (shape, other)]]

    return inputs


def _columns(arrays):
    """Parameters, gradients and states, each a list of two."""
    return [list(arrays[k : k + 2]) for k in range(0, len(arrays), 2)]


def _flat(columns):
    """The parameters and the states in one vector."""
    return np.concatenate([np.ravel(a) for column in (columns[0], *columns[2:]) for a in column])


def step_case(name, kernel, states, step, scalars, order, first=None):
    """`step(p, g, states, t)` gives the new p and states in float64; `order` says which state each list of the kernel takes,
    `first` which one is a first moment. The result is all that the kernel changed, in one vector."""

    def run(*tensors):
        arrays = [_copy(t._array) for t in tensors]
        columns = _columns(arrays)
        on = tensors[0].device
        counts = [cell(0.0, on, np.float32) for _ in range(2)]
        for t in range(STEPS):
            given = [[] if k is None else columns[2 + k] for k in order]
            getattr(on.kernels, kernel)(columns[0], columns[1], *given, **scalars(counts, t), found_inf=0.0)
        return pb.cat([pb.Tensor._wrap(a).reshape(-1) for column in (columns[0], *columns[2:]) for a in column])

    def value(*arrays):
        columns = _columns(arrays)
        for t in range(STEPS):
            for r in range(2):
                p, state = step(columns[0][r], columns[1][r], [c[r] for c in columns[2:]], t)
                columns[0][r] = p
                for c, s in zip(columns[2:], state):
                    c[r] = s
        return _flat(columns)

    return Case(
        name=name,
        run=run,
        inputs=_inputs(states, first),
        value=value,
        scale=lambda *arrays: 1 + np.abs(_flat(_columns(arrays))) + np.abs(value(*arrays)),
        shapes=SHAPES,
        ulps=8,
    )


def _sgd(name, momentum=0.0, dampening=0.0, weight_decay=0.0, nesterov=False, maximize=False):
    def step(p, g, states, t):
        g = (-g if maximize else g) + weight_decay * p
        if not momentum:
            return p - LR * g, []
        b = g if t == 0 else momentum * states[0] + (1 - dampening) * g
        return p - LR * (g + momentum * b if nesterov else b), [b]

    options = {
        "lr": LR,
        "momentum": momentum,
        "dampening": dampening,
        "weight_decay": weight_decay,
        "nesterov": nesterov,
        "maximize": maximize,
    }
    return step_case(
        f"sgd[{name}]",
        "sgd",
        int(momentum > 0),
        step,
        lambda counts, t: {**options, "first": t == 0},
        [0] if momentum else [None],
    )


def _adam(name, weight_decay=0.0, decoupled=False, amsgrad=False, maximize=False, beta1=0.9, beta2=0.99):
    def step(p, g, states, t):
        g = -g if maximize else g
        if decoupled:
            p = p * (1 - LR * weight_decay)
        else:
            g = g + weight_decay * p
        m, v = beta1 * states[0] + (1 - beta1) * g, beta2 * states[1] + (1 - beta2) * g * g
        w = [np.maximum(states[2], v)] if amsgrad else []
        size = np.sqrt(w[0] if amsgrad else v) / np.sqrt(1 - beta2 ** (t + 1)) + EPS
        return p - LR / (1 - beta1 ** (t + 1)) * m / size, [m, v, *w]

    options = {"beta1": beta1, "beta2": beta2, "eps": EPS, "weight_decay": weight_decay}
    flags = {"decoupled": decoupled, "amsgrad": amsgrad, "maximize": maximize}
    return step_case(
        f"adam[{name}]",
        "adam",
        2 + amsgrad,
        step,
        lambda counts, t: {"steps": counts, "lr": cell(LR, device_of(counts[0])), **options, **flags},
        [0, 1, 2 if amsgrad else None],
        first=0,
    )


def cell(value, on, dtype=np.float64):
    """A number in memory, as a schedule keeps it."""
    made = on.empty((), np.dtype(dtype))
    on.kernels.fill(made, value)
    return made


def _rmsprop(name, alpha=0.9, weight_decay=0.0, momentum=0.0, centered=False, maximize=False, inside=False):
    def step(p, g, states, t):
        g = (-g if maximize else g) + weight_decay * p
        rest = list(states[1:])
        v = alpha * states[0] + (1 - alpha) * g * g
        if centered:
            rest[0] = alpha * rest[0] + (1 - alpha) * g
        variance = v - rest[0] ** 2 if centered else v
        u = g / (np.sqrt(variance + EPS) if inside else np.sqrt(variance) + EPS)
        if momentum:
            u = rest[-1] = momentum * rest[-1] + u
        return p - LR * u, [v, *rest]

    options = {"lr": LR, "alpha": alpha, "eps": EPS, "weight_decay": weight_decay, "momentum": momentum}
    flags = {"centered": centered, "maximize": maximize, "eps_inside": inside}
    return step_case(
        f"rmsprop[{name}]",
        "rmsprop",
        1 + centered + (momentum > 0),
        step,
        lambda counts, t: {"steps": counts, **options, **flags},
        [0, 1 if centered else None, (1 + centered) if momentum else None],
        first=1 if centered else None,
    )


CASES = [
    _sgd("plain"),
    _sgd("decay", weight_decay=0.1, maximize=True),
    _sgd("momentum", momentum=0.9, dampening=0.2),
    _sgd("nesterov", momentum=0.9, weight_decay=0.1, nesterov=True),
    _adam("plain"),
    _adam("coupled", weight_decay=0.1, maximize=True),
    _adam("decoupled", weight_decay=0.1, decoupled=True),
    _adam("amsgrad", amsgrad=True),
    _rmsprop("plain"),
    _rmsprop("momentum", momentum=0.8, weight_decay=0.1),
    _rmsprop("centered", momentum=0.8, centered=True, maximize=True),
    _rmsprop("eps inside", inside=True),
]
