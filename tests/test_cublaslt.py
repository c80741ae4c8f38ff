"""cuBLASLt without a GPU: it is found and opened, its descriptors hold what was asked for, and products with strides,
batches and biases are handed to it as it reads them, which a stand-in on the emulation computes."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import itertools
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import pullback as pb
from gpu_modules import Array, emulated, on_each, on_emulation, stand_in
from pullback import _cuda_state

__all__ = ["stand_in"]


@pytest.fixture(scope="module")
def path() -> str:
    try:
        return _cuda_state.find_cublaslt()
    except RuntimeError as e:
        if {"nvidia-cublas", "cuda-pathfinder"} <= {d.name for d in importlib.metadata.distributions()}:
            raise  # make peers has installed them
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


# Of a, b and d: NVIDIA's numbers for the compute type (CUBLAS_COMPUTE_32F without TF32, …_64F), the type of alpha and
# beta, and the types of the matrices (CUDA_R_32F, CUDA_R_64F, CUDA_R_16F, CUDA_R_16BF).
TYPES = {
    ("float32", "float32"): (68, 0, 0, 0),
    ("float64", "float64"): (70, 1, 1, 1),
    ("float16", "float16"): (68, 0, 2, 2),
    ("bfloat16", "bfloat16"): (68, 0, 14, 14),
    ("float16", "float32"): (68, 0, 2, 0),
    ("bfloat16", "float32"): (68, 0, 14, 0),
}
EPILOGUES = {"none": (1, 4), "relu": (2, 6), "gelu": (32, 36)}  # CUBLASLT_EPILOGUE_…, without a bias and with one


@on_each
@pytest.mark.parametrize("transpose_a", [False, True])
@pytest.mark.parametrize("transpose_b", [False, True])
@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("epilogue", EPILOGUES)
@pytest.mark.parametrize("dtypes", TYPES, ids=str)
def test_descriptors_hold_what_was_asked_for(
    gpu: Any, path: str, transpose_a: bool, transpose_b: bool, bias: bool, epilogue: str, dtypes: tuple[str, str]
) -> None:
    gpu.load_cublaslt(path)
    got = gpu.cublaslt_descriptors(3, 5, 7, transpose_a, transpose_b, 2, bias, epilogue, *dtypes)
    assert bool(got.pop("bias")) == bias
    a, b = ((7, 3) if transpose_a else (3, 7)), ((5, 7) if transpose_b else (7, 5))
    compute, scale, of_factors, of_d = TYPES[dtypes]
    assert got == {
        "compute_type": compute,
        "scale_type": scale,
        "transpose_a": transpose_a,
        "transpose_b": transpose_b,
        "epilogue": EPILOGUES[epilogue][bias],
        **layout("a", *a, of_factors),
        **layout("b", *b, of_factors),
        **layout("d", 3, 5, of_d),
    }


@on_each
def test_descriptors_of_no_dtype(gpu: Any, path: str) -> None:
    with pytest.raises(ValueError, match="there is no dtype float8"):
        gpu.cublaslt_descriptors(3, 5, 7, False, False, 2, False, "none", "float8", "float8")


def layout(name: str, rows: int, columns: int, dtype: int) -> dict[str, int]:
    of = {"type": dtype, "rows": rows, "columns": columns, "leading_dimension": rows}
    return {f"{what}_{name}": value for what, value in (of | {"batch": 2, "stride": rows * columns}).items()}


def test_a_finder_that_is_not_installed_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    real = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name.startswith("cuda") else real(name))
    with pytest.raises(RuntimeError, match="cuda-pathfinder is not installed: pip install cuda-pathfinder"):
        _cuda_state.find_cublaslt()


# --- what is handed to it ----------------------------------------------------------------------------------------------


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


@on_emulation
def test_a_workspace_stays_with_its_device_and_stream(stand_in: None) -> None:
    """Nothing is allocated by a second product, as where a CUDA graph is captured; a stream of its own has another one."""
    emulated.drop_workspaces()
    stream, made = [3], []

    def allocate(size: int) -> Any:
        made.append(np.empty(size, np.uint8))
        return SimpleNamespace(ptr=made[-1].ctypes.data)

    def multiply(device: int = 0) -> None:
        x, w, y = (Array(np.ones(shape), device=device) for shape in ((3, 4), (4, 5), (3, 5)))
        emulated.matmul(x, w, y, None, 1.0, 0.0, 0)
        assert (y.host == 4).all()

    emulated.connect(lambda: stream[0], allocate, print)
    for device, of_stream, count in ((0, 3, 1), (0, 3, 1), (0, 4, 2), (1, 3, 3), (0, 3, 3), (0, 4, 3)):
        stream[0] = of_stream
        multiply(device)
        assert len(made) == count
    assert {m.size for m in made} == {32 << 20}
    assert [w.ptr for w in emulated.workspaces()] == [made[i].ctypes.data for i in (0, 1, 2)]
    emulated.drop_workspaces()
    assert emulated.workspaces() == []
    multiply()
    assert len(made) == 4


@on_emulation
def test_a_workspace_that_finds_no_memory(stand_in: None) -> None:
    """The product fails as any allocation does; with memory it goes to the library again."""
    from pullback._emulated import pool

    emulated.drop_workspaces()
    pool.free_all_blocks()  # of other tests' workspaces
    a = pb.ones(2, 2, device="cuda-emulated")
    before = emulated.cublaslt_products()
    pool.free_all_blocks()
    pool.set_limit(pool.used_bytes() + (1 << 20))
    try:
        with pytest.raises(pb.cuda.OutOfMemoryError, match=r"32\.0 MiB were asked for"):
            a @ a
    finally:
        pool.set_limit(0)
    assert (a @ a).sum().item() == 8 and emulated.cublaslt_products() == before + 2


@on_emulation
def test_a_captured_product_goes_there_with_a_workspace_of_the_plan_s(stand_in: None) -> None:
    w = pb.randn(4, 5, device="cuda-emulated")
    step = pb.capture(lambda x: pb.tanh(x @ w))
    for k in range(7):
        x = pb.full((3, 4), 0.1 * k, device="cuda-emulated")
        before = emulated.cublaslt_products()
        got = step(x)
        if k > 4:  # a graph launches what it holds
            assert emulated.cublaslt_products() == before
            emulated.drop_workspaces()
        assert got.tolist() == pb.tanh(x @ w).tolist()
