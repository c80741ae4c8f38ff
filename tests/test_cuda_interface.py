"""The GPU's module has the CPU's interface: the same kernels and parameters, arrays of its own kind, and errors that come
when somebody waits. On the emulated module it runs too; on `_cuda` what needs no device does."""

from __future__ import annotations

import gc
import re
import sys
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from gpu_modules import Array, emulated, on_each, on_emulation, reconnect
from pullback import _cpu


@on_each
def test_kernels_and_parameters_are_the_cpu_s(gpu: Any) -> None:
    cpu, other = ({name: rest for name, *rest in m.signatures()} for m in (_cpu, gpu))
    assert list(cpu) == list(other) and len(cpu) > 100
    for name, (formula, parameters) in cpu.items():
        assert other[name][1] == parameters, name
        kernel = getattr(gpu, name)
        assert (kernel.__name__, kernel.__doc__) == (name, formula)
        assert type(kernel).__module__ == gpu.__name__


@on_each
def test_a_kernel_without_a_gpu_half_says_so(gpu: Any) -> None:
    have = set(gpu.kernel_names())
    assert have and have <= set(gpu.launch_counts()) == {name for name, *_ in _cpu.signatures()}
    for name in set(gpu.launch_counts()) - have:
        with pytest.raises(NotImplementedError, match=f"^{name}: there is no kernel for this device yet$"):
            getattr(gpu, name)()


@on_each
def test_what_is_said_of_devices(gpu: Any) -> None:
    n = gpu.device_count()
    assert bool(gpu.unavailable_reason()) == (n == 0)
    assert gpu.driver_version() >= 0 and gpu.runtime_version() >= 0
    for built in gpu.architectures() or ["none"]:  # numbers, whatever CMake was told: "native" is none
        assert built == "emulated" or re.fullmatch(r"(sm|compute)_\d{2,3}[af]?", built)
    for i in range(n):
        assert {"name", "major", "minor", "total_memory", "multi_processor_count"} == set(gpu.device_properties(i))
    for i in (-1, n):
        with pytest.raises(IndexError, match=f"there is no GPU {i}"):
            gpu.device_properties(i)


# --- calls, on the emulation -------------------------------------------------------------------------------------------


@pytest.fixture(autouse=True)
def streams() -> Iterator[list[int]]:
    asked: list[int] = []

    def current_stream() -> int:
        asked.append(7)
        return 7

    if emulated is not None:
        emulated.connect(
            current_stream, lambda bytes: pytest.fail("emulated kernels take scratch memory themselves"), print
        )
    yield asked
    if emulated is not None:
        emulated.check_errors()
        reconnect()


@on_emulation
def test_a_call_reads_shape_strides_and_stream(streams: list[int]) -> None:
    x, y = Array([[1, 2, 3], [4, 5, 6]]), Array(np.zeros((3, 2)))
    x.host = x.host.T
    before = emulated.launch_counts()["square"]
    emulated.square(x, y=y)
    assert y.host.tolist() == [[1, 16], [4, 25], [9, 36]]
    assert streams == [7] and emulated.launch_counts()["square"] == before + 1


def with_(**attributes: Any) -> Any:
    good = {"data": SimpleNamespace(ptr=64), "shape": (2,), "strides": (4,), "dtype": np.dtype("f4")}
    return SimpleNamespace(**(good | {"device": SimpleNamespace(id=0)} | attributes))


WRONG = {
    "a NumPy array": (
        np.ones(2, "f4"),
        TypeError,
        "exp: x expects an array in GPU memory, got <class 'numpy.ndarray'>",
    ),
    "None": (None, TypeError, "exp: x expects an array in GPU memory, got <class 'NoneType'>"),
    "no pointer": (with_(data=SimpleNamespace(ptr="0")), TypeError, "an array in GPU memory"),
    "no shape": (with_(shape=[2]), TypeError, "an array in GPU memory"),
    "strides of another": (with_(strides=(4, 4)), TypeError, "an array in GPU memory"),
    "no sizes": (with_(shape=("2",)), TypeError, "integer"),
    "no device": (with_(device=0), TypeError, "an array in GPU memory"),
    "complex64": (with_(dtype=np.dtype("c8")), TypeError, "exp: x expects another dtype, got dtype\\(.complex64.\\)"),
    "no dtype": (with_(dtype="f4"), TypeError, "another dtype"),
    "byte order": (with_(dtype=np.dtype(">f4")), TypeError, "another dtype"),
    "misaligned": (with_(data=SimpleNamespace(ptr=66)), ValueError, "aligned elements"),
    "part of an element": (with_(strides=(6,)), ValueError, "strides of whole elements"),
    "dimensions": (with_(shape=(1,) * 17, strides=(4,) * 17), ValueError, "at most 16 dimensions, got 17"),
    "another GPU": (Array([1, 2], device=1), RuntimeError, "exp: y expects an array on GPU 1 .*, got one on GPU 0"),
    "another dtype": (Array([1, 2], "f8"), TypeError, "exp: y expects float64"),
}


@on_emulation
@pytest.mark.parametrize("name", WRONG)
def test_arrays_that_are_none_raise(name: str) -> None:
    x, kind, words = WRONG[name]
    with pytest.raises(kind, match=words):
        emulated.exp(x, Array([0, 0]))


@on_emulation
def test_a_device_that_is_not_there_raises() -> None:
    missing = emulated.device_count()
    with pytest.raises(RuntimeError, match=rf"exp: there is no GPU {missing} \(x: float32 \[2\], y: float32 \[2\]\)"):
        emulated.exp(Array([1, 2], device=missing), Array([1, 2], device=missing))


@on_emulation
def test_shapes_raise_at_once_and_data_when_somebody_waits() -> None:
    with pytest.raises(ValueError, match="exp: the shape of x does not fit"):
        emulated.exp(Array(np.ones(3)), Array(np.ones(4)))
    seven, zero, y = (Array([7, k], "int64") for k in (1, 0, 0))
    emulated.floor_divide(seven, zero, y)
    emulated.exp(Array([0.0]), Array([0.0]))  # what comes after does not hide it
    with pytest.raises(ZeroDivisionError, match="floor_divide: an integer is divided by zero"):
        emulated.check_errors()
    emulated.check_errors()


@on_emulation
def test_errors_of_two_kernels_are_both_told() -> None:
    zero, y = Array([0], "int64"), Array([0], "int64")
    emulated.floor_divide(zero, zero, y)
    emulated.remainder(Array([0], "int64", 1), Array([0], "int64", 1), Array([0], "int64", 1))
    with pytest.raises(ZeroDivisionError, match="floor_divide: .*; remainder: "):
        emulated.check_errors()


@on_emulation
def test_a_cell_is_read_by_the_kernel_or_refused() -> None:
    p, g, step = Array([1.0, 2.0]), Array([1.0, 1.0]), Array(0.0)
    v = Array([0.0, 0.0])
    hyper = {
        "alpha": 0.0,
        "eps": 0.0,
        "weight_decay": 0.0,
        "momentum": 0.0,
        "centered": False,
        "maximize": False,
        "eps_inside": False,
        "found_inf": 0.0,
    }
    emulated.rmsprop([p], [g], [v], [], [], [step], lr=Array(0.5, "float64"), **hyper)
    assert p.host.tolist() == [0.5, 1.5] and step.host == 1
    with pytest.raises(RuntimeError, match=r"matmul: a number was given as an array in GPU memory, .*item\(\)"):
        one = Array([[1.0]])
        emulated.matmul(one, one, Array([[0.0]]), None, Array(1.0), 0.0, 0)
    with pytest.raises(RuntimeError, match="rmsprop: lr expects an array on GPU 0"):
        emulated.rmsprop([p], [g], [v], [], [], [step], lr=Array(0.5, device=1), **hyper)


@on_emulation
def test_lists_of_nothing_need_no_device(streams: list[int]) -> None:
    emulated.sgd([], [], [], 0.1, 0.0, 0.0, 0.0, False, False, False, 0.0)
    assert not streams


@on_emulation
def test_exceptions_of_the_stream_pass_through() -> None:
    def fail() -> int:
        raise KeyError("no stream")

    emulated.connect(fail, lambda bytes: None, print)
    with pytest.raises(KeyError, match="no stream"):
        emulated.exp(Array([1.0]), Array([1.0]))
    with pytest.raises(TypeError):
        emulated.connect(None, None, None)


@on_emulation
def test_calls_and_errors_leak_nothing() -> None:
    x, y, wrong = Array([1.0]), Array([1.0]), np.ones(1, "f4")

    def calls() -> None:
        for _ in range(300):
            emulated.exp(x, y)
            with pytest.raises(TypeError):
                emulated.exp(x, wrong)

    grown = []
    for _ in range(4):
        gc.collect()
        before = sys.getallocatedblocks(), sys.getrefcount(x), sys.getrefcount(np.dtype("f4"))
        calls()
        gc.collect()
        after = sys.getallocatedblocks(), sys.getrefcount(x), sys.getrefcount(np.dtype("f4"))
        grown.append([b - a for a, b in zip(before, after, strict=True)])
    assert max(min(column) for column in zip(*grown, strict=True)) < 100, grown
