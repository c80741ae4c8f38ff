"""What PyTorch's users rely on where the obvious implementation would differ: numbers at the edge of a dtype, changes in
place, hooks, grad mode across threads and generators, gradients that share memory."""

from __future__ import annotations

import math
import threading

import numpy as np
import pytest

import pullback as pb
from pullback import autograd

# --- numbers ----------------------------------------------------------------------------------------------------------


def test_data_is_converted_once() -> None:
    """Not through float32 on the way to float64 or int64."""
    assert pb.tensor([0.1, 1e300], dtype=pb.float64).tolist() == [0.1, 1e300]
    assert pb.tensor(16777217.0, dtype=pb.int64).item() == 16777217
    assert pb.as_tensor([1e-40], dtype=pb.float64).item() == 1e-40


def test_numpys_numbers_promote_as_pythons() -> None:
    small, number = pb.tensor(3, dtype=pb.int8), pb.tensor([True, False])
    assert (small + np.int64(2)).dtype is pb.int8
    assert (number * np.int32(2)).dtype is pb.int64
    assert (pb.ones(2) * np.float64(2)).dtype is pb.float32
    assert (np.float64(2) * pb.ones(2)).dtype is pb.float32
    assert (pb.ones(2) + np.ones(2)).dtype is pb.float64


def test_integer_scalars_wrap_and_fills_refuse() -> None:
    byte = pb.full((2,), 5, dtype=pb.uint8)
    assert (byte + -1).tolist() == [4, 4]
    assert (byte + 300).tolist() == [49, 49]
    assert pb.full((1,), -1, dtype=pb.uint8).item() == 255
    for value, dtype in ((300, pb.uint8), (300, pb.int8), (math.nan, pb.int64), (-2.5, pb.uint8), (math.inf, pb.int32)):
        with pytest.raises(RuntimeError, match="does not fit"):
            pb.full((2,), value, dtype=dtype)
        with pytest.raises(RuntimeError, match="does not fit"):
            pb.zeros(2, dtype=dtype).fill_(value)


def test_two_numbers_are_no_operands() -> None:
    with pytest.raises(TypeError, match="expected a Tensor"):
        pb.add(1.0, 2.0)


def test_floor_division_at_the_edges() -> None:
    """Python's own, and infinite divisors."""
    for dtype in (pb.float32, pb.float64):
        values = [-7.5, -1.0, -0.0, 0.0, 0.5, 3.0]
        for b in (-2.0, -1.0, 0.5, 3.0, math.inf, -math.inf):
            got = pb.floor_divide(pb.tensor(values, dtype=dtype), b).tolist()
            want = [a // b for a in values]
            assert got == want and [math.copysign(1, g) for g in got] == [math.copysign(1, w) for w in want], b
    assert math.isnan(pb.floor_divide(pb.tensor([math.inf]), 2.0).item())


def test_integer_division_towards_zero_is_exact() -> None:
    a = pb.tensor([2**53 + 1, -(2**40) - 1, -7, 7])
    assert pb.div(a, pb.tensor([1, 7, 2, -2]), rounding_mode="trunc").tolist() == [2**53 + 1, -157073089682, -3, -3]
    assert pb.div(pb.tensor([-7.0]), 2, rounding_mode="trunc").item() == -3


def test_floats_beyond_an_integer_type() -> None:
    wild = pb.tensor([math.nan, math.inf, -math.inf, 1e10, -1.5], dtype=pb.float64)
    assert wild.int().tolist() == [-(2**31)] * 4 + [-1]
    assert wild.long().tolist() == [-(2**63)] * 3 + [10**10, -1]
    assert wild.bool().tolist() == [True] * 5


def test_arange_of_integers_is_exact() -> None:
    assert pb.arange(2**53 + 1, 2**53 + 4).tolist() == [2**53 + 1, 2**53 + 2, 2**53 + 3]
    assert pb.arange(2**62, 2**62 + 2).tolist() == [2**62, 2**62 + 1]
    assert pb.arange(1, 2.5, dtype=pb.int64).tolist() == [1]
    assert pb.arange(5, 0, -2, dtype=pb.int8).tolist() == [5, 3, 1]


def test_power_zero_has_zero_derivatives() -> None:
    a = pb.tensor([0.0, 1.0, 2.0], requires_grad=True)
    (g,) = autograd.grad((a**0).sum(), a, create_graph=True)
    (h,) = autograd.grad(g.sum(), a)
    assert g.tolist() == [0, 0, 0] and h.tolist() == [0, 0, 0]


def test_format_of_a_single_number() -> None:
    assert f"{pb.tensor(2.5)}" == "2.5" and f"{pb.tensor(2.5):.2f}" == "2.50"
    with pytest.raises(TypeError):
        f"{pb.ones(2):.2f}"


# --- changes in place -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["exp_", "floor_", "neg_", "sign_"])
def test_expanded_tensors_are_not_changed_in_place(name: str) -> None:
    x = pb.ones(1)
    with pytest.raises(RuntimeError, match="share memory"):
        getattr(x.expand(3), name)()
    assert x.tolist() == [1]


def test_overwriting_keeps_the_tape() -> None:
    """After zero_() a tensor does not depend on its past, but it is still part of the graph."""
    x = pb.ones(3, requires_grad=True)
    y = x * 2
    y.zero_()
    assert y.requires_grad
    (y * y).sum().backward()
    assert x.grad is not None and x.grad.tolist() == [0, 0, 0]


def test_a_view_follows_its_base_out_of_pullback() -> None:
    base = pb.zeros(3)
    view = base.narrow(0, 1, 2)
    base.add_(pb.ones(3, requires_grad=True))
    with pytest.raises(RuntimeError, match="requires grad"):
        view.numpy()


def test_views_made_under_no_grad_are_not_changed_behind_the_tape() -> None:
    base = pb.ones(3, requires_grad=True) * 1
    with pb.no_grad():
        view = base[1:]
        view.mul_(2)
    for change in (lambda: view.mul_(2), lambda: view.exp_(), lambda: view.zero_(), lambda: view.clamp_(max=1)):
        with pytest.raises(RuntimeError, match="made under no_grad"):
            change()
    base.detach()[1:].mul_(3)
    assert base.tolist() == [1, 6, 6]


def test_windows_that_overlap_sum_their_gradients() -> None:
    x = pb.arange(8.0).requires_grad_()
    windows = x.as_strided((6, 3), (1, 1))
    assert windows[2].tolist() == [2, 3, 4]
    windows.sum().backward()
    assert x.grad.tolist() == [1, 2, 3, 3, 3, 3, 2, 1]
    with pytest.raises(RuntimeError, match="overlap"):
        x.expand(2, 8).as_strided((2,), (1,))
    with pytest.raises(RuntimeError, match="differentiated again"):
        autograd.grad((x.as_strided((6, 3), (1, 1)) ** 2).sum(), x, create_graph=True)


def test_windows_start_where_pytorchs_do() -> None:
    x = pb.arange(12.0).reshape(3, 4)
    assert x.t().as_strided((2,), (1,), 3).tolist() == [3, 4]
    assert x[1].as_strided((2,), (1,)).tolist() == [4, 5]
    assert x[1].as_strided((2,), (1,), 5).tolist() == [5, 6]
    assert [x.storage_offset(), x[1:, 2].storage_offset(), x[2].detach().storage_offset()] == [0, 6, 8]
    for wrong in (lambda: x[1].as_strided((2,), (1,), 3), lambda: pb.zeros(0).as_strided((1,), (1,))):
        with pytest.raises(RuntimeError, match="as_strided"):
            wrong()


# --- gradients that share memory --------------------------------------------------------------------------------------


def test_a_gradient_is_not_the_callers_seed() -> None:
    for make in (lambda x: x, lambda x: x + 1, lambda x: x.reshape(3, 1)):
        x, seed = pb.ones(3, requires_grad=True), pb.ones(3)
        y = make(x)
        y.backward(seed.reshape(*y.shape))
        seed.add_(5)
        assert x.grad.tolist() == [1, 1, 1]


@pytest.mark.parametrize("create_graph", [False, True])
def test_two_leaves_have_gradients_of_their_own(create_graph: bool) -> None:
    x, y = pb.ones(3, requires_grad=True), pb.ones(3, requires_grad=True)
    (x + y).sum().backward(create_graph=create_graph)
    with pb.no_grad():
        x.grad.add_(1)
    assert y.grad.tolist() == [1, 1, 1]


def test_backward_of_chosen_inputs() -> None:
    x, w = pb.full((3,), 2.0, requires_grad=True), pb.ones(3, requires_grad=True)
    (x * x * w).sum().backward(inputs=x)
    assert x.grad.tolist() == [4, 4, 4] and w.grad is None
    (x * x * w).sum().backward(inputs=[x, x])
    assert x.grad.tolist() == [8, 8, 8]
    with pytest.raises(RuntimeError, match="at least one"):
        (x * w).sum().backward(inputs=[])


# --- hooks ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("on_leaf", [False, True])
@pytest.mark.parametrize(
    ("wrong", "error"),
    [
        (lambda g: 3.0, TypeError),
        (lambda g: g.narrow(0, 0, 1), RuntimeError),
        (lambda g: g.to(pb.float64), RuntimeError),
    ],
)
def test_a_hook_must_return_what_fits(wrong, error: type[Exception], on_leaf: bool) -> None:
    x = pb.ones(3, requires_grad=True)
    y = x * 2
    (x if on_leaf else y).register_hook(wrong)
    with pytest.raises(error, match="hook: expected"):
        (y * y).sum().backward()


def test_retain_grad_twice_is_once() -> None:
    y = pb.ones(3, requires_grad=True) * 2
    y.retain_grad()
    y.retain_grad()
    y.sum().backward()
    assert y.grad.tolist() == [1, 1, 1]


# --- grad mode --------------------------------------------------------------------------------------------------------


def test_grad_mode_belongs_to_a_thread() -> None:
    """Interleaved blocks of two threads leave neither with the other's mode."""
    inside, leave, seen = threading.Event(), threading.Event(), []

    def other() -> None:
        with pb.no_grad():
            inside.set()
            leave.wait(10)
        seen.append(pb.is_grad_enabled())

    thread = threading.Thread(target=other)
    thread.start()
    assert inside.wait(10) and pb.is_grad_enabled()
    with pb.no_grad():
        leave.set()
        thread.join()
    assert pb.is_grad_enabled() and seen == [True]


def test_backward_in_two_threads() -> None:
    failures = []

    def train() -> None:
        for _ in range(50):
            x = pb.ones(40, 40, requires_grad=True)
            (x.exp() * x).sum().backward()
            if not pb.is_grad_enabled() or x.grad is None or abs(float(x.grad.sum()) - 1600 * 2 * math.e) > 0.1:
                failures.append(x.grad)

    threads = [threading.Thread(target=train) for _ in range(3)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert not failures and pb.is_grad_enabled()


def test_set_grad_enabled_decorates() -> None:
    @pb.set_grad_enabled(False)
    def f(x):
        return x * 2

    assert pb.is_grad_enabled()
    assert not f(pb.ones(2, requires_grad=True)).requires_grad and pb.is_grad_enabled()


def test_a_generator_keeps_its_grad_mode_to_itself() -> None:
    @pb.no_grad()
    def double(x):
        try:
            sent = yield x * 2
            yield x * sent
        except ValueError:
            yield x * 5
        return "done"

    x = pb.ones(2, requires_grad=True)
    steps = double(x)
    assert not next(steps).requires_grad and pb.is_grad_enabled()
    assert steps.send(3).tolist() == [3, 3]
    assert not steps.throw(ValueError()).requires_grad and pb.is_grad_enabled()
    with pytest.raises(StopIteration, match="done"):
        next(steps)
    steps = double(x)
    next(steps)
    steps.close()


def test_inference_mode_takes_a_mode() -> None:
    x = pb.ones(2, requires_grad=True)
    with pb.inference_mode():
        assert not (x * 2).requires_grad
        with pb.inference_mode(False):
            assert (x * 2).requires_grad


# --- into pullback ----------------------------------------------------------------------------------------------------


def test_lists_of_numpys_numbers_keep_their_dtype() -> None:
    assert pb.tensor([np.float64(1.5)]).dtype is pb.tensor([np.ones(2), np.zeros(2)]).dtype is pb.float64
    assert pb.tensor([np.float32(1.5)]).dtype is pb.tensor([[1.5]]).dtype is pb.float32
    assert pb.tensor([pb.tensor(1.5, dtype=pb.float64)]).dtype is pb.float64
    assert pb.tensor([np.int32(1), 2.5]).dtype is pb.float32


def test_kinds_of_arrays_with_rules_of_their_own() -> None:
    matrix = np.ones((2, 2)).view(np.matrix)
    assert pb.from_numpy(matrix).reshape(-1).shape == (4,)
    assert (+pb.from_numpy(matrix)).shape == (2, 2)
