"""Optimizers transcribed to NumPy from their formulas, one parameter at a time, and the options that tests try.

A formula takes a parameter, its gradients step by step, and the options, and yields the parameter after each step.
"""

from __future__ import annotations

import itertools

import numpy as np


def sgd(p, gradients, lr, momentum=0, dampening=0, weight_decay=0, nesterov=False, maximize=False):
    b = None
    for g in gradients:
        g = (-g if maximize else g) + weight_decay * p
        if momentum:
            b = g if b is None else momentum * b + (1 - dampening) * g
            g = g + momentum * b if nesterov else b
        p = p - lr * g
        yield p


def adam(
    p, gradients, lr, betas=(0.9, 0.999), eps=1e-8, weight_decay=0, amsgrad=False, maximize=False, decoupled=False
):
    m, v, w = 0 * p, 0 * p, 0 * p
    for t, g in enumerate(gradients, 1):
        g = -g if maximize else g
        if decoupled:
            p = p - lr * weight_decay * p
        else:
            g = g + weight_decay * p
        m = betas[0] * m + (1 - betas[0]) * g
        v = betas[1] * v + (1 - betas[1]) * g * g
        w = np.maximum(w, v)
        m_hat = m / (1 - betas[0] ** t)
        v_hat = (w if amsgrad else v) / (1 - betas[1] ** t)
        p = p - lr * m_hat / (np.sqrt(v_hat) + eps)
        yield p


def adamw(p, gradients, weight_decay=1e-2, **options):
    return adam(p, gradients, weight_decay=weight_decay, decoupled=True, **options)


def rmsprop(
    p,
    gradients,
    lr,
    alpha=0.99,
    eps=1e-8,
    weight_decay=0,
    momentum=0,
    centered=False,
    maximize=False,
    eps_inside_sqrt=False,
):
    v, a, b = 0 * p, 0 * p, 0 * p
    for g in gradients:
        g = (-g if maximize else g) + weight_decay * p
        v = alpha * v + (1 - alpha) * g * g
        a = alpha * a + (1 - alpha) * g
        variance = v - a * a if centered else v
        s = np.sqrt(variance + eps) if eps_inside_sqrt else np.sqrt(variance) + eps
        b = momentum * b + g / s
        p = p - lr * b
        yield p


def decayed(p, g, lr, weight_decay, maximize, decoupled=False):
    """(p, g) with the decay in one of them."""
    g = -g if maximize else g
    return (p - lr * weight_decay * p, g) if decoupled else (p, g + weight_decay * p)


def adagrad(p, gradients, lr, lr_decay=0, weight_decay=0, initial_accumulator_value=0, eps=1e-10, maximize=False):
    s = 0 * p + initial_accumulator_value
    for t, g in enumerate(gradients, 1):
        p, g = decayed(p, g, lr, weight_decay, maximize)
        s = s + g * g
        p = p - lr / (1 + (t - 1) * lr_decay) * g / (np.sqrt(s) + eps)
        yield p


def adadelta(p, gradients, lr=1.0, rho=0.9, eps=1e-6, weight_decay=0, maximize=False):
    v, a = 0 * p, 0 * p
    for g in gradients:
        p, g = decayed(p, g, lr, weight_decay, maximize)
        v = rho * v + (1 - rho) * g * g
        delta = np.sqrt(a + eps) / np.sqrt(v + eps) * g
        a = rho * a + (1 - rho) * delta * delta
        p = p - lr * delta
        yield p


def adamax(p, gradients, lr, betas=(0.9, 0.999), eps=1e-8, weight_decay=0, maximize=False):
    m, u = 0 * p, 0 * p
    for t, g in enumerate(gradients, 1):
        p, g = decayed(p, g, lr, weight_decay, maximize)
        m = betas[0] * m + (1 - betas[0]) * g
        u = np.maximum(betas[1] * u, np.abs(g) + eps)
        p = p - lr / (1 - betas[0] ** t) * m / u
        yield p


def nadam(
    p,
    gradients,
    lr,
    betas=(0.9, 0.999),
    eps=1e-8,
    weight_decay=0,
    momentum_decay=4e-3,
    decoupled_weight_decay=False,
    maximize=False,
):
    def mu(t):
        return betas[0] * (1 - 0.5 * 0.96 ** (t * momentum_decay))

    m, v, product = 0 * p, 0 * p, np.float32(1)  # the product is kept as the step count is
    for t, g in enumerate(gradients, 1):
        p, g = decayed(p, g, lr, weight_decay, maximize, decoupled_weight_decay)
        m = betas[0] * m + (1 - betas[0]) * g
        v = betas[1] * v + (1 - betas[1]) * g * g
        product *= np.float32(mu(t))
        d = np.sqrt(v / (1 - betas[1] ** t)) + eps
        P = float(product)
        p = p - lr * (1 - mu(t)) / (1 - P) * g / d - lr * mu(t + 1) / (1 - P * mu(t + 1)) * m / d
        yield p


def radam(
    p,
    gradients,
    lr,
    betas=(0.9, 0.999),
    eps=1e-8,
    weight_decay=0,
    decoupled_weight_decay=False,
    maximize=False,
):
    m, v, most = 0 * p, 0 * p, 2 / (1 - betas[1]) - 1
    for t, g in enumerate(gradients, 1):
        p, g = decayed(p, g, lr, weight_decay, maximize, decoupled_weight_decay)
        m = betas[0] * m + (1 - betas[0]) * g
        v = betas[1] * v + (1 - betas[1]) * g * g
        rho = most - 2 * t * betas[1] ** t / (1 - betas[1] ** t)
        u = m / (1 - betas[0] ** t)
        if rho > 5:
            r = np.sqrt((rho - 4) * (rho - 2) * most / ((most - 4) * (most - 2) * rho))
            u = u * r * np.sqrt(1 - betas[1] ** t) / (np.sqrt(v) + eps)
        p = p - lr * u
        yield p


def choices(**options):
    """Every combination of the options' values."""
    return [dict(zip(options, values)) for values in itertools.product(*options.values())]


CASES = [
    *[
        ("SGD", sgd, {"lr": 0.1, **o})
        for o in choices(momentum=[0, 0.9], weight_decay=[0, 0.1], maximize=[False, True], dampening=[0, 0.3])
    ],
    *[("SGD", sgd, {"lr": 0.1, "momentum": 0.8, "nesterov": True, **o}) for o in choices(weight_decay=[0, 0.1])],
    *[
        ("Adam", adam, {"lr": 0.05, **o})
        for o in choices(weight_decay=[0, 0.1], amsgrad=[False, True], maximize=[False, True])
    ],
    ("Adam", adam, {"lr": 0.05, "betas": (0.0, 0.5), "eps": 1e-3}),
    *[
        ("AdamW", adamw, {"lr": 0.05, **o})
        for o in choices(weight_decay=[0, 0.1], amsgrad=[False, True], maximize=[False, True])
    ],
    *[
        ("RMSprop", rmsprop, {"lr": 0.05, **o})
        for o in choices(weight_decay=[0, 0.1], momentum=[0, 0.9], centered=[False, True], maximize=[False, True])
    ],
    ("RMSprop", rmsprop, {"lr": 0.05, "eps": 1e-2, "eps_inside_sqrt": True}),
    *[
        ("Adagrad", adagrad, {"lr": 0.1, **o})
        for o in choices(weight_decay=[0, 0.1], lr_decay=[0, 0.3], initial_accumulator_value=[0, 0.5])
    ],
    *[("Adadelta", adadelta, {"rho": 0.8, **o}) for o in choices(weight_decay=[0, 0.1], maximize=[False, True])],
    *[("Adamax", adamax, {"lr": 0.05, **o}) for o in choices(weight_decay=[0, 0.1], maximize=[False, True])],
    *[
        (name, formula, {"lr": 0.05, **o})
        for name, formula in (("NAdam", nadam), ("RAdam", radam))
        for o in choices(weight_decay=[0, 0.1], decoupled_weight_decay=[False, True], maximize=[False, True])
    ],
]
