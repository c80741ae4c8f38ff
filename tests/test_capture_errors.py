"""What cannot be captured says why and where, leaves nothing behind, and runs as an ordinary function under `compile`."""

from __future__ import annotations

import numpy as np
import pytest

import pullback as pb
from captured import DEVICES, Trained, assert_alike, batches, on_each_device, put, same

__all__ = ["on_each_device"]
pytestmark = pytest.mark.usefixtures("on_each_device")

HOLDER = {}


@pytest.fixture(autouse=True)
def hold(on_each_device: None) -> None:
    HOLDER.update(n=0, array=put(pb.zeros(3)))


def counting(x):
    HOLDER["n"] += 1
    return x * HOLDER["n"]


def loading(x):
    HOLDER["n"] += 1
    return x + pb.from_numpy(np.full(3, HOLDER["n"], "f4")).to(x.device)


def carrying(x):
    HOLDER["array"] = HOLDER["array"] + x
    return HOLDER["array"].sum()


def rebinding(x):
    HOLDER["array"].data = HOLDER["array"] + x
    return x + 1


def making(x):
    HOLDER["n"] += 1
    return x + pb.tensor([HOLDER["n"], 0, 0], device=x.device)


MOVED = "the step works on c[a-z:0-]+ and on c[a-z:0-]+: a captured step has one device"
REFUSED = {
    "item": (lambda x: x * x.sum().item(), "item\\(\\) reads a value"),
    "float": (lambda x: x * float(x.sum()), "reads a value"),
    "numpy": (lambda x: pb.from_numpy(x.cpu().numpy() * 2).to(x.device), f"numpy\\(\\) reads a value|{MOVED}"),
    "np function": (lambda x: pb.from_numpy(np.exp(x.cpu())).to(x.device), f"reads a value|{MOVED}"),
    "tolist": (lambda x: pb.tensor(x.tolist(), device=x.device), "tolist\\(\\) reads a value"),
    "if": (lambda x: x if x.sum() > 0 else -x, "reads a value"),
    "nonzero": (lambda x: pb.nonzero(x), "reads a value"),
    "mask": (lambda x: x[x > 0].sum(), "reads a value"),
    "counter": (counting, "another number than before"),
    "loader": (loading, f"another one in every call|{MOVED}"),
    "maker": (making, "another number than before|another one in every call"),
    "carry": (carrying, "another one in every call"),
    "rebinding": (rebinding, "exchanges an array"),
    "argument in place": (lambda x: x.add_(1), "argument 0 is changed in place"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_captured_says_where(name: str) -> None:
    function, message = REFUSED[name]
    step = pb.capture(function)
    with pytest.raises(pb.CaptureError, match=message) as caught:
        for _ in range(3):
            step(put(pb.ones(3)))
    if name not in ("rebinding", "argument in place"):
        assert "test_capture_errors.py:" in str(caught.value)
    # Nothing is left behind: the thread records nothing, and other functions can be captured.
    other = pb.capture(lambda x: x + 1)
    assert [other(put(pb.ones(2))).tolist() for _ in range(5)] == [[2.0, 2.0]] * 5


@pytest.mark.parametrize("name", [n for n in REFUSED if n != "rebinding"])
def test_compile_falls_back_and_says_so_once(name: str) -> None:
    function, _ = REFUSED[name]
    HOLDER.update(n=0, array=put(pb.zeros(3)))
    expected = []
    for _ in range(6):
        x = put(pb.ones(3))
        expected.append(function(x).tolist())
    HOLDER.update(n=0, array=put(pb.zeros(3)))
    step = pb.compile(function)
    got = []
    with pytest.warns(RuntimeWarning, match="ordinary function") as warned:
        for _ in range(6):
            got.append(step(put(pb.ones(3))).tolist())
    assert got == expected
    assert len(warned) == 1


def test_wrong_arguments_and_options() -> None:
    with pytest.raises(TypeError, match="expected a function"):
        pb.capture(3)
    with pytest.raises(ValueError, match="without expects names among"):
        pb.capture(lambda x: x, without=("fuse",))
    with pytest.raises(ValueError, match="max_plans"):
        pb.capture(lambda x: x, max_plans=0)
    with pytest.raises(pb.CaptureError, match="requires grad"):
        pb.capture(lambda x: x * 2)(pb.ones(2, requires_grad=True))
    with pytest.raises(pb.CaptureError, match="hashable"):
        pb.capture(lambda x, s: x)(pb.ones(2), {1, 2})


def test_an_error_of_the_function_leaves_nothing_behind() -> None:
    fail = [True]

    @pb.capture
    def f(x):
        y = x * 2
        if fail[0]:
            raise KeyError("no")
        return y

    for _ in range(2):
        with pytest.raises(KeyError):
            f(put(pb.ones(2)))
    fail[0] = False
    f(put(pb.ones(2)))
    fail[0] = True
    with pytest.raises(KeyError):
        f(put(pb.ones(2)))
    fail[0] = False
    assert [f(put(pb.full((2,), float(k)))).tolist() for k in range(6)] == [[2.0 * k] * 2 for k in range(6)]
    assert f.stats()["replayed"] == 4


def test_a_label_out_of_range_raises_as_in_an_ordinary_call() -> None:
    eager, captured = Trained(), Trained()
    step = pb.capture(captured.step)
    for x, y in batches(5):
        eager.step(x, y)
        step(x, y)
    x, y = batches(1)[0]
    with pytest.raises(IndexError, match="target 7 is out of range"):
        step(x, y * 0 + 7).item()
    with pytest.raises(IndexError, match="target 7 is out of range"):
        eager.step(x, y * 0 + 7).item()
    for x, y in batches(5):
        assert same(eager.step(x, y), step(x, y))


def test_check_finds_what_froze() -> None:
    factor = [1.0]
    f = pb.capture(lambda x: x * factor[0], check=2)
    for _ in range(7):
        f(put(pb.ones(3)))
    factor[0] = 2.0
    with pytest.raises(pb.CaptureError, match="differ"):
        for _ in range(2):
            f(put(pb.ones(3)))
    assert_alike(Trained("adam", 0.4), captured := Trained("adam", 0.4), step=pb.capture(captured.step, check=1))


@pytest.mark.parametrize("on_each_device", DEVICES[1:], indirect=True)
def test_a_step_has_one_device() -> None:
    """Whether arguments show it or not."""
    near, far = pb.ones(3), put(pb.ones(3))
    with pytest.raises(pb.CaptureError, match=f"argument 1: {MOVED}"):
        pb.capture(lambda x, y: x + 1)(far, near)

    def both(x):
        near.add_(1)
        return x + 1

    step = pb.capture(both)
    step(far)
    with pytest.raises(pb.CaptureError, match=MOVED):
        step(far)
    hidden = pb.capture(lambda: far + 1)
    assert [hidden().tolist() for _ in range(6)] == [[2.0] * 3] * 6
    assert hidden.stats()["replayed"] == 3
