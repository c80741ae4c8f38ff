"""Whole steps as one call: captured here; in PyTorch its best eager setting, and with `--compiled` its compiled mode.

A compiled PyTorch has `torch.compile` around the model and around the optimizer's step, as its manual has it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from benchmarks.dense import (
    ADAM_FLOPS,
    ADAM_READS,
    ADAM_WRITES,
    PARAMETERS,
    PRODUCTS,
    WIDTHS,
    Function,
    Make,
    Row,
    adam,
    labels,
    mlp,
    normal,
)

AUTOENCODER = (784, 128, 16, 128, 784)


def recorded(lib: Any, best: Any, model: Any, optimizer: Any, loss_of: Callable[[Any], Any]) -> Function:
    """zero_grad, loss, backward, step: captured where the library can, compiled where it is asked to."""
    compiled = best == "compiled"
    forward = lib.compile(model) if compiled else model
    update = lib.compile(optimizer.step) if compiled else optimizer.step

    def step() -> Any:
        optimizer.zero_grad()
        loss = loss_of(forward)
        loss.backward()
        update()
        return loss

    return lib.capture(step) if hasattr(lib, "capture") else step


def warm(function: Function) -> Function:
    """The function after the calls that record or compile it."""
    for _ in range(5):
        function()
    return function


def stack(lib: Any, widths: tuple[int, ...], seed: int) -> Any:
    """Linear layers with ReLU between, of given weights."""
    nn, layers = lib.nn, []
    for i, (n, m) in enumerate(zip(widths, widths[1:])):
        layer = nn.Linear(n, m)
        with lib.no_grad():
            layer.weight.copy_(normal(lib, seed + i, m, n, scale=n**-0.5))
            layer.bias.copy_(normal(lib, 2 * seed + i, m, scale=n**-0.5))
        layers += [layer, nn.ReLU()]
    return nn.Sequential(*layers[:-1])


def row(name: str, make: Make, batch: int, widths: tuple[int, ...]) -> Row:
    """The figures of a training step with Adam: products forward, for the weights, and for every layer's input but the
    first's; weights read twice, gradients written once."""
    pairs = list(zip(widths, widths[1:]))
    products, parameters = sum(n * m for n, m in pairs), sum(n * m + m for n, m in pairs)
    flops = 2.0 * batch * (3 * products - widths[0] * widths[1]) + ADAM_FLOPS * parameters
    reads = 4.0 * batch * widths[0] + (8 + ADAM_READS) * parameters
    return Row(name, make, flops, reads, (4.0 + ADAM_WRITES) * parameters, 16.0 * parameters)


def train_mlp(batch: int) -> Row:
    """784-256-128-10, cross-entropy, Adam."""

    @contextmanager
    def make(lib: Any, best: Any) -> Iterator[Function]:
        model = mlp(lib)
        optimizer = adam(lib, model.parameters(), bool(best))
        x, y = normal(lib, 0, batch, WIDTHS[0]), labels(lib, batch, WIDTHS[-1])
        loss_of = lib.nn.functional.cross_entropy
        yield warm(recorded(lib, best, model, optimizer, lambda forward: loss_of(forward(x), y)))

    return row(f"MLP step, batch {batch}", make, batch, WIDTHS)


def autoencoder(batch: int) -> Row:
    """784-128-16-128-784, mean squared error, Adam."""

    @contextmanager
    def make(lib: Any, best: Any) -> Iterator[Function]:
        model = stack(lib, AUTOENCODER, 30)
        optimizer = adam(lib, model.parameters(), bool(best))
        x = normal(lib, 0, batch, AUTOENCODER[0])
        loss_of = lib.nn.functional.mse_loss
        yield warm(recorded(lib, best, model, optimizer, lambda forward: loss_of(forward(x), x)))

    return row(f"autoencoder step, batch {batch}", make, batch, AUTOENCODER)


def logistic(batch: int, features: int = 30) -> Row:
    """Logistic regression by gradient descent."""

    @contextmanager
    def make(lib: Any, best: Any) -> Iterator[Function]:
        model = stack(lib, (features, 1), 40)
        optimizer = lib.optim.SGD(model.parameters(), lr=0.1, **({"fused": True} if best else {}))
        x = normal(lib, 0, batch, features)
        y = (normal(lib, 1, batch, 1) > 0).float()
        loss_of = lib.nn.functional.binary_cross_entropy_with_logits
        yield warm(recorded(lib, best, model, optimizer, lambda forward: loss_of(forward(x), y)))

    n = features + 1.0
    return Row(f"logistic step, batch {batch}", make, 6.0 * batch * n, 8.0 * batch * n, 8.0 * n, 4.0 * batch * n)


def inference() -> Row:
    """The MLP's logits of one sample."""

    @contextmanager
    def make(lib: Any, best: Any) -> Iterator[Function]:
        model = mlp(lib).eval()
        x = normal(lib, 0, 1, WIDTHS[0])
        with lib.inference_mode() if best else lib.no_grad():
            forward = lib.compile(model) if best == "compiled" else model
            forward = lib.capture(model) if hasattr(lib, "capture") else forward
            yield warm(lambda: forward(x))

    return Row("MLP inference, batch 1", make, 2.0 * PRODUCTS, 4.0 * PARAMETERS, 4.0 * WIDTHS[-1], 4.0 * PARAMETERS)


CAPTURED = [train_mlp(64), train_mlp(8), autoencoder(32), logistic(32), inference()]
