"""Gradient norms and clipping, and parameters as a vector."""

from __future__ import annotations

import math

import numpy as np
import pytest

import pullback as pb
from pullback import _cpu
from pullback.nn import utils


def parameters(*dtypes):
    """Two parameters, with gradients of norm 13 together: (3, 4) and (0, 12)."""
    made = []
    for dtype, g in zip(dtypes or (pb.float32, pb.float32), ([3.0, 4.0], [[0.0, -12.0]])):
        p = pb.nn.Parameter(pb.zeros_like(pb.tensor(g, dtype=dtype)))
        p.grad = pb.tensor(g, dtype=dtype)
        made.append(p)
    return [*made, pb.nn.Parameter(pb.zeros(3))]


@pytest.mark.parametrize("p, want", [(2.0, 13.0), (1.0, 19.0), (math.inf, 12.0), (3, (27 + 64 + 1728) ** (1 / 3))])
@pytest.mark.parametrize("dtypes", [(pb.float32, pb.float32), (pb.float32, pb.float64)])
def test_norm_and_clipping(p, want, dtypes):
    params = parameters(*dtypes)
    total = utils.clip_grad_norm_(params, 6.5, norm_type=p)
    assert total.item() == pytest.approx(want, rel=1e-6) and total.shape == ()
    factor = min(1.0, 6.5 / (want + 1e-6))
    np.testing.assert_allclose(params[0].grad.numpy(), np.array([3, 4]) * factor, rtol=1e-6)
    np.testing.assert_allclose(params[1].grad.numpy(), np.array([[0, -12]]) * factor, rtol=1e-6)
    assert params[2].grad is None


def test_small_gradients_keep_their_bits():
    params = parameters()
    assert utils.clip_grad_norm_(iter(params), 100.0).item() == 13
    assert params[0].grad.tolist() == [3, 4]


def test_clipping_is_two_launches():
    params = parameters()
    before = _cpu.launch_counts()
    utils.clip_grad_norm_(params, 1.0)
    after = _cpu.launch_counts()
    assert after["total_norm"] - before["total_norm"] == 1 and after["scale_list"] - before["scale_list"] == 1


def test_one_tensor_and_none():
    params = parameters()
    assert utils.clip_grad_norm_(params[0], 1.0).item() == 5
    np.testing.assert_allclose(params[0].grad.numpy(), [0.6, 0.8], rtol=1e-6)
    assert utils.clip_grad_norm_(params[2:], 1.0).item() == 0
    assert utils.get_total_norm([]).item() == 0
    assert utils.get_total_norm([p.grad for p in parameters()[:2]]).item() == 13
    assert utils.get_total_norm(pb.tensor([3.0, 4.0])).item() == 5
    with pytest.raises(TypeError, match="get_total_norm: tensors expects a Tensor, got int"):
        utils.get_total_norm([3])


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_norms_that_are_no_number(value):
    params = parameters()
    params[0].grad[0] = value
    with pytest.raises(RuntimeError, match=f"order 2 of the gradients is {value}"):
        utils.clip_grad_norm_(params, 1.0, error_if_nonfinite=True)
    assert params[1].grad.tolist() == [[0, -12]]
    assert not math.isfinite(utils.clip_grad_norm_(params, 1.0).item())


def test_clipping_is_a_change_in_place():
    params = parameters()
    g = params[0].grad.requires_grad_()
    y = (g * g).sum()
    utils.clip_grad_norm_(params, 1.0)
    with pytest.raises(RuntimeError, match="changed in place"):
        y.backward()


def test_clipping_values():
    params = parameters()
    utils.clip_grad_value_(params, 3.5)
    assert params[0].grad.tolist() == [3, 3.5] and params[1].grad.tolist() == [[0, -3.5]]
    utils.clip_grad_value_(params[0], 1)
    assert params[0].grad.tolist() == [1, 1]


def test_parameters_as_a_vector():
    model = pb.nn.Linear(2, 3)
    vector = utils.parameters_to_vector(model.parameters())
    assert vector.shape == (9,) and vector[:6].tolist() == model.weight.flatten().tolist()
    vector.sum().backward()
    assert model.bias.grad.tolist() == [1, 1, 1]
    utils.vector_to_parameters(pb.arange(9.0), model.parameters())
    assert model.weight.tolist() == [[0, 1], [2, 3], [4, 5]] and model.bias.tolist() == [6, 7, 8]
    assert model.weight.requires_grad and isinstance(model.weight, pb.nn.Parameter)
    with pytest.raises(RuntimeError, match=r"vec expects shape \[9\], got \[8\]"):
        utils.vector_to_parameters(pb.arange(8.0), model.parameters())
    with pytest.raises(TypeError, match="vec expects a Tensor, got list"):
        utils.vector_to_parameters([1.0], model.parameters())
