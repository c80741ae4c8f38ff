"""The bindings against callers who do not check: wrong shapes, dtypes and objects raise, nothing leaks, and threads may
come between."""

from __future__ import annotations

import gc
import sys
import threading
import weakref

import numpy as np
import pytest

from harness import Recorded
from pullback import _cpu


def ones(*shape: int, dtype: str = "float32") -> np.ndarray:
    return np.ones(shape, dtype)


@pytest.mark.parametrize(
    ("name", "shapes", "wrong"),
    [
        ("exp", [(3,), (4,)], "x"),
        ("exp", [(5, 3), (3,)], "x"),
        ("copy", [(1000, 1000), (2, 2)], "x"),
        ("add", [(3,), (2, 4), (2, 3)], "b"),
        ("add", [(2, 3), (3,), (1, 3)], "a"),
        ("relu_backward", [(4,), (4,), (5,)], "dy"),
        ("where", [(4,), (4,), (9,), (4,)], "b"),
    ],
)
def test_elementwise_operands_that_do_not_fit_raise(name: str, shapes: list[tuple[int, ...]], wrong: str) -> None:
    arrays = [ones(*s) for s in shapes]
    if name == "where":
        arrays[0] = arrays[0].astype(bool)
    arrays[-1][...] = 7
    with pytest.raises(ValueError, match=rf"{name}: the shape of \w+ does not fit"):
        getattr(_cpu, name)(*arrays)
    assert (arrays[-1] == 7).all()


def test_elementwise_operands_stretch() -> None:
    y = ones(2, 3)
    _cpu.add(ones(1, 3), ones(2, 1), y)
    assert (y == 2).all()
    _cpu.add(ones(), ones(1, 1, 1, 1), y[:0])


def test_arange_takes_one_dimension() -> None:
    with pytest.raises(ValueError, match="arange: the shape of y"):
        _cpu.arange(ones(2, 3), 0, 1)


def test_whole_numbers_stay_whole() -> None:
    y = np.empty(2, np.int64)
    _cpu.arange(y, 2**53 + 1, 1)
    assert y.tolist() == [2**53 + 1, 2**53 + 2]
    _cpu.fill(ones(1), 2**100)
    with pytest.raises(OverflowError, match="fill_integer: value expects a 64-bit integer"):
        _cpu.fill_integer(y, 2**100)


@pytest.mark.parametrize("dtype", [object, "U3", "S2", "M8[s]", [("a", "f4")], ("f4", (3,))])
def test_empty_makes_numbers_only(dtype: object) -> None:
    with pytest.raises(TypeError, match="empty: dtype expects a type of numbers"):
        _cpu.empty((2,), np.dtype(dtype))


@pytest.mark.parametrize("shape", [(-1,), (2**62, 4), (2**31, 2**31, 2**31), (1,) * 17, ("a",), [2]])
def test_empty_refuses_shapes(shape: object) -> None:
    with pytest.raises((ValueError, TypeError)):
        _cpu.empty(shape, np.dtype("f4"))
    with pytest.raises(MemoryError):
        _cpu.empty((2**50,), np.dtype("f8"))


def misaligned() -> np.ndarray:
    return np.zeros(17, np.uint8)[1:].view("f4")


def readonly() -> np.ndarray:
    a = ones(4)
    a.setflags(write=False)
    return a


WRONG = {
    "too few": lambda: _cpu.exp(ones(4)),
    "too many": lambda: _cpu.exp(ones(4), ones(4), ones(4)),
    "keyword": lambda: _cpu.exp(ones(4), z=ones(4)),
    "repeated": lambda: _cpu.exp(ones(4), x=ones(4)),
    "no array": lambda: _cpu.exp([1.0], ones(4)),
    "None": lambda: _cpu.exp(None, ones(4)),
    "dtype": lambda: _cpu.exp(ones(4, dtype="float16"), ones(4)),
    "mixed dtypes": lambda: _cpu.exp(ones(4, dtype="float64"), ones(4)),
    "byte order": lambda: _cpu.exp(ones(4, dtype=">f4"), ones(4)),
    "object": lambda: _cpu.exp(np.array([None]), ones(4)),
    "read-only": lambda: _cpu.exp(ones(4), readonly()),
    "misaligned": lambda: _cpu.exp(misaligned(), ones(4)),
    "strides": lambda: _cpu.exp(np.zeros(4, "u1,f4,f4")["f1"], ones(4)),
    "dimensions": lambda: _cpu.exp(np.ones((1,) * 20, "f4"), ones(4)),
    "shape": lambda: _cpu.exp(ones(40000), ones(3)),
    "scalar": lambda: _cpu.fill(ones(4), "x"),
    "cell": lambda: _cpu.fill(ones(4), ones(2)),
    "integer": lambda: _cpu.fill_integer(ones(4), 2.5),
    "overflow": lambda: _cpu.fill_integer(ones(4), 2**70),
    "list": lambda: _cpu.sgd(ones(4)),
    "division": lambda: _cpu.floor_divide(ones(4, dtype="int64"), 0 * ones(4, dtype="int64"), ones(4, dtype="int64")),
    "division, without the GIL": lambda: _cpu.remainder(
        ones(60000, dtype="int64"), 0 * ones(1, dtype="int64"), ones(60000, dtype="int64")
    ),
    "memory": lambda: _cpu.empty((2**50,), np.dtype("f8")),
    "object memory": lambda: _cpu.empty((2,), np.dtype(object)),
    "recording": lambda: _cpu.Recording(1, 2).missing,
}


@pytest.mark.parametrize("name", WRONG)
def test_errors_leak_nothing(name: str) -> None:
    def fail() -> None:
        try:
            WRONG[name]()
        except Exception:
            return
        pytest.fail("no exception")

    # Coverage and caches of the interpreter allocate now and then; what leaks, leaks in every round.
    singletons = (None, np.dtype("f4"), np.dtype(object), _cpu.exp, type(_cpu.exp), _cpu.Recording)
    grown = []
    for _ in range(5):
        gc.collect()
        before = [*map(sys.getrefcount, singletons), sys.getallocatedblocks(), _cpu.memory_stats()["in_use"]]
        for _ in range(300):
            fail()
        gc.collect()
        after = [*map(sys.getrefcount, singletons), sys.getallocatedblocks(), _cpu.memory_stats()["in_use"]]
        grown.append([b - a for a, b in zip(before, after, strict=True)])
    *references, blocks, in_use = map(min, zip(*grown, strict=True))
    assert max(references) < 100, grown
    assert blocks < 100, grown
    assert in_use <= 0, grown


def in_thread(f) -> list[BaseException]:
    errors: list[BaseException] = []

    def run() -> None:
        try:
            f()
        except BaseException as e:
            errors.append(e)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    return errors


def test_a_recording_belongs_to_the_thread_that_started_it() -> None:
    calls = _cpu.Recording()
    calls.start()
    for use in (calls.start, calls.stop, calls.settle):
        assert [type(e) for e in in_thread(use)] == [RuntimeError]
    with pytest.raises(RuntimeError, match="stop"):
        calls.settle()
    _cpu.exp(ones(3), ones(3))
    assert calls.names() == ["exp"]
    calls.stop()
    calls.stop()
    assert not in_thread(calls.settle)


def test_the_thread_that_records_holds_the_recording() -> None:
    """Otherwise the last reference, dropped by another thread, would free what it writes to."""
    calls = _cpu.Recording()
    before = sys.getrefcount(calls)
    calls.start()
    assert sys.getrefcount(calls) == before + 1
    calls.stop()
    assert sys.getrefcount(calls) == before


def test_a_replay_raises_what_the_call_raised() -> None:
    a, b, y = ones(4, dtype="int64"), ones(4, dtype="int64"), ones(4, dtype="int64")
    with Recorded() as calls:
        _cpu.floor_divide(a, b, y)
    b[2] = 0
    with pytest.raises(ZeroDivisionError):
        calls.replay()


def test_lists_may_change_while_a_kernel_runs() -> None:
    """A list that another thread empties during a call keeps its arrays for the length of the call."""
    arrays, returned, alive = [ones(20_000_000)], [], []
    watched, launches = weakref.ref(arrays[0]), _cpu.launch_counts()["scale_list"]

    def clear() -> None:
        while _cpu.launch_counts()["scale_list"] == launches:
            pass
        arrays.clear()
        alive.append(bool(watched() is not None or returned))

    thread = threading.Thread(target=clear)
    thread.start()
    _cpu.scale_list(arrays, 0.5)
    returned.append(True)
    thread.join()
    assert alive == [True] and watched() is None


def test_threads_call_and_record_at_once() -> None:
    failures: list[str] = []

    def work(k: int) -> None:
        x, y = np.full(50_000, k, "f4"), np.empty(50_000, "f4")
        for _ in range(30):
            with Recorded() as calls:
                _cpu.square(x, y)
                _cpu.neg(y, y)
            if calls.names() != ["square", "neg"] or not (y == -k * k).all():
                failures.append(f"{k}: {calls.names()}")
            y[...] = 0
            calls.replay()
            if not (y == -k * k).all():
                failures.append(f"{k}: replay")

    threads = [threading.Thread(target=work, args=(k,)) for k in range(1, 4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert not failures
