"""Random tensors, and dropout. Numbers are drawn by position from a Philox stream, which `generator` holds (pullback._random).

Uniform numbers are k 2⁻²⁴ in float32, k 2⁻⁵³ in float64, k 2⁻¹¹ in float16 and k 2⁻⁸ in bfloat16; normal ones are Box and
Muller's; the kernels say more: csrc/kernels/random.h. Nothing here has a gradient but `dropout`. The numbers of a seed are
not PyTorch's.
"""

from __future__ import annotations

from typing import Any

from pullback import _dtype
from pullback._backend import as_device, device_of
from pullback._dtype import dtype as DType
from pullback._random import (
    Generator,
    default_generator,
    fork_rng,
    get_rng_state,
    initial_seed,
    manual_seed,
    seed,
    set_rng_state,
    state_of,
)
from pullback._tape import Node, Rule, record
from pullback._tensor import Tensor, method
from pullback.ops import strided, view
from pullback.ops._broadcast import Number, check_tensor, scalar_tensor
from pullback.ops._elementwise import bounds_of, check_floating, recording

__all__ = [
    "Generator",
    "bernoulli",
    "default_generator",
    "dropout",
    "fork_rng",
    "get_rng_state",
    "initial_seed",
    "manual_seed",
    "multinomial",
    "normal",
    "rand",
    "rand_like",
    "randint",
    "randint_like",
    "randn",
    "randn_like",
    "randperm",
    "seed",
    "set_rng_state",
]


def _new(op: str, size: tuple[Any, ...], dtype: Any, device: Any) -> Tensor:
    shape = view.sizes(op, size)
    if any(n < 0 for n in shape):
        raise RuntimeError(f"{op}: size expects values ≥ 0, got {list(shape)}")
    d = _dtype.get_default_dtype() if dtype is None else _dtype.as_dtype(dtype, op)
    return Tensor._wrap(as_device(device).empty(shape, d.numpy))


def _drawn(op: str, t: Tensor, generator: Any, requires_grad: bool, kernel: str, *scalars: float) -> Tensor:
    getattr(t.device.kernels, kernel)(state_of(op, generator, t.device), t._array, *scalars)
    return t.requires_grad_() if requires_grad else t


def _draw_in_place(op: str, t: Tensor, generator: Any, kernel: str, *scalars: float) -> Tensor:
    """Overwrite t with numbers drawn; on the tape it is a constant from then on."""
    check_tensor(op, t)
    if recording(t):
        fresh = Tensor._wrap(t.device.empty(t._array.shape, t._array.dtype))
        return t._assign(_drawn(op, fresh, generator, False, kernel, *scalars))
    strided.check_overlap(t)
    _drawn(op, t, generator, False, kernel, *scalars)
    t._version[0] += 1
    return t


# --- uniform and normal -----------------------------------------------------------------------------------------------


def rand(
    *size: Any,
    generator: Generator | None = None,
    dtype: Any = None,
    layout: Any = None,
    device: Any = None,
    requires_grad: bool = False,
    pin_memory: bool = False,
) -> Tensor:
    """Uniform numbers in [0, 1)."""
    t = check_floating("rand", _new("rand", size, dtype, device))
    return _drawn("rand", t, generator, requires_grad, "uniform", 0.0, 1.0)


def randn(
    *size: Any,
    generator: Generator | None = None,
    dtype: Any = None,
    layout: Any = None,
    device: Any = None,
    requires_grad: bool = False,
    pin_memory: bool = False,
) -> Tensor:
    """Normal numbers of mean 0 and variance 1."""
    t = check_floating("randn", _new("randn", size, dtype, device))
    return _drawn("randn", t, generator, requires_grad, "normal", 0.0, 1.0)


def rand_like(
    input: Tensor,
    *,
    generator: Generator | None = None,
    dtype: Any = None,
    layout: Any = None,
    device: Any = None,
    requires_grad: bool = False,
    memory_format: Any = None,
) -> Tensor:
    """`rand` of the input's shape and dtype."""
    d = check_tensor("rand_like", input).dtype if dtype is None else dtype
    return rand(input.shape, generator=generator, dtype=d, device=device or input.device, requires_grad=requires_grad)


def randn_like(
    input: Tensor,
    *,
    generator: Generator | None = None,
    dtype: Any = None,
    layout: Any = None,
    device: Any = None,
    requires_grad: bool = False,
    memory_format: Any = None,
) -> Tensor:
    """`randn` of the input's shape and dtype."""
    d = check_tensor("randn_like", input).dtype if dtype is None else dtype
    return randn(input.shape, generator=generator, dtype=d, device=device or input.device, requires_grad=requires_grad)


def normal(
    mean: Any,
    std: Any = 1.0,
    size: Any = None,
    *,
    generator: Generator | None = None,
    dtype: Any = None,
    device: Any = None,
    requires_grad: bool = False,
) -> Tensor:
    """Normal numbers of these means and standard deviations: `normal(0.0, 1.0, (2, 3))`, or tensors that broadcast.

    RuntimeError for a number std < 0, or for two numbers without a size.
    """
    if size is not None:
        t = check_floating("normal", _new("normal", (size,), dtype, device))
        return normal_(t, mean, std, generator=generator).requires_grad_(requires_grad)
    given = [check_floating("normal", x) for x in (mean, std) if isinstance(x, Tensor)]
    if not given:
        raise RuntimeError("normal: size is needed where neither mean nor std is a Tensor")
    if not isinstance(std, Tensor) and not std >= 0:
        raise RuntimeError(f"normal: std expects a value ≥ 0, got {std}")
    spread, center = [x.detach() if isinstance(x, Tensor) else x for x in (std, mean)]
    shape = given[0].shape if len(given) == 1 else (given[0].detach() + given[1].detach()).shape
    return randn(shape, generator=generator, dtype=given[0].dtype, device=given[0].device) * spread + center


@method
def uniform_(self: Tensor, from_: float = 0.0, to: float = 1.0, *, generator: Generator | None = None) -> Tensor:
    """Uniform numbers in [from, to), in place. RuntimeError where from > to."""
    check_floating("uniform_", check_tensor("uniform_", self))
    if not from_ <= to:
        raise RuntimeError(f"uniform_: from expects at most to, got [{from_}, {to})")
    return _draw_in_place("uniform_", self, generator, "uniform", float(from_), float(to))


@method
def normal_(self: Tensor, mean: float = 0.0, std: float = 1.0, *, generator: Generator | None = None) -> Tensor:
    """Normal numbers of one mean and standard deviation, in place. RuntimeError for std < 0."""
    check_floating("normal_", check_tensor("normal_", self))
    if not std >= 0:
        raise RuntimeError(f"normal_: std expects a value ≥ 0, got {std}")
    return _draw_in_place("normal_", self, generator, "normal", float(mean), float(std))


@method
def log_normal_(self: Tensor, mean: float = 1.0, std: float = 2.0, *, generator: Generator | None = None) -> Tensor:
    """e^z with z normal of this mean and standard deviation, in place."""
    fresh = normal_(
        Tensor._wrap(self.device.empty(self._array.shape, self._array.dtype)), mean, std, generator=generator
    )
    return self._assign(fresh.exp())


@method
def exponential_(self: Tensor, lambd: float = 1.0, *, generator: Generator | None = None) -> Tensor:
    """Numbers of density λ e^(−λx), in place. RuntimeError for λ ≤ 0."""
    check_floating("exponential_", check_tensor("exponential_", self))
    if not lambd > 0:
        raise RuntimeError(f"exponential_: lambd expects a value > 0, got {lambd}")
    return _draw_in_place("exponential_", self, generator, "exponential", float(lambd))


# --- integers ---------------------------------------------------------------------------------------------------------


def _check_range(op: str, low: Any, high: Any, d: DType) -> tuple[int, int]:
    low, high = int(low), int(high)
    if not low < high:
        raise RuntimeError(f"{op}: low expects less than high, got [{low}, {high})")
    least, most = (-(2**53), 2**53) if d.is_floating_point else bounds_of(d)
    if low < least or high - 1 > most:
        raise RuntimeError(f"{op}: [{low}, {high}) expects numbers that {d} holds")
    return low, min(high, 2**63 - 1)


def randint(
    low: Any,
    high: Any = None,
    size: Any = None,
    *,
    generator: Generator | None = None,
    dtype: Any = None,
    layout: Any = None,
    device: Any = None,
    requires_grad: bool = False,
) -> Tensor:
    """Integers in [low, high), all equally probable: `randint(high, size)` or `randint(low, high, size)`.

    int64 unless told otherwise. RuntimeError for an empty range, or one that the dtype does not hold.
    """
    if size is None and high is not None and not isinstance(high, int):
        high, size = None, high
    if size is None:
        raise TypeError("randint: size is missing")
    if high is None:
        low, high = 0, low
    t = _new("randint", (size,), _dtype.int64 if dtype is None else dtype, device)
    return _drawn("randint", t, generator, requires_grad, "randint", *_check_range("randint", low, high, t.dtype))


def randint_like(
    input: Tensor,
    low: Any,
    high: Any = None,
    *,
    generator: Generator | None = None,
    dtype: Any = None,
    device: Any = None,
    requires_grad: bool = False,
    memory_format: Any = None,
) -> Tensor:
    """`randint` of the input's shape and dtype."""
    d = check_tensor("randint_like", input).dtype if dtype is None else dtype
    if high is None:
        low, high = 0, low
    return randint(
        low, high, input.shape, generator=generator, dtype=d, device=device or input.device, requires_grad=requires_grad
    )


@method
def random_(self: Tensor, from_: Any = None, to: Any = None, *, generator: Generator | None = None) -> Tensor:
    """Integers in [from, to), in place: `random_()` takes all from 0 that the dtype holds exactly, `random_(to)` [0, to)."""
    d = check_tensor("random_", self).dtype
    if from_ is not None and to is None:
        from_, to = 0, from_
    if to is None:
        to = round(2 / _dtype.finfo(d).eps) if d.is_floating_point else int(bounds_of(d)[1]) + 1
    return _draw_in_place("random_", self, generator, "randint", *_check_range("random_", from_ or 0, to, d))


def randperm(
    n: int,
    *,
    generator: Generator | None = None,
    dtype: Any = None,
    layout: Any = None,
    device: Any = None,
    requires_grad: bool = False,
    pin_memory: bool = False,
) -> Tensor:
    """The numbers 0 … n − 1 in random order. int64 unless told otherwise."""
    t = _new("randperm", (n,), _dtype.int64 if dtype is None else dtype, device)
    if n > 1:
        _check_range("randperm", 0, n, t.dtype)
    return _drawn("randperm", t, generator, requires_grad, "permutation")


# --- choices ----------------------------------------------------------------------------------------------------------


@method
def bernoulli(input: Tensor, *, generator: Generator | None = None) -> Tensor:
    """1 with probability p, else 0, for every p of the input. ValueError for a p outside of [0, 1]."""
    p = check_floating("bernoulli", check_tensor("bernoulli", input))._array
    out = input.device.empty(p.shape, p.dtype)
    input.device.kernels.bernoulli(state_of("bernoulli", generator, input.device), p, out)
    return Tensor._wrap(out)


@method
def bernoulli_(self: Tensor, p: Any = 0.5, *, generator: Generator | None = None) -> Tensor:
    """1 with probability p, else 0, in place; p is a number or a tensor that broadcasts. ValueError outside of [0, 1]."""
    check_tensor("bernoulli_", self)
    if isinstance(p, Number):
        p = scalar_tensor(p, _dtype.float64, self.device)
    p = view.expand(check_floating("bernoulli_", check_tensor("bernoulli_", p, "p"), "p"), self.shape)
    bernoulli, state = self.device.kernels.bernoulli, state_of("bernoulli_", generator, self.device)
    if recording(self):
        fresh = self.device.empty(self._array.shape, self._array.dtype)
        bernoulli(state, p._array, fresh)
        return self._assign(Tensor._wrap(fresh))
    strided.check_overlap(self)
    bernoulli(state, p._array, self._array)
    self._version[0] += 1
    return self


@method
def multinomial(
    input: Tensor, num_samples: int, replacement: bool = False, *, generator: Generator | None = None
) -> Tensor:
    """Indices drawn with probabilities proportional to the weights in each row of the input, [n] or [rows, n].

    int64, [num_samples] or [rows, num_samples]. ValueError for weights that are negative or not finite, or where too few
    are above 0; RuntimeError for other shapes or dtypes, or more samples than there are without replacement.
    """
    check_floating("multinomial", check_tensor("multinomial", input))
    if input.ndim not in (1, 2) or not input.shape[-1]:
        raise RuntimeError(f"multinomial: input expects shape [n] or [rows, n], got {list(input.shape)}")
    if num_samples <= 0 or (not replacement and num_samples > input.shape[-1]):
        raise RuntimeError(
            f"multinomial: num_samples expects 1 to {input.shape[-1]} without replacement, got {num_samples}"
        )
    weights = input._array if input.ndim == 2 else input._array[None]
    out = input.device.empty((weights.shape[0], num_samples), _dtype.int64.numpy)
    input.device.kernels.multinomial(state_of("multinomial", generator, input.device), weights, out, replacement)
    return Tensor._wrap(out if input.ndim == 2 else out.reshape(num_samples))


# --- dropout ----------------------------------------------------------------------------------------------------------


def _dropout_backward(dy: Any, mask: Any, p: float) -> Any:
    dx = device_of(dy).empty(dy.shape, dy.dtype)
    device_of(dy).kernels.dropout_backward(dy, mask, dx, p)
    return dx


def _dropout_ops(node: Node, dy: Tensor) -> tuple[Tensor]:
    """The map is linear: what takes ȳ to x̄ is the same as what takes x to y."""
    mask, p = node.tensors()[0], node.args[0]
    return (record(_DROPOUT, _dropout_backward(dy._array, mask._array, p), (dy,), (mask,), (p,)),)


_DROPOUT = Rule("dropout", lambda node, dy: (_dropout_backward(dy, node.saved[0], node.args[0]),), _dropout_ops)


def dropout(
    input: Tensor,
    p: float = 0.5,
    training: bool = True,
    inplace: bool = False,
    *,
    generator: Generator | None = None,
) -> Tensor:
    """y = m ∘ x / (1 − p), each m being 0 with probability p, else 1; x itself where not training. x̄ = m ∘ ȳ / (1 − p).

    ValueError for p outside of [0, 1]. Srivastava et al. 2014.
    """
    check_floating("dropout", check_tensor("dropout", input))
    if not 0 <= p <= 1:
        raise ValueError(f"dropout: p expects a probability between 0 and 1, got {p}")
    if not training or p == 0:
        return input
    x = input._array
    in_place = inplace and not recording(input)
    if in_place:
        strided.check_overlap(input)
    on = input.device
    y = x if in_place else on.empty(x.shape, x.dtype)
    mask = on.empty(x.shape, _dtype.bool_.numpy)
    on.kernels.dropout(state_of("dropout", generator, on), x, y, mask, float(p))
    if in_place:
        input._version[0] += 1
        return input
    result = record(_DROPOUT, y, (input,), (Tensor._wrap(mask),), (float(p),))
    return input._assign(result) if inplace else result
