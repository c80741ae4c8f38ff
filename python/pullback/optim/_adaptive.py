"""What Adagrad, Adadelta, Adamax, NAdam and RAdam share: the launch of their kernel."""

from __future__ import annotations

from typing import Any

from pullback._tensor import Tensor
from pullback.optim.optimizer import Group, Optimizer, check_option, gradients, new_step, option, zeros_as


class Adaptive(Optimizer):
    """An optimizer whose kernel has its name, and takes parameters, gradients, state and scalars in the order given here."""

    _step_supports_amp_scaling = True
    _columns: tuple[str, ...]  # the state, in the contract's order
    _scalars: tuple[str, ...]  # options that are numbers; betas count as two
    _flags: tuple[str, ...] = ("maximize",)

    def _check_options(self, group: Group) -> None:
        for name in self._scalars:
            if name == "betas":
                check_betas(self._name, group["betas"])
            else:
                check_option(self._name, name, group[name])

    def _new_state(self, p: Tensor, group: Group) -> dict[str, Any]:
        return {"step": new_step(p), **{name: zeros_as(p) for name in self._moments}}

    def _update(self, group: Group, params: list[Tensor]) -> None:
        states = []
        for p in params:
            state = self.state[p]
            if not state:
                state.update(self._new_state(p, group))
            states.append(state)
        on = params[0].device
        scalars: list[Any] = []
        for name in self._scalars:
            entries = range(len(group[name])) if name == "betas" else (None,)
            scalars += [option(group, name, on, entry) for entry in entries]
        getattr(on.kernels, self._name.lower())(
            [p._array for p in params],
            gradients(params),
            *[[s[name]._array for s in states] for name in self._columns],
            *scalars,
            *[bool(group[flag]) for flag in self._flags],
            self._skip_on(on),
        )


def check_betas(op: str, betas: Any) -> None:
    """ValueError for anything but two numbers in [0, 1)."""
    if not isinstance(betas, (tuple, list)) or len(betas) != 2:
        raise ValueError(f"{op}: betas expects two numbers, got {betas!r}")
    for i, beta in enumerate(betas):
        check_option(op, f"betas[{i}]", beta, high=1.0)
