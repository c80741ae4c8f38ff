"""Rearranging: triangles and diagonals, elements in reverse order or shifted, repetition and grids.

Triangles: csrc/kernels/shape.cpp. Everything else is strided copies and views.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from pullback import _dtype
from pullback._autocast import cast
from pullback._backend import as_device, device, device_of
from pullback._tape import Rule, record
from pullback._tensor import Tensor, method
from pullback.ops import join, view
from pullback.ops._arrays import copy_array, empty_as, zeros_array
from pullback.ops._broadcast import broadcast_shapes, check_tensor, normalize_dim, normalize_dims
from pullback.ops._elementwise import launch_into, recording
from pullback.ops.index import as_index, index_select

__all__ = [
    "broadcast_tensors",
    "cartesian_prod",
    "diag",
    "diag_embed",
    "diagonal",
    "flip",
    "fliplr",
    "flipud",
    "meshgrid",
    "repeat_interleave",
    "roll",
    "rot90",
    "tile",
    "trace",
    "tril",
    "tril_indices",
    "triu",
    "triu_indices",
]

# --- triangles --------------------------------------------------------------------------------------------------------


def _triangle_array(name: str, x: Any, diagonal: int) -> Any:
    y = empty_as(x)
    getattr(device_of(x).kernels, name)(x, y, diagonal)
    return y


_TRIANGLE = Rule(
    "triangle",
    lambda node, dy: (_triangle_array(node.args[0], dy, node.args[1]),),
    lambda node, dy: (_triangle(node.args[0], dy, node.args[1]),),
)


def _check_matrices(op: str, input: Tensor) -> None:
    if check_tensor(op, input).ndim < 2:
        raise RuntimeError(f"{op}: input expects at least 2 dimensions, got shape {list(input.shape)}")


def _triangle(name: str, input: Tensor, diagonal: int) -> Tensor:
    _check_matrices(name, input)
    return record(_TRIANGLE, _triangle_array(name, input._array, diagonal), (input,), (), (name, diagonal))


def _triangle_in_place(name: str, self: Tensor, diagonal: int) -> Tensor:
    _check_matrices(f"{name}_", self)
    if recording(self):
        return self._assign(_triangle(name, self, diagonal))
    return launch_into(self, name, (self._array,), diagonal)


@method
def tril(input: Tensor, diagonal: int = 0) -> Tensor:
    """y_ij = x_ij where j − i ≤ diagonal, else 0, for each matrix in the last two dimensions; x̄ likewise of ȳ."""
    return _triangle("tril", input, diagonal)


@method
def triu(input: Tensor, diagonal: int = 0) -> Tensor:
    """y_ij = x_ij where j − i ≥ diagonal, else 0, for each matrix in the last two dimensions; x̄ likewise of ȳ."""
    return _triangle("triu", input, diagonal)


@method
def tril_(self: Tensor, diagonal: int = 0) -> Tensor:
    """`tril` in place."""
    return _triangle_in_place("tril", self, diagonal)


@method
def triu_(self: Tensor, diagonal: int = 0) -> Tensor:
    """`triu` in place."""
    return _triangle_in_place("triu", self, diagonal)


def _triangle_indices(op: str, row: int, col: int, offset: int, lower: bool, dtype: Any, device: Any) -> Tensor:
    if row < 0 or col < 0:
        raise RuntimeError(f"{op}: row and col expect values ≥ 0, got {row} and {col}")
    i, j = np.indices((row, col))
    indices = np.stack(np.nonzero(j - i <= offset if lower else j - i >= offset))
    indices = indices.astype(_dtype.int64.numpy if dtype is None else _dtype.as_dtype(dtype, op).numpy)
    return Tensor._wrap(as_device(device).from_host(indices))


def tril_indices(
    row: int, col: int, offset: int = 0, *, dtype: Any = None, layout: Any = None, device: Any = None
) -> Tensor:
    """[2, count]: rows and columns of the elements j − i ≤ offset of a row × col matrix, row-major. int64 unless told."""
    return _triangle_indices("tril_indices", row, col, offset, True, dtype, device)


def triu_indices(
    row: int, col: int, offset: int = 0, *, dtype: Any = None, layout: Any = None, device: Any = None
) -> Tensor:
    """[2, count]: rows and columns of the elements j − i ≥ offset of a row × col matrix, row-major. int64 unless told."""
    return _triangle_indices("triu_indices", row, col, offset, False, dtype, device)


# --- diagonals --------------------------------------------------------------------------------------------------------


def _diagonal_array(x: Any, offset: int, dim1: int, dim2: int) -> Any:
    """The view x[…, k + max(−offset, 0), k + max(offset, 0)], its dimension k last."""
    rest = [d for d in range(x.ndim) if d not in (dim1, dim2)]
    corner = x.transpose((*rest, dim1, dim2))[..., max(-offset, 0) :, max(offset, 0) :]
    n = min(corner.shape[-2:])
    strides = (*corner.strides[:-2], corner.strides[-2] + corner.strides[-1])
    return device_of(corner).as_strided(corner, (*corner.shape[:-2], n), strides)


def _embedded(x: Any, shape: Sequence[int], where: tuple[int, int, int]) -> Any:
    """Zeros but for x on a diagonal."""
    out = zeros_array(tuple(shape), x)
    device_of(x).kernels.copy(x, _diagonal_array(out, *where))
    return out


_DIAGONAL = Rule(
    "diagonal",
    lambda node, dy: (_embedded(dy, *node.args),),
    lambda node, dy: (_on_diagonal(dy, *node.args),),
)
_ON_DIAGONAL = Rule(
    "diag_embed",
    lambda node, dy: (_diagonal_array(dy, *node.args[0]),),
    lambda node, dy: (dy.diagonal(*node.args[0]),),
)


def _on_diagonal(x: Tensor, shape: Sequence[int], where: tuple[int, int, int]) -> Tensor:
    return record(_ON_DIAGONAL, _embedded(x._array, shape, where), (x,), (), (where,))


def _two_dims(op: str, ndim: int, dim1: int, dim2: int) -> tuple[int, int]:
    a, b = normalize_dim(op, dim1, ndim, "dim1"), normalize_dim(op, dim2, ndim, "dim2")
    if a == b or ndim < 2:
        raise RuntimeError(f"{op}: dim1 and dim2 expect two different dimensions of {ndim}, got {dim1} and {dim2}")
    return a, b


@method
def diagonal(input: Tensor, offset: int = 0, dim1: int = 0, dim2: int = 1) -> Tensor:
    """The view of the elements whose index in dim2 exceeds that in dim1 by `offset`, as a last dimension."""
    a, b = _two_dims("diagonal", check_tensor("diagonal", input).ndim, dim1, dim2)
    x, where = input._array, (offset, a, b)
    return view.make_view(_DIAGONAL, _diagonal_array(x, *where), input, (x.shape, where))


@method
def diag_embed(input: Tensor, offset: int = 0, dim1: int = -2, dim2: int = -1) -> Tensor:
    """Matrices of zeros in dim1 and dim2 but for the input's last dimension on a diagonal. x̄ is ȳ's diagonal."""
    ndim = check_tensor("diag_embed", input).ndim + 1
    a, b = _two_dims("diag_embed", ndim, dim1, dim2)
    size = input.shape[-1] + abs(offset)
    rest = iter(input.shape[:-1])
    shape = [size if d in (a, b) else next(rest) for d in range(ndim)]
    return _on_diagonal(input, shape, (offset, a, b))


@method
def diag(input: Tensor, diagonal: int = 0) -> Tensor:
    """The matrix with a vector on its diagonal, or a copy of a matrix' diagonal. RuntimeError for other shapes."""
    if check_tensor("diag", input).ndim not in (1, 2):
        raise RuntimeError(f"diag: input expects 1 or 2 dimensions, got shape {list(input.shape)}")
    if input.ndim == 1:
        return diag_embed(input, diagonal)
    of_matrix: Tensor = input.diagonal(diagonal)
    return view.clone(of_matrix)


@method
@cast
def trace(input: Tensor) -> Tensor:
    """Σ_i x_ii of a matrix; x̄ = ȳ on the diagonal. RuntimeError for other shapes."""
    if check_tensor("trace", input).ndim != 2:
        raise RuntimeError(f"trace: input expects 2 dimensions, got shape {list(input.shape)}")
    result: Tensor = diagonal(input).sum()
    return result


# --- order of elements ------------------------------------------------------------------------------------------------


def _flipped(x: Any, dims: Sequence[int]) -> Any:
    return copy_array(x[tuple([slice(None, None, -1 if d in dims else 1) for d in range(x.ndim)])])


_FLIP = Rule(
    "flip",
    lambda node, dy: (_flipped(dy, node.args[0]),),
    lambda node, dy: (dy.flip(node.args[0]),),
)


@method
def flip(input: Tensor, *each: Any, dims: Any = None) -> Tensor:
    """A copy with the elements in reverse order along `dims`; x̄ is ȳ reversed."""
    n = check_tensor("flip", input).ndim
    normal = normalize_dims("flip", view.sizes("flip", each if dims is None else (dims,)), n, "dims")
    return record(_FLIP, _flipped(input._array, normal), (input,), (), (normal,))


@method
def fliplr(input: Tensor) -> Tensor:
    """`flip` of dimension 1."""
    return flip(input, 1)


@method
def flipud(input: Tensor) -> Tensor:
    """`flip` of dimension 0."""
    return flip(input, 0)


def _rolled(x: Any, shifts: dict[int, int]) -> Any:
    """y[(i + shift) mod n] = x[i] along each dimension: one copy for each combination of the two parts."""
    y = device_of(x).empty(x.shape, x.dtype)
    pieces: list[tuple[tuple[slice, ...], tuple[slice, ...]]] = [((), ())]
    for d, n in enumerate(x.shape):
        k = shifts.get(d, 0) % n if n else 0
        halves = [(slice(0, n - k), slice(k, n)), (slice(n - k, n), slice(0, k))] if k else [(slice(None), slice(None))]
        pieces = [((*a, i), (*b, j)) for a, b in pieces for i, j in halves]
    for source, target in pieces:
        device_of(x).kernels.copy(x[source], y[target])
    return y


_ROLL = Rule(
    "roll",
    lambda node, dy: (_rolled(dy, {d: -s for d, s in node.args[0].items()}),),
    lambda node, dy: (_roll(dy, {d: -s for d, s in node.args[0].items()}),),
)


def _roll(x: Tensor, shifts: dict[int, int]) -> Tensor:
    return record(_ROLL, _rolled(x._array, shifts), (x,), (), (shifts,))


@method
def roll(input: Tensor, shifts: int | Sequence[int], dims: int | Sequence[int] | None = None) -> Tensor:
    """y[(i + shift) mod n] = x[i] along each of `dims`; of the flattened tensor without dims. x̄ is ȳ shifted back."""
    by = [shifts] if isinstance(shifts, int) else list(shifts)
    if dims is None or (not isinstance(dims, int) and not len(dims)):
        if len(by) != 1:
            raise RuntimeError(f"roll: shifts expects one value without dims, got {by}")
        return _roll(check_tensor("roll", input).reshape(-1), {0: by[0]}).reshape(input.shape)
    along = [dims] if isinstance(dims, int) else list(dims)
    if len(along) != len(by):
        raise RuntimeError(f"roll: shifts expects one value for each of dims {along}, got {by}")
    total: dict[int, int] = {}
    for d, s in zip(along, by):
        d = normalize_dim("roll", d, check_tensor("roll", input).ndim, "dims")
        total[d] = total.get(d, 0) + s
    return _roll(input, total)


@method
def rot90(input: Tensor, k: int = 1, dims: Sequence[int] = (0, 1)) -> Tensor:
    """A copy turned by k quarters, from the first of `dims` towards the second."""
    if len(dims) != 2:
        raise RuntimeError(f"rot90: dims expects two dimensions, got {list(dims)}")
    a, b = _two_dims("rot90", check_tensor("rot90", input).ndim, *dims)
    turned = k % 4
    if turned == 0:
        return view.clone(input)
    if turned == 2:
        return flip(input, a, b)
    return view.transpose(flip(input, b), a, b) if turned == 1 else flip(view.transpose(input, a, b), b)


# --- repetition and grids ---------------------------------------------------------------------------------------------


@method
def repeat(input: Tensor, *repeats: Any) -> Tensor:
    """Copies side by side, repeats[d] of them along dimension d of as many as there are repeats. x̄ is ȳ summed over them."""
    times = view.sizes("repeat", repeats)
    lead = len(times) - check_tensor("repeat", input).ndim
    if lead < 0 or min(times, default=0) < 0:
        raise RuntimeError(f"repeat: repeats expects {input.ndim} values ≥ 0 or more, got {list(times)}")
    shape = (1,) * lead + tuple(input.shape)
    apart = [n for s in shape for n in (1, s)]
    together = [n for r, s in zip(times, shape) for n in (r, s)]
    stretched: Tensor = input.reshape(apart).expand(together)
    return view.clone(stretched).reshape([r * s for r, s in zip(times, shape)])


@method
def tile(input: Tensor, *each: Any, dims: Any = None) -> Tensor:
    """`repeat` where missing leading repeats are 1."""
    times = view.sizes("tile", each if dims is None else (dims,))
    return repeat(input, (1,) * (check_tensor("tile", input).ndim - len(times)) + times)


def _repeated(counts: Sequence[int], device: device) -> Tensor:
    """Each index as often as its count says."""
    return Tensor._wrap(device.from_host(np.repeat(np.arange(len(counts)), counts)))


@method
def repeat_interleave(input: Tensor, repeats: Any = None, dim: int | None = None, *, output_size: Any = None) -> Tensor:
    """Each index of `dim` repeated so many times, next to itself; of the flattened tensor without dim. `repeats` is one
    number, or a tensor with one for each index. With one argument, a tensor of counts, the indices themselves."""
    op = "repeat_interleave"
    check_tensor(op, input)
    if repeats is None:
        return _repeated(as_index(op, input).tolist(), input.device)
    if dim is None:
        input, dim = input.reshape(-1), 0
    d = normalize_dim(op, dim, input.ndim)
    if isinstance(repeats, Tensor) and repeats.numel() == 1:
        repeats = int(repeats.item())
    if isinstance(repeats, int):
        if repeats < 0:
            raise RuntimeError(f"{op}: repeats expects values ≥ 0, got {repeats}")
        shape = input.shape
        wide = view.unsqueeze(input, d + 1).expand((*shape[: d + 1], repeats, *shape[d + 1 :]))
        return view.clone(wide).reshape((*shape[:d], shape[d] * repeats, *shape[d + 1 :]))
    counts = as_index(op, repeats, "repeats").tolist()
    if len(counts) != input.shape[d] or min(counts, default=0) < 0:
        raise RuntimeError(f"{op}: repeats expects {input.shape[d]} values ≥ 0, got {counts}")
    return index_select(input, d, _repeated(counts, input.device))


def broadcast_tensors(*tensors: Tensor) -> tuple[Tensor, ...]:
    """Views of one common shape."""
    shape = broadcast_shapes("broadcast_tensors", *[check_tensor("broadcast_tensors", t).shape for t in tensors])
    return tuple([view.expand(t, shape) for t in tensors])


def meshgrid(*tensors: Any, indexing: str = "ij") -> tuple[Tensor, ...]:
    """For vectors of n₀, n₁, … elements, views of shape [n₀, n₁, …] that vary along one dimension each.

    With indexing="xy" the first two dimensions are exchanged, as in NumPy. RuntimeError for more than one dimension.
    """
    op = "meshgrid"
    given = tensors[0] if len(tensors) == 1 and isinstance(tensors[0], (tuple, list)) else tensors
    if indexing not in ("ij", "xy"):
        raise RuntimeError(f"{op}: indexing expects 'ij' or 'xy', got {indexing!r}")
    if not given or any(check_tensor(op, t).ndim > 1 for t in given):
        raise RuntimeError(f"{op}: tensors expects vectors, got shapes {[list(t.shape) for t in given]}")
    swapped = indexing == "xy" and len(given) > 1
    vectors = [given[1], given[0], *given[2:]] if swapped else list(given)
    shape = [t.numel() for t in vectors]
    grids = [
        view.expand(t.reshape([-1 if e == d else 1 for e in range(len(shape))]), shape) for d, t in enumerate(vectors)
    ]
    return (grids[1], grids[0], *grids[2:]) if swapped else tuple(grids)


def cartesian_prod(*tensors: Tensor) -> Tensor:
    """All combinations of one element of each vector as rows, the last varying fastest; the vector itself for one."""
    if len(tensors) == 1:
        return check_tensor("cartesian_prod", tensors[0])
    return join.stack([g.reshape(-1) for g in meshgrid(*tensors)], 1)
