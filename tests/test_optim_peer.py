"""Optimizers, schedules, averages and transforms against PyTorch's, number by number in float64."""

from __future__ import annotations

import numpy as np
import pytest

import pullback
from optim_formulas import CASES

torch = pytest.importorskip("torch", reason="PyTorch is not installed (make peers)")
LIBRARIES = (torch, pullback)
STEPS = 12
# Options of ours that PyTorch lacks
OURS = {"eps_inside_sqrt"}


def leaf(library, array):
    return library.tensor(np.asarray(array, np.float64).tolist(), dtype=library.float64).requires_grad_()


def numpy(t):
    return np.asarray(t.detach().numpy())


def start(seed=0):
    rng = np.random.default_rng(seed)
    return [rng.standard_normal(s) for s in ((7,), (3, 5))]


@pytest.mark.parametrize("case", [c for c in CASES if not OURS & c[2].keys()], ids=lambda c: f"{c[0]}-{c[2]}")
def test_steps(case):
    name, _, options = case
    rng = np.random.default_rng(1)
    gradients = [[rng.standard_normal(a.shape) for a in start()] for _ in range(STEPS)]
    ends = []
    for library in LIBRARIES:
        params = [leaf(library, a) for a in start()]
        made = getattr(library.optim, name)(params, **options)
        for step in gradients:
            for p, g in zip(params, step):
                p.grad = library.tensor(g.tolist(), dtype=library.float64)
            made.step()
        ends.append([numpy(p) for p in params])
    for theirs, ours in zip(*ends):
        # the centered variance cancels: its root passes some hundred roundings on
        np.testing.assert_allclose(ours, theirs, rtol=1e-9 if options.get("centered") else 1e-12, atol=1e-12)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"lr": 0.3, "history_size": 2},
        {"line_search_fn": "strong_wolfe"},
        {"line_search_fn": "strong_wolfe", "history_size": 3, "max_iter": 7},
        {"line_search_fn": "strong_wolfe", "max_iter": 40, "max_eval": 12, "lr": 20.0},
    ],
    ids=str,
)
@pytest.mark.parametrize("function", ["rosenbrock", "bowl"])
def test_lbfgs(options, function):
    def value(x):
        if function == "bowl":
            return ((x - 0.5) ** 4).sum() + (x**2).sum() * 0.5
        return ((1 - x[:-1]) ** 2 + 100 * (x[1:] - x[:-1] ** 2) ** 2).sum()

    ends = []
    for library in LIBRARIES:
        x = leaf(library, [-1.2, 1.0, -0.5, 0.8])
        lr = options.get("lr", 1.0 if function == "bowl" or "line_search_fn" in options else 1e-3)
        made = library.optim.LBFGS([x], **{**options, "lr": lr})

        def closure():
            made.zero_grad()
            loss = value(x)
            loss.backward()
            return loss

        losses = [made.step(closure).item() for _ in range(2)]
        ends.append((numpy(x), losses, made.state[x]["n_iter"], made.state[x]["func_evals"]))
    (theirs, their_losses, *counts), (ours, losses, *own) = ends
    assert own == counts
    np.testing.assert_allclose(ours, theirs, rtol=1e-7, atol=1e-9)  # roundings grow along the valley, by its condition
    np.testing.assert_allclose(losses, their_losses, rtol=1e-6, atol=1e-12)


SCHEDULES = {
    "MultiplicativeLR": lambda m, o: m.MultiplicativeLR(o, lambda t: 0.95**t),
    "ConstantLR": lambda m, o: m.ConstantLR(o, 0.3, 4),
    "PolynomialLR": lambda m, o: m.PolynomialLR(o, 7, 1.5),
    "CosineAnnealingLR": lambda m, o: m.CosineAnnealingLR(o, 5, 0.01),
    "CosineAnnealingWarmRestarts": lambda m, o: m.CosineAnnealingWarmRestarts(o, 3, 2, 0.01),
    "OneCycleLR": lambda m, o: m.OneCycleLR(o, [1.0, 2.0], total_steps=16),
    "OneCycleLR in three phases": lambda m, o: m.OneCycleLR(
        o, 1.0, epochs=4, steps_per_epoch=4, three_phase=True, anneal_strategy="linear", pct_start=0.4
    ),
    "SequentialLR": lambda m, o: m.SequentialLR(
        o, [m.LinearLR(o, 0.1, total_iters=4), m.CosineAnnealingLR(o, 6), m.ConstantLR(o, 0.5, 2)], [4, 10]
    ),
    "ChainedScheduler": lambda m, o: m.ChainedScheduler(
        [m.ConstantLR(o, 0.1, 3), m.ExponentialLR(o, 0.9), m.PolynomialLR(o, 20)]
    ),
}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", SCHEDULES)
def test_schedules(name):
    found = []
    for library in LIBRARIES:
        params = [leaf(library, [1.0]), leaf(library, [2.0])]
        made = library.optim.SGD([{"params": params[:1]}, {"params": params[1:], "lr": 0.2}], lr=0.1, momentum=0.9)
        schedule = SCHEDULES[name](library.optim.lr_scheduler, made)
        rows = []
        for _ in range(15):
            rows.append([(g["lr"], g["momentum"]) for g in made.param_groups])
            made.step()
            schedule.step()
        found.append(rows)
    np.testing.assert_allclose(found[1], found[0], rtol=1e-12, atol=1e-15)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("strategy", ["cos", "linear"])
@pytest.mark.parametrize(
    "average", ["get_swa_avg_fn", "get_ema_avg_fn", "get_swa_multi_avg_fn", "get_ema_multi_avg_fn"]
)
def test_averages(average, strategy):
    found = []
    for library in LIBRARIES:
        utils = library.optim.swa_utils
        model = library.nn.Linear(3, 2).double()
        model.load_state_dict(
            {"weight": leaf(library, np.ones((2, 3))).detach(), "bias": leaf(library, [1, 2]).detach()}
        )
        name = "multi_avg_fn" if "multi" in average else "avg_fn"
        averaged = utils.AveragedModel(model, **{name: getattr(utils, average)(*[0.9] * ("ema" in average))})
        made = library.optim.SGD(model.parameters(), lr=0.3)
        schedule = utils.SWALR(made, 0.05, anneal_epochs=4, anneal_strategy=strategy)
        rows = []
        for _ in range(7):
            made.zero_grad()
            (model(library.ones(1, 3, dtype=library.float64)) ** 2).sum().backward()
            made.step()
            averaged.update_parameters(model)
            schedule.step()
            rows += [made.param_groups[0]["lr"], *numpy(averaged.module.bias)]
        found.append([*rows, *averaged.state_dict()])
    assert found[0][-3:] == found[1][-3:]  # the names in state_dict()
    rtol = 1e-7 if average == "get_swa_multi_avg_fn" else 1e-11  # PyTorch's weight 1/(n + 1) there is a float32
    np.testing.assert_allclose(found[1][:-3], found[0][:-3], rtol=rtol)


def f(x, w):
    return (w @ x.tanh()).exp()


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # within PyTorch
def test_transforms():
    rng = np.random.default_rng(0)
    x, w, u, v = (rng.standard_normal(s) for s in ((3,), (2, 3), (3,), (2,)))
    found = []
    for library in LIBRARIES:
        t = [library.tensor(a.tolist(), dtype=library.float64) for a in (x, w, u, v)]
        func, functional = library.func, library.autograd.functional
        scalar = lambda x, w: (f(x, w) ** 2).sum()  # noqa: E731
        rows = [
            *func.grad(scalar, argnums=(0, 1))(*t[:2]),
            func.jvp(lambda x: f(x, t[1]), (t[0],), (t[2],))[1],
            *func.vjp(f, *t[:2])[1](t[3]),
            *func.jacrev(f, argnums=(0, 1))(*t[:2]),
            *func.jacfwd(f, argnums=(0, 1))(*t[:2]),
            *[h for row in func.hessian(scalar, argnums=(0, 1))(*t[:2]) for h in row],
            func.vmap(func.grad(scalar), in_dims=(None, 0))(t[0], library.stack([t[1], 2 * t[1]])),
            func.vmap(lambda a: a * 2, in_dims=1, out_dims=-1)(t[1]),
            *functional.jacobian(f, tuple(t[:2])),
            *[h for row in functional.hessian(scalar, tuple(t[:2])) for h in row],
            *functional.vhp(scalar, tuple(t[:2]), (t[2], t[1]))[1],
            *functional.hvp(scalar, tuple(t[:2]), (t[2], t[1]))[1],
            functional.jvp(f, tuple(t[:2]), (t[2], t[1]))[1],
        ]
        found.append([numpy(r) for r in rows])
    for theirs, ours in zip(*found, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-11, atol=1e-12)
