"""L-BFGS."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from pullback import _tape
from pullback._tensor import Tensor
from pullback.ops import cat, zeros_like
from pullback.optim._line_search import Trial, strong_wolfe
from pullback.optim.optimizer import Group, Optimizer, check_option


class LBFGS(Optimizer):
    """d = −H∇f with H from the last `history_size` pairs s = x_k − x_{k−1}, y = ∇f_k − ∇f_{k−1};  x ← x + td.

    A `step(closure)` makes up to `max_iter` iterations and `max_eval` evaluations of the closure, which clears gradients,
    computes the loss, calls `backward` and returns the loss; `step` returns that at the start. It ends where |∇f| ≤
    `tolerance_grad` or the step or the loss changes by less than `tolerance_change`. t is `lr` (in the first iteration
    divided by Σ|∇f| where that is > 1), or with `line_search_fn="strong_wolfe"` found by a line search that starts there.

    All parameters are one vector: one group, one dtype. Liu and Nocedal 1989. ValueError for options that make no sense,
    FloatingPointError where the loss stops being finite.
    """

    def __init__(
        self,
        params: Any,
        lr: float | Tensor = 1,
        max_iter: int = 20,
        max_eval: int | None = None,
        tolerance_grad: float = 1e-7,
        tolerance_change: float = 1e-9,
        history_size: int = 100,
        line_search_fn: str | None = None,
    ) -> None:
        super().__init__(
            params,
            {
                "lr": lr,
                "max_iter": max_iter,
                "max_eval": max_iter * 5 // 4 if max_eval is None else max_eval,
                "tolerance_grad": tolerance_grad,
                "tolerance_change": tolerance_change,
                "history_size": history_size,
                "line_search_fn": line_search_fn,
            },
        )
        if len(self.param_groups) != 1:
            raise ValueError(f"LBFGS: params expects one group, got {len(self.param_groups)}")
        self._params: list[Tensor] = self.param_groups[0]["params"]
        if len({p.dtype for p in self._params}) != 1:
            raise ValueError("LBFGS: params expects one dtype, got several")

    def _check_options(self, group: Group) -> None:
        for option in ("lr", "tolerance_grad", "tolerance_change"):
            check_option("LBFGS", option, group[option])
        for option in ("max_iter", "max_eval", "history_size"):
            check_option("LBFGS", option, group[option], low=1)
        if group["line_search_fn"] not in (None, "strong_wolfe"):
            raise ValueError(f"LBFGS: line_search_fn expects None or 'strong_wolfe', got {group['line_search_fn']!r}")

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Minimize; returns the loss at the start. TypeError without a closure."""
        if closure is None:
            raise TypeError("LBFGS: step expects a closure that computes the loss anew")
        before, after = self._hooks
        for hook in list(before):
            hook(self, (closure,), {})
        with _tape.no_grad():
            loss = self._minimize(_tape.enable_grad()(closure))
        for hook in list(after):
            hook(self, (closure,), {})
        return loss

    def _minimize(self, closure: Callable[[], Any]) -> Any:
        group, state = self.param_groups[0], self.state[self._params[0]]
        for count in ("func_evals", "n_iter"):
            state.setdefault(count, 0)
        first = closure()
        loss, evaluations = self._finite(float(first), None), 1
        gradient = self._flat_gradient()
        for i in range(1, group["max_iter"] + 1):
            if _largest(gradient) <= group["tolerance_grad"]:
                break
            state["n_iter"] += 1
            d = self._direction(state, gradient, group["history_size"])
            state.update(d=d, prev_flat_grad=gradient, prev_loss=loss)
            state["t"] = t = self._first_length(state, gradient, float(group["lr"]))
            slope = _dot(gradient, d)
            if slope > -group["tolerance_change"]:
                break
            start = Trial(0.0, loss, gradient, slope)
            if group["line_search_fn"] is None:
                self._move(t, d)
                if i == group["max_iter"]:  # nothing would look at the loss there
                    break
                now, made = self._trial(closure, t, d), 1
            else:
                now, made = self._search(closure, start, t, d, group["max_eval"] - evaluations)
                state["t"] = t = now.t
            loss, gradient = self._finite(now.loss, start.loss), now.gradient
            evaluations += made
            if evaluations >= group["max_eval"]:
                break
            little = group["tolerance_change"]
            if _largest(d) * abs(t) <= little or abs(loss - start.loss) < little:
                break
        state["func_evals"] += evaluations
        return first

    def _direction(self, state: dict[str, Any], gradient: Tensor, most: int) -> Tensor:
        """−H∇f by the two loops over the pairs, the oldest first: H is ys/yy where there is none."""
        if state["n_iter"] == 1:
            state.update(old_dirs=[], old_stps=[], ro=[], H_diag=1.0)
            return -gradient
        y, s = gradient - state["prev_flat_grad"], state["d"] * state["t"]
        ys = _dot(y, s)
        if ys > 1e-10:  # otherwise H would not stay positive
            for name, value in (("old_dirs", y), ("old_stps", s), ("ro", 1 / ys)):
                state[name] = [*state[name][-most + 1 :], value] if most > 1 else [value]
            state["H_diag"] = ys / _dot(y, y)
        pairs = list(zip(state["old_dirs"], state["old_stps"], state["ro"]))
        d, factors = -gradient, []
        for y, s, rho in reversed(pairs):
            factors.append(_dot(s, d) * rho)
            d.add_(y, alpha=-factors[-1])
        d.mul_(state["H_diag"])
        for (y, s, rho), factor in zip(pairs, reversed(factors)):
            d.add_(s, alpha=factor - _dot(y, d) * rho)
        return d

    @staticmethod
    def _first_length(state: dict[str, Any], gradient: Tensor, lr: float) -> float:
        return min(1.0, 1.0 / float(gradient.abs().sum())) * lr if state["n_iter"] == 1 else lr

    def _search(self, closure: Callable[[], Any], start: Trial, t: float, d: Tensor, most: int) -> tuple[Trial, int]:
        """A length by the line search, gone there."""
        x = [p.clone() for p in self._params]

        def evaluate(t: float) -> Trial:
            self._move(t, d)
            trial = self._trial(closure, t, d)
            for p, at in zip(self._params, x):
                p.copy_(at)
            return trial

        tolerance = self.param_groups[0]["tolerance_change"]
        found, made = strong_wolfe(evaluate, start, t, _largest(d), tolerance, most)
        self._move(found.t, d)
        return found, made

    def _trial(self, closure: Callable[[], Any], t: float, d: Tensor) -> Trial:
        loss = float(closure())
        gradient = self._flat_gradient()
        return Trial(t, loss if math.isfinite(loss) else math.inf, gradient, _dot(gradient, d))

    def _finite(self, loss: float, before: float | None) -> float:
        if math.isfinite(loss):
            return loss
        if before is None:
            raise FloatingPointError(f"LBFGS: closure expects to return a finite loss, got {loss}")
        raise FloatingPointError(
            f"LBFGS: the loss stopped being finite, its last value was {before:.6g}: "
            "a smaller lr or line_search_fn='strong_wolfe' may help"
        )

    def _flat_gradient(self) -> Tensor:
        """All gradients in one vector, zeros where there is none."""
        return cat([(zeros_like(p) if p.grad is None else p.grad).reshape(-1) for p in self._params])

    def _move(self, t: float, d: Tensor) -> None:
        """x ← x + td"""
        begin = 0
        for p in self._params:
            end = begin + p.numel()
            p.add_(d[begin:end].view(p.shape), alpha=t)
            begin = end


def _dot(a: Tensor, b: Tensor) -> float:
    return float(a.dot(b))


def _largest(a: Tensor) -> float:
    return float(a.abs().max())
