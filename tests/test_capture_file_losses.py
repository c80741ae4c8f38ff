"""Losses of classes in files of captured steps: the same bits, and files that lie about their shapes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import pullback as pb
from captured import mlp
from pullback.nn import functional as F
from test_capture_file import MUTATIONS, damage, rand, rewritten, same, saved


def scores() -> tuple[Any, tuple[Any, ...]]:
    """A classifier's losses and their gradients, in every form, and a search."""
    model, weight, edges = mlp().eval(), rand(5, seed=6).abs(), rand(6, seed=7).sort()[0]

    @pb.enable_grad()
    def fn(x: pb.Tensor, y: pb.Tensor, soft: pb.Tensor) -> Any:
        logits = model(x).detach().requires_grad_()
        log_p = F.log_softmax(logits, 1)
        losses = [
            F.cross_entropy(logits, y, ignore_index=0),
            F.cross_entropy(logits, y, weight, label_smoothing=0.1, reduction="sum"),
            F.cross_entropy(logits, y, weight, reduction="none"),
            F.cross_entropy(logits, soft),
            F.cross_entropy(logits, soft, weight, reduction="none"),
            F.nll_loss(log_p, y, weight),
            F.nll_loss(log_p, y, reduction="none"),
        ]
        gradients = [pb.autograd.grad(loss.sum() * 2, logits, retain_graph=True)[0] for loss in losses]
        return [loss.detach() for loss in losses], gradients, pb.searchsorted(edges, logits.detach())

    y = pb.from_numpy(np.random.default_rng(5).integers(0, 5, 9))
    return fn, (rand(9, 20), y, rand(9, 5, seed=2).softmax(1))


def test_a_file_gives_the_bits_of_the_losses(tmp_path: Path) -> None:
    fn, args = scores()
    saved(tmp_path, fn, *args)
    plan = pb.load_plan(tmp_path / "plan.safetensors")
    assert same(plan(*args), fn(*args))
    with pytest.raises(IndexError, match="target 5 is out of range"):
        plan(args[0], args[1] + 5 - args[1], args[2])


def test_damaged_files_run_or_are_refused(tmp_path: Path) -> None:
    fn, args = scores()
    saved(tmp_path, fn, *args)
    damage(tmp_path / "plan.safetensors", MUTATIONS // 2)


def reduced(step: Any) -> bool:
    return bool(step[2][-1] != ["integer", 0])


# A kernel, which of its calls, and what is wrong with its operands or numbers: x, target, weight, dy, loss, dx.
CLASS_LIES: list[tuple[str, Callable[[Any], Any], Callable[[Any], Any]]] = [
    ("cross_entropy", lambda s: True, lambda s: s[2].__setitem__(0, ["integer", 2])),
    ("cross_entropy", lambda s: True, lambda s: s[2].__setitem__(0, ["integer", -1])),
    ("cross_entropy", lambda s: True, lambda s: s[2].__setitem__(3, ["integer", 3])),
    ("cross_entropy", lambda s: True, lambda s: s[1][1][0].__setitem__(3, [8])),
    ("cross_entropy", lambda s: s[1][2], lambda s: s[1][2][0].__setitem__(3, [4])),
    ("cross_entropy", lambda s: s[1][4] and not reduced(s), lambda s: s[1][4][0].__setitem__(3, [8])),
    ("cross_entropy", lambda s: s[1][4] and not reduced(s), lambda s: s[1][3].append([*s[1][0][0][:3], [9], [5]])),
    ("cross_entropy", lambda s: s[1][3], lambda s: s[2].__setitem__(3, ["integer", 1])),
    ("cross_entropy", lambda s: s[1][3], lambda s: s[1][3][0].__setitem__(3, [8])),
    ("cross_entropy", lambda s: s[1][3], lambda s: s[1][5].clear()),
    ("cross_entropy", lambda s: s[1][5], lambda s: s[1][5][0].__setitem__(3, [9, 4])),
    ("cross_entropy_soft", lambda s: True, lambda s: s[1][1][0].__setitem__(3, [9, 4])),
    ("cross_entropy_soft", lambda s: s[1][2], lambda s: s[1][2][0].__setitem__(3, [4])),
    ("cross_entropy_soft", lambda s: s[1][4] and not reduced(s), lambda s: s[1][4][0].__setitem__(3, [8])),
    ("nll_loss", lambda s: True, lambda s: s[1][1][0].__setitem__(3, [8])),
    ("nll_loss", lambda s: s[1][2], lambda s: s[1][2][0].__setitem__(3, [4])),
    ("nll_loss", lambda s: not reduced(s), lambda s: s[1][3][0].__setitem__(3, [8])),
    ("nll_loss_backward", lambda s: not reduced(s), lambda s: s[1][0][0].__setitem__(3, [8])),
    ("nll_loss_backward", lambda s: True, lambda s: s[1][3][0].__setitem__(3, [9, 4])),
    ("searchsorted", lambda s: True, lambda s: s[1][2][0].__setitem__(3, [9, 4])),
    ("searchsorted", lambda s: True, lambda s: s[1][0][0].__setitem__(3, [3, 2])),
]


def test_losses_of_classes_that_lie_are_refused(tmp_path: Path) -> None:
    fn, args = scores()
    saved(tmp_path, fn, *args)
    path = tmp_path / "plan.safetensors"
    whole = path.read_bytes()
    for kernel, is_meant, change in CLASS_LIES:
        path.write_bytes(whole)

        def lie(plan: Any) -> None:
            change(next(s for s in plan["steps"] if s[0] == kernel and is_meant(s)))

        with pytest.raises(ValueError, match=f"{kernel}: the shapes or numbers"):
            pb.load_plan(rewritten(path, lie))
