"""What the cases of matrix products cannot say: the kernel's own options, where results go, and messages."""

from __future__ import annotations

import numpy as np
import pytest

import pullback as pb
from harness import assert_close, instruction_set, threads
from pullback import _cpu

ACTIVATIONS = ("none", "relu", "sigmoid", "tanh", "gelu", "gelu_tanh", "silu")
by_isa = pytest.mark.parametrize("isa", _cpu.isas())
by_dtype = pytest.mark.parametrize("dtype", ["float32", "float64"])


def normal(*shape, dtype="float32", seed=0):
    return np.random.default_rng([seed, *shape]).standard_normal(shape).astype(dtype)


def multiply(a, b, c, bias=None, alpha=1.0, beta=0.0, activation=0):
    _cpu.matmul(a, b, c, bias, alpha, beta, activation)
    return c


@by_isa
@by_dtype
@pytest.mark.parametrize("shape", [(5, 9, 33), (40, 500, 70), (1, 30, 50), (64, 3, 1), (300, 8, 20)])
def test_activation_has_the_bits_of_its_own_kernel(isa, dtype, shape):
    m, k, n = shape
    a, b, bias = normal(m, k, dtype=dtype), normal(k, n, dtype=dtype), normal(n, dtype=dtype)
    with instruction_set(isa):
        plain = multiply(a, b, np.empty((m, n), dtype))
        _cpu.add(plain, bias, plain)
        for number, name in enumerate(ACTIVATIONS):
            fused, apart = multiply(a, b, np.full((m, n), np.nan, dtype), bias, activation=number), plain.copy()
            if name != "none":
                getattr(_cpu, name)(plain, apart)
            np.testing.assert_array_equal(fused, apart, err_msg=name)


def layouts(m, n, dtype):
    """Places for a result of [m, n], everything around them 7."""
    block = np.full((2 * m + 3, 2 * n + 3), 7, dtype)
    turned = np.full((2 * n + 3, 2 * m + 3), 7, dtype)
    yield "padded rows", block, block[1 : m + 1, 2 : n + 2]
    yield "every other", block.copy(), None
    yield "columns", turned, turned[1 : n + 1, 2 : m + 2].T
    yield "backwards", block.copy(), None


OUTER = [(40, 1, 50), (50, 1, 1), (1, 1, 50), (1, 1, 1), (3, 1, 1500), (1500, 1, 3)]


@by_isa
@by_dtype
@pytest.mark.parametrize(
    "shape", [(2, 3, 4), (31, 17, 45), (16, 450, 33), (250, 20, 300), (1, 40, 50), (50, 40, 1)] + OUTER
)
@pytest.mark.parametrize("alpha, beta", [(1, 0), (1, 1), (0.5, -2), (2, 0)])
def test_result_in_any_layout_and_nothing_beside_it(isa, dtype, shape, alpha, beta):
    m, k, n = shape
    a, b, bias = normal(m, k, dtype=dtype), normal(k, n, dtype=dtype), normal(m, 1, dtype=dtype)
    exact = [x.astype(np.float64) for x in (a, b, bias)]
    for name, whole, c in layouts(m, n, dtype):
        if name == "every other":
            c = whole[1 : 2 * m + 1 : 2, 1 : 2 * n + 1 : 2]
        if name == "backwards":
            c = whole[m:0:-1, n:0:-1]
        before = normal(m, n, dtype=dtype, seed=1)
        c[...] = before if beta else np.nan
        with instruction_set(isa):
            multiply(a, b, c, bias, alpha, beta)
        want = alpha * (exact[0] @ exact[1]) + exact[2] + (beta * before.astype(np.float64) if beta else 0)
        scale = abs(alpha) * (abs(exact[0]) @ abs(exact[1])) + abs(exact[2]) + abs(beta * before)
        assert_close(np.array(c), want, scale, 4, f"{name} {shape}")
        c[...] = 7
        assert (whole == 7).all(), f"{name} {shape}: written beside the result"


@by_isa
@pytest.mark.parametrize("shape", [(150, 20, 9000), (9000, 20, 600), (30, 4500, 600), (600, 2500, 300), (3, 4500, 33)])
def test_more_than_is_packed_or_summed_at_a_time(isa, shape):
    """c in parts, k in stages and in slabs, with sums that go on and an end that is not theirs."""
    m, k, n = shape
    a, b, bias = normal(m, k), normal(k, n), normal(n)
    exact = [x.astype(np.float64) for x in (a, b, bias)]
    product, scale = exact[0] @ exact[1], abs(exact[0]) @ abs(exact[1])
    with instruction_set(isa):
        c = multiply(a, b, np.full((m, n), np.nan, np.float32))
        assert_close(c, product, scale, 4, f"{shape}")
        multiply(a, b, c, beta=1)
        assert_close(c, 2 * product, 2 * scale, 4, f"{shape} added")
        multiply(a, b, c, bias, activation=1)
        assert_close(c, np.maximum(product + exact[2], 0), scale + abs(exact[2]), 4, f"{shape} finished")


@by_isa
@by_dtype
@pytest.mark.parametrize("shape", [(1, 300_001, 1), (3, 70_000, 5), (1, 40_000, 2)])
def test_few_long_sums(isa, dtype, shape):
    """k is cut into parts; the columns of b are contiguous, and a single row of a need not be."""
    m, k, n = shape
    a, b, bias = normal(m, k, dtype=dtype), normal(n, k, dtype=dtype), normal(n, dtype=dtype)
    exact = [x.astype(np.float64) for x in (a, b, bias)]
    want = np.maximum(0.5 * (exact[0] @ exact[1].T) + exact[2], 0)
    scale = 0.5 * (abs(exact[0]) @ abs(exact[1]).T) + abs(exact[2])
    for rows in (a, np.repeat(a, 2, axis=1)[:, ::2]):
        results = []
        for number in (1, 2, 3, 4):
            with instruction_set(isa), threads(number):
                results.append(multiply(rows, b.T, np.full((m, n), np.nan, dtype), bias, alpha=0.5, activation=1))
        assert_close(results[0], want, scale, 4, f"{shape}")
        assert len({r.tobytes() for r in results}) == 1


@pytest.mark.parametrize("of_bias", [(5,), (4, 5), (4, 1), (3, 1, 5), (3, 4, 5), (2, 1, 1, 1), ()])
@pytest.mark.parametrize("of_a", [(2, 3, 4, 6), (3, 4, 6), (4, 6), (2, 1, 4, 6)])
@pytest.mark.parametrize("of_b", [(6, 5), (3, 6, 5), (2, 3, 6, 5)])
def test_every_operand_broadcasts(of_a, of_b, of_bias):
    a, b, bias = (normal(*s, dtype="float64") for s in (of_a, of_b, of_bias))
    c = multiply(a, b, np.full((2, 3, 4, 5), np.nan), np.asarray(bias))
    np.testing.assert_allclose(c, np.broadcast_to(a @ b + bias, c.shape), rtol=1e-12, atol=1e-12)


WRONG_SHAPES = [  # of a, b, c and bias
    ("b", (4, 6), (7, 5), (4, 5), None),
    ("b", (4, 6), (6, 4), (4, 5), None),
    ("b", (4, 6), (6,), (4, 5), None),
    ("a", (3, 6), (6, 5), (4, 5), None),
    ("a", (1, 6), (6, 5), (4, 5), None),
    ("a", (6,), (6, 5), (4, 5), None),
    ("a", (2, 4, 6), (6, 5), (4, 5), None),
    ("a", (2, 4, 6), (6, 5), (3, 4, 5), None),
    ("b", (4, 6), (2, 6, 5), (3, 4, 5), None),
    ("c", (4, 6), (6, 5), (5,), None),
    ("bias", (4, 6), (6, 5), (4, 5), (4,)),
    ("bias", (4, 6), (6, 5), (4, 5), (2, 5)),
    ("bias", (4, 6), (6, 5), (4, 5), (1, 4, 5)),
]


@pytest.mark.parametrize("name, of_a, of_b, of_c, of_bias", WRONG_SHAPES)
def test_wrong_shapes_are_refused_and_nothing_is_written(name, of_a, of_b, of_c, of_bias):
    c = np.full(of_c, 7, np.float32)
    with pytest.raises(ValueError, match=rf"matmul: .*\b{name}\b"):
        multiply(normal(*of_a), normal(*of_b), c, None if of_bias is None else normal(*of_bias))
    assert (c == 7).all()


@by_isa
@pytest.mark.parametrize("beta", [0, 1, 0.5])
def test_no_terms_leave_what_is_added(isa, beta):
    c = normal(5, 6)
    before, bias = c.copy(), normal(6)
    with instruction_set(isa):
        multiply(normal(5, 0), normal(0, 6), c, bias, 1.0, beta)
    np.testing.assert_allclose(c, beta * before + bias, rtol=1e-6)


@by_isa
@by_dtype
def test_threads_do_not_change_bits(isa, dtype):
    rng = np.random.default_rng(5)
    for _ in range(12):
        m, k, n = (int(s) for s in rng.integers(1, [400, 900, 400]))
        batch = int(rng.integers(1, 4))
        a, b = normal(batch, m, k, dtype=dtype), normal(k, n, dtype=dtype)
        results = []
        for number in (1, 2, 3, 4, 7):
            with instruction_set(isa), threads(number):
                results.append(multiply(a, b, np.empty((batch, m, n), dtype)).tobytes())
        assert len(set(results)) == 1, (batch, m, k, n)


def test_one_row_of_many_has_the_bits_of_any_other_batch_of_it():
    """A product for each of several batches is what it is alone."""
    a, b = normal(3, 20, 30), normal(3, 30, 40)
    together = multiply(a, b, np.empty((3, 20, 40), np.float32))
    for i in range(3):
        np.testing.assert_array_equal(together[i], multiply(a[i], b[i], np.empty((20, 40), np.float32)))


def test_nan_and_infinity_pass_through():
    a = np.zeros((3, 4), np.float32)
    a[1, 2] = np.inf
    b = np.zeros((4, 50), np.float32)
    b[0, 3] = np.nan
    with np.errstate(invalid="ignore"):
        want = a @ b
    np.testing.assert_array_equal(multiply(a, b, np.empty((3, 50), np.float32)), want)


MESSAGES = [
    (
        lambda: pb.ones(2, 3) @ pb.ones(4, 5),
        r"matmul: other expects 3 rows, got 4 \(input: \[2, 3\], other: \[4, 5\]\)",
    ),
    (lambda: pb.matmul(pb.ones(2, 3, 4), pb.ones(3, 4, 5)), "matmul: leading dimensions of other do not broadcast"),
    (lambda: pb.matmul(pb.ones(()), pb.ones(3)), "matmul: expected at least 1 dimension"),
    (
        lambda: pb.mm(pb.ones(2), pb.ones(2, 3)),
        r"mm: input expects 2 dimensions, got 1 \(input: \[2\], mat2: \[2, 3\]\)",
    ),
    (lambda: pb.bmm(pb.ones(2, 3, 4), pb.ones(3, 4, 5)), "bmm: mat2 expects 2 matrices, got 3"),
    (lambda: pb.mv(pb.ones(2, 3), pb.ones(2)), "mv: vec expects 3 elements, got 2"),
    (lambda: pb.dot(pb.ones(2), pb.ones(3)), "dot: tensor expects 2 elements, got 3"),
    (lambda: pb.inner(pb.ones(2), pb.ones(3)), "inner: other expects 2 elements in its last dimension, got 3"),
    (lambda: pb.matmul(pb.ones(2, 2), pb.ones(2, 2, dtype=pb.float64)), "matmul: other expects dtype pullback.float32"),
    (
        lambda: pb.linear(pb.ones(2, 3), pb.ones(4, 5)),
        r"linear: input expects 5 features, got 3 \(input: \[2, 3\], weight",
    ),
    (lambda: pb.linear(pb.ones(2, 5), pb.ones(4, 5), pb.ones(3)), r"linear: bias expects shape \[4\], got \[3\]"),
    (lambda: pb.addmm(pb.ones(3), pb.ones(2, 3), pb.ones(3, 2)), r"addmm: input expects .* \[2, 2\], got \[3\]"),
    (lambda: pb.baddbmm(pb.ones(1), pb.ones(2, 3, 4), pb.ones(2, 3, 4)), "baddbmm: batch2 expects 4 rows, got 3"),
    (
        lambda: pb.tensordot(pb.ones(2, 3), pb.ones(2, 3), 1),
        r"tensordot: dims \[0\] of b expect sizes \[3\], got \[2\]",
    ),
    (lambda: pb.tensordot(pb.ones(2, 3), pb.ones(2, 3), 3), "tensordot: dims expects 0 to 2 dimensions, got 3"),
    (lambda: pb.chain_matmul(pb.ones(2, 3), pb.ones(2)), r"chain_matmul: matrices\[1\] expects 2 dimensions"),
    (lambda: pb.einsum("ij,jk->ik", pb.ones(2, 3), pb.ones(4, 5)), "einsum: operand 1 expects size 3 for 'j', got 4"),
    (lambda: pb.einsum("ij,jk->ik", pb.ones(2, 3)), "einsum: 'ij,jk->ik' expects 2 operands, got 1"),
    (lambda: pb.einsum("ijk->i", pb.ones(2, 3)), "einsum: operand 0 expects 3 dimensions for 'ijk'"),
    (lambda: pb.einsum("ij->ik", pb.ones(2, 3)), "einsum: letter 'k' of the result is in no operand"),
    (lambda: pb.einsum("ij->ii", pb.ones(2, 3)), "einsum: the result expects each letter once"),
    (lambda: pb.einsum("ii", pb.ones(2, 3)), "einsum: operand 0 expects one size for 'i', got 2 and 3"),
    (lambda: pb.einsum("i.j", pb.ones(2, 3)), "einsum: operand 0 expects letters and one '...'"),
    (lambda: pb.einsum(pb.ones(2), [77]), "einsum: lists expect numbers from 0 to 51"),
]


@pytest.mark.parametrize("call, message", MESSAGES)
def test_messages_name_op_argument_expected_and_got(call, message):
    with pytest.raises(RuntimeError, match=message):
        call()


def test_operands_that_are_no_tensors():
    x = pb.ones(2, 3)
    with pytest.raises(TypeError, match="matmul: other expects a Tensor, got int"):
        pb.matmul(x, 3)
    with pytest.raises(TypeError):
        x @ 3
    assert (x @ np.ones((3, 4), np.float32)).shape == (2, 4)
    assert (np.ones((5, 2), np.float32) @ x).shape == (5, 3)


def test_in_place():
    c, a, b = (pb.from_numpy(normal(*s)) for s in ((3, 5), (3, 4), (4, 5)))
    want = pb.addmm(c, a, b, beta=0.5, alpha=2)
    assert c.addmm_(a, b, beta=0.5, alpha=2) is c
    np.testing.assert_array_equal(c.numpy(), want.numpy())
    with pytest.raises(RuntimeError, match="in-place: the result has shape"):
        pb.ones(5).addmm_(a, b)


def test_a_weight_keeps_the_gradient_it_is_handed():
    """W̄ and b̄ of linear are arrays of their own: the leaf takes them without a copy."""
    x, w, b = (pb.from_numpy(normal(*s)).requires_grad_() for s in ((2, 7, 5), (4, 5), (4,)))
    y = pb.linear(x, w, b)
    before = _cpu.launch_counts()["copy"]
    y.backward(pb.ones(2, 7, 4))
    assert _cpu.launch_counts()["copy"] == before
