"""`nn.Module`: its state, its copies, and the tensors that it is made of."""

from __future__ import annotations

import copy
import pickle
from collections import OrderedDict

import pytest

import pullback as pb
from nn_models import Block, Net
from pullback import nn
from pullback.nn import Buffer, Module, Parameter

# --- state ------------------------------------------------------------------------------------------------------------


def test_state_dict():
    net = Net()
    state = net.state_dict()
    assert list(state) == [f"{p}.{n}" for p in ("first", "rest.0", "rest.1") for n in ("scale", "shift", "mean")]
    assert isinstance(state, OrderedDict) and state._metadata["first"] == {"version": 1}
    assert not state["first.scale"].requires_grad and type(state["first.scale"]) is pb.Tensor
    assert net.state_dict(keep_vars=True)["first.scale"] is net.first.scale
    assert next(iter(net.state_dict(prefix="net."))) == "net.first.scale"
    state["first.scale"].fill_(7.0)
    assert net.first.scale.tolist() == [7, 7, 7]
    mine = {}
    assert net.state_dict(destination=mine) is mine and len(mine) == 9
    with pytest.raises(TypeError, match="keyword arguments only"):
        net.state_dict(mine)


def test_load_state_dict():
    a, b = Net(), Net()
    for i, p in enumerate(a.parameters()):
        with pb.no_grad():
            p.fill_(float(i))
    parameter = b.first.scale
    result = b.load_state_dict(a.state_dict())
    assert b.first.scale is parameter and b.rest[1].shift.tolist() == [5, 5, 5] and b.rest[1].shift.requires_grad
    assert result.missing_keys == [] and result.unexpected_keys == []
    assert repr(result) == "<All keys matched successfully>"
    wide = {k: v.double() for k, v in a.state_dict().items()}
    b.load_state_dict(wide)
    assert b.first.scale.dtype is pb.float32


def test_load_state_dict_assigns():
    a, b = Net(), Net()
    b.rest.requires_grad_(False)
    state = {k: v.double() for k, v in a.state_dict().items()}
    b.load_state_dict(state, assign=True)
    assert b.first.scale.dtype is pb.float64 and isinstance(b.first.scale, Parameter)
    assert b.first.scale.requires_grad and not b.rest[0].scale.requires_grad
    assert b.first.mean is state["first.mean"]


def test_one_report_of_everything_that_does_not_fit():
    net = Net()
    state = net.state_dict()
    del state["first.scale"], state["rest.0.mean"]
    state["extra.w"] = pb.ones(1)
    state["first.shift.deeper"] = pb.ones(1)
    state["rest.1.shift"] = pb.ones(2, 3)
    state["rest.1.scale"] = "text"
    with pytest.raises(RuntimeError) as caught:
        net.load_state_dict(state)
    assert str(caught.value).splitlines() == [
        "load_state_dict: the state does not fit Net",
        "  missing: first.scale",
        "  missing: rest.0.mean",
        "  unexpected: extra.w",
        "  unexpected: first.shift.deeper",
        "  wrong type: rest.1.scale expects a Tensor, got str",
        "  wrong shape: rest.1.shift expects [3], got [2, 3]",
    ]
    with pytest.raises(RuntimeError) as caught:
        net.load_state_dict(state, strict=False)
    assert "missing" not in str(caught.value) and "wrong shape" in str(caught.value)
    del state["rest.1.shift"], state["rest.1.scale"]
    result = net.load_state_dict(state, strict=False)
    assert result.missing_keys == ["first.scale", "rest.0.mean", "rest.1.scale", "rest.1.shift"]
    assert result.unexpected_keys == ["extra.w", "first.shift.deeper"]
    assert "missing_keys=['first.scale'" in repr(result)
    with pytest.raises(TypeError, match="expected a dictionary, got list"):
        net.load_state_dict([])


def test_extra_state_and_modules_that_rename():
    class Versioned(Block):
        _version = 2

        def get_extra_state(self):
            return {"steps": 5}

        def set_extra_state(self, state):
            self.loaded = state

        def _load_from_state_dict(self, state, prefix, metadata, *rest):
            if metadata.get("version", 1) < 2:
                state[prefix + "scale"] = state.pop(prefix + "gamma")
            super()._load_from_state_dict(state, prefix, metadata, *rest)

    block = nn.Sequential(Versioned())
    state = block.state_dict()
    assert state["0._extra_state"] == {"steps": 5} and state._metadata["0"] == {"version": 2}
    block.load_state_dict(state)
    assert block[0].loaded == {"steps": 5}
    old = {"0.gamma": pb.full((3,), 4.0), **{k: v for k, v in state.items() if k != "0.scale"}}
    block.load_state_dict(old)
    assert block[0].scale.tolist() == [4, 4, 4] and "0.gamma" in old
    del old["0._extra_state"]
    assert block.load_state_dict(old, strict=False).missing_keys == ["0._extra_state"]
    with pytest.raises(RuntimeError, match="does not define"):
        Block().get_extra_state()
    with pytest.raises(RuntimeError, match="does not define"):
        Block().set_extra_state(1)


def test_hooks_around_the_state():
    net, seen = Net(), []
    net.first.register_state_dict_pre_hook(lambda m, prefix, keep_vars: seen.append(prefix))
    net.first.register_state_dict_post_hook(lambda m, state, prefix, local: state.__delitem__(prefix + "mean"))
    state = net.state_dict()
    assert seen == ["first."] and "first.mean" not in state and "first.scale" in state

    def fill_in(module, state, prefix, local, strict, missing, unexpected, errors):
        state[prefix + "mean"] = pb.full((3,), 2.0)

    before = net.first.register_load_state_dict_pre_hook(fill_in)
    net.load_state_dict(state)
    assert net.first.mean.tolist() == [2, 2, 2] and "first.mean" not in state
    before.remove()
    net.register_load_state_dict_post_hook(lambda m, keys: keys.missing_keys.clear())
    assert net.load_state_dict(state).missing_keys == []
    net.register_load_state_dict_post_hook(lambda m, keys: 3)
    with pytest.raises(RuntimeError, match="expected None to be returned"):
        net.load_state_dict(state)


def test_copies_and_pickles():
    net = Net().eval()
    net.tied = net.first.scale
    net.first.note = "kept"
    net(pb.ones(3)).sum().backward()
    for copied in (copy.deepcopy(net), pickle.loads(pickle.dumps(net))):
        assert copied.tied is copied.first.scale and copied.tied is not net.tied
        assert isinstance(copied.tied, Parameter) and copied.tied.requires_grad and copied.tied.is_leaf
        assert copied.first.note == "kept" and not copied.training
        assert list(copied.state_dict()) == list(net.state_dict())
        with pb.no_grad():
            copied.tied.fill_(9.0)
        assert net.tied.tolist() == [1, 1, 1] and copied(pb.ones(3)).tolist() == [9, 9, 9]


def test_copies_have_hooks_of_their_own():
    block = Block()
    block.register_forward_hook(lambda m, args, y: y + 1)
    copied = copy.deepcopy(block)
    copied.register_forward_hook(lambda m, args, y: y * 10)
    assert block(pb.ones(3)).tolist() == [2, 2, 2] and copied(pb.ones(3)).tolist() == [20, 20, 20]


# --- Parameter and Buffer ---------------------------------------------------------------------------------------------


def test_parameter():
    data = pb.ones(2)
    w = Parameter(data)
    assert w.requires_grad and w.is_leaf and isinstance(w, pb.Tensor) and not data.requires_grad
    with pb.no_grad():
        w.mul_(3)
    assert data.tolist() == [3, 3]
    y = (w * w).sum()
    data.mul_(2)
    with pytest.raises(RuntimeError, match="changed in place"):
        y.backward()
    data.div_(2)
    assert type(w * 1) is pb.Tensor and type(w.detach()) is pb.Tensor
    assert repr(w).startswith("Parameter containing:\ntensor([3., 3.]")
    assert not Parameter(data, requires_grad=False).requires_grad
    assert Parameter().shape == (0,)
    w.tag = "kept"
    assert pickle.loads(pickle.dumps(w)).tag == "kept"
    copied = copy.deepcopy([w, w])
    assert copied[0] is copied[1] and type(copied[0]) is Parameter and copied[0].tolist() == [3, 3]
    with pytest.raises(TypeError, match="Parameter: data expects a Tensor, got list"):
        Parameter([1.0])
    with pytest.raises(RuntimeError, match="floating-point"):
        Parameter(pb.tensor([1]))
    assert Parameter(pb.tensor([1]), requires_grad=False).dtype is pb.int64
    assert Parameter(w * 2).is_leaf


def test_buffer():
    m = Module()
    m.a = Buffer(pb.ones(2))
    m.b = Buffer(pb.ones(2), persistent=False)
    assert list(m.state_dict()) == ["a"] and not m.a.requires_grad
    assert repr(m.a).startswith("Buffer containing:\ntensor")
    copied = copy.deepcopy(m)
    assert not copied.b.persistent and type(copied.b) is Buffer and list(copied.state_dict()) == ["a"]
    m.b = Buffer(pb.ones(2))
    assert list(m.state_dict()) == ["a", "b"]
