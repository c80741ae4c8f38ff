"""The C++ half of the tape: short ways against the functions behind them, who may keep or overwrite a gradient, memory."""

from __future__ import annotations

import gc
import operator
import sys
import threading
import weakref

import numpy as np
import pytest

import pullback as pb
from pullback import _core, _cpu, nn
from pullback._tape import Rule
from pullback.nn import functional as F

SHORT = (
    "add",
    "sub",
    "mul",
    "div",
    "maximum",
    "minimum",
    "matmul",
    "linear",
    "relu",
    "sum",
    "exp",
    "tanh",
    "linear_relu",
)


def random(*shape, dtype="float32", grad=False):
    a = np.random.default_rng(len(shape)).uniform(0.5, 1.5, shape).astype(dtype)
    return pb.from_numpy(a).requires_grad_(grad)


# --- short ways -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", SHORT)
def test_ops_with_a_short_way_look_like_functions(name: str) -> None:
    op = getattr(pb, name)
    assert isinstance(op, _core.Op) and op.__name__ == name and op.__doc__ == op.__wrapped__.__doc__


OPERANDS = {
    "equal": lambda: (random(3, 4, grad=True), random(3, 4, grad=True)),
    "broadcast": lambda: (random(3, 1, grad=True), random(4, grad=True)),
    "outer": lambda: (random(4, grad=True), random(2, 3, 1, grad=True)),
    "empty": lambda: (random(0, 4, grad=True), random(1, 4, grad=True)),
    "no dimensions": lambda: (random(grad=True), random(3, grad=True)),
    "float": lambda: (random(3, 4, grad=True), 2.5),
    "int": lambda: (random(3, 4, grad=True), -3),
    "large int": lambda: (random(3, 4, grad=True), 2**70),
    "bool": lambda: (random(3, 4, grad=True), True),
    "double": lambda: (random(3, 4, grad=True), random(3, 4, dtype="float64", grad=True)),
    "integers": lambda: (pb.arange(4), pb.arange(4) + 1),
    "integer and float": lambda: (random(4, grad=True), pb.arange(4)),
    "transposed": lambda: (random(4, 3, grad=True).t(), random(3, 4, grad=True)),
    "array": lambda: (random(4, grad=True), np.ones(4, np.float32)),
    "a number first": lambda: (2.0, random(3, grad=True)),
    "without gradient": lambda: (random(3), random(3)),
}


@pytest.mark.parametrize("operands", OPERANDS)
@pytest.mark.parametrize("name", ["add", "sub", "mul", "div", "maximum", "minimum"])
def test_short_way_of_two_operands_agrees_with_the_function(name: str, operands: str) -> None:
    op = getattr(pb, name)
    results = []
    for f in (op, op.__wrapped__):
        a, b = OPERANDS[operands]()
        y = f(a, b)
        leaves = [t for t in (a, b) if isinstance(t, pb.Tensor) and t.is_leaf and t.requires_grad]
        grads = pb.autograd.grad(y.sum(), leaves) if leaves else ()
        results.append((y.dtype, y.requires_grad, y.detach().numpy(), [g.numpy() for g in grads]))
    (d1, r1, y1, g1), (d2, r2, y2, g2) = results
    assert d1 is d2 and r1 == r2
    np.testing.assert_array_equal(y1, y2)
    for one, two in zip(g1, g2, strict=True):
        np.testing.assert_array_equal(one, two)


@pytest.mark.parametrize("f", [operator.add, operator.sub, operator.mul, operator.truediv, operator.matmul])
def test_operators_refuse_what_is_no_operand(f) -> None:
    with pytest.raises(TypeError):
        f(pb.ones(2, 2), "text")
    with pytest.raises(RuntimeError, match="shapes|rows"):
        f(pb.ones(2, 3), pb.ones(2, 2))


def test_operators_ask_the_other_side() -> None:
    class Other:
        def __radd__(self, left):
            return "asked"

    assert pb.ones(2) + Other() == "asked"


def test_op_refuses_an_unknown_kind() -> None:
    with pytest.raises(ValueError, match="unknown kind 'ternary'"):
        _core.Op(lambda: None, "ternary", Rule("x", lambda node, dy: ()), "")


# --- an activation in the product's launch ----------------------------------------------------------------------------


@pytest.mark.parametrize("activation", [nn.ReLU, nn.Sigmoid, nn.Tanh, lambda: nn.ReLU(inplace=True)])
@pytest.mark.parametrize("shape", [(5, 7), (7,), (2, 3, 7), (0, 7)])
def test_sequential_fuses_to_the_bit(activation, shape) -> None:
    pb.manual_seed(0)
    model = nn.Sequential(nn.Linear(7, 9), activation(), nn.Linear(9, 4, bias=False), activation())
    outputs = []
    for _ in range(2):
        before = _cpu.launch_counts()["matmul"], sum(_cpu.launch_counts().values())
        x = random(*shape, grad=True)
        y = model(x)
        launches = _cpu.launch_counts()["matmul"] - before[0], sum(_cpu.launch_counts().values()) - before[1]
        model.zero_grad()
        y.backward(random(*y.shape))
        outputs.append((y.detach().numpy(), x.grad.numpy(), *[p.grad.numpy() for p in model.parameters()]))
        assert launches[0] == 2 and (launches[1] == 2 if len(outputs) == 1 else launches[1] >= 4)
        for module in model:
            module.register_forward_hook(lambda module, args, output: None)  # now somebody watches: no fusion
    for one, two in zip(*outputs, strict=True):
        np.testing.assert_array_equal(one, two)


def test_sequential_leaves_replaced_forwards_alone() -> None:
    model = nn.Sequential(nn.Linear(3, 3), nn.ReLU())
    model[1].forward = lambda x: x * 0 + 5
    assert model(pb.ones(2, 3)).tolist() == [[5.0] * 3] * 2


def test_fused_error_names_the_layer() -> None:
    model = nn.Sequential(nn.Linear(3, 3), nn.ReLU())
    with pytest.raises(RuntimeError, match=r"linear: input expects 3 features, got 4.*in 0"):
        model(pb.ones(2, 4))


# --- who may keep or overwrite a gradient -----------------------------------------------------------------------------


def test_gradient_of_the_caller_is_neither_kept_nor_overwritten() -> None:
    x = random(4, 4, grad=True)
    seed = pb.ones(4, 4)
    x.tanh().backward(seed)
    assert (seed == 1).all()
    y = x.detach().requires_grad_()
    (y + 0).backward(seed)
    y.grad.zero_()
    assert (seed == 1).all()


def test_gradient_that_a_hook_kept_is_not_overwritten() -> None:
    x = random(4, 4, grad=True)
    h = x * 2
    seen = []
    y = h.tanh()
    y.register_hook(lambda g: seen.append(g))
    (y * 3).sum().backward()
    assert (seen[0] == 3).all()


def test_gradient_that_autograd_grad_returns_is_not_overwritten() -> None:
    x = random(4, grad=True)
    y = x.exp()
    z = (y * 3).tanh()
    dy, dx = pb.autograd.grad(z.sum(), [y, x])
    slope = 3 * (1 - np.tanh(3 * y.detach().numpy()) ** 2)
    np.testing.assert_allclose(dy.numpy(), slope, rtol=1e-3, atol=1e-6)
    np.testing.assert_allclose(dx.numpy(), slope * y.detach().numpy(), rtol=1e-3, atol=1e-6)


def test_retained_gradient_is_not_overwritten() -> None:
    x = random(4, grad=True)
    y = x * 1
    y.retain_grad()
    (y.relu() * 5).sum().backward()
    x.grad.zero_()
    assert (y.grad == 5).all()


def test_one_gradient_for_two_leaves_is_not_shared() -> None:
    a, b = random(3, grad=True), random(3, grad=True)
    (a + b).sum().backward()
    a.grad.zero_()
    assert (b.grad == 1).all()


def test_sums_of_gradients_leave_their_terms_alone() -> None:
    x = random(3, grad=True)
    h = x * 1
    seen = []
    h.register_hook(lambda g: seen.append(g))
    (h * 2 + h * 3 + h).sum().backward()
    assert (seen[0] == 6).all() and (x.grad == 6).all()


def test_first_gradient_is_written_not_added() -> None:
    """No zeros are made, no sum is launched: the array that the pullback wrote becomes `.grad`."""
    layer = nn.Linear(8, 8)
    loss = F.linear(random(4, 8), layer.weight, layer.bias).sum()
    before = _cpu.launch_counts()
    loss.backward()
    after = _cpu.launch_counts()
    launched = {k: after[k] - before[k] for k in after if after[k] != before[k]}
    assert launched == {"fill": 1, "copy": 1, "matmul": 1, "sum": 1}  # 1, ȳ, W̄, b̄
    assert layer.weight.grad is not None


# --- memory -----------------------------------------------------------------------------------------------------------


def test_long_chains_are_freed_without_recursion() -> None:
    x = random(1, grad=True)
    y = x
    for _ in range(200_000):
        y = y + 1
    del y
    y = x
    for _ in range(50_000):
        y = y + 1
    y.backward()
    assert x.grad.item() == 1


def test_step_leaks_nothing() -> None:
    model = nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 3), nn.Tanh())
    x = random(5, 6)

    def step() -> None:
        model.zero_grad()
        y = model(x)
        ((y * 2 + 1 - y / 3).maximum(y) @ random(3, 2)).sum().backward()
        pb.autograd.grad(model(x).sum(), list(model.parameters()), create_graph=True)

    grown = []
    gc.collect()
    gc.disable()  # what is freed late, by the collector, counts too
    try:
        for _ in range(5):
            before = sys.getallocatedblocks(), _cpu.memory_stats()["in_use"]
            for _ in range(200):
                step()
            grown.append((sys.getallocatedblocks() - before[0], _cpu.memory_stats()["in_use"] - before[1]))
    finally:
        gc.enable()
    blocks, in_use = map(min, zip(*grown, strict=True))
    assert blocks < 100, grown
    assert in_use <= 0, grown


def test_tensors_and_nodes_take_part_in_garbage_collection() -> None:
    x = random(3, grad=True)
    y = x * 2
    y.register_hook(lambda g, y=y: None)  # a cycle: node → hooks → y → node
    gone = weakref.ref(y)
    del y
    gc.collect()
    assert gone() is None


def test_pullback_may_fail_and_the_walk_run_again() -> None:
    x = random(3, grad=True)

    def fails(node, dy):
        raise ValueError("from the pullback")

    y = _core.record(Rule("fails", fails), (x * 1)._array, (x,))
    for _ in range(2):
        with pytest.raises(ValueError, match="from the pullback"):
            y.sum().backward()
    with pytest.raises(IndexError, match="fewer gradients"):
        _core.record(Rule("short", lambda node, dy: ()), (x * 1)._array, (x,)).sum().backward()
    assert pb.is_grad_enabled() and x.grad is None


def test_record_refuses_what_is_no_tensor() -> None:
    with pytest.raises(TypeError, match="inputs expects tensors"):
        _core.record(Rule("x", lambda node, dy: ()), np.ones(3), (1,))
    with pytest.raises(TypeError, match="a tuple or a list"):
        _core.record(Rule("x", lambda node, dy: ()), np.ones(3), 1)


def test_threads_walk_one_graph() -> None:
    x = random(64, 64, grad=True)
    loss = (x.tanh() @ x).relu().sum()
    want = pb.autograd.grad(loss, x, retain_graph=True)[0].numpy()
    found: list[np.ndarray] = []

    def run() -> None:
        for _ in range(20):
            found.append(pb.autograd.grad(loss, x, retain_graph=True)[0].numpy())

    threads = [threading.Thread(target=run) for _ in range(4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert len(found) == 80
    for g in found:
        np.testing.assert_array_equal(g, want)
