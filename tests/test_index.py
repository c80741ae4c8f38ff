"""Tensor's `[]` and the ops on indices, beyond what cases can say: every kind of key, errors, repetition, the tape."""

from __future__ import annotations

import numpy as np
import pytest

import pullback as pb
from harness import threads
from pullback.ops.index import embedding

X = np.arange(2 * 3 * 4 * 5, dtype=np.float64).reshape(2, 3, 4, 5)


def x() -> pb.Tensor:
    return pb.tensor(X)


# Keys that mean the same to NumPy. (PyTorch, unlike NumPy, applies ints before it looks at tensors: see below.)
KEYS = {
    "int": np.s_[1],
    "negative int": np.s_[-2, -1],
    "numpy int": (np.int64(1), slice(None), np.int32(2)),
    "slices": np.s_[:, 1:, ::2, 4:1],
    "beyond the end": np.s_[:9, -9:],
    "backwards": np.s_[:, ::-1, 3:0:-2],
    "none": np.s_[None, :, None, 0],
    "ellipsis": np.s_[..., 0],
    "ellipsis in the middle": np.s_[1, ..., 2:],
    "empty ellipsis": np.s_[0, 1, ..., 2, 3],
    "all ints": np.s_[1, 2, 3, 4],
    "nothing": (),
    "list": [1, 0, 1],
    "nested list": [[1, 0], [0, 0]],
    "empty list": [],
    "array": np.array([-1, 0]),
    "neighbours": np.s_[:, [0, 2], [1, 3]],
    "broadcast": np.s_[:, [[0], [2]], [1, 3, 0]],
    "apart": np.s_[:, [0, 2], :, [1, 3]],
    "with none between": np.s_[:, [0, 2], None, [1, 3]],
    "with slices": np.s_[1:, [0, 2], ::2],
    "mask": X[0, 0, 0] > 2,
    "mask of the first": np.array([True, False]),
    "mask of two": np.s_[:, X[0, :, :, 0] % 3 == 0],
    "mask of all": X % 7 < 3,
    "mask and list": np.s_[[1, 0], np.array([True, False, True])],
    "empty mask": np.zeros(2, bool),
    "true": True,
    "false": False,
    "true and slice": np.s_[True, :, 1:],
}
LAST = {"mask": lambda k: np.s_[..., k]}


def key_of(name: str):
    return LAST.get(name, lambda k: k)(KEYS[name])


def ours(key):
    """The same key with tensors for arrays."""
    if isinstance(key, tuple):
        return tuple([ours(k) for k in key])
    return pb.tensor(key) if isinstance(key, np.ndarray) else key


@pytest.mark.parametrize("name", KEYS)
@pytest.mark.parametrize("convert", [ours, lambda key: key], ids=["tensors", "arrays"])
def test_reads_as_numpy_does(name: str, convert) -> None:
    key = key_of(name)
    t = x().requires_grad_()
    y = t[convert(key)]
    want = X[key]
    assert y.shape == want.shape and y.dtype is pb.float64
    np.testing.assert_array_equal(y.detach().numpy(), want)
    dy = np.random.default_rng(0).standard_normal(want.shape)
    y.backward(pb.tensor(dy))
    g = np.zeros_like(X)
    np.add.at(g, key, dy)
    np.testing.assert_allclose(t.grad.numpy(), g, atol=1e-12)


@pytest.mark.parametrize("name", [n for n in KEYS if n != "nested list"])  # which names a place twice
@pytest.mark.parametrize("value", ["number", "scalar", "row", "full"])
@pytest.mark.parametrize("tape", [False, True])
def test_writes_as_numpy_does(name: str, value: str, tape: bool) -> None:
    key = key_of(name)
    if name == "list":
        key = [1, 0]
    shape = X[key].shape
    rng = np.random.default_rng(1)
    v = {
        "number": 2.5,
        "scalar": np.array(2.5),
        "row": rng.standard_normal((1, 1, *shape[-1:])),
        "full": rng.standard_normal(shape),
    }[value]
    want = X.copy()
    if value == "row" and len(shape) < 2:
        v = v.reshape(shape[-1:])
    want[key] = v
    source = pb.tensor(v, requires_grad=tape) if isinstance(v, np.ndarray) else v
    leaf = x().requires_grad_(tape)
    t = leaf * 1 if tape else leaf
    if tape and name == "backwards":
        with pytest.raises(RuntimeError, match="negative strides"):
            t[ours(key)] = source
        return
    t[ours(key)] = source
    np.testing.assert_array_equal(t.detach().numpy(), want)
    if not tape:
        return
    w = rng.standard_normal(X.shape)
    (t * pb.tensor(w)).sum().backward()
    kept = w.copy()
    kept[key] = 0
    np.testing.assert_array_equal(leaf.grad.numpy(), kept)
    if isinstance(source, pb.Tensor):
        assert source.grad.shape == source.shape
        np.testing.assert_allclose(source.grad.sum().item(), w[key].sum(), atol=1e-9)


def test_an_int_goes_before_tensors_as_in_pytorch() -> None:
    i = pb.tensor([0, 2])
    assert x()[0, :, i].shape == (3, 2, 5)  # NumPy: (2, 3, 5)
    assert x()[pb.tensor(1), :, i].shape == (3, 2, 5)
    np.testing.assert_array_equal(x()[0, :, i].numpy(), X[0][:, [0, 2]])


def test_a_basic_key_gives_a_view() -> None:
    t = x()
    t[1, ..., 0].zero_()
    assert (t.numpy()[1, ..., 0] == 0).all() and t[0, 0, 0, 1] == 1
    t[pb.tensor(0)].fill_(7)
    assert (t.numpy()[0] == 7).all()
    t[[0]].zero_()  # a copy
    assert (t.numpy()[0] == 7).all()
    t[0] += 1
    assert (t.numpy()[0] == 8).all()
    t[[1]] += 1
    assert t.numpy()[1, 0, 0, 0] == 1


def test_iteration_and_membership() -> None:
    assert [row.tolist() for row in pb.tensor([[1, 2], [3, 4]])] == [[1, 2], [3, 4]]
    assert 3 in pb.tensor([1, 3]) and 2 not in pb.tensor([1, 3])
    a, b = pb.tensor([1.0, 2.0])
    assert a.item() == 1 and b.item() == 2
    with pytest.raises(TypeError, match="iter"):
        iter(pb.tensor(1.0))


def test_a_mask_and_a_number_need_no_count() -> None:
    """What a recorded step may contain."""
    from pullback import _cpu

    before = _cpu.launch_counts()["nonzero"]
    t = x()
    t[t > 5] = 0
    t[:, pb.tensor([True, False, True])] = pb.tensor(1.5)
    assert _cpu.launch_counts()["nonzero"] == before
    want = np.where(X > 5, 0, X)
    want[:, [0, 2]] = 1.5
    np.testing.assert_array_equal(t.numpy(), want)


def test_the_value_takes_the_tensors_dtype() -> None:
    t = pb.zeros(4, dtype=pb.int64)
    t[1], t[[2]], t[t == 0] = 2.7, 3.9, True
    assert t.tolist() == [1, 2, 3, 1]
    t[0:2] = np.array([5, 6], dtype=np.int16)
    assert t.tolist() == [5, 6, 3, 1]


@pytest.mark.parametrize(
    ("key", "kind", "message"),
    [
        (2, IndexError, "index 2 is out of range"),
        (np.s_[:, -4], IndexError, "index -4 is out of range for dimension 1 of size 3"),
        ([0, 2], IndexError, "index 2 is out of range for a dimension of size 2"),
        (np.s_[:, [0, -4]], IndexError, "index -4 is out of range"),
        (np.s_[0, 0, 0, 0, 0], IndexError, "at most 4 indices"),
        (np.s_[..., 0, ...], IndexError, "at most one Ellipsis"),
        (np.array([True, False, True]), IndexError, "mask expects shape"),
        (np.s_[[0, 1], [0, 1, 2]], IndexError, "do not broadcast"),
        (np.array([0.5]), IndexError, "integer dtype or bool"),
        ("a", TypeError, "expected ints, slices"),
        (1.5, TypeError, "expected ints, slices"),
    ],
)
def test_key_errors(key, kind, message) -> None:
    with pytest.raises(kind, match=message):
        x()[ours(key)]
    t = x()
    with pytest.raises(kind, match=message):
        t[ours(key)] = 1.0
    np.testing.assert_array_equal(t.numpy(), X)  # nothing was written


@pytest.mark.parametrize("key", [np.s_[0], np.s_[[0, 1]], np.s_[:, [0, 2]]])
def test_values_that_do_not_fit(key) -> None:
    with pytest.raises(RuntimeError, match="do not broadcast"):
        x()[key] = pb.zeros(7)


def test_the_last_of_repeated_places_stays() -> None:
    i = np.random.default_rng(2).integers(0, 50, 100_000)
    want = np.zeros(50)
    want[i] = np.arange(100_000)
    for n in (1, 3):
        with threads(n):
            t = pb.zeros(50, dtype=pb.float64)
            t[pb.tensor(i)] = pb.arange(100_000, dtype=pb.float64)
            np.testing.assert_array_equal(t.numpy(), want)
            np.testing.assert_array_equal(
                pb.zeros(50, dtype=pb.float64).scatter_(0, pb.tensor(i), pb.arange(100_000.0)).numpy(), want
            )


@pytest.mark.parametrize("width", [1, 3, 200])
def test_sums_of_repeated_places_have_one_order(width: int) -> None:
    """In float32, where another order would give other bits: the order of the index."""
    rng = np.random.default_rng(3)
    i = rng.integers(0, 7, 5000)
    v = rng.standard_normal((5000, width)).astype(np.float32)
    want = np.zeros((7, width), np.float32)
    for k, row in zip(i, v, strict=True):
        want[k] += row
    for n in (1, 2, 3):
        with threads(n):
            got = pb.zeros(7, width).index_add_(0, pb.tensor(i), pb.tensor(v))
            np.testing.assert_array_equal(got.numpy(), want)
            got = pb.zeros(7, width).scatter_add_(0, pb.tensor(i).reshape(-1, 1).expand(5000, width), pb.tensor(v))
            np.testing.assert_array_equal(got.numpy(), want)


def test_changes_in_place_are_seen_by_the_tape() -> None:
    t = x().requires_grad_()
    i = pb.tensor([1, 0])
    y = t[i]
    i[0] = 0
    with pytest.raises(RuntimeError, match="changed in place"):
        y.sum().backward()
    with pytest.raises(RuntimeError, match="leaf"):
        t[0] = 1.0
    with pytest.raises(RuntimeError, match="leaf"):
        t[[0]] = 1.0
    z = t * 1
    with pytest.raises(RuntimeError, match="share memory"):
        z.sum(0, keepdim=True).expand(2, 3, 4, 5)[[0]] = 1.0


def test_a_source_may_overlap_its_target() -> None:
    t = pb.arange(6.0)
    t[pb.tensor([1, 2, 3])] = t[0:3]
    assert t.tolist() == [0, 0, 1, 2, 4, 5]
    t[1:] = t[:-1]
    assert t.tolist() == [0, 0, 0, 1, 2, 4]
    s = pb.arange(4.0)
    assert s.scatter_(0, pb.tensor([3, 2, 1, 0]), s).tolist() == [3, 2, 1, 0]


def test_padding_row_of_an_embedding_gets_no_gradient() -> None:
    w = pb.ones(4, 2, dtype=pb.float64, requires_grad=True)
    y = embedding(pb.tensor([[0, 1], [1, 3]]), w, padding_idx=-3)
    assert y.shape == (2, 2, 2)
    (y * y).sum().backward(create_graph=True)
    assert w.grad.tolist() == [[2, 2], [0, 0], [0, 0], [2, 2]]
    g = w.grad
    w.grad = None
    g.sum().backward()
    assert w.grad.tolist() == [[2, 2], [0, 0], [0, 0], [2, 2]]


def test_embedding_shortens_long_rows() -> None:
    w = pb.tensor([[3.0, 4.0], [0.3, 0.4], [30.0, 40.0]])
    y = embedding(pb.tensor([0, 1]), w, max_norm=1.0)
    np.testing.assert_allclose(y.numpy(), [[0.6, 0.8], [0.3, 0.4]], rtol=1e-6)
    np.testing.assert_allclose(w.numpy(), [[0.6, 0.8], [0.3, 0.4], [30, 40]], rtol=1e-6)


def test_negative_is_out_of_range_where_pytorch_says_so() -> None:
    t, i = x(), pb.tensor([0, -1])
    for call in (
        lambda: pb.index_select(t, 0, i),
        lambda: pb.index_add(t, 0, i, t),
        lambda: pb.gather(t[0, 0, 0], 0, i),
        lambda: pb.scatter(t[0, 0, 0], 0, i, 1.0),
        lambda: embedding(i, t[0, 0]),
        lambda: pb.one_hot(i),
    ):
        with pytest.raises(IndexError, match="index -1 is out of range"):
            call()
    assert pb.take(t, i).tolist() == [0, 119]


@pytest.mark.parametrize(
    ("call", "kind", "message"),
    [
        (lambda: pb.index_select(x(), 4, pb.tensor([0])), IndexError, "dim expects"),
        (lambda: pb.index_select(x(), 0, pb.zeros(1)), IndexError, "integer dtype"),
        (lambda: pb.index_select(x(), 0, pb.zeros(1, 1, dtype=pb.int64)), IndexError, "one dimension"),
        (lambda: pb.index_add(x(), 0, pb.tensor([0]), pb.zeros(2, 3, 4, 5)), IndexError, "source expects shape"),
        (lambda: pb.gather(x(), 0, pb.tensor([0])), RuntimeError, "index expects shape"),
        (lambda: pb.gather(x(), 0, pb.zeros(1, 4, 1, 1, dtype=pb.int64)), RuntimeError, "index expects shape"),
        (lambda: pb.scatter(pb.zeros(3), 0, pb.tensor([0, 1]), pb.zeros(1)), RuntimeError, "src expects at least"),
        (lambda: pb.scatter(pb.zeros(3), 0, pb.tensor([0])), TypeError, "one of src and value"),
        (lambda: pb.scatter_reduce(pb.zeros(3), 0, pb.tensor([0]), pb.zeros(1), "max"), ValueError, "reduce expects"),
        (lambda: pb.one_hot(pb.tensor([3]), 3), IndexError, "index 3 is out of range"),
        (lambda: pb.masked_select(x(), pb.zeros(5)), RuntimeError, "mask expects a bool"),
        (lambda: pb.masked_scatter(pb.zeros(3), pb.ones(3) > 0, pb.zeros(2)), RuntimeError, "at least 3 elements"),
        (lambda: embedding(pb.tensor([0]), pb.zeros(3)), RuntimeError, "weight expects"),
        (lambda: embedding(pb.tensor([0]), pb.zeros(3, 1), sparse=True), NotImplementedError, "sparse"),
        (lambda: pb.zeros(3).put_(pb.tensor([0, 1]), pb.zeros(3)), RuntimeError, "source expects 2"),
    ],
)
def test_errors(call, kind, message) -> None:
    with pytest.raises(kind, match=message):
        call()


def test_nonzero() -> None:
    t = pb.tensor([[0, 3], [4, 0]])
    assert t.nonzero().tolist() == [[0, 1], [1, 0]]
    assert [i.tolist() for i in t.nonzero(as_tuple=True)] == [[0, 1], [1, 0]]
    assert pb.tensor(5).nonzero().shape == (1, 0) and pb.tensor(0).nonzero().shape == (0, 0)
    assert pb.tensor(5).nonzero(as_tuple=True)[0].tolist() == [0]
    assert [i.tolist() for i in pb.where(t > 3)] == [[1], [0]]
    assert pb.argwhere(pb.zeros(2, 0)).shape == (0, 2)


def test_scatter_multiplies_and_adds_by_name() -> None:
    i = pb.tensor([0, 0, 2])
    assert pb.full((3,), 2.0).scatter_(0, i, 3.0, reduce="multiply").tolist() == [18, 2, 6]
    assert pb.full((3,), 2.0).scatter(0, i, pb.ones(3), reduce="add").tolist() == [4, 2, 3]
    assert pb.zeros(3).scatter_(0, pb.tensor([]).long(), 1.0).tolist() == [0, 0, 0]


@pytest.mark.parametrize("size", [6, 4099])
def test_a_mask_s_bytes_may_be_any_that_numpy_calls_true(size: int) -> None:
    """NumPy makes such masks from views of bytes; where they came from, what is true may be 2 or 255."""
    bits = np.resize(np.array([0, 2, 255, 1, 0, 3], np.uint8), size)
    chosen, x = bits != 0, np.arange(size, dtype=np.float32)
    mask, t = pb.from_numpy(bits.view(bool)), pb.tensor(x)
    source = pb.arange(size) * -1.0
    assert np.array_equal(pb.masked_select(t, mask).numpy(), x[chosen])
    assert np.array_equal(t[mask].numpy(), x[chosen])
    assert np.array_equal(pb.nonzero(mask).numpy(), np.argwhere(chosen))
    assert np.array_equal(pb.where(mask, t, -1.0).numpy(), np.where(chosen, x, -1))
    assert pb.count_nonzero(mask).item() == mask.sum().item() == chosen.sum()
    expected = x.copy()
    expected[chosen] = -np.arange(chosen.sum())
    assert np.array_equal(pb.masked_scatter(t, mask, source).numpy(), expected)
    assert np.array_equal(t.masked_fill(mask, 7).numpy(), np.where(chosen, 7, x))
