"""Autocast for a `Function`: `forward` in chosen types, and `backward` as `forward` ran."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from pullback._autocast import autocast, cast_all, get_autocast_dtype, is_autocast_enabled
from pullback._dtype import as_dtype


def custom_fwd(fwd: Callable[..., Any] | None = None, *, device_type: str, cast_inputs: Any = None) -> Any:
    """Decorate `Function.forward`: it runs as autocast is, or, given `cast_inputs`, on operands of that type without it.

    Without autocast it changes nothing. `custom_bwd` reads what it notes in `ctx`.
    """
    if fwd is None:
        return functools.partial(custom_fwd, device_type=device_type, cast_inputs=cast_inputs)

    @functools.wraps(fwd)
    def forward(ctx: Any, *args: Any, **kwargs: Any) -> Any:
        on = is_autocast_enabled(device_type)
        ctx._dtype = get_autocast_dtype(device_type)
        ctx._fwd_used_autocast = on and cast_inputs is None
        if not on or cast_inputs is None:
            return fwd(ctx, *args, **kwargs)
        wanted = as_dtype(cast_inputs, "custom_fwd")
        with autocast(device_type, enabled=False):
            return fwd(ctx, *cast_all(args, wanted, device_type), **cast_all(kwargs, wanted, device_type))

    return forward


def custom_bwd(bwd: Callable[..., Any] | None = None, *, device_type: str) -> Any:
    """Decorate `Function.backward`: autocast is on or off in it, and of the same type, as it was in `forward`."""
    if bwd is None:
        return functools.partial(custom_bwd, device_type=device_type)

    @functools.wraps(bwd)
    def backward(ctx: Any, *args: Any, **kwargs: Any) -> Any:
        with autocast(device_type, enabled=ctx._fwd_used_autocast, dtype=ctx._dtype):
            return bwd(ctx, *args, **kwargs)

    return backward
