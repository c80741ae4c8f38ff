"""`nn.Module`: what is registered, under which names, how all of it is changed, and how it is shown."""

from __future__ import annotations

from collections import OrderedDict

import numpy as np
import pytest

import pullback as pb
from nn_models import Block, Net
from pullback import nn
from pullback.nn import Buffer, Module, Parameter

# --- registration -----------------------------------------------------------------------------------------------------


def test_what_is_assigned_is_registered():
    net = Net()
    names = ["first.scale", "first.shift", "rest.0.scale", "rest.0.shift", "rest.1.scale", "rest.1.shift"]
    assert [n for n, _ in net.named_parameters()] == names
    assert [n for n, _ in net.named_parameters(prefix="net")] == ["net." + n for n in names]
    assert list(net.named_parameters(recurse=False)) == []
    assert len(list(net.parameters())) == 6
    assert [n for n, _ in net.named_buffers()][:2] == ["first.mean", "first.scratch"]
    assert [n for n, _ in net.named_modules()] == ["", "first", "rest", "rest.0", "rest.1"]
    assert [n for n, _ in net.named_children()] == ["first", "rest"]
    assert list(net.children()) == [net.first, net.rest] and list(net.modules())[0] is net
    assert len(list(net.buffers())) == 6 and net.absent is None


def test_a_name_means_one_thing():
    m = Module()
    m.x = 3
    m.x = Parameter(pb.ones(1))
    assert "x" not in m.__dict__ and list(m._parameters) == ["x"]
    m.x = None
    assert m.x is None and list(m.parameters()) == []
    m.x = Parameter(pb.ones(1))
    m.x = Block()
    assert list(m._parameters) == [] and list(m._modules) == ["x"]
    m.x = Buffer(pb.ones(1))
    assert list(m._modules) == [] and list(m._buffers) == ["x"]
    m.x = pb.zeros(2)
    assert m._buffers["x"].tolist() == [0, 0]
    del m.x
    assert not hasattr(m, "x") and not m._buffers
    m.y = pb.zeros(2)  # a plain tensor is a plain attribute
    assert "y" in m.__dict__
    del m.y
    with pytest.raises(AttributeError, match="'Module' object has no attribute 'y'"):
        _ = m.y


def test_assignments_that_make_no_sense():
    m = Block()
    with pytest.raises(TypeError, match="Block: 'scale' expects a Parameter or None, got Tensor"):
        m.scale = pb.ones(3)
    with pytest.raises(TypeError, match="Block: 'mean' expects a Tensor or None, got int"):
        m.mean = 3
    m.child = Block()
    with pytest.raises(TypeError, match="Block: 'child' expects a Module or None, got int"):
        m.child = 3

    class Early(Module):
        def __init__(self):
            self.w = Parameter(pb.ones(1))

    with pytest.raises(AttributeError, match=r"Early: call super\(\).__init__\(\) before assigning 'w'"):
        Early()


@pytest.mark.parametrize("register", ["register_parameter", "register_buffer", "register_module", "add_module"])
def test_names_that_are_refused(register):
    m = Block()
    add = getattr(m, register)
    register = "register_module" if register == "add_module" else register
    for name, error in (("a.b", KeyError), ("", KeyError), (3, TypeError), ("forward", KeyError)):
        with pytest.raises(error, match=register):
            add(name, None)
    with pytest.raises(TypeError, match=f"{register}: 'x' expects"):
        add("x", 3)
    add("x", None)
    assert m.x is None


def test_a_result_of_an_op_is_no_parameter():
    w = Parameter(pb.ones(1))
    w2 = Parameter(pb.ones(1))
    w2.requires_grad_()
    w2._node = (w * 2).grad_fn
    with pytest.raises(ValueError, match="expects a leaf"):
        Module().register_parameter("w", w2)


def test_shared_things_are_listed_once():
    m = Module()
    m.a = m.b = Block()
    m.w = m.a.scale
    assert [n for n, _ in m.named_parameters()] == ["w", "a.shift"]
    every = [n for n, _ in m.named_parameters(remove_duplicate=False)]
    assert every == ["w", "a.scale", "a.shift", "b.scale", "b.shift"]
    assert len(list(m.children())) == 1 and [n for n, _ in m.named_modules()] == ["", "a"]
    assert [n for n, _ in m.named_modules(remove_duplicate=False)] == ["", "a", "b"]


def test_paths():
    net = Net()
    assert net.get_submodule("rest.1") is net.rest[1] and net.get_submodule("") is net
    assert net.get_parameter("rest.0.scale") is net.rest[0].scale
    assert net.get_buffer("first.mean") is net.first.mean
    new = Block()
    net.set_submodule("rest.1", new)
    assert net.rest[1] is new
    with pytest.raises(AttributeError, match=r"ModuleList has no submodule '7' \(in 'rest.7'\)"):
        net.get_submodule("rest.7")
    with pytest.raises(AttributeError, match="no parameter 'first.mean'"):
        net.get_parameter("first.mean")
    with pytest.raises(AttributeError, match="no buffer 'first.scale'"):
        net.get_buffer("first.scale")
    with pytest.raises(ValueError, match="empty string"):
        net.set_submodule("", new)
    with pytest.raises(AttributeError, match="no submodule 'other'"):
        net.set_submodule("other", new, strict=True)
    net.set_submodule("other", new)
    assert net.other is new and len(list(net.modules())) == 5 and len(list(net.modules(remove_duplicate=False))) == 6


def test_dir_lists_what_is_registered():
    assert {"first", "rest", "absent", "training", "forward"} <= set(dir(Net()))
    assert not any(name.isdigit() for name in dir(nn.ModuleList([Block()])))


# --- changing all of it -----------------------------------------------------------------------------------------------


def test_training_mode():
    net = Net()
    assert net.training and net.eval() is net
    assert not any(m.training for m in net.modules())
    net.train()
    assert all(m.training for m in net.modules())
    with pytest.raises(ValueError, match="mode expects a bool, got 'yes'"):
        net.train("yes")


def test_apply_visits_children_first():
    seen = []
    net = Net()
    assert net.apply(lambda m: seen.append(type(m).__name__)) is net
    assert seen == ["Block", "Block", "Block", "ModuleList", "Net"]


def test_freezing_and_gradients():
    net = Net()
    net.first.requires_grad_(False)
    net(pb.ones(3)).sum().backward()
    assert net.first.scale.grad is None and net.rest[0].scale.grad is not None
    net.zero_grad(set_to_none=False)
    assert net.rest[0].scale.grad.tolist() == [0, 0, 0]
    net.zero_grad()
    assert net.rest[0].scale.grad is None


def test_conversions_keep_identities():
    net = Net()
    net.first.register_buffer("count", pb.tensor(3))
    net(pb.ones(3)).sum().backward()
    parameter = net.first.scale
    assert net.double() is net and net.first.scale is parameter
    assert parameter.dtype is pb.float64 and parameter.grad.dtype is pb.float64 and parameter.requires_grad
    assert net.first.mean.dtype is pb.float64 and net.first.count.dtype is pb.int64
    assert net.float().first.scale.dtype is pb.float32
    assert net.to(pb.float64).first.scale.dtype is pb.float64
    assert net.to("cpu", pb.float32).first.scale.dtype is pb.float32
    assert net.to(pb.zeros(1, dtype=pb.float64)).first.scale.dtype is pb.float64
    assert net.to(device="cpu").cpu().first.scale.dtype is pb.float64
    assert net.requires_grad_(False).type(pb.int32).first.count.dtype is pb.int32
    for arguments, options, message in (
        ((pb.int64,), {}, "expects a floating-point type, got pullback.int64"),
        ((3.5,), {}, "expected a device, a dtype or a tensor, got 3.5"),
        ((), {"layout": 1}, "unknown argument 'layout'"),
    ):
        with pytest.raises(TypeError, match=message):
            net.to(*arguments, **options)


# --- repr and summary -------------------------------------------------------------------------------------------------


def test_repr():
    class Named(Module):
        def __init__(self):
            super().__init__()
            self.linear = nn.Linear(2, 3)
            self.inner = nn.Sequential(nn.ReLU(), nn.Dropout(0.1))

        def extra_repr(self):
            return "option=1"

    assert repr(Named()) == (
        "Named(\n"
        "  option=1\n"
        "  (linear): Linear(in_features=2, out_features=3, bias=True)\n"
        "  (inner): Sequential(\n"
        "    (0): ReLU()\n"
        "    (1): Dropout(p=0.1, inplace=False)\n"
        "  )\n"
        ")"
    )
    assert repr(Module()) == "Module()" and repr(nn.Sequential()) == "Sequential()"


def test_summary():
    model = nn.Sequential(OrderedDict(flat=nn.Flatten(), linear=nn.Linear(6, 4), drop=nn.Dropout()))
    model.linear.bias.requires_grad_(False)
    model.again = model.linear
    assert model.summary().splitlines() == [
        "layer    type        parameters",
        "-------------------------------",
        "(model)  Sequential           -",
        "flat     Flatten              -",
        "linear   Linear              28",
        "drop     Dropout              -",
        "-------------------------------",
        "28 parameters (24 trainable, 4 frozen), 112 bytes with buffers",
    ]
    table = nn.Sequential(nn.Flatten(), nn.Linear(6, 4)).summary(pb.ones(5, 2, 3)).splitlines()
    assert table[0].split() == ["layer", "type", "output", "shape", "parameters"]
    assert table[4].split() == ["1", "Linear", "[5,", "4]", "28"]


def test_summary_runs_in_evaluation_mode_and_restores():
    class Noting(Module):
        def forward(self, x):
            self.seen = (self.training, pb.is_grad_enabled())
            return x, [x]

    model = nn.Sequential(Noting())
    model[0].eval()
    text = model.summary(pb.ones(2))
    assert model[0].seen == (False, False)
    assert model.training and not model[0].training
    assert "[2]" in text and model[0]._hooks.forward == []
    tied = Module()
    tied.a, tied.b = Block(), Block()
    tied.b.scale = tied.a.scale
    assert "3 (shared)" in tied.summary() and "9 parameters" in tied.summary()
    assert "MiB" in nn.Linear(1000, 1000).summary() and "KiB" in nn.Linear(100, 10).summary()


def test_a_model_written_for_pytorch_trains():
    pb.manual_seed(0)
    model = nn.Sequential(nn.Linear(2, 16), nn.Tanh(), nn.Linear(16, 1))
    x = pb.tensor([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]])
    y = pb.tensor([[0.0], [1.0], [1.0], [0.0]])
    optimizer = pb.optim.Adam(model.parameters(), lr=0.05)
    for _ in range(200):
        optimizer.zero_grad()
        loss = nn.functional.mse_loss(model(x), y)
        loss.backward()
        optimizer.step()
    assert loss.item() < 1e-2
    np.testing.assert_allclose(model(x).detach().numpy(), y.numpy(), atol=0.2)
