"""The dense table: the rows that are fixed before anything is measured, and the overheads.

Both libraries run one text, since they share their names: `make(lib, best)` is a context that gives the function to be timed.
`best` asks for what can make PyTorch faster: an output given, inference mode, the fused Adam. Inputs
and weights come from NumPy, so that they are the same.

FLOPs count each +, −, ×, / and √ as one, and exp or erf as one; bytes count what has to be read and written once, by each of
the two passes where there is a backward one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np

Function = Callable[[], Any]
Make = Callable[[Any, bool], AbstractContextManager[Function]]

WIDTHS = (784, 256, 128, 10)
PARAMETERS = sum(n * m + m for n, m in zip(WIDTHS, WIDTHS[1:]))
PRODUCTS = sum(n * m for n, m in zip(WIDTHS, WIDTHS[1:]))  # multiply-adds of one sample, forward
ADAM_FLOPS, ADAM_READS, ADAM_WRITES = 12, 16, 12  # a parameter: p, g, m, v are read, p, m, v written


@dataclass(frozen=True)
class Row:
    """One line of the table."""

    name: str
    make: Make
    flops: float
    reads: float  # bytes
    writes: float
    footprint: float  # bytes that are touched; fewer than read and written where some are both
    dtype: str = "float32"  # of its products


def normal(lib: Any, seed: int, *shape: int, scale: float = 1.0) -> Any:
    """A float32 tensor of normal numbers."""
    values = np.random.default_rng(seed).standard_normal(shape, dtype=np.float32)
    return lib.from_numpy(np.multiply(values, np.float32(scale)))


def labels(lib: Any, n: int, classes: int) -> Any:
    """n class indices."""
    return lib.from_numpy(np.random.default_rng(7).integers(0, classes, n))


# --- products ---------------------------------------------------------------------------------------------------------


def gemm(name: str, m: int, n: int, k: int) -> Row:
    """C = A B with A [M, K] and B [K, N]."""

    @contextmanager
    def make(lib: Any, best: bool) -> Iterator[Function]:
        a, b = normal(lib, 0, m, k), normal(lib, 1, k, n)
        if best:
            c = lib.empty(m, n)
            yield lambda: lib.matmul(a, b, out=c)
        else:
            yield lambda: lib.matmul(a, b)

    reads, writes = 4.0 * (m * k + k * n), 4.0 * m * n
    return Row(name, make, 2.0 * m * n * k, reads, writes, reads + writes)


def gemv(n: int) -> Row:
    """y = A x."""

    @contextmanager
    def make(lib: Any, best: bool) -> Iterator[Function]:
        a, x = normal(lib, 0, n, n), normal(lib, 1, n)
        if best:
            y = lib.empty(n)
            yield lambda: lib.mv(a, x, out=y)
        else:
            yield lambda: lib.mv(a, x)

    return Row(f"GEMV {n}²", make, 2.0 * n * n, 4.0 * n * (n + 1), 4.0 * n, 4.0 * n * (n + 2))


# --- passes over memory -----------------------------------------------------------------------------------------------


def cross_entropy(n: int, classes: int) -> Row:
    """Loss and its gradient: reads the logits, writes the gradient."""

    @contextmanager
    def make(lib: Any, best: bool) -> Iterator[Function]:
        x, y = normal(lib, 0, n, classes).requires_grad_(), labels(lib, n, classes)
        loss_of = lib.nn.functional.cross_entropy

        def step() -> Any:
            x.grad = None
            loss = loss_of(x, y)
            loss.backward()
            return loss, x.grad

        yield step

    logits = 4.0 * n * classes
    return Row(f"cross-entropy f+b {n}×{classes}", make, 6.0 * n * classes, logits, logits, 2 * logits)


def gelu(side: int) -> Row:
    """x Φ(x) forward (x → y), and backward (ȳ, x → x̄)."""

    @contextmanager
    def make(lib: Any, best: bool) -> Iterator[Function]:
        x, dy = normal(lib, 0, side, side).requires_grad_(), normal(lib, 1, side, side)

        def step() -> Any:
            x.grad = None
            y = lib.nn.functional.gelu(x)
            y.backward(dy)
            return y, x.grad

        yield step

    n = side * side
    return Row("GELU f+b 1M", make, 12.0 * n, 12.0 * n, 8.0 * n, 16.0 * n)


# --- the MLP ----------------------------------------------------------------------------------------------------------


def mlp(lib: Any) -> Any:
    """784-256-128-10 with ReLU between."""
    nn = lib.nn
    layers = []
    for i, (n, m) in enumerate(zip(WIDTHS, WIDTHS[1:])):
        layer = nn.Linear(n, m)
        with lib.no_grad():
            layer.weight.copy_(normal(lib, 10 + i, m, n, scale=n**-0.5))
            layer.bias.copy_(normal(lib, 20 + i, m, scale=n**-0.5))
        layers += [layer, nn.ReLU()]
    return nn.Sequential(*layers[:-1])


def adam(lib: Any, parameters: Any, best: bool) -> Any:
    """Adam as it comes, or PyTorch's fused one."""
    return lib.optim.Adam(parameters, lr=1e-3, **({"fused": True} if best else {}))


def adam_step(name: str, shapes: list[tuple[int, ...]]) -> Row:
    """One step over parameters whose gradients are there."""

    @contextmanager
    def make(lib: Any, best: bool) -> Iterator[Function]:
        parameters = []
        for i, shape in enumerate(shapes):
            p = normal(lib, i, *shape).requires_grad_()
            p.grad = normal(lib, 100 + i, *shape)
            parameters.append(p)
        optimizer = adam(lib, parameters, best)

        def step() -> Any:
            optimizer.step()
            return parameters[-1]

        yield step

    n = float(sum(int(np.prod(s)) for s in shapes))
    return Row(name, make, ADAM_FLOPS * n, ADAM_READS * n, ADAM_WRITES * n, 16 * n)


def train_step(batch: int) -> Row:
    """zero_grad, forward, loss, backward, Adam."""

    @contextmanager
    def make(lib: Any, best: bool) -> Iterator[Function]:
        model = mlp(lib)
        optimizer = adam(lib, model.parameters(), best)
        x, y = normal(lib, 0, batch, WIDTHS[0]), labels(lib, batch, WIDTHS[-1])
        loss_of = lib.nn.functional.cross_entropy

        def step() -> Any:
            optimizer.zero_grad()
            loss = loss_of(model(x), y)
            loss.backward()
            optimizer.step()
            return loss

        yield step

    # Forward, the gradients of the weights, and those of every layer's input but the first's.
    products = 2.0 * batch * (3 * PRODUCTS - WIDTHS[0] * WIDTHS[1])
    # Weights are read forward and back, gradients written once, and Adam follows.
    reads = 4.0 * batch * WIDTHS[0] + (8 + ADAM_READS) * PARAMETERS
    writes = (4.0 + ADAM_WRITES) * PARAMETERS
    name = f"training step MLP, batch {batch}"
    return Row(name, make, products + ADAM_FLOPS * PARAMETERS, reads, writes, 16.0 * PARAMETERS)


def inference() -> Row:
    """The MLP's logits of one sample."""

    @contextmanager
    def make(lib: Any, best: bool) -> Iterator[Function]:
        model = mlp(lib).eval()
        x = normal(lib, 0, 1, WIDTHS[0])
        with lib.inference_mode() if best else lib.no_grad():
            yield lambda: model(x)

    return Row("inference MLP, batch 1", make, 2.0 * PRODUCTS, 4.0 * PARAMETERS, 4.0 * WIDTHS[-1], 4.0 * PARAMETERS)


# --- overheads --------------------------------------------------------------------------------------------------------


def eager_add() -> Row:
    """What one small op costs."""

    @contextmanager
    def make(lib: Any, best: bool) -> Iterator[Function]:
        a, b = normal(lib, 0, 8, 8), normal(lib, 1, 8, 8)
        yield lambda: a + b

    return Row("add 8×8", make, 64, 512, 256, 768)


def linear_call() -> Row:
    """What one layer costs without a gradient."""

    @contextmanager
    def make(lib: Any, best: bool) -> Iterator[Function]:
        layer, x = small_layer(lib), normal(lib, 0, 8, 16)
        with lib.inference_mode() if best else lib.no_grad():
            yield lambda: layer(x)

    return Row("nn.Linear call 8×16→16", make, 2.0 * 8 * 16 * 16, 1600, 512, 2112)


def small_backward() -> Row:
    """What the tape costs."""

    @contextmanager
    def make(lib: Any, best: bool) -> Iterator[Function]:
        layer, x = small_layer(lib), normal(lib, 0, 8, 16)

        def step() -> Any:
            layer.weight.grad = layer.bias.grad = None
            layer(x).sum().backward()
            return layer.weight.grad

        yield step

    return Row("linear, sum, backward 8×16→16", make, 4.0 * 8 * 16 * 16, 2688, 1088, 3776)


def small_layer(lib: Any) -> Any:
    """nn.Linear(16, 16) with given weights."""
    layer = lib.nn.Linear(16, 16)
    with lib.no_grad():
        layer.weight.copy_(normal(lib, 2, 16, 16))
        layer.bias.copy_(normal(lib, 3, 16))
    return layer


DENSE = [
    *[gemm(f"GEMM {n}³", n, n, n) for n in (64, 128, 256, 512, 1024, 2048)],
    gemm("GEMM 8×256×784", 8, 256, 784),
    gemm("GEMM 64×10×128", 64, 10, 128),
    gemv(4096),
    *[cross_entropy(n, classes) for n, classes in ((8192, 1000), (512, 32000), (64, 10))],
    gelu(1024),
    adam_step("Adam 10M", [(10_000_000,)]),
    adam_step("Adam 235k in 6 tensors", [s for n, m in zip(WIDTHS, WIDTHS[1:]) for s in ((m, n), (m,))]),
    train_step(64),
    train_step(8),
    inference(),
]

OVERHEADS = [eager_add(), linear_call(), small_backward()]
