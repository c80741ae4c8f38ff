"""`vmap`: a function of one sample, applied to a batch."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

from pullback import _random
from pullback._backend import cpu
from pullback._tensor import Tensor
from pullback.func import _tree
from pullback.func.jacobian import check_chunk_size, check_randomness
from pullback.ops import stack


def vmap(
    func: Callable[..., Any],
    in_dims: Any = 0,
    out_dims: Any = 0,
    randomness: str = "error",
    *,
    chunk_size: int | None = None,
) -> Callable[..., Any]:
    """y_i = f(x_i) for every sample i: a function that takes x with one more dimension and returns y with one more.

    It runs f once for each sample and stacks what it returns: right for every f and differentiable, but without the speed
    of a batched kernel, so that `chunk_size` has no effect. Ops that take batches themselves are faster called directly.

    `in_dims` is the dimension of the samples: an int for all arguments, or a tuple with an int or None (the same for all
    samples) for each, nested like the arguments; keyword arguments are split along dimension 0. `out_dims` says where
    that of the results goes; None keeps the first sample's result. Random numbers from the default generator raise
    RuntimeError, or are drawn for every sample with `randomness` 'different', or are the same for all with 'same'.
    ValueError for dimensions that do not fit, sizes that differ and an empty batch.
    """
    check_randomness("vmap", randomness)
    check_chunk_size("vmap", chunk_size)

    @wraps(func)
    def batched(*args: Any, **kwargs: Any) -> Any:
        dims = _dims_of(in_dims, args, kwargs)
        leaves = _tree.leaves((args, kwargs))
        results = []
        draws = _Draws(randomness, leaves)
        for i in range(_batch_size(leaves, dims)):
            one = [x if d is None else x.select(d, i) for x, d in zip(leaves, dims)]
            a, k = _tree.rebuild((args, kwargs), one)
            draws.before()
            results.append(func(*a, **k))
        draws.after_all()
        return _stacked(results, out_dims)

    return batched


def _is_dim(d: Any) -> bool:
    return d is None or (isinstance(d, int) and not isinstance(d, bool))


def _dims_of(in_dims: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> list[int | None]:
    """The dimension of the samples in each leaf of the arguments, counted from the front."""
    if in_dims is None or not (_is_dim(in_dims) or isinstance(in_dims, (tuple, list))):
        raise ValueError(f"vmap: in_dims expects an int or a tuple of ints and None, got {in_dims!r}")
    found = _tree.spread(tuple(in_dims) if isinstance(in_dims, list) else in_dims, args, _is_dim)
    if found is None:
        raise ValueError(f"vmap: in_dims expects the structure of the {len(args)} arguments, got {in_dims!r}")
    found += [0] * len(_tree.leaves(kwargs))
    return [_dim_of(x, d) for x, d in zip(_tree.leaves((args, kwargs)), found)]


def _dim_of(x: Any, d: int | None) -> int | None:
    if d is None:
        return None
    if not isinstance(x, Tensor):
        raise ValueError(f"vmap: in_dims expects None for what is no tensor, got {d} for {type(x).__name__}")
    if not -x.ndim <= d < x.ndim:
        raise ValueError(f"vmap: in_dims {d} expects a tensor with that dimension, got shape {list(x.shape)}")
    return d % x.ndim


def _batch_size(leaves: list[Any], dims: list[int | None]) -> int:
    sizes = [x.shape[d] for x, d in zip(leaves, dims) if d is not None]
    if not sizes:
        raise ValueError("vmap: in_dims expects a dimension for at least one argument, got None for all")
    if len(set(sizes)) > 1:
        raise ValueError(f"vmap: in_dims expects one size of the batch, got {sizes}")
    if sizes[0] == 0:
        raise ValueError("vmap: an empty batch is not supported: the shapes of its results are not known")
    return int(sizes[0])


class _Draws:
    """What happens to the default generators, the CPU's and those of the arguments' devices, from one sample to the next.
    Their states are copied by kernels, so that a captured step starts from the states that it finds."""

    def __init__(self, randomness: str, leaves: list[Any]) -> None:
        self._randomness = randomness
        devices = dict.fromkeys([cpu, *[x.device for x in leaves if isinstance(x, Tensor)]])
        self._states = [(on, _random.default_on(on).state) for on in devices]
        self._starts = [on.empty(state.shape, state.dtype) for on, state in self._states]
        for (on, state), start in zip(self._states, self._starts):
            on.kernels.copy(state, start)

    def before(self) -> None:
        """What every sample begins with."""
        if self._randomness == "same":
            for (on, state), start in zip(self._states, self._starts):
                on.kernels.copy(start, state)

    def after_all(self) -> None:
        """States only go on, so that one look at the end, for which a GPU is waited for, tells of every sample."""
        if self._randomness == "error" and any(
            (on.to_host(state) != on.to_host(start)).any() for (on, state), start in zip(self._states, self._starts)
        ):
            raise RuntimeError(
                "vmap: func drew random numbers; randomness='different' or 'same' says what that means for the samples"
            )


def _stacked(results: list[Any], out_dims: Any) -> Any:
    """The samples' results in one, along the dimensions that `out_dims` names."""
    first = results[0]
    dims = _tree.spread(out_dims, first, _is_dim)
    if dims is None:
        raise ValueError(f"vmap: out_dims expects an int, or the structure of the results, got {out_dims!r}")
    columns = list(zip(*[_tree.leaves(r) for r in results]))
    return _tree.rebuild(first, [_stack(list(column), d) for column, d in zip(columns, dims)])


def _stack(samples: list[Any], d: int | None) -> Any:
    if d is None:
        return samples[0]
    for y in samples:
        if not isinstance(y, Tensor):
            raise ValueError(f"vmap: func expects to return tensors, got {type(y).__name__}")
    if not -samples[0].ndim - 1 <= d <= samples[0].ndim:
        raise ValueError(f"vmap: out_dims {d} expects a place among the dimensions of {list(samples[0].shape)}")
    return stack(samples, dim=d)
