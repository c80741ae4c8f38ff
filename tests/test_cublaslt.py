"""cuBLASLt without a GPU: it is found and opened, its descriptors hold what was asked for, and products with strides,
batches and biases are handed to it as it reads them, which a stand-in on the emulation computes."""

from __future__ import annotations

import importlib.util
import itertools
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from gpu_modules import Array, emulated, on_each, on_emulation, reconnect
from pullback import _cuda_state


@pytest.fixture(scope="module")
def path() -> str:
    try:
        return _cuda_state.find_cublaslt()
    except RuntimeError as e:
        pytest.skip(str(e))


@on_each
def test_it_is_opened_and_the_copy_of_the_process_is_taken_again(gpu: Any, path: str) -> None:
    assert gpu.load_cublaslt(path) == path == gpu.load_cublaslt(path)
    assert gpu.cublaslt_version() >= 120000


@on_each
@pytest.mark.parametrize("path", ["/no/such/library.so", "libm.so.6"])
def test_a_library_that_is_none_is_refused(gpu: Any, path: str) -> None:
    before = gpu.cublaslt_version()
    with pytest.raises(
        RuntimeError, match="cuBLASLt: (/no/such/library.so: cannot open|cublasLtGetVersion is not in it)"
    ):
        gpu.load_cublaslt(path)
    assert gpu.cublaslt_version() == before


@on_each
@pytest.mark.parametrize("transpose_a", [False, True])
@pytest.mark.parametrize("transpose_b", [False, True])
@pytest.mark.parametrize(("bias", "relu", "epilogue"), [(0, 0, 1), (0, 1, 2), (1, 0, 4), (1, 1, 6)])
@pytest.mark.parametrize("is_double", [False, True])
def test_descriptors_hold_what_was_asked_for(
    gpu: Any, path: str, transpose_a: bool, transpose_b: bool, bias: int, relu: int, epilogue: int, is_double: bool
) -> None:
    gpu.load_cublaslt(path)
    got = gpu.cublaslt_descriptors(3, 5, 7, transpose_a, transpose_b, 2, bool(bias), bool(relu), is_double)
    assert bool(got.pop("bias")) == bool(bias)
    a, b = ((7, 3) if transpose_a else (3, 7)), ((5, 7) if transpose_b else (7, 5))
    assert got == {
        "compute_type": 70 if is_double else 68,  # CUBLAS_COMPUTE_64F, CUBLAS_COMPUTE_32F: no TF32
        "transpose_a": transpose_a,
        "transpose_b": transpose_b,
        "epilogue": epilogue,
        **layout("a", *a),
        **layout("b", *b),
        **layout("d", 3, 5),
    }


def layout(name: str, rows: int, columns: int) -> dict[str, int]:
    of = {"rows": rows, "columns": columns, "leading_dimension": rows, "batch": 2, "stride": rows * columns}
    return {f"{what}_{name}": value for what, value in of.items()}


def test_a_finder_that_is_not_installed_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    real = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name.startswith("cuda") else real(name))
    with pytest.raises(RuntimeError, match="cuda-pathfinder is not installed: pip install cuda-pathfinder"):
        _cuda_state.find_cublaslt()


# --- what is handed to it ----------------------------------------------------------------------------------------------


@pytest.fixture
def stand_in() -> Iterator[None]:
    emulated.connect(lambda: 0, lambda bytes: None)
    emulated.use_cublaslt(True)
    yield
    emulated.use_cublaslt(False)
    reconnect()


def matrices(rng: Any, shape: tuple[int, ...], layout: str, dtype: str) -> Array:
    """Random ones: side by side, transposed in memory, with gaps between rows, or between elements."""
    *batch, rows, columns = shape
    made = Array(rng.standard_normal(shape), dtype)
    if layout == "transposed":
        made.host = np.ascontiguousarray(made.host.swapaxes(-1, -2)).swapaxes(-1, -2)
    elif layout == "wide":
        made.host = np.concatenate([made.host, np.full((*batch, rows, 3), np.nan, dtype)], -1)[..., :columns]
    elif layout == "gaps":
        made.host = np.repeat(made.host, 2, -1)[..., ::2]
    return made


def product(a: Any, b: Any, c: Any, bias: Any, activation: int) -> Any:
    y = 0.5 * (a.astype("f8") @ b.astype("f8")) + 2 * c.astype("f8") + (0 if bias is None else bias)
    return (y, np.maximum(y, 0), 1 / (1 + np.exp(-y)))[activation]


SHAPES = [
    ((4, 6), (6, 5)),
    ((1, 6), (6, 5)),
    ((4, 6), (6, 1)),
    ((4, 1), (1, 5)),
    ((1, 1), (1, 1)),
    ((3, 4, 6), (3, 6, 5)),
    ((2, 3, 4, 6), (6, 5)),  # b is shared: more rows
    ((3, 1, 6), (6, 5)),
    ((4, 6), (3, 6, 5)),
    ((2, 1, 4, 6), (1, 3, 6, 5)),
    ((3, 0, 6), (6, 5)),
    ((3, 4, 0), (0, 5)),
]
BIASES = [None, (5,), (4, 1), (1, 1), (4, 5), (3, 1, 5)]


@on_emulation
@pytest.mark.parametrize("shapes", SHAPES, ids=str)
def test_products_are_handed_over_as_they_lie(stand_in: None, shapes: Any) -> None:
    """c = f(α a b + β c + bias), for every layout of a, b and c and every bias that fits, whoever adds it."""
    rng = np.random.default_rng(0)
    of_c = (*np.broadcast_shapes(shapes[0][:-2], shapes[1][:-2]), shapes[0][-2], shapes[1][-1])
    layouts = ("contiguous", "transposed", "wide", "gaps")
    for layout_a, layout_b, layout_c in itertools.product(layouts, layouts, layouts):
        for bias_shape, activation in itertools.product(BIASES, (0, 1, 2)):
            if bias_shape is not None and not fits(bias_shape, of_c):
                continue
            a, b, c = (
                matrices(rng, s, of, "float64") for s, of in zip((*shapes, of_c), (layout_a, layout_b, layout_c))
            )
            bias = None if bias_shape is None else Array(rng.standard_normal(bias_shape), "float64")
            want = product(a.host, b.host, c.host, None if bias is None else bias.host, activation)
            emulated.matmul(a, b, c, bias, 0.5, 2.0, activation)
            np.testing.assert_allclose(c.host, want, rtol=1e-13, atol=1e-13)


def fits(bias: tuple[int, ...], of_c: tuple[int, ...]) -> bool:
    return len(bias) <= len(of_c) and all(n in (1, m) for n, m in zip(bias[::-1], of_c[::-1]))


@on_emulation
@pytest.mark.parametrize(
    ("layout", "taken"), [("contiguous", True), ("transposed", True), ("wide", True), ("gaps", False)]
)
def test_what_has_gaps_between_elements_stays_here(stand_in: None, layout: str, taken: bool) -> None:
    rng = np.random.default_rng(0)
    a, b = (matrices(rng, s, layout, "float32") for s in ((3, 4, 6), (3, 6, 5)))
    before = emulated.cublaslt_products()
    emulated.matmul(a, b, Array(np.zeros((3, 4, 5))), None, 1.0, 0.0, 0)
    assert emulated.cublaslt_products() - before == taken


@on_emulation
def test_rows_that_share_b_are_one_product_and_its_bias_goes_along(stand_in: None) -> None:
    before = emulated.cublaslt_products()
    x, w, y, bias = (Array(np.ones(shape)) for shape in ((2, 3, 4), (4, 5), (2, 3, 5), (5,)))
    emulated.matmul(x, w, y, bias, 1.0, 0.0, 1)
    assert (y.host == 5).all() and emulated.cublaslt_products() == before + 1
