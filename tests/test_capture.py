"""A captured step gives the bits of the ordinary one, call after call; and what cannot be captured says where."""

from __future__ import annotations

import threading

import numpy as np
import pytest

import pullback as pb
from captured import CALLS, OPTIMIZERS, Place, Trained, assert_alike, batches, mlp, on_each_device, put, same
from pullback import nn, optim
from pullback.nn import functional as F

__all__ = ["on_each_device"]
pytestmark = pytest.mark.usefixtures("on_each_device")

# --- the same bits ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_training_steps_are_the_same_to_the_bit(optimizer: str) -> None:
    assert_alike(Trained(optimizer, 0.3), Trained(optimizer, 0.3), replays=CALLS - 3)


@pytest.mark.parametrize("where", ["begin", "end", "zeros", "outside", "nowhere"])
def test_gradients_may_be_forgotten_anywhere(where: str) -> None:
    def make():
        t = Trained("momentum")

        def step(x, y):
            if where in ("begin", "zeros"):
                t.optimizer.zero_grad(set_to_none=where == "begin")
            loss = F.cross_entropy(t.model(x), y)
            loss.backward()
            t.optimizer.step()
            if where == "end":
                t.optimizer.zero_grad()
            return loss

        t.step = step
        return t

    forget = (lambda i, t: t.optimizer.zero_grad()) if where == "outside" else None
    step = assert_alike(make(), make(), between=forget)
    assert step.stats()["replayed"] >= CALLS - 4


def test_gradients_accumulate_over_several_calls() -> None:
    """Every third call finds no gradients, the others add to what is there: two plans."""

    def make():
        t = Trained()

        def step(x, y):
            loss = F.cross_entropy(t.model(x), y) / 3
            loss.backward()
            return loss

        t.step = step
        return t

    def update(i, t):
        if i % 3 == 2:
            t.optimizer.step()
            t.optimizer.zero_grad()

    step = assert_alike(make(), make(), between=update, data=batches(24))
    assert len(step.stats()["plans"]) == 2
    assert step.stats()["replayed"] >= 12


def test_a_hidden_state_is_carried_from_call_to_call() -> None:
    pb.manual_seed(0)
    cell = nn.Linear(20 + 8, 8).to(Place.device)

    def step(x, h):
        return pb.tanh(cell(pb.cat([x, h], 1)))

    captured = pb.capture(step)
    a = b = put(pb.zeros(9, 8))
    with pb.no_grad():
        for x, _ in batches():
            a, b = step(x, a), captured(x, b)
            assert same(a, b)
    kept = put(pb.zeros(9, 8))

    @pb.capture
    def inside(x):
        kept.copy_(step(x, kept))

    with pb.no_grad():
        for x, _ in batches():
            inside(x)
    assert same(kept, a)


def test_a_schedule_inside_or_outside_of_the_step() -> None:
    for inside in (True, False):

        def make(inside=inside):
            t = Trained("momentum")
            t.schedule = optim.lr_scheduler.StepLR(t.optimizer, 2, 0.5)

            def step(x, y):
                loss = t.plain(x, y)
                if inside:
                    t.schedule.step()
                return loss

            t.step = step
            return t

        def after(i, t, inside=inside):
            if not inside:
                t.schedule.step()
            assert t.schedule.last_epoch == i + 1

        assert_alike(make(), make(), between=after, replays=CALLS - 3)


def test_options_of_a_group_are_read_anew() -> None:
    def change(i, t):
        group = t.optimizer.param_groups[0]
        group["lr"] *= 0.7
        group["betas"] = (0.9 - 0.01 * i, 0.99)
        group["weight_decay"] = 0.01 * i

    assert_alike(Trained("adamw"), Trained("adamw"), between=change, replays=CALLS - 3)


def test_weights_may_be_loaded_and_modes_changed_in_between() -> None:
    other = {k: v * 0.5 for k, v in mlp().state_dict().items()}

    def between(i, t):
        if i == 5:
            t.model.load_state_dict(other)
        if i == 6:
            t.model.eval()
        if i == 8:
            t.model.train()
        with pb.no_grad():
            t.model(put(pb.zeros(2, 20)))

    assert_alike(Trained("adam", 0.5), Trained("adam", 0.5), between=between)


def test_freezing_a_parameter_and_exchanging_one_are_seen() -> None:
    def between(i, t):
        if i == 4:
            t.model[0].weight.requires_grad_(False)
        if i == 7:
            t.model[0].weight.requires_grad_(True)
        if i == 9:
            t.model[5].weight.data = t.model[5].weight.data * 2

    assert_alike(Trained("sgd"), Trained("sgd"), between=between, data=batches(16))


def test_an_optimizer_s_state_may_be_loaded() -> None:
    def between(i, t):
        if i == 5:
            t.optimizer.load_state_dict(t.saved)
        if i == 3:
            t.saved = {
                k: {n: {m: v.clone() for m, v in s.items()} for n, s in part.items()} if k == "state" else part
                for k, part in t.optimizer.state_dict().items()
            }

    assert_alike(Trained("adam"), Trained("adam"), between=between, data=batches(16))


def test_shapes_have_plans_of_their_own_and_a_bound() -> None:
    t = Trained()
    step = pb.capture(Trained().step, max_plans=2)
    for rows in (9, 4, 9, 4, 9, 4, 9, 4, 6, 9, 4):
        x, y = batches(1, rows)[0]
        expected = t.step(x, y).item()
        assert step(x, y).item() == expected
    assert len(step.stats()["plans"]) <= 2


def test_several_captured_functions_share_a_model() -> None:
    a, b = Trained(), Trained()
    evaluate = pb.capture(b.model)
    step = pb.capture(b.step)
    for x, y in batches():
        assert a.step(x, y).item() == step(x, y).item()
        with pb.no_grad():
            assert same(a.model(x), evaluate(x))
    assert a.state() == b.state()


def test_a_captured_function_inside_of_another() -> None:
    pb.manual_seed(0)
    inner = pb.capture(lambda x: pb.tanh(x) * 2)
    outer = pb.capture(lambda x: inner(x) + inner(x + 1))
    for x, _ in batches():
        assert same(outer(x), pb.tanh(x) * 2 + pb.tanh(x + 1) * 2)
    assert inner.stats()["replayed"] == 0


def test_threads_have_their_own() -> None:
    failures = []

    def work(k):
        try:
            eager, captured = Trained("adam"), Trained("adam")
            step = pb.capture(captured.step)
            for x, y in batches(30, seed=k):
                if eager.step(x, y).item() != step(x, y).item() or eager.state() != captured.state():
                    failures.append(k)
        except Exception as error:
            failures.append(error)

    pb.manual_seed(0)
    models = threading.Lock()
    with models:
        threads = [threading.Thread(target=work, args=(k,)) for k in range(2)]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
    # Both draw their first weights from one stream, so that their order is free; steps of one thread agree with itself.
    assert not [f for f in failures if isinstance(f, Exception)], failures


# --- results ----------------------------------------------------------------------------------------------------------


def test_results_belong_to_the_caller_and_carry_no_graph() -> None:
    weight = nn.Parameter(put(pb.ones(3)))

    @pb.capture
    def f(x, k=2):
        y = x * weight
        return {"y": y, "pair": (y.sum(), [y[:, 1:]]), "same": weight, "argument": x, "number": k}

    xs = [put(pb.full((2, 3), float(i))) for i in range(8)]
    results = [f(x) for x in xs]
    for x, r in zip(xs, results, strict=True):
        assert same(r["y"], x)
        assert r["pair"][0].item() == x.cpu().numpy().sum()
        assert same(r["pair"][1][0], x[:, 1:])
        assert r["same"] is weight and r["argument"] is x and r["number"] == 2
        assert not r["y"].requires_grad and r["y"].grad_fn is None


def test_layouts_of_arguments_are_kept() -> None:
    base = np.arange(60, dtype="f4").reshape(3, 4, 5)
    f = pb.capture(lambda x: (x * 2, x.sum(0), x.contiguous().view(-1)))
    for view in (base, base.T, base[::2, 1:, ::-1], base[:, :1].repeat(4, 1), np.broadcast_to(base[:1], (3, 4, 5))):
        for k in range(6):
            x = (
                put(pb.from_numpy(np.array(base + k))).as_strided(view.shape, [s // 4 for s in view.strides])
                if view.base is base and all(s > 0 for s in view.strides)
                else put(pb.from_numpy(view + k))
            )
            got, expected = f(x), (x * 2, x.sum(0), x.contiguous().view(-1))
            for a, b in zip(got, expected, strict=True):
                assert same(a, b)


def test_empty_arguments() -> None:
    f = pb.capture(lambda x: x.sum() + 1)
    assert [f(put(pb.zeros(0, 3))).item() for _ in range(5)] == [1.0] * 5


def test_numbers_made_in_the_step_are_constants() -> None:
    f = pb.capture(lambda x: 1 - x * pb.tensor([1.0, 2.0], device=x.device) + pb.tensor(3.0, device=x.device))
    for k in range(6):
        assert f(put(pb.tensor([k, k + 1.0]))).tolist() == [4 - k, 4 - 2 * (k + 1.0)]


def test_numbers_made_in_the_step_may_be_changed_there() -> None:
    f = pb.capture(lambda x: pb.tensor([1.0, 2.0], device=x.device).add_(x))
    for k in range(7):
        assert f(put(pb.full((2,), float(k)))).tolist() == [1.0 + k, 2.0 + k]
