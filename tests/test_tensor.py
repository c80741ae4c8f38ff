"""Tensor: making one, dtypes, views and changes in place, the tape's semantics, the way in and out."""

from __future__ import annotations

import copy
import gc
import pickle
import weakref

import numpy as np
import pytest

import pullback as pb
from pullback import _cpu


def test_creation_takes_pytorchs_dtypes() -> None:
    assert pb.tensor([1, 2]).dtype is pb.int64
    assert pb.tensor([1.0, 2]).dtype is pb.float32
    assert pb.tensor([True]).dtype is pb.bool
    assert pb.tensor(np.ones(2)).dtype is pb.float64
    assert pb.tensor(3.5).shape == ()
    assert pb.tensor([[1, 2], [3, 4]], dtype=pb.float64).tolist() == [[1.0, 2.0], [3.0, 4.0]]
    assert pb.tensor([pb.tensor(1.0), 2.0]).tolist() == [1.0, 2.0]
    assert pb.Tensor([1, 2]).dtype is pb.float32
    assert pb.Tensor(2, 3).shape == (2, 3)
    assert pb.zeros(2, 3).shape == pb.zeros((2, 3)).shape == (2, 3)
    assert pb.full((2,), 7).dtype is pb.int64
    assert pb.full((2,), 7.0).tolist() == [7.0, 7.0]
    assert pb.ones_like(pb.zeros(3, dtype=pb.int32)).dtype is pb.int32
    assert pb.eye(2, 3).tolist() == [[1, 0, 0], [0, 1, 0]]
    assert pb.full((1,), 2**60 + 1).item() == 2**60 + 1


def test_sequences() -> None:
    assert pb.arange(5).tolist() == [0, 1, 2, 3, 4]
    assert pb.arange(1, 10, 3).tolist() == [1, 4, 7]
    assert pb.arange(5, 0, -2).tolist() == [5, 3, 1]
    np.testing.assert_allclose(pb.arange(0, 1, 0.1).numpy(), np.arange(0, 1, 0.1), rtol=1e-6)
    np.testing.assert_array_equal(pb.linspace(-1, 3, 9).numpy(), np.linspace(-1, 3, 9, dtype=np.float32))
    assert pb.linspace(0, 1, 1).tolist() == [0.0]
    assert pb.linspace(0, 1, 0).shape == (0,)
    np.testing.assert_allclose(pb.logspace(0, 2, 3).numpy(), [1, 10, 100], rtol=1e-6)
    assert pb.arange(0).shape == (0,)


@pytest.mark.parametrize(
    ("make", "kind", "words"),
    [
        (lambda: pb.tensor([[1, 2], [3]]), ValueError, "tensor: data"),
        (lambda: pb.tensor("abc"), TypeError, "tensor: data"),
        (lambda: pb.zeros(-1), RuntimeError, "zeros: size"),
        (lambda: pb.zeros(2.5), TypeError, "zeros: shape"),
        (lambda: pb.zeros(2, dtype="float32"), TypeError, "zeros: dtype"),
        (lambda: pb.zeros(2, device="tpu"), RuntimeError, "device: expected 'cpu' or 'cuda'"),
        (lambda: pb.arange(0, 5, -1), RuntimeError, "arange"),
        (lambda: pb.from_numpy([1, 2]), TypeError, "from_numpy"),
        (lambda: pb.from_numpy(np.zeros(2, np.complex64)), TypeError, "complex64"),
        (lambda: pb.zeros(2, 3) + pb.zeros(4), RuntimeError, r"add: shapes \[2, 3\] and \[4\]"),
        (lambda: pb.zeros(2) + "a", TypeError, "unsupported operand"),
        (lambda: pb.zeros(2, 3).reshape(4), RuntimeError, r"reshape: shape \[4\]"),
        (lambda: pb.zeros(2, 3).t().view(6), RuntimeError, "view: shape"),
        (lambda: pb.zeros(2, 3).permute(0, 0), RuntimeError, "permute: dims"),
        (lambda: pb.zeros(2, 3).transpose(0, 2), IndexError, "transpose: dim1"),
        (lambda: pb.zeros(2).item(), RuntimeError, "item"),
        (lambda: bool(pb.zeros(2)), RuntimeError, "bool"),
        (lambda: pb.zeros(2, requires_grad=True).numpy(), RuntimeError, "numpy"),
        (lambda: pb.zeros(2, dtype=pb.int64).requires_grad_(), RuntimeError, "requires_grad_"),
        (lambda: pb.zeros(3).expand(2), RuntimeError, "expand"),
        (lambda: pb.arange(3) // 0, ZeroDivisionError, "floor_divide"),
        (lambda: pb.arange(3) ** -1, ValueError, "pow"),
        (lambda: pb.exp([1.0]), TypeError, "exp: input expects a Tensor, got list"),
        (lambda: pb.zeros(5).as_strided((4,), (2,)), RuntimeError, "as_strided"),
        (lambda: -pb.tensor([True]), RuntimeError, "neg"),
    ],
)
def test_wrong_arguments_name_op_and_argument(make, kind, words: str) -> None:
    with pytest.raises(kind, match=words):
        make()


def test_promotion_follows_pytorch() -> None:
    i, f, d, b = (pb.ones(2, dtype=t) for t in (pb.int64, pb.float32, pb.float64, pb.bool))
    assert (i + f).dtype is pb.float32
    assert (f + d).dtype is pb.float64
    assert (f + pb.tensor(1.0, dtype=pb.float64)).dtype is pb.float32  # a tensor without dimensions gives way
    assert (i + 2.5).dtype is pb.float32
    assert (i / 2).dtype is pb.float32
    assert (b + 1).dtype is pb.int64
    assert (b + b).dtype is pb.bool
    assert (i.int() + 1).dtype is pb.int32
    assert (pb.ones(2, dtype=pb.uint8) + pb.ones(2, dtype=pb.int8)).dtype is pb.int16
    assert (f**2).dtype is pb.float32
    assert (2 - f).tolist() == [1.0, 1.0]
    assert pb.exp(i).dtype is pb.float32


def test_views_share_memory_and_reshape_copies_only_if_it_must() -> None:
    x = pb.arange(24).reshape(2, 3, 4)
    v = x.view(6, 4).t()
    v.fill_(7)
    assert x.tolist() == np.full((2, 3, 4), 7).tolist()
    y = pb.arange(6).reshape(2, 3).t()
    assert not y.is_contiguous()
    flat = y.reshape(6)
    assert flat.tolist() == [0, 3, 1, 4, 2, 5]
    flat.zero_()
    assert y.tolist() == [[0, 3], [1, 4], [2, 5]]
    assert pb.zeros(2, 1, 3, 1).squeeze().shape == (2, 3)
    assert pb.zeros(2, 1, 3, 1).squeeze(0).shape == (2, 1, 3, 1)
    assert pb.zeros(4, 6).unflatten(1, (2, -1)).shape == (4, 2, 3)
    assert pb.zeros(2, 3, 4).movedim(0, -1).shape == (3, 4, 2)
    assert pb.zeros(2, 3, 4).flatten(1).shape == (2, 12)
    assert pb.zeros(0, 3).reshape(3, 0).shape == (3, 0)


def test_from_numpy_shares_and_tensor_copies() -> None:
    a = np.arange(4.0)
    shared, copied = pb.from_numpy(a), pb.tensor(a)
    a[0] = 9
    assert shared[0].item() == 9 and copied[0].item() == 0
    swapped = pb.from_numpy(a.astype(">f8"))
    assert (swapped + 1).tolist() == [10.0, 2.0, 3.0, 4.0]
    odd = np.frombuffer(b"\0" + np.arange(3.0).tobytes(), dtype=np.uint8)[1:].view(np.float64)
    assert (pb.from_numpy(odd) * 2).tolist() == [0.0, 2.0, 4.0]
    assert (pb.from_numpy(np.arange(6.0)[::-2]) + 0).tolist() == [5.0, 3.0, 1.0]
    assert np.asarray(pb.ones(2)).tolist() == [1.0, 1.0]
    np.testing.assert_array_equal(np.from_dlpack(pb.arange(3)), [0, 1, 2])
    np.testing.assert_array_equal(pb.from_dlpack(np.arange(3)).numpy(), [0, 1, 2])


def test_gradients_accumulate_and_zero() -> None:
    x = pb.tensor([1.0, 2.0], requires_grad=True)
    for k in (1, 2):
        (x * x).sum().backward()
        assert x.grad.tolist() == [2.0 * k, 4.0 * k]
    y = x.detach()
    assert not y.requires_grad and y.data_ptr() == x.data_ptr()
    with pb.no_grad():
        assert not (x * 2).requires_grad
        with pb.enable_grad():
            assert (x * 2).requires_grad

    @pb.no_grad()
    def quiet():
        return x * 2

    assert not quiet().requires_grad


def test_two_leaves_never_share_a_gradient() -> None:
    a, b = (pb.ones(3, requires_grad=True) for _ in range(2))
    (a + b).sum().backward()
    a.grad.mul_(5)
    assert b.grad.tolist() == [1.0, 1.0, 1.0]
    seed = pb.ones(3)
    c = pb.ones(3, requires_grad=True)
    (c + 0).backward(seed)
    c.grad.mul_(5)
    assert seed.tolist() == [1.0, 1.0, 1.0]


def test_graph_is_freed_unless_retained() -> None:
    x = pb.ones(2, requires_grad=True)
    y = (x.exp() * x).sum()
    y.backward(retain_graph=True)
    y.backward()
    np.testing.assert_allclose(x.grad.numpy(), 4 * np.e, rtol=1e-6)
    with pytest.raises(RuntimeError, match="a second time"):
        y.backward()
    with pytest.raises(RuntimeError, match="does not require grad"):
        pb.ones(2).sum().backward()
    with pytest.raises(RuntimeError, match="only for a scalar"):
        (x * 2).backward()
    with pytest.raises(RuntimeError, match=r"gradient expects shape \[2\]"):
        (x * 2).backward(pb.ones(3))


def test_saved_tensor_changed_in_place_is_noticed() -> None:
    x = pb.ones(3, requires_grad=True)
    a = x * 2
    b = a * a
    a.detach().add_(1)
    with pytest.raises(RuntimeError, match="mul: a tensor of shape .* was changed in place"):
        b.sum().backward()
    y = x.exp()
    y.add_(1)  # exp saved its result
    with pytest.raises(RuntimeError, match="exp: .* changed in place"):
        y.sum().backward()


def test_changes_in_place_are_on_the_tape() -> None:
    x = pb.tensor([1.0, 2.0, 3.0], requires_grad=True)
    y = x * 1
    y.mul_(y)
    y.sum().backward()
    assert x.grad.tolist() == [2.0, 4.0, 6.0]
    with pytest.raises(RuntimeError, match="a leaf that requires grad"):
        x.add_(1)
    with pytest.raises(RuntimeError, match="a view of a leaf"):
        x.view(3, 1).add_(1)
    with pb.no_grad():
        x.add_(1)
    assert x.tolist() == [2.0, 3.0, 4.0]


def test_change_through_a_view_moves_the_base_and_its_other_views() -> None:
    x = pb.tensor([[1.0, 2.0], [3.0, 4.0]], requires_grad=True)
    h = x * 1
    row, column = h.select(0, 0), h.select(1, 0)
    row.mul_(10)
    assert h.tolist() == [[10.0, 20.0], [3.0, 4.0]]
    column.sum().backward(retain_graph=True)
    assert x.grad.tolist() == [[10.0, 0.0], [1.0, 0.0]]
    x.grad = None
    h.sum().backward()
    assert x.grad.tolist() == [[10.0, 10.0], [1.0, 1.0]]
    base = pb.zeros(3)
    w = pb.ones(2, requires_grad=True)
    base.narrow(0, 1, 2).copy_(w * 3)
    base.sum().backward()
    assert w.grad.tolist() == [3.0, 3.0]


def test_in_place_refuses_what_does_not_fit() -> None:
    with pytest.raises(RuntimeError, match=r"\[2, 2\], expected \[2\]"):
        pb.zeros(2)._assign(pb.zeros(2, 2))
    with pytest.raises(RuntimeError, match="cannot be stored as"):
        pb.zeros(2, dtype=pb.int64).add_(0.5)
    with pytest.raises(RuntimeError, match="share memory"):
        pb.zeros(1).expand(3).add_(1)
    x = pb.arange(6).float()
    x.narrow(0, 1, 5).add_(x.narrow(0, 0, 5))  # the operands overlap
    assert x.tolist() == [0.0, 1.0, 3.0, 5.0, 7.0, 9.0]


def test_hooks_see_and_replace_gradients() -> None:
    x = pb.ones(2, requires_grad=True)
    y = x * 2
    seen = []
    handle = x.register_hook(lambda g: g * 10)
    y.register_hook(lambda g: seen.append(g.tolist()))
    y.retain_grad()
    (y * 3).sum().backward()
    assert seen == [[3.0, 3.0]] and y.grad.tolist() == [3.0, 3.0] and x.grad.tolist() == [60.0, 60.0]
    handle.remove()
    x.grad = None
    (x * 2).sum().backward()
    assert x.grad.tolist() == [2.0, 2.0]


def test_nodes_hold_no_cycles() -> None:
    """Memory goes when the last tensor goes, without the garbage collector."""
    gc.collect()
    gc.disable()
    try:
        x = pb.ones(1000, requires_grad=True)
        y = (x.exp() * x).tanh()
        watch = weakref.ref(y)
        before = _cpu.memory_stats()["in_use"]
        for _ in range(20):
            z = (x.exp() * x).tanh().sum()
            z.backward()
        del z
        assert _cpu.memory_stats()["in_use"] <= before + 8192
        del y
        assert watch() is None
    finally:
        gc.enable()


def test_a_long_chain_is_walked_and_freed_without_recursion() -> None:
    x = pb.ones(1, requires_grad=True)
    y = x
    for _ in range(20000):
        y = y + 1
    y.backward(pb.ones(1))
    assert x.grad.item() == 1.0
    del y


def test_copies_and_pickles() -> None:
    x = pb.tensor([1.0, 2.0], requires_grad=True)
    for other in (copy.deepcopy(x), pickle.loads(pickle.dumps(x))):
        assert other.tolist() == [1.0, 2.0] and other.requires_grad and other.data_ptr() != x.data_ptr()
    with pytest.raises(RuntimeError, match="deepcopy"):
        copy.deepcopy(x * 2)
    assert pickle.loads(pickle.dumps(pb.float32)) is pb.float32
    assert copy.deepcopy(pb.device("cpu")) == pb.device("cpu")


def test_repr() -> None:
    assert repr(pb.tensor([1.0, 2.0])) == "tensor([1., 2.])"
    assert repr(pb.tensor([1, 2])) == "tensor([1, 2])"
    assert "dtype=pullback.float64" in repr(pb.zeros(2, dtype=pb.float64))
    assert "requires_grad=True" in repr(pb.zeros(2, requires_grad=True))
    assert "grad_fn=<exp pullback>" in repr(pb.zeros(2, requires_grad=True).exp())
    assert "size=(0, 3)" in repr(pb.zeros(0, 3))


def test_environment_forces_an_instruction_set(monkeypatch) -> None:
    import os
    import subprocess
    import sys

    def run(isa: str):
        code = "from pullback import _cpu; print(_cpu.isa())"
        return subprocess.run(
            [sys.executable, "-c", code], env={**os.environ, "PULLBACK_ISA": isa}, capture_output=True, text=True
        )

    for isa in _cpu.isas():
        assert run(isa).stdout.strip() == isa
    failed = run("neon512")
    assert failed.returncode != 0 and "expected avx512, avx2 or portable, got 'neon512'" in failed.stderr


def test_python_numbers_reach_the_dtype_that_was_asked_for_unrounded() -> None:
    assert pb.tensor([0.1], dtype=pb.float64).tolist() == [0.1]
    assert pb.tensor(16777217.0, dtype=pb.int64).item() == 16777217
