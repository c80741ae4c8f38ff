"""Steps of the optimizers of optimizer_adaptive.h, against their formulas in NumPy, as in cases/optimizer.py."""

from __future__ import annotations

import numpy as np

from cases.optimizer import EPS, LR, cell, step_case
from pullback._backend import device_of


def _decayed(p, g, weight_decay, maximize, decoupled=False):
    """(p, g) with the decay in one of them."""
    g = -g if maximize else g
    return (p * (1 - LR * weight_decay), g) if decoupled else (p, g + weight_decay * p)


def _adagrad(name, lr_decay=0.0, weight_decay=0.0, maximize=False):
    def step(p, g, states, t):
        p, g = _decayed(p, g, weight_decay, maximize)
        s = states[0] + g * g
        return p - LR / (1 + t * lr_decay) * g / (np.sqrt(s) + EPS), [s]

    options = {"lr_decay": lr_decay, "eps": EPS, "weight_decay": weight_decay, "maximize": maximize}
    return step_case(
        f"adagrad[{name}]",
        "adagrad",
        1,
        step,
        lambda counts, t: {"steps": counts, "lr": cell(LR, device_of(counts[0])), **options},
        [0],
    )


def _adadelta(name, rho=0.9, weight_decay=0.0, maximize=False):
    def step(p, g, states, t):
        p, g = _decayed(p, g, weight_decay, maximize)
        v = rho * states[0] + (1 - rho) * g * g
        delta = np.sqrt(states[1] + EPS) / np.sqrt(v + EPS) * g
        return p - LR * delta, [v, rho * states[1] + (1 - rho) * delta**2]

    options = {"lr": LR, "rho": rho, "eps": EPS, "weight_decay": weight_decay, "maximize": maximize}
    return step_case(f"adadelta[{name}]", "adadelta", 2, step, lambda counts, t: {"steps": counts, **options}, [0, 1])


def _adamax(name, weight_decay=0.0, maximize=False, beta1=0.9, beta2=0.99):
    def step(p, g, states, t):
        p, g = _decayed(p, g, weight_decay, maximize)
        m, u = beta1 * states[0] + (1 - beta1) * g, np.maximum(beta2 * states[1], np.abs(g) + EPS)
        return p - LR / (1 - beta1 ** (t + 1)) * m / u, [m, u]

    options = {"lr": LR, "beta1": beta1, "beta2": beta2, "eps": EPS, "weight_decay": weight_decay, "maximize": maximize}
    return step_case(
        f"adamax[{name}]", "adamax", 2, step, lambda counts, t: {"steps": counts, **options}, [0, 1], first=0
    )


def _nadam(name, weight_decay=0.0, maximize=False, decoupled=False, beta1=0.9, beta2=0.99, decay=0.1):
    def momentum(t):
        return beta1 * (1 - 0.5 * 0.96 ** (t * decay))

    def step(p, g, states, t):
        p, g = _decayed(p, g, weight_decay, maximize, decoupled)
        m, v = beta1 * states[0] + (1 - beta1) * g, beta2 * states[1] + (1 - beta2) * g * g
        product = np.float32(1)  # its type in the kernel, whatever that of the parameters
        for i in range(t + 1):
            product *= np.float32(momentum(i + 1))
        now, after, product = momentum(t + 1), momentum(t + 2), float(product)
        d = np.sqrt(v) / np.sqrt(1 - beta2 ** (t + 1)) + EPS
        p = p - LR * (1 - now) / (1 - product) * g / d - LR * after / (1 - product * after) * m / d
        return p, [m, v]

    options = {"beta1": beta1, "beta2": beta2, "eps": EPS, "weight_decay": weight_decay, "momentum_decay": decay}
    flags = {"maximize": maximize, "decoupled": decoupled}
    products = []

    def scalars(counts, t):
        if t == 0:
            products[:] = [cell(1.0, device_of(c), np.float32) for c in counts]
        return {"mu_products": list(products), "steps": counts, "lr": LR, **options, **flags}

    return step_case(f"nadam[{name}]", "nadam", 2, step, scalars, [0, 1], first=0)


def _radam(name, weight_decay=0.0, maximize=False, decoupled=False, beta1=0.9, beta2=0.99):
    most = 2 / (1 - beta2) - 1
    start = 4  # steps were made before: ρ passes 5 between the first and the second of ours

    def step(p, g, states, t):
        t += 1 + start
        p, g = _decayed(p, g, weight_decay, maximize, decoupled)
        m, v = beta1 * states[0] + (1 - beta1) * g, beta2 * states[1] + (1 - beta2) * g * g
        rho = most - 2 * t * beta2**t / (1 - beta2**t)
        u = m / (1 - beta1**t)
        if rho > 5:
            r = np.sqrt((rho - 4) * (rho - 2) * most / ((most - 4) * (most - 2) * rho))
            u = u * r * np.sqrt(1 - beta2**t) / (np.sqrt(v) + EPS)
        return p - LR * u, [m, v]

    options = {"lr": LR, "beta1": beta1, "beta2": beta2, "eps": EPS, "weight_decay": weight_decay}
    flags = {"maximize": maximize, "decoupled": decoupled}

    def scalars(counts, t):
        if t == 0:
            for c in counts:
                device_of(c).kernels.fill(c, float(start))
        return {"steps": counts, **options, **flags}

    return step_case(f"radam[{name}]", "radam", 2, step, scalars, [0, 1], first=0)


CASES = [
    _adagrad("plain"),
    _adagrad("decay", lr_decay=0.3, weight_decay=0.1, maximize=True),
    _adadelta("plain"),
    _adadelta("decay", weight_decay=0.1, maximize=True),
    _adamax("plain"),
    _adamax("decay", weight_decay=0.1, maximize=True),
    _nadam("plain"),
    _nadam("coupled", weight_decay=0.1, maximize=True),
    _nadam("decoupled", weight_decay=0.1, decoupled=True),
    _radam("plain"),
    _radam("coupled", weight_decay=0.1, maximize=True),
    _radam("decoupled", weight_decay=0.1, decoupled=True),
]
