"""Joining, splitting, rearranging and padding, beyond what cases can say: views, layouts, errors."""

from __future__ import annotations

import numpy as np
import pytest

import pullback as pb
from pullback.ops.padding import pad


def test_cat_promotes_skips_and_keeps_the_order_of_dimensions() -> None:
    assert pb.cat([pb.ones(1), pb.tensor([2])]).dtype is pb.float32
    assert pb.cat([pb.tensor([1]), pb.tensor([2], dtype=pb.int8)]).dtype is pb.int64
    assert pb.cat([pb.zeros(0), pb.ones(2, 3)]).shape == (2, 3)
    assert pb.cat([pb.zeros(0), pb.zeros(0)]).shape == (0,)
    images = pb.randn(2, 4, 4, 3).permute(0, 3, 1, 2)  # channels last in memory
    joined = pb.cat([images, images], 1)
    assert joined.shape == (2, 6, 4, 4) and joined.stride() == (96, 1, 24, 6)
    np.testing.assert_array_equal(joined.numpy()[:, 3:], images.numpy())


def test_parts_are_views_on_one_node() -> None:
    x = pb.arange(12.0).reshape(3, 4)
    a, b = x.split(2, 1)
    a.zero_()
    assert x.tolist()[0] == [0, 0, 2, 3]
    assert b._version is x._version
    leaf = pb.ones(3, 4, requires_grad=True)
    parts = (leaf * 1).split([1, 3], 1)
    assert parts[0].grad_fn is parts[1].grad_fn
    parts[1].sum().backward()
    assert leaf.grad.tolist() == [[0, 1, 1, 1]] * 3


def test_a_change_of_a_part_is_a_change_of_the_whole() -> None:
    leaf = pb.arange(6.0).reshape(2, 3).requires_grad_()
    x = leaf * 1
    first, second = x.unbind(0)
    first.mul_(10)
    assert x.tolist() == [[0, 10, 20], [3, 4, 5]]
    (x * x).sum().backward()
    np.testing.assert_allclose(leaf.grad.numpy(), [[0, 200, 400], [6, 8, 10]])
    assert second.tolist() == [3, 4, 5]


def test_no_part_where_there_is_nothing() -> None:
    assert pb.zeros(0, 3).unbind(0) == ()
    assert [p.shape for p in pb.zeros(0, 3).chunk(2)] == [(0, 3), (0, 3)]
    assert [p.shape for p in pb.zeros(0, 3).split(2)] == [(0, 3)]
    assert [p.shape[0] for p in pb.zeros(5).chunk(4)] == [2, 2, 1]
    assert [p.shape[0] for p in pb.zeros(5).tensor_split(3)] == [2, 2, 1]


def test_stacks_of_vectors_and_matrices() -> None:
    a, b = pb.tensor([1, 2]), pb.tensor([3, 4])
    assert pb.hstack((a, b)).tolist() == [1, 2, 3, 4]
    assert pb.vstack((a, b)).tolist() == [[1, 2], [3, 4]] == pb.row_stack((a, b)).tolist()
    assert pb.column_stack((a, b)).tolist() == [[1, 3], [2, 4]]
    assert pb.dstack((a, b)).tolist() == [[[1, 3], [2, 4]]]
    assert pb.atleast_2d(a).shape == (1, 2) and pb.atleast_3d(pb.tensor(1), a)[1].shape == (1, 2, 1)
    assert [p.tolist() for p in pb.eye(2, dtype=pb.int64).hsplit(2)] == [[[1], [0]], [[0], [1]]]


def test_a_diagonal_is_a_view() -> None:
    x = pb.zeros(2, 3)
    x.diagonal().fill_(1)
    x.diagonal(2)[0] = 5
    assert x.tolist() == [[1, 0, 5], [0, 1, 0]]
    assert x.diagonal(3).shape == (0,) and x.diagonal(-9).shape == (0,)
    y = pb.diag(x)
    y.zero_()  # a copy
    assert x[0, 0] == 1
    leaf = pb.ones(2, 2, requires_grad=True)
    z = leaf * 1
    z.diagonal().mul_(3)
    z.sum().backward()
    assert leaf.grad.tolist() == [[3, 1], [1, 3]]


def test_triangles_in_place_and_of_transposed_matrices() -> None:
    x = pb.arange(9.0).reshape(3, 3)
    assert x.t().tril().tolist() == [[0, 0, 0], [1, 4, 0], [2, 5, 8]]
    x.t().tril_(-1)
    assert x.tolist() == [[0, 1, 2], [0, 0, 5], [0, 0, 0]]
    assert x.triu_(2).tolist() == [[0, 0, 2], [0, 0, 0], [0, 0, 0]]
    for k in (-(2**62), 2**62):
        assert pb.ones(2, 2).tril(k).sum() == (4 if k > 0 else 0)


def test_triangle_indices() -> None:
    for k in (-4, -1, 0, 2, 5):
        np.testing.assert_array_equal(pb.tril_indices(3, 4, k).numpy(), np.stack(np.tril_indices(3, k, 4)))
        np.testing.assert_array_equal(pb.triu_indices(3, 4, k).numpy(), np.stack(np.triu_indices(3, k, 4)))
    assert pb.tril_indices(2, 2, dtype=pb.int32).dtype is pb.int32


def test_rolls_of_one_dimension_twice_add_up() -> None:
    x = pb.arange(5)
    assert x.roll((1, 2), (0, 0)).tolist() == x.roll(3).tolist() == [2, 3, 4, 0, 1]
    assert x.roll(-11, 0).tolist() == x.roll(-1).tolist()
    assert pb.zeros(0, 2).roll(1, 0).shape == (0, 2)


def test_repetition() -> None:
    x = pb.tensor([1, 2])
    assert x.repeat(2, 2).tolist() == [[1, 2, 1, 2]] * 2 and x.repeat(0).shape == (0,)
    assert pb.tile(x.reshape(1, 2), (2,)).tolist() == [[1, 2, 1, 2]]
    assert x.repeat_interleave(2).tolist() == [1, 1, 2, 2]
    assert x.repeat_interleave(pb.tensor([0, 3])).tolist() == [2, 2, 2]
    assert pb.repeat_interleave(pb.tensor([1, 0, 2])).tolist() == [0, 2, 2]
    assert pb.cartesian_prod(x, x).tolist() == [[1, 1], [1, 2], [2, 1], [2, 2]]
    grids = pb.meshgrid(x, pb.arange(3), indexing="xy")
    assert grids[0].tolist() == [[1, 2]] * 3 and grids[1].shape == (3, 2)
    assert [t.shape for t in pb.broadcast_tensors(pb.ones(3, 1), pb.ones(4))] == [(3, 4), (3, 4)]


def test_padding_with_what_the_dtype_holds() -> None:
    assert pad(pb.tensor([1, 2]), (1, 0), value=7).tolist() == [7, 1, 2]
    assert pad(pb.tensor([True]), (1, 1)).tolist() == [False, True, False]
    assert pad(pb.tensor([1, 2, 3]), (2, 2), "reflect").tolist() == [3, 2, 1, 2, 3, 2, 1]
    assert pad(pb.tensor([1, 2, 3]), (1, 2), "replicate").tolist() == [1, 1, 2, 3, 3, 3]
    assert pad(pb.tensor([1, 2, 3]), (1, 2), "circular").tolist() == [3, 1, 2, 3, 1, 2]
    assert pad(pb.ones(2, 3), (-1, -2)).shape == (2, 0)


@pytest.mark.parametrize(
    ("call", "kind", "message"),
    [
        (lambda: pb.cat([]), RuntimeError, "at least one"),
        (lambda: pb.cat(pb.ones(2)), TypeError, "tuple or list"),
        (lambda: pb.cat([pb.ones(2), 3]), TypeError, r"tensors\[1\] expects a Tensor"),
        (lambda: pb.cat([pb.tensor(1.0)]), RuntimeError, "without dimensions"),
        (lambda: pb.cat([pb.ones(2, 3), pb.ones(2, 4)]), RuntimeError, r"\[2, 3\] and \[2, 4\] differ"),
        (lambda: pb.cat([pb.ones(2)], 1), IndexError, "dim expects"),
        (lambda: pb.stack([pb.ones(2), pb.ones(3)]), RuntimeError, "one shape"),
        (lambda: pb.split(pb.ones(3), [1, 1]), RuntimeError, "add up to 3"),
        (lambda: pb.split(pb.ones(3), 0), RuntimeError, "split_size expects"),
        (lambda: pb.split(pb.tensor(1.0), 1), RuntimeError, "at least one dimension"),
        (lambda: pb.chunk(pb.ones(3), 0), RuntimeError, "chunks expects"),
        (lambda: pb.ones(2, 3).hsplit(2), RuntimeError, "a divisor of 3"),
        (lambda: pb.ones(2).vsplit(2), RuntimeError, "at least 2 dimensions"),
        (lambda: pb.tril(pb.ones(2)), RuntimeError, "at least 2 dimensions"),
        (lambda: pb.diag(pb.ones(1, 1, 1)), RuntimeError, "1 or 2 dimensions"),
        (lambda: pb.diagonal(pb.ones(2, 2), 0, 1, 1), RuntimeError, "two different"),
        (lambda: pb.trace(pb.ones(2)), RuntimeError, "2 dimensions"),
        (lambda: pb.flip(pb.ones(2), 1), IndexError, "dims expects"),
        (lambda: pb.flip(pb.ones(2), (0, 0)), RuntimeError, "each dimension once"),
        (lambda: pb.roll(pb.ones(2), (1, 2)), RuntimeError, "one value without dims"),
        (lambda: pb.roll(pb.ones(2), 1, (0, 0)), RuntimeError, "one value for each"),
        (lambda: pb.rot90(pb.ones(2, 2), 1, (0, 0)), RuntimeError, "two different"),
        (lambda: pb.ones(2, 2).repeat(2), RuntimeError, "repeats expects"),
        (lambda: pb.repeat_interleave(pb.ones(2), pb.tensor([1, -1, 2])), RuntimeError, "2 values"),
        (lambda: pb.meshgrid(pb.ones(2, 2)), RuntimeError, "expects vectors"),
        (lambda: pb.meshgrid(pb.ones(2), indexing="yx"), RuntimeError, "'ij' or 'xy'"),
        (lambda: pad(pb.ones(3), (1,)), RuntimeError, "2 values for each"),
        (lambda: pad(pb.ones(3), (-2, -2)), RuntimeError, "less than nothing"),
        (lambda: pad(pb.ones(3), (3, 0), "reflect"), RuntimeError, "at most 2"),
        (lambda: pad(pb.ones(3), (0, 4), "circular"), RuntimeError, "at most 3"),
        (lambda: pad(pb.ones(0), (1, 0), "replicate"), RuntimeError, "at most 0"),
        (lambda: pad(pb.ones(3), (1, 0), "wrap"), NotImplementedError, "mode expects"),
        (lambda: pad(pb.ones(3), (1, 0), "reflect", 1.0), ValueError, "value expects None"),
    ],
)
def test_errors(call, kind, message) -> None:
    with pytest.raises(kind, match=message):
        call()
