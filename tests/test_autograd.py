"""`pullback.autograd`: gradients as functions, and functions with pullbacks of one's own."""

from __future__ import annotations

import gc
import weakref

import numpy as np
import pytest

import pullback as pb
from pullback import _cpu, autograd
from pullback.autograd import Function, gradcheck, gradgradcheck
from pullback.autograd.function import once_differentiable


def leaf(*values):
    return pb.tensor(list(map(float, values))).requires_grad_()


# --- grad and backward ------------------------------------------------------------------------------------------------


def test_grad_returns_and_does_not_accumulate():
    x, y = leaf(1, 2), leaf(3, 4)
    a, b = autograd.grad((x * y).sum(), (x, y))
    assert a.tolist() == [3, 4] and b.tolist() == [1, 2]
    assert x.grad is None and not a.requires_grad


def test_grad_with_seeds_and_several_outputs():
    x = leaf(1, 2)
    (g,) = autograd.grad([x * 2, x * x], x, [pb.tensor([1.0, 10.0]), pb.tensor([1.0, 1.0])])
    assert g.tolist() == [2 + 2, 20 + 4]


def test_grad_of_something_in_the_middle():
    x = leaf(1, 2)
    h = x * x
    (g,) = autograd.grad((h * h).sum(), h)
    assert g.tolist() == [2, 8]


def test_unused_inputs():
    x, y = leaf(1, 2), leaf(3, 4)
    with pytest.raises(RuntimeError, match="not used"):
        autograd.grad(x.sum(), (x, y))
    assert autograd.grad(x.sum(), (x, y), allow_unused=True)[1] is None
    assert autograd.grad(x.sum(), (x, y), materialize_grads=True)[1].tolist() == [0, 0]
    with pytest.raises(ValueError, match="materialize_grads"):
        autograd.grad(x.sum(), (x, y), allow_unused=False, materialize_grads=True)


def batched(outputs, inputs, grad_outputs, **options):
    return autograd.grad(outputs, inputs, grad_outputs, is_grads_batched=True, **options)


def test_grads_of_a_batch_are_those_of_its_entries():
    x, w = pb.randn(3, 2, requires_grad=True), pb.randn(2, requires_grad=True)
    y, z = (x * x @ w).exp(), (x * w).sum()
    seeds = pb.randn(5, 3), pb.randn(5)
    found = batched((y, z), (x, w), seeds, retain_graph=True)
    assert [list(g.shape) for g in found] == [[5, 3, 2], [5, 2]] and not found[0].requires_grad
    for b in range(5):
        one = autograd.grad((y, z), (x, w), [s[b] for s in seeds], retain_graph=True)
        assert all(g[b].equal(h) for g, h in zip(found, one))


def test_grads_of_a_batch_free_the_graph_with_the_last():
    x = leaf(1, 2, 3)
    y = x * x
    assert batched(y, x, pb.eye(3), retain_graph=True)[0].tolist() == [[2, 0, 0], [0, 4, 0], [0, 0, 6]]
    assert batched(y, x, pb.eye(3))[0].diagonal().tolist() == [2, 4, 6]
    with pytest.raises(RuntimeError, match="retain_graph"):
        autograd.grad(y.sum(), x)


def test_grads_of_a_batch_can_be_differentiated():
    x, seeds = leaf(1, 2), pb.eye(2).requires_grad_()
    with pb.no_grad():
        (g,) = batched(grad_mode_on(lambda: x**3), x, seeds, create_graph=True)
    assert g.requires_grad and autograd.grad(g.sum(), x, retain_graph=True)[0].tolist() == [6, 12]
    assert autograd.grad((g * g).sum(), seeds)[0].tolist() == [[18, 0], [0, 288]]
    (g,) = batched(x**3, x, seeds)
    assert not g.requires_grad


def grad_mode_on(function):
    with pb.enable_grad():
        return function()


def test_grads_of_a_batch_of_what_is_unused():
    x, z = leaf(1, 2), leaf(3, 4)
    y = x * 2
    with pytest.raises(RuntimeError, match="not used"):
        batched(y, (x, z), pb.eye(2), retain_graph=True)
    assert batched(y, (x, z), pb.eye(2), retain_graph=True, allow_unused=True)[1] is None
    assert batched(y, (x, z), pb.eye(2), materialize_grads=True)[1].tolist() == [0, 0]  # as PyTorch, without a batch


def test_grads_of_a_batch_want_batches():
    x = leaf(1, 2, 3)
    y = x * x
    for seeds, error, words in (
        (pb.ones(3), RuntimeError, r"grad_outputs of shape \[B, 3\], got \[3\]"),
        (pb.ones(4, 2), RuntimeError, r"grad_outputs of shape \[B, 3\], got \[4, 2\]"),
        (pb.ones(0, 3), ValueError, r"batches of one size, at least 1, got \[0\]"),
        (None, ValueError, "grad_outputs that are tensors, got NoneType"),
        ((pb.ones(2, 3), pb.ones(2)), RuntimeError, "one gradient for each of 1 tensors, got 2"),
    ):
        with pytest.raises(error, match=words):
            batched(y, x, seeds)
    with pytest.raises(RuntimeError, match=r"grad_outputs of shape \[B\], got \[\]"):
        batched(y.sum(), x, pb.tensor(1.0))
    with pytest.raises(ValueError, match=r"batches of one size, at least 1, got \[3, 2\]"):
        batched((y, y.sum()), x, (pb.eye(3), pb.ones(2)))
    assert batched((y, y.sum()), x, (pb.eye(3), pb.zeros(3)))[0].diagonal().tolist() == [2, 4, 6]


def test_grads_of_a_batch_are_pytorchs():
    torch = pytest.importorskip("torch", reason="PyTorch is not installed (make peers)")
    rng = np.random.default_rng(2)
    arrays = [rng.normal(size=shape) for shape in ((4, 3), (3, 3), (3,), (6, 4, 3), (6,))]
    found = []
    for library in (pb, torch):
        x, w, unused, seeds, more = [library.tensor(a, requires_grad=a.ndim < 3 and len(a) < 6) for a in arrays]
        y = (x @ w).tanh()
        grads = library.autograd.grad(
            (y, (y * y).sum()),
            (x, w, unused),
            (seeds, more),
            create_graph=True,
            is_grads_batched=True,
            allow_unused=True,
        )
        again = library.autograd.grad((grads[0] ** 2).sum(), (x, w))
        assert grads[2] is None
        found.append([g.detach().numpy() for g in (*grads[:2], *again)])
    for ours, theirs in zip(*found):
        np.testing.assert_allclose(ours, theirs, rtol=1e-11, atol=1e-11)


def test_grad_of_grad():
    x = leaf(2)
    (g,) = autograd.grad(x**3, x, create_graph=True)
    (h,) = autograd.grad(g, x)
    assert g.item() == 12 and h.item() == 12


def test_backward_of_several_tensors():
    x, y = leaf(1, 2), leaf(3, 4)
    autograd.backward([(x * y).sum(), x * 1], [None, pb.ones(2)])
    assert x.grad.tolist() == [4, 5] and y.grad.tolist() == [1, 2]
    autograd.backward((x * y).sum(), inputs=[y])
    assert x.grad.tolist() == [4, 5] and y.grad.tolist() == [2, 4]
    with pytest.raises(RuntimeError, match="inputs expects at least one"):
        autograd.backward(x.sum(), inputs=[])


def test_grad_modes_are_here_too():
    x = leaf(1)
    with autograd.no_grad():
        assert not (x * 2).requires_grad and not autograd.is_grad_enabled()
        with autograd.enable_grad():
            assert (x * 2).requires_grad
    with autograd.set_grad_enabled(False):
        assert not (x * 2).requires_grad


# --- Function ---------------------------------------------------------------------------------------------------------


class Scaled(Function):
    """k x² and x², with inputs and results saved."""

    @staticmethod
    def forward(ctx, x, k, note=None):
        y = x * x
        ctx.save_for_backward(x, None, y)
        ctx.k = k
        return y * k, y

    @staticmethod
    def backward(ctx, d1, d2):
        x, nothing, y = ctx.saved_tensors
        assert nothing is None
        return (ctx.k * d1 + d2) * 2 * y / x, None, None


def test_function_with_several_results():
    x = pb.tensor([1.0, 2.0], dtype=pb.float64).requires_grad_()
    a, b = Scaled.apply(x, 3.0, "note")
    assert a.tolist() == [3, 12] and b.tolist() == [1, 4] and a.requires_grad and not a.is_leaf
    assert "Scaled" in repr(a.grad_fn)
    assert gradcheck(lambda x: Scaled.apply(x, 3.0), x)
    assert gradgradcheck(lambda x: Scaled.apply(x, 3.0), x)
    (g,) = autograd.grad(b.sum(), x)  # a was not used: its gradient is zeros
    assert g.tolist() == [2, 4]


def test_function_off_the_tape():
    a, b = Scaled.apply(pb.ones(2), 3.0)
    assert not a.requires_grad and a.is_leaf
    with pb.no_grad():
        a, b = Scaled.apply(leaf(1, 2), 3.0)
    assert not a.requires_grad and b.tolist() == [1, 4]


def test_function_in_the_new_style():
    class Power(Function):
        @staticmethod
        def forward(x, n):
            return x**n

        @staticmethod
        def setup_context(ctx, inputs, output):
            x, ctx.n = inputs
            ctx.save_for_backward(x)

        @staticmethod
        def backward(ctx, dy):
            (x,) = ctx.saved_tensors
            return ctx.n * x ** (ctx.n - 1) * dy, None

    x = pb.tensor([1.5, 2.0], dtype=pb.float64).requires_grad_()
    assert gradcheck(lambda x: Power.apply(x, 3), x) and gradgradcheck(lambda x: Power.apply(x, 3), x)


def test_what_needs_a_gradient():
    seen = []

    class Product(Function):
        @staticmethod
        def forward(ctx, a, b, c):
            seen.append(ctx.needs_input_grad)
            ctx.save_for_backward(a, b)
            return a * b * c

        @staticmethod
        def backward(ctx, dy):
            a, b = ctx.saved_tensors
            return dy * b, None, None

    Product.apply(leaf(1), pb.ones(1), 1).backward()
    assert seen == [(True, False, False)]


def test_gradients_that_are_not_materialized():
    class Pair(Function):
        @staticmethod
        def forward(ctx, x):
            ctx.set_materialize_grads(False)
            return x * 1, x * 2

        @staticmethod
        def backward(ctx, d1, d2):
            assert d1 is None
            return 2 * d2

    x = leaf(1)
    Pair.apply(x)[1].backward()
    assert x.grad.item() == 2


def test_results_without_gradient():
    class Sorted(Function):
        @staticmethod
        def forward(ctx, x):
            flag = x > 0
            rounded = x.round()
            ctx.mark_non_differentiable(flag, rounded)
            return x * 2, flag, rounded, "text"

        @staticmethod
        def backward(ctx, dy, d_flag, d_rounded, d_text):
            assert d_text is None and d_rounded.tolist() == [0, 0]
            return dy * 2

    x = leaf(1, -1)
    y, flag, rounded, text = Sorted.apply(x)
    assert flag.tolist() == [True, False] and text == "text"
    assert y.requires_grad and not flag.requires_grad and not rounded.requires_grad
    y.sum().backward()
    assert x.grad.tolist() == [2, 2]


def test_a_function_in_place():
    class Double(Function):
        @staticmethod
        def forward(ctx, x):
            x.mul_(2)
            ctx.mark_dirty(x)
            return x

        @staticmethod
        def backward(ctx, dy):
            return dy * 2

    x = leaf(1, 2)
    h = x * 1
    out = Double.apply(h)
    assert out is h and h.tolist() == [2, 4]
    (h * h).sum().backward()
    assert x.grad.tolist() == [8, 16]
    y = x * 1
    z = y * y
    Double.apply(y)
    with pytest.raises(RuntimeError, match="changed in place"):
        z.sum().backward()
    with pytest.raises(RuntimeError, match="leaf"):
        Double.apply(x)


def test_an_input_handed_through():
    class Reverse(Function):
        @staticmethod
        def forward(ctx, x):
            return x

        @staticmethod
        def backward(ctx, dy):
            return -dy

    x = leaf(1, 2)
    y = Reverse.apply(x)
    assert y is not x and not y.is_leaf
    (3 * y).sum().backward()
    assert x.grad.tolist() == [-3, -3]


def test_gradients_are_summed_to_the_shape_of_the_input():
    class Add(Function):
        @staticmethod
        def forward(ctx, a, b):
            return a + b

        @staticmethod
        def backward(ctx, dy):
            return dy, dy

    a, b = pb.ones(2, 3).requires_grad_(), pb.ones(3).requires_grad_()
    Add.apply(a, b).sum().backward()
    assert b.grad.tolist() == [2, 2, 2]


def test_a_returned_gradient_is_not_shared_with_the_leaf():
    held = pb.ones(2)

    class Held(Function):
        @staticmethod
        def forward(ctx, x):
            return x * 1

        @staticmethod
        def backward(ctx, dy):
            return held

    x = leaf(1, 2)
    for _ in range(2):
        Held.apply(x).sum().backward()
    assert x.grad.tolist() == [2, 2] and held.tolist() == [1, 1]


@pytest.mark.parametrize(
    "returned, error, message",
    [
        (lambda dy: (), RuntimeError, "Wrong: backward expects 1 gradients to return, got 0"),
        (lambda dy: (dy, dy), RuntimeError, "expects 1 gradients to return, got 2"),
        (lambda dy: 3.0, TypeError, "expects tensors or None to return, got float"),
        (lambda dy: pb.ones(5), RuntimeError, r"expects shape \[2\] for the gradient of argument 0, got \[5\]"),
    ],
)
def test_backwards_that_return_something_else(returned, error, message):
    class Wrong(Function):
        @staticmethod
        def forward(ctx, x):
            return x * 1

        @staticmethod
        def backward(ctx, dy):
            return returned(dy)

    with pytest.raises(error, match=message):
        Wrong.apply(leaf(1, 2)).sum().backward()


def test_saved_tensors_are_guarded():
    x = leaf(1, 2)
    h = x * 1
    y = Scaled.apply(h, 3.0)[0]
    h.mul_(2)
    with pytest.raises(RuntimeError, match="Scaled: .*changed in place"):
        y.sum().backward()
    y, square = Scaled.apply(x, 3.0)
    square.mul_(2)  # a result that was saved
    with pytest.raises(RuntimeError, match="Scaled: .*changed in place"):
        y.sum().backward()
    y = Scaled.apply(x, 3.0)[0]
    y.sum().backward()
    with pytest.raises(RuntimeError, match="second time"):
        y.sum().backward()


def test_once_differentiable():
    class Once(Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            return x * x

        @staticmethod
        @once_differentiable
        def backward(ctx, dy):
            return 2 * ctx.saved_tensors[0] * dy

    x = leaf(3)
    assert autograd.grad(Once.apply(x), x)[0].item() == 6
    with pytest.raises(RuntimeError, match="Once: its pullback cannot be differentiated again"):
        autograd.grad(Once.apply(x), x, create_graph=True)


def test_context_outside_of_backward():
    class Peek(Function):
        @staticmethod
        def forward(ctx, x):
            with pytest.raises(RuntimeError, match="while backward"):
                _ = ctx.saved_tensors
            with pytest.raises(TypeError, match="got int"):
                ctx.save_for_backward(3)
            return x * 1

    Peek.apply(leaf(1))
    with pytest.raises(NotImplementedError, match="no forward"):
        Function.apply(leaf(1))
    with pytest.raises(NotImplementedError, match="no backward"):
        Peek.apply(leaf(1)).backward()


def test_a_function_leaves_no_cycle():
    gc.collect()
    gc.disable()
    try:
        x = pb.ones(4).requires_grad_()
        y = Scaled.apply(x, 3.0)[0]
        gone = weakref.ref(y)
        y.sum().backward()
        del y
        assert gone() is None
    finally:
        gc.enable()


def test_functions_compose_with_ops():
    rng = np.random.default_rng(0)
    x = pb.from_numpy(rng.uniform(1, 2, (2, 3))).requires_grad_()
    w = pb.from_numpy(rng.standard_normal((3,))).requires_grad_()

    def model(x, w):
        a, b = Scaled.apply((x * w).exp(), 0.5)
        return (a - b.sqrt()).sum(0)

    assert gradcheck(model, (x, w)) and gradgradcheck(model, (x, w))


def test_a_leaf_keeps_an_array_that_was_made_for_it() -> None:
    """Without a copy, also where the memory of an array that is gone serves again: ids repeat, arrays do not."""
    xs = [pb.ones(64, requires_grad=True) for _ in range(20)]
    y = pb.ones(64)
    for x in xs:
        y = pb.tanh(y * x)
    dy = pb.ones(64)
    before = _cpu.launch_counts()["copy"]
    y.backward(dy)
    assert _cpu.launch_counts()["copy"] == before
    assert all(x.grad is not None for x in xs)
