"""Activations, comparisons, choices and bounds, beyond what cases can say: dtypes, errors, operators, changes in place,
the tape."""

from __future__ import annotations

import numpy as np
import pytest

import pullback as pb

NAN, INF = float("nan"), float("inf")


def leaf(*values, dtype=None):
    return pb.tensor(values, dtype=dtype or pb.float64, requires_grad=True)


def part(t, start, stop):
    return t.narrow(0, start, stop - start)


# --- comparisons and logic --------------------------------------------------------------------------------------------


def test_operators_compare_and_leave_identity_to_python() -> None:
    i = pb.tensor([1, 2, 3])
    assert (i == 2).tolist() == [False, True, False]
    assert (2 < i).tolist() == [False, False, True]
    assert (i >= 1.5).tolist() == [False, True, True]
    assert (i != pb.tensor([1, 0, 3])).dtype is pb.bool
    assert (i == "a") is False and (i == None) is False and (i != None) is True  # noqa: E711
    assert len({i, pb.tensor([1, 2, 3])}) == 2  # hashed by identity
    with pytest.raises(TypeError):
        i < None  # noqa: B015
    with pytest.raises(TypeError, match="lt: other expects a Tensor or a number"):
        pb.lt(i, "a")
    with pytest.raises(TypeError, match="eq: input expects a Tensor, got int"):
        pb.eq(1, i)
    with pytest.raises(RuntimeError, match=r"eq: shapes \[3\] and \[2\] do not broadcast"):
        i == pb.zeros(2)  # noqa: B015


def test_comparisons_promote() -> None:
    small = pb.tensor([1, 2, 3], dtype=pb.int8)
    assert (small < 300).tolist() == [True] * 3 and (small == -(2**40)).tolist() == [False] * 3
    assert (pb.tensor([0.1]) == 0.1).tolist() == [True]  # the number is rounded to float32 too
    assert (pb.tensor([True, False]) < True).tolist() == [False, True]
    assert (pb.tensor([1.5]) > pb.tensor([1])).tolist() == [True]
    assert (pb.tensor([1, 2]) == np.array([1, 3])).tolist() == [True, False]
    assert pb.logical_xor(pb.tensor([1.5, 0.0, NAN]), pb.tensor([1, 0, 0])).tolist() == [False, False, True]
    with pytest.raises(TypeError, match="logical_and: other expects a Tensor"):
        pb.logical_and(small, 1)


def test_isclose_allclose_equal_isin() -> None:
    i, f = pb.tensor([1, 2, 3]), pb.tensor([1.0, 2.5, NAN])
    with pytest.raises(RuntimeError, match="isclose: other expects dtype pullback.int64"):
        pb.isclose(i, f)
    with pytest.raises(RuntimeError, match="rtol expects a value ≥ 0, got -1"):
        pb.isclose(f, f, rtol=-1)
    assert pb.isclose(pb.tensor([INF, -INF, INF]), pb.tensor([INF, INF, 1.0])).tolist() == [True, False, False]
    assert pb.isclose(pb.tensor([1.0]), pb.tensor([INF]), atol=INF).tolist() == [False]
    assert pb.isclose(pb.tensor([2**62]), pb.tensor([2**62 + 1]), rtol=0, atol=0).tolist() == [True]  # in double
    assert pb.allclose(f, f, equal_nan=True) is True and pb.allclose(f, f) is False
    assert pb.equal(i, i.double()) is True and pb.equal(i, part(i, 0, 2)) is False and pb.equal(f, f) is False
    assert pb.isin(i, pb.tensor([1, 3, 9])).tolist() == [True, False, True]
    assert pb.isin(i, 2, invert=True).tolist() == [True, False, True]
    assert pb.isin(2, i).item() is True


def test_bitwise() -> None:
    i, b = pb.tensor([-3, 0, 1, 6]), pb.tensor([True, False, True, True])
    assert (i & 1).tolist() == [1, 0, 1, 0] and (5 | i).tolist() == [-3 | 5, 5, 5, 7] and (i ^ i).tolist() == [0] * 4
    assert (~i).tolist() == [2, -1, -2, -7] and (~b).tolist() == [False, True, False, False]
    assert (b & True).dtype is pb.bool and (b & 1).dtype is pb.int64
    assert (
        (i << 2).tolist() == [-12, 0, 4, 24]
        and (i >> 1).tolist() == [-2, 0, 0, 3]
        and (2 << b.long()).tolist() == [4, 2, 4, 4]
    )
    assert (pb.tensor([7], dtype=pb.uint8) & ~1).tolist() == [6]  # −2 is 254
    c = b.clone()
    c &= pb.tensor([True, True, False, True])
    assert c.tolist() == [True, False, False, True]
    with pytest.raises(RuntimeError, match="bitwise_and: operands expect integers or bool, got dtype pullback.float32"):
        i & 1.5
    with pytest.raises(RuntimeError, match="bitwise_left_shift: operands expect integers, got dtype pullback.bool"):
        b << b
    with pytest.raises(TypeError, match="bitwise_not: input expects integers or bool"):
        ~pb.tensor([1.0])


# --- where, masked_fill, clamp ----------------------------------------------------------------------------------------


def test_where_promotes() -> None:
    c, i, f = pb.tensor([True, False, True]), pb.tensor([1, 2, 3]), pb.tensor([0.5, 1.5, 2.5])
    assert pb.where(c, 1.5, i).tolist() == [1.5, 2.0, 1.5]
    assert pb.where(c, 1, 0).dtype is pb.int64 and pb.where(c, 1.0, 0).dtype is pb.float32
    assert pb.where(c, f.double(), f).dtype is pb.float64
    assert pb.where(c, f, pb.tensor(1.0, dtype=pb.float64)).dtype is pb.float32
    assert i.where(c, 0).tolist() == [1, 0, 3]
    with pytest.raises(RuntimeError, match="where: condition expects a bool tensor, got dtype pullback.int64"):
        pb.where(i, 1, 0)
    with pytest.raises(TypeError, match="where: other expects a Tensor or a number, got NoneType"):
        pb.where(c, i)


def test_masked_fill() -> None:
    c, i, f = pb.tensor([True, False, True]), pb.tensor([1, 2, 3]), pb.tensor([0.5, 1.5, 2.5])
    assert i.masked_fill(c, 2.5).tolist() == [2, 2, 2]
    assert part(f, 0, 1).masked_fill(c, 1).tolist() == [1.0, 0.5, 1.0]
    assert f.masked_fill(c, pb.tensor(3)).tolist() == [3.0, 1.5, 3.0]
    big = pb.zeros(3, dtype=pb.int64).masked_fill(c, 2**62 + 1)
    assert big.tolist() == [2**62 + 1, 0, 2**62 + 1]
    with pytest.raises(RuntimeError, match=r"value expects no dimensions, got shape \[1\]"):
        f.masked_fill(c, pb.tensor([3.0]))
    with pytest.raises(RuntimeError, match="mask expects a bool tensor"):
        f.masked_fill(i, 1)
    with pytest.raises(RuntimeError, match=r"where_: the result has shape \[3\], expected \[1\]"):
        part(f, 0, 1).clone().masked_fill_(c, 1)


def test_masked_fill_in_place_on_a_view() -> None:
    x = leaf(1.0, 2.0, 3.0, 4.0)
    y = x * 2
    part(y, 1, 3).masked_fill_(pb.tensor([True, False]), 10)
    y.sum().backward()
    assert y.tolist() == [2.0, 10.0, 6.0, 8.0] and x.grad.tolist() == [2.0, 0.0, 2.0, 2.0]


def test_clamp_promotes_and_refuses() -> None:
    i, f = pb.tensor([1, 2, 3]), pb.tensor([1.0, 2.5, NAN])
    assert i.clamp(1.5).tolist() == [1.5, 2.0, 3.0] and i.clamp(min=2).dtype is pb.int64
    assert pb.tensor([True, False]).clamp(0, 1).dtype is pb.int64
    assert part(f, 0, 2).clamp(2, 1).tolist() == [1.0, 1.0]  # bounds that cross give the upper one
    assert part(f, 0, 2).clamp(pb.tensor([1, 3])).tolist() == [1.0, 3.0]
    assert pb.clip(part(f, 0, 2), 0, 1).tolist() == [1.0, 1.0]
    with pytest.raises(RuntimeError, match="clamp: expected min or max"):
        i.clamp()
    with pytest.raises(TypeError, match="two numbers or two tensors, got Tensor and int"):
        i.clamp(i, 2)
    with pytest.raises(RuntimeError, match="cannot be stored"):
        i.clone().clamp_(1.5)
    assert i.clone().clamp_(2, 2).tolist() == [2, 2, 2]


def test_lerp_and_ternary_errors() -> None:
    f, i = pb.tensor([1.0, 2.0]), pb.tensor([1, 2])
    near = pb.tensor([1.25])
    assert pb.lerp(pb.tensor([1e9]), near, 1.0).tolist() == [1.25]  # the end itself, not 1e9 + (1.25 − 1e9)
    with pytest.raises(RuntimeError, match="lerp: end expects dtype pullback.float32"):
        pb.lerp(f, f.double(), 0.5)
    with pytest.raises(RuntimeError, match="lerp: input expects a floating-point tensor"):
        pb.lerp(i, i, 0.5)
    with pytest.raises(RuntimeError, match="addcdiv: tensor1 or tensor2 expects a floating-point dtype"):
        pb.addcdiv(f, i, i)
    with pytest.raises(TypeError, match="addcmul: tensor1 expects a Tensor, got int"):
        pb.addcmul(f, 2, f)
    with pytest.raises(RuntimeError, match="addcmul: input expects numbers, got dtype pullback.bool"):
        pb.addcmul(i > 1, i, i)
    assert pb.addcmul(f, i, i, value=2).tolist() == [3.0, 10.0]
    assert pb.addcmul(f, f.double(), f.double()).dtype is pb.float64
    assert f.clone().addcmul_(f.double(), f.double()).dtype is pb.float32
    with pytest.raises(RuntimeError, match=r"addcmul_: the result has shape \[2\], expected \[1\]"):
        part(f, 0, 1).clone().addcmul_(f, f)


def test_nan_to_num_defaults() -> None:
    x = pb.tensor([NAN, INF, -INF, 1.0])
    most = float(np.finfo(np.float32).max)
    assert x.nan_to_num().tolist() == [0.0, most, -most, 1.0]
    assert x.clone().nan_to_num_(posinf=2).tolist() == [0.0, 2.0, -most, 1.0]
    assert pb.nan_to_num(pb.tensor([1, 2]), nan=3).tolist() == [1, 2]


# --- layouts ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(3, 20000), (70, 300), (5, 6, 700), (200, 100), (40, 17, 30)])
@pytest.mark.parametrize("dtype", ["float32", "float64", "int8"])
def test_long_rows_of_operands_that_lie_in_different_ways(shape: tuple[int, ...], dtype: str) -> None:
    """Rows longer than a tile, than a piece, and cut in their middle; each operand contiguous, one number, a number for
    each row, a row for all, transposed, with gaps or reversed, and the result with gaps as well."""
    rng = np.random.default_rng(0)

    def draw(*shape: int) -> np.ndarray:
        return rng.integers(-9, 9, shape).astype(dtype)

    operands = [
        draw(*shape),
        np.array(draw()),
        draw(*shape[:-1], 1),
        draw(shape[-1]),
        draw(*shape[::-1]).T,
        draw(*shape[:-1], 2 * shape[-1])[..., ::2],
        draw(*shape)[..., ::-1],
    ]
    gaps = np.zeros((*shape[:-1], 2 * shape[-1]), dtype)
    for a in operands:
        for b in operands:
            expected = np.broadcast_to(a - b, shape)
            u, v, y = pb.from_numpy(a), pb.from_numpy(b), pb.from_numpy(gaps[..., ::2])
            assert np.array_equal((u.expand(shape) - v).numpy(), expected)
            y.copy_(u)
            y.sub_(v)
            assert np.array_equal(y.numpy(), expected) and not gaps[..., 1::2].any()


# --- activations ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["elu", "gelu", "silu", "mish", "leaky_relu", "hardswish", "logsigmoid", "softplus"])
def test_activations_refuse_integers(name: str) -> None:
    with pytest.raises(RuntimeError, match=f"{name}: input expects a floating-point tensor, got dtype pullback.int64"):
        getattr(pb, name)(pb.tensor([1, 2]))


def test_activation_errors() -> None:
    x = pb.zeros(2, 3, 4)
    with pytest.raises(RuntimeError, match="relu: input expects a floating-point tensor, got dtype pullback.bool"):
        pb.relu(x > 0)
    with pytest.raises(RuntimeError, match="approximate expects 'none' or 'tanh', got 'a'"):
        pb.gelu(x, approximate="a")
    with pytest.raises(RuntimeError, match="celu: alpha"):
        pb.celu(x, 0)
    with pytest.raises(ValueError, match="hardtanh: min_val expects at most max_val, got 2 and 1"):
        pb.hardtanh(x, 2, 1)
    with pytest.raises(RuntimeError, match="heaviside: values expects dtype pullback.float32"):
        pb.heaviside(x, pb.tensor(1))
    for shape in ((2,), (1, 3)):
        with pytest.raises(RuntimeError, match=r"prelu: weight expects shape \[\] or \[1\] or \[3\]"):
            pb.prelu(x, pb.ones(shape))
    with pytest.raises(RuntimeError, match="prelu: weight expects dtype"):
        pb.prelu(x, pb.ones(3).double())
    with pytest.raises(TypeError, match="softsign: input expects a Tensor"):
        pb.softsign(1.0)
    assert pb.softsign(pb.tensor([1, -3])).tolist() == [0.5, -0.75]


def test_relu_at_zero_has_slope_zero() -> None:
    x = leaf(-1.0, -0.0, 0.0, 2.0)
    x.relu().sum().backward()
    assert x.grad.tolist() == [0.0, 0.0, 0.0, 1.0]


def test_in_place_needs_no_leaf() -> None:
    x = leaf(-1.0, 2.0)
    for change in (
        pb.relu_,
        lambda t: pb.silu(t, inplace=True),
        lambda t: t.clamp_(0, 1),
        lambda t: pb.relu_(part(t, 0, 1)),
    ):
        with pytest.raises(RuntimeError, match="that requires grad"):
            change(x)
    with pb.no_grad():
        assert pb.relu_(x) is x
    assert x.tolist() == [0.0, 2.0]


def test_in_place_works_on_views_and_shared_memory() -> None:
    x = pb.tensor(np.arange(-6.0, 6.0).reshape(3, 4))
    pb.relu_(part(x.t(), 1, 3))
    assert x.tolist() == [[-6.0, 0.0, 0.0, -3.0], [-2.0, 0.0, 0.0, 1.0], [2.0, 3.0, 4.0, 5.0]]
    y = pb.tensor([1.0, 2.0, 3.0, 4.0])
    part(y, 1, 4).addcmul_(part(y, 0, 3), part(y, 0, 3))  # reads what it overwrites
    assert y.tolist() == [1.0, 3.0, 7.0, 13.0]
    with pytest.raises(RuntimeError, match="share memory"):
        pb.relu_(pb.zeros(1).expand(3))


def test_a_change_in_place_is_noticed() -> None:
    x = leaf(-1.0, 2.0)
    y = x * 1
    z = pb.silu(y)
    pb.relu_(y)
    with pytest.raises(RuntimeError, match="silu: .* changed in place"):
        z.sum().backward()


def test_results_keep_the_order_of_dimensions_in_memory() -> None:
    channels_last = pb.tensor(np.random.default_rng(0).standard_normal((2, 5, 4, 3))).permute(0, 3, 1, 2)
    y = channels_last.relu()
    assert y.stride() == channels_last.stride()
    z = pb.gelu(y)
    assert z.stride() == channels_last.stride()


def test_graph_of_a_gradient_stays_finite_far_out() -> None:
    x = leaf(1e4, -1e4)
    for f in (pb.elu, pb.selu, pb.mish, pb.gelu, lambda t: pb.gelu(t, approximate="tanh"), pb.silu, pb.softplus):
        y = f(x).sum()
        x.grad = None
        y.backward(create_graph=True)
        first, x.grad = x.grad, None
        first.sum().backward()
        assert np.isfinite(first.detach().numpy()).all() and np.isfinite(x.grad.numpy()).all(), f
