"""`gradcheck` and `gradgradcheck` find what is wrong, and only that."""

from __future__ import annotations

import numpy as np
import pytest

import pullback as pb
from pullback.autograd import Function, GradcheckError, gradcheck, gradgradcheck


def normal(*shape, seed=0):
    return pb.from_numpy(np.random.default_rng(seed).standard_normal(shape)).requires_grad_()


class Cube(Function):
    """x³ with factors that a test may spoil: 3 x² · first in the gradient, 6 x · second in the gradient of that."""

    first = 1.0

    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x * x * x

    @staticmethod
    def backward(ctx, dy):
        (x,) = ctx.saved_tensors
        return 3 * Cube.first * x * x * dy


@pytest.mark.parametrize(
    "function, shapes",
    [
        (lambda a: a.sin() * a, [(2, 3)]),
        (lambda a, b: a * b.exp() + a / (1 + b * b), [(2, 3), (3,)]),
        (lambda a, b: a @ b, [(2, 3), (3, 4)]),
        (lambda a: a.sum(0), [(3, 2)]),
        (lambda a: (a.mean(), a.exp()), [(4,)]),
        (lambda a: a.transpose(0, 1)[1], [(2, 3)]),
        (lambda a: a * 2, [()]),
        (lambda a: a + 1, [(0,)]),
        (Cube.apply, [(3,)]),
    ],
)
def test_right_derivatives_pass(function, shapes):
    inputs = [normal(*s, seed=i) for i, s in enumerate(shapes)]
    before = [x.detach().numpy().copy() for x in inputs]
    assert gradcheck(function, inputs)
    assert gradgradcheck(function, inputs)
    for x, want in zip(inputs, before):
        np.testing.assert_array_equal(x.detach().numpy(), want)  # moved, and put back
        assert x.grad is None


def test_a_wrong_derivative_is_named(monkeypatch):
    x = pb.tensor([[1.0, 2.0]], dtype=pb.float64).requires_grad_()
    monkeypatch.setattr(Cube, "first", 1.5)
    message = r"output 0 at \[0, 1\] with respect to input 1 at \[0, 1\] is wrong: analytical 18, numerical 12"
    with pytest.raises(GradcheckError, match=message):
        gradcheck(lambda scale, x: Cube.apply(x), (3.0, x))
    assert not gradcheck(Cube.apply, x, raise_exception=False)


def test_a_derivative_just_off_passes_with_tolerance(monkeypatch):
    x = normal(3)
    monkeypatch.setattr(Cube, "first", 1.0 + 1e-4)
    assert gradcheck(Cube.apply, x)
    assert not gradcheck(Cube.apply, x, rtol=1e-6, atol=1e-8, raise_exception=False)


def test_a_wrong_second_derivative_is_found():
    class Detached(Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            return x * x

        @staticmethod
        def backward(ctx, dy):
            (x,) = ctx.saved_tensors
            return 2 * x.detach() * dy

    assert gradcheck(Detached.apply, normal(3))
    with pytest.raises(GradcheckError, match="input 0"):
        gradgradcheck(Detached.apply, normal(3))
    assert not gradgradcheck(Detached.apply, normal(3), raise_exception=False)


def test_a_missing_path_is_found():
    with pytest.raises(GradcheckError, match=r"analytical 0, numerical"):
        gradcheck(lambda x: x.detach() * 2 + 0 * x, normal(3))


def test_nan_is_not_right():
    with pytest.raises(GradcheckError, match="analytical nan"):
        gradcheck(lambda x: x * float("nan"), normal(2))


def test_gradients_that_change_from_pass_to_pass():
    class Drifting(Function):
        calls = 0

        @staticmethod
        def forward(ctx, x):
            return x * 1

        @staticmethod
        def backward(ctx, dy):
            Drifting.calls += 1
            return dy + 1e-6 * Drifting.calls

    with pytest.raises(GradcheckError, match="two backward passes"):
        gradcheck(Drifting.apply, normal(2))
    assert gradcheck(Drifting.apply, normal(2), nondet_tol=1e-3)


def test_an_output_without_gradient_counts_as_zero():
    class Careless(Function):
        @staticmethod
        def forward(ctx, x):
            ctx.set_materialize_grads(False)
            return x * 1, x * 2

        @staticmethod
        def backward(ctx, d1, d2):
            return d1 + 2 * d2 if d1 is not None and d2 is not None else pb.zeros(2, dtype=pb.float64)

    with pytest.raises(GradcheckError):
        gradcheck(Careless.apply, normal(2))


def test_seeds_of_ones_own_and_transposed_ones():
    x = normal(3, 4)
    seed = normal(3, 4, seed=5)
    assert gradgradcheck(lambda a: a.exp(), x, seed)
    assert gradgradcheck(lambda a: a.exp(), [x], [seed])
    assert gradgradcheck(lambda a: a.exp(), x, gen_non_contig_grad_outputs=True)


def test_bad_input():
    with pytest.raises(ValueError, match="at least one tensor that requires grad"):
        gradcheck(lambda x: x, pb.ones(2, dtype=pb.float64))
    with pytest.raises(ValueError, match="input 0 expects float64, got pullback.float32"):
        gradcheck(lambda x: x, pb.ones(2).requires_grad_())
    with pytest.raises(RuntimeError, match="share memory"):
        gradcheck(lambda x: x, pb.ones(1, dtype=pb.float64).requires_grad_().expand(3))
    with pytest.raises(ValueError, match="func expects"):
        gradcheck(lambda x: None, normal(2))
    with pytest.raises(NotImplementedError, match="check_forward_ad"):
        gradcheck(lambda x: x, normal(2), check_forward_ad=True)
