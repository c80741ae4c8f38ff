"""Views and copies: the values move, and the gradient moves back."""

from __future__ import annotations

import numpy as np

from harness import Case


def _case(name, run, value, vjp, shapes=((3, 4, 5), (2, 1, 7), (1, 1, 1), (0, 3, 2), (8, 16, 33)), **options):
    return Case(
        name=name,
        run=run,
        inputs=lambda rng, shape: [rng.standard_normal(shape)],
        value=value,
        vjp=vjp,
        shapes=shapes,
        **({"bench": ((64, 64, 256),)} | options),
    )


def _window(rows):
    """dy where a basic index points, zero elsewhere."""

    def vjp(dy, x):
        g = np.zeros_like(x)
        g[rows] = dy
        return (g,)

    return vjp


_FLAT = ((30,), (64,), (100,))


def _strided_vjp(dy, x):
    g = np.zeros_like(x)
    for i in range(4):
        for j in range(3):
            g[2 + 6 * i + 2 * j] += dy[i, j]
    return (g,)


CASES = [
    _case(
        "reshape",
        lambda x: x.reshape(-1),
        lambda x: x.reshape(-1),
        lambda dy, x: (dy.reshape(x.shape),),
        torch="a.reshape(-1)",
    ),
    _case(
        "permute",
        lambda x: x.permute(2, 0, 1),
        lambda x: x.transpose(2, 0, 1),
        lambda dy, x: (dy.transpose(1, 2, 0),),
        torch="a.permute(2, 0, 1)",
    ),
    _case(
        "transpose",
        lambda x: x.transpose(0, -1),
        lambda x: x.swapaxes(0, -1),
        lambda dy, x: (dy.swapaxes(0, -1),),
        torch="a.transpose(0, -1)",
    ),
    _case(
        "squeeze",
        lambda x: x.squeeze(1),
        lambda x: x.squeeze(1),
        lambda dy, x: (dy[:, None],),
        shapes=((3, 1, 5), (1, 1, 2)),
        torch="a.squeeze(1)",
    ),
    _case(
        "unsqueeze",
        lambda x: x.unsqueeze(-2),
        lambda x: x[..., None, :],
        lambda dy, x: (dy[..., 0, :],),
        torch="a.unsqueeze(-2)",
    ),
    _case(
        "expand",
        lambda x: x.expand(2, -1, 6, -1),
        lambda x: np.broadcast_to(x, (2, x.shape[0], 6, x.shape[2])),
        lambda dy, x: (dy.sum((0, 2))[:, None],),
        shapes=((3, 1, 5), (1, 1, 2), (17, 1, 33)),
        vjp_scale=lambda dy, x: (np.abs(dy).sum((0, 2))[:, None],),
        bench=((256, 1, 256),),
        torch="a.expand(2, -1, 6, -1)",
    ),
    _case(
        "slice",
        lambda x: x.narrow(0, 1, 2).select(-1, 1),
        lambda x: x[1:3, ..., 1],
        _window(np.s_[1:3, ..., 1]),
        shapes=((3, 4, 5), (4, 1, 2)),
        torch="a.narrow(0, 1, 2).select(-1, 1)",
    ),
    _case(
        "as_strided",
        lambda x: x.as_strided((4, 3), (6, 2), 2),
        lambda x: np.lib.stride_tricks.as_strided(x.copy()[2:], (4, 3), (48, 16)),
        _strided_vjp,
        shapes=_FLAT,
        layouts=("contiguous", "misaligned"),
        torch="a.as_strided((4, 3), (6, 2), 2)",
    ),
    Case(
        name="as_strided_scatter",
        run=lambda x, s: x.as_strided_scatter(s, (3,), (4,), 1),
        inputs=lambda rng, shape: [rng.standard_normal(shape), rng.standard_normal(3)],
        value=lambda x, s: _scattered(x, s),
        vjp=lambda dy, x, s: (_scattered(dy, 0 * s), dy[1:10:4]),
        shapes=_FLAT,
        layouts=("contiguous", "misaligned"),
        torch="a.as_strided_scatter(b, (3,), (4,), 1)",
        differs="PyTorch keeps the part of a's gradient that the scatter overwrote, and drops the rest",
    ),
]


def _scattered(x, s):
    y = x.copy()
    y[1:10:4] = s
    return y
