"""What is measured on a GPU: the dense table's rows, the same at a GPU's sizes, and the sizes where it overtakes the CPU.

A row is written for either library on the CPU; `On` gives it tensors and layers of a device instead.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

from benchmarks.captured import CAPTURED, train_mlp
from benchmarks.dense import DENSE, Function, Row, adam_step, cross_entropy, gemm, normal, train_step

OWN = ", own kernel"  # in the names of rows that PyTorch has not


class On:
    """A library whose new tensors and layers lie on a device."""

    def __init__(self, lib: Any, device: str) -> None:
        self.lib, self.device = lib, device
        self.nn = _Layers(lib.nn, device)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.lib, name)

    def from_numpy(self, array: Any) -> Any:
        return self.lib.from_numpy(array).to(self.device)

    def empty(self, *shape: int) -> Any:
        return self.lib.empty(*shape, device=self.device)


class _Layers:
    def __init__(self, nn: Any, device: str) -> None:
        self.nn, self.device = nn, device

    def __getattr__(self, name: str) -> Any:
        return getattr(self.nn, name)

    def Linear(self, *sizes: int) -> Any:
        return self.nn.Linear(*sizes).to(self.device)


def is_gpu(device: str) -> bool:
    """A real one: the emulated has done everything when a call returns."""
    return device.partition(":")[0] == "cuda"


def synchronizer(lib: Any, device: str) -> Callable[[], Any]:
    """What waits until the device has done everything."""
    return lib.cuda.synchronize if is_gpu(device) else lambda: None


# --- rows ---------------------------------------------------------------------------------------------------------------


def op(
    name: str, shapes: list[tuple[int, ...]], run: Callable[..., Any], flops: float, reads: float, writes: float
) -> Row:
    """run(lib, *tensors); flops, reads and writes count elements of the first shape, 4 bytes each."""

    @contextmanager
    def make(lib: Any, best: bool) -> Iterator[Function]:
        tensors = [normal(lib, i, *shape) for i, shape in enumerate(shapes)]
        with lib.no_grad():
            yield lambda: run(lib, *tensors)

    n = 1.0
    for size in shapes[0]:
        n *= size
    return Row(name, make, flops * n, 4 * reads * n, 4 * writes * n, 4 * (reads + writes) * n)


def half_gemm(n: int, dtype: str) -> Row:
    """C = A B of halves, with sums in float32."""

    @contextmanager
    def make(lib: Any, best: bool) -> Iterator[Function]:
        a, b = (normal(lib, i, n, n).to(getattr(lib, dtype)) for i in range(2))
        yield lambda: lib.matmul(a, b)

    matrix = 2.0 * n * n
    return Row(f"GEMM {n}³ {dtype}", make, 2.0 * n**3, 2 * matrix, matrix, 3 * matrix, dtype)


def own(row: Row) -> Row:
    """The same by pullback's own kernel, cuBLASLt or not."""

    @contextmanager
    def make(lib: Any, best: bool) -> Iterator[Function]:
        from pullback import _cuda

        _cuda.use_cublaslt(False)
        try:
            with row.make(lib, best) as function:
                yield function
        finally:
            _cuda.use_cublaslt(True)

    return replace(row, name=row.name + OWN, make=make)


def elementwise(n: int) -> list[Row]:
    """Passes over arrays of n × n, which memory bounds."""
    one, square = [(n, n)], f"{n}²"
    return [
        op(f"copy {square}", one, lambda lib, x: x.clone(), 0, 1, 1),
        op(f"copy of the transpose {square}", one, lambda lib, x: x.t().contiguous(), 0, 1, 1),
        op(f"add {square}", [(n, n), (n, n)], lambda lib, x, y: x + y, 1, 2, 1),
        op(f"add a row {square}", [(n, n), (n,)], lambda lib, x, y: x + y, 1, 1, 1),
        op(f"tanh {square}", one, lambda lib, x: lib.tanh(x), 1, 1, 1),
        op(f"sum {square}", one, lambda lib, x: x.sum(), 1, 1, 0),
        op(f"sum of columns {square}", one, lambda lib, x: x.sum(0), 1, 1, 0),
        op(f"softmax {square}", one, lambda lib, x: lib.softmax(x, 1), 4, 1, 1),
    ]


HALVES = ("bfloat16", "float16")
GPU = [
    *elementwise(8192),
    *[gemm(f"GEMM {n}³", n, n, n) for n in (4096, 8192)],
    *[own(gemm(f"GEMM {n}³", n, n, n)) for n in (1024, 4096)],
    *[half_gemm(n, dtype) for dtype in HALVES for n in (1024, 4096, 8192)],
    *[own(half_gemm(n, dtype)) for dtype in HALVES for n in (1024, 4096, 8192)],
    cross_entropy(8192, 32000),
    adam_step("Adam 100M", [(100_000_000,)]),
    train_step(1024),
]
# Captured steps, which are CUDA graphs, beside the ordinary ones: of PyTorch too the ordinary one.
GRAPHS = [replace(row, name=f"captured {row.name}") for row in (*CAPTURED, train_mlp(1024))]
ROWS = [*GPU, *GRAPHS, *DENSE]
SMALL = [
    *elementwise(64),
    DENSE[0],
    half_gemm(64, "bfloat16"),
    train_step(8),
    GRAPHS[1],
]  # what a test of this file takes


# --- where the GPU overtakes the CPU ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Curve:
    """One kernel or step over sizes."""

    name: str
    sizes: tuple[int, ...]
    make: Callable[[int], Row]


def _training(batch: int) -> Row:
    row = train_step(batch)
    return replace(row, name=f"batch {batch}")


CURVES = [
    Curve(
        "add", tuple(4**k for k in range(4, 13)), lambda n: op("add", [(n,), (n,)], lambda lib, x, y: x + y, 1, 2, 1)
    ),
    Curve("tanh", tuple(4**k for k in range(4, 13)), lambda n: op("tanh", [(n,)], lambda lib, x: lib.tanh(x), 1, 1, 1)),
    Curve("sum", tuple(4**k for k in range(4, 13)), lambda n: op("sum", [(n,)], lambda lib, x: x.sum(), 1, 1, 0)),
    Curve("product of n × n", tuple(2**k for k in range(4, 12)), lambda n: gemm("product", n, n, n)),
    Curve("MLP training step, batch n", tuple(2**k for k in range(2, 12)), _training),
]


def crossover(points: list[tuple[int, float, float]]) -> int | None:
    """The least size from which on the GPU is faster, of (size, seconds on the CPU, seconds on the GPU)."""
    found = None
    for size, cpu, gpu in sorted(points, reverse=True):
        if gpu >= cpu:
            break
        found = size
    return found


__all__ = [
    "CURVES",
    "GPU",
    "GRAPHS",
    "HALVES",
    "OWN",
    "ROWS",
    "SMALL",
    "Curve",
    "On",
    "crossover",
    "is_gpu",
    "synchronizer",
]
