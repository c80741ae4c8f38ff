"""Optimizers against NumPy transcriptions of their formulas, step by step in float64; their state."""

from __future__ import annotations

import copy
import math
import pickle

import numpy as np
import pytest

import pullback as pb
from optim_formulas import CASES, adam
from pullback import _cpu, optim

SHAPES = ((7,), (3, 5), (), (0,), (2, 3, 33))
STEPS = 8  # RAdam's sixth is its first with a rate for each element


def name(case):
    return case[0] + "-" + ",".join(f"{k}={v}" for k, v in case[2].items())


def parameters(dtype=pb.float64, seed=0):
    rng = np.random.default_rng(seed)
    return [pb.tensor(rng.standard_normal(s), dtype=dtype).requires_grad_() for s in SHAPES]


def gradients(seed=1):
    rng = np.random.default_rng(seed)
    return [[rng.standard_normal(s) for s in SHAPES] for _ in range(STEPS)]


def set_gradients(params, arrays):
    for p, g in zip(params, arrays):
        p.grad = pb.tensor(g, dtype=p.dtype)


@pytest.mark.parametrize("case", CASES, ids=name)
def test_against_numpy(case):
    optimizer, formula, options = case
    params, steps = parameters(), gradients()
    made = getattr(optim, optimizer)(params, **options)
    wanted = [formula(p.detach().numpy().copy(), [s[i] for s in steps], **options) for i, p in enumerate(params)]
    for arrays in steps:
        set_gradients(params, arrays)
        made.step()
        for p, want in zip(params, wanted):
            # K operations on numbers around 1 a step; the centered variance cancels
            np.testing.assert_allclose(p.detach().numpy(), next(want), rtol=1e-11, atol=1e-12)


@pytest.mark.parametrize("case", CASES, ids=name)
def test_float32_follows_float64(case):
    optimizer, _, options = case
    narrow, wide = parameters(pb.float32), parameters()
    with pb.no_grad():
        for n, w in zip(narrow, wide):
            w.copy_(n)
    for params in (narrow, wide):
        made = getattr(optim, optimizer)(params, **options)
        for arrays in gradients():
            set_gradients(params, [a.astype(np.float32) for a in arrays])
            made.step()
    # v − a² of the centered variance starts at g²·α(1 − α): 1/√ of it passes its rounding on, times lr and momentum
    atol = 2e-3 if options.get("centered") else 1e-5
    for n, w in zip(narrow, wide):
        np.testing.assert_allclose(n.detach().numpy(), w.detach().numpy(), rtol=1e-4, atol=atol)


@pytest.mark.parametrize("optimizer", sorted({case[0] for case in CASES}))
def test_one_launch_a_group_and_dtype(optimizer):
    kernel = "adam" if optimizer == "AdamW" else optimizer.lower()
    a, b = parameters(), parameters(pb.float32)
    made = getattr(optim, optimizer)([{"params": a}, {"params": b[:2]}, {"params": b[2:], "lr": 1e-4}])
    for params in (a, b):
        set_gradients(params, gradients()[0])
    before = _cpu.launch_counts()[kernel]
    made.step()
    assert _cpu.launch_counts()[kernel] - before == 3
    mixed = [*parameters(), *parameters(pb.float32)]
    made = getattr(optim, optimizer)(mixed)
    for p in mixed:
        p.grad = pb.ones_like(p)
    before = _cpu.launch_counts()[kernel]
    made.step()
    assert _cpu.launch_counts()[kernel] - before == 2


def test_parameters_of_any_layout():
    base = np.random.default_rng(0).standard_normal((5, 4))
    p = pb.from_numpy(base.copy()).t().requires_grad_()
    g = np.random.default_rng(1).standard_normal((4, 5))
    p.grad = pb.from_numpy(g)
    made = optim.Adam([p], lr=0.1)
    made.step()
    np.testing.assert_allclose(p.detach().numpy(), next(adam(base.T, [g], lr=0.1)), rtol=1e-12)


def test_a_step_is_a_change_in_place():
    w = pb.ones(3).requires_grad_()
    y = (w * w).sum()
    w.grad = pb.ones(3)
    optim.SGD([w], lr=0.1).step()
    with pytest.raises(RuntimeError, match="changed in place"):
        y.backward()


def test_a_rate_in_a_tensor_is_read_at_every_step():
    rate = pb.tensor(0.5)
    w = pb.zeros(2).requires_grad_()
    made = optim.SGD([w], lr=rate)
    w.grad = pb.ones(2)
    made.step()
    rate.fill_(0.25)
    made.step()
    np.testing.assert_allclose(w.detach().numpy(), -0.75)


def test_closure_is_recorded_and_its_loss_returned():
    w = pb.ones(3).requires_grad_()
    made = optim.SGD([w], lr=0.1)

    def closure():
        made.zero_grad()
        loss = (w * w).sum()
        loss.backward()
        return loss

    with pb.no_grad():
        assert made.step(closure).item() == 3
    np.testing.assert_allclose(w.detach().numpy(), 0.8, rtol=1e-6)
    assert made.step() is None


def test_zero_grad():
    w = pb.ones(3).requires_grad_()
    made = optim.SGD([w], lr=0.1)
    w.grad = pb.ones(3)
    made.zero_grad(set_to_none=False)
    assert w.grad.tolist() == [0, 0, 0]
    made.zero_grad()
    assert w.grad is None
    made.zero_grad()


def test_hooks_around_a_step():
    seen = []
    w = pb.ones(3).requires_grad_()
    made = optim.SGD([w], lr=0.1)
    before = made.register_step_pre_hook(lambda o, args, kwargs: seen.append("before"))
    made.register_step_post_hook(lambda o, args, kwargs: seen.append("after"))
    made.step()
    before.remove()
    made.step()
    assert seen == ["before", "after", "after"]


# --- state ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("case", CASES[::3], ids=name)
def test_a_loaded_state_goes_on_with_the_same_bits(case):
    optimizer, _, options = case
    steps = gradients()
    straight, resumed = parameters(), parameters()
    one = getattr(optim, optimizer)(straight, **options)
    two = getattr(optim, optimizer)(resumed, **options)
    for arrays in steps[:2]:
        for params, made in ((straight, one), (resumed, two)):
            set_gradients(params, arrays)
            made.step()
    state = pickle.loads(pickle.dumps(two.state_dict()))
    two = getattr(optim, optimizer)(resumed, lr=123.0)
    two.load_state_dict(state)
    for arrays in steps[2:]:
        for params, made in ((straight, one), (resumed, two)):
            set_gradients(params, arrays)
            made.step()
    for a, b in zip(straight, resumed):
        np.testing.assert_array_equal(a.detach().numpy(), b.detach().numpy())


def test_state_dict_has_pytorchs_structure():
    params = parameters()[:2]
    made = optim.Adam([{"params": params[:1]}, {"params": params[1:], "lr": 0.5}], lr=0.1, amsgrad=True)
    set_gradients(params, gradients()[0])
    made.step()
    state = made.state_dict()
    assert list(state) == ["state", "param_groups"]
    assert list(state["state"]) == [0, 1]
    assert list(state["state"][0]) == ["step", "exp_avg", "exp_avg_sq", "max_exp_avg_sq"]
    step = state["state"][0]["step"]
    assert step.dtype is pb.float32 and step.shape == () and step.item() == 1
    groups = state["param_groups"]
    assert [g["params"] for g in groups] == [[0], [1]] and [g["lr"] for g in groups] == [0.1, 0.5]
    keys = "lr betas eps weight_decay amsgrad maximize foreach capturable differentiable fused decoupled_weight_decay"
    assert set(groups[0]) == {*keys.split(), "params"}
    sgd_ = optim.SGD(params, lr=0.1, momentum=0.9)
    sgd_.step()
    assert list(sgd_.state_dict()["state"][1]) == ["momentum_buffer"]
    rms = optim.RMSprop(params, momentum=0.9, centered=True)
    rms.step()
    assert list(rms.state_dict()["state"][1]) == ["step", "square_avg", "momentum_buffer", "grad_avg"]
    assert rms.state_dict()["state"][1]["step"].item() == 1


def test_loading_copies_and_converts():
    wide, narrow = parameters()[:1], parameters(pb.float32)[:1]
    a, b = optim.Adam(wide), optim.Adam(narrow)
    set_gradients(wide, gradients()[0])
    a.step()
    b.load_state_dict(a.state_dict())
    assert b.state[narrow[0]]["exp_avg"].dtype is pb.float32
    assert b.state[narrow[0]]["step"].dtype is pb.float32
    c = optim.Adam(parameters()[:1])
    c.load_state_dict(a.state_dict())
    before = a.state[wide[0]]["exp_avg"].tolist()
    c.param_groups[0]["params"][0].grad = pb.ones(7, dtype=pb.float64)
    c.step()
    assert a.state[wide[0]]["exp_avg"].tolist() == before


def test_a_state_that_does_not_fit_is_refused():
    params = parameters()[:2]
    made = optim.Adam(params)
    set_gradients(params, gradients()[0])
    made.step()
    state = made.state_dict()
    with pytest.raises(ValueError, match="Adam: expected 2 parameter groups, got 1"):
        optim.Adam([{"params": params[:1]}, {"params": params[1:]}]).load_state_dict(state)
    with pytest.raises(ValueError, match="group 0 expects 1 parameters, got 2"):
        optim.Adam(params[:1]).load_state_dict(state)
    with pytest.raises(ValueError, match=r"exp_avg expects shape \[3, 5\], got \[7\]"):
        optim.Adam(params[::-1]).load_state_dict(state)


def test_optimizers_are_copied_and_pickled_with_their_parameters():
    params = parameters()[:2]
    made = optim.Adam(params)
    set_gradients(params, gradients()[0])
    made.step()
    for copied in (copy.deepcopy(made), pickle.loads(pickle.dumps(made))):
        own = copied.param_groups[0]["params"]
        assert own[0] is not params[0]
        assert set(map(id, copied.state)) == set(map(id, own))
        set_gradients(own, gradients()[1])
        copied.step()
        assert copied.state[own[0]]["step"].item() == 2
    assert made.state[params[0]]["step"].item() == 1


def test_groups_are_added_and_shown():
    a, b, c = parameters()[:3]
    made = optim.SGD([("a", a)], lr=0.1)
    assert made.param_groups[0]["param_names"] == ["a"]
    made.add_param_group({"params": b, "lr": 0.2})
    made.add_param_group({"params": iter([c])})
    assert [g["lr"] for g in made.param_groups] == [0.1, 0.2, 0.1]
    text = repr(made)
    assert text.startswith("SGD (\nParameter Group 0\n    dampening: 0\n") and "Parameter Group 2" in text


# --- bad input --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "optimizer, options, message",
    [
        ("SGD", {"lr": -1}, "SGD: lr expects a finite number ≥ 0, got -1"),
        ("SGD", {"lr": math.nan}, "SGD: lr expects a finite number ≥ 0, got nan"),
        ("SGD", {"lr": "0.1"}, "SGD: lr expects a finite number ≥ 0, got '0.1'"),
        ("SGD", {"lr": pb.ones(2)}, r"SGD: lr expects one element, got shape \[2\]"),
        ("SGD", {"momentum": -0.1}, "SGD: momentum expects"),
        ("SGD", {"weight_decay": math.inf}, "SGD: weight_decay expects"),
        ("SGD", {"nesterov": True}, "SGD: nesterov expects momentum > 0"),
        ("SGD", {"nesterov": True, "momentum": 0.9, "dampening": 0.1}, "SGD: nesterov expects"),
        ("Adam", {"lr": -0.5}, "Adam: lr expects"),
        ("Adam", {"betas": (1.0, 0.9)}, r"Adam: betas\[0\] expects a number in \[0, 1\), got 1.0"),
        ("Adam", {"betas": 0.9}, "Adam: betas expects two numbers"),
        ("Adam", {"eps": -1e-8}, "Adam: eps expects"),
        ("AdamW", {"weight_decay": -1}, "AdamW: weight_decay expects"),
        ("RMSprop", {"alpha": -0.1}, "RMSprop: alpha expects"),
        ("Adagrad", {"lr_decay": -1}, "Adagrad: lr_decay expects"),
        ("Adagrad", {"initial_accumulator_value": -1}, "Adagrad: initial_accumulator_value expects"),
        ("Adadelta", {"rho": 1.5}, r"Adadelta: rho expects a number in \[0, 1\], got 1.5"),
        ("Adadelta", {"lr": math.inf}, "Adadelta: lr expects a finite number"),
        ("Adamax", {"betas": (0.9, 1)}, r"Adamax: betas\[1\] expects"),
        ("NAdam", {"momentum_decay": -1}, "NAdam: momentum_decay expects"),
        ("RAdam", {"betas": 0.9}, "RAdam: betas expects two numbers"),
    ],
)
def test_options_that_make_no_sense(optimizer, options, message):
    with pytest.raises(ValueError, match=message):
        getattr(optim, optimizer)([pb.ones(1)], **options)


def test_parameters_that_make_no_sense():
    w = pb.ones(3).requires_grad_()
    with pytest.raises(ValueError, match="at least one parameter"):
        optim.SGD([])
    with pytest.raises(TypeError, match="iterable of tensors, got Tensor"):
        optim.SGD(w)
    with pytest.raises(TypeError, match="expects tensors, got int"):
        optim.SGD([3])
    with pytest.raises(TypeError, match="got a set"):
        optim.SGD([{"params": {w}}])
    with pytest.raises(ValueError, match="expects leaves"):
        optim.SGD([w * 2])
    with pytest.raises(ValueError, match="belongs to two groups"):
        optim.SGD([{"params": [w]}, {"params": [w]}])
    with pytest.raises(RuntimeError, match="differentiable=True is not supported"):
        optim.Adam([w], differentiable=True)
    with pytest.raises(RuntimeError, match="got both"):
        optim.Adam([w], foreach=True, fused=True)


def test_a_gradient_that_does_not_fit_its_parameter():
    w = pb.ones(3).requires_grad_()
    made = optim.Adam([w])
    w.grad = pb.ones(300)
    with pytest.raises(RuntimeError, match=r"gradient expects pullback.float32 of shape \[3\].* got .*\[300\]"):
        made.step()
    w.grad = pb.ones(3, dtype=pb.float64)
    with pytest.raises(RuntimeError, match="got pullback.float64"):
        made.step()


def test_flags_that_concern_speed_are_accepted():
    w = pb.ones(3).requires_grad_()
    optim.SGD([w], fused=True)
    optim.Adam([w], foreach=True, capturable=True)
    optim.AdamW([w], fused=True)
    optim.RMSprop([w], foreach=True)


def test_an_optimizer_of_ones_own():
    class Signed(optim.Optimizer):
        def __init__(self, params, lr):
            super().__init__(params, {"lr": lr})

        def step(self, closure=None):
            with pb.no_grad():
                for group in self.param_groups:
                    for p in group["params"]:
                        if p.grad is not None:
                            self.state[p]["seen"] = self.state[p].get("seen", 0) + 1
                            p.add_(p.grad.sign(), alpha=-group["lr"])

    w = pb.ones(2).requires_grad_()
    w.grad = pb.tensor([3.0, -4.0])
    made = Signed([w], lr=0.5)
    made.step()
    assert w.tolist() == [0.5, 1.5] and made.state_dict()["state"] == {0: {"seen": 1}}
