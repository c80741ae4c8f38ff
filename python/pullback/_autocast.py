"""`autocast`: some ops compute in a narrower type than their operands have, others in float32, as PyTorch's lists say.

An op that the lists name is decorated with `cast`. Where autocast is on in a thread, its policy casts the operands, on the
tape, so that gradients come back in the types of the leaves; what the op calls in turn is not cast again. Micikevicius et
al. 2018; the lists are those of PyTorch's "autocast op reference".
"""

from __future__ import annotations

import functools
import threading
import warnings
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Any, TypeVar, overload

from pullback import _core, _tape
from pullback._backend import gpu_count
from pullback._dtype import as_dtype, bfloat16, dtype as DType, float16, float32, float64, promote_types
from pullback._tensor import Tensor

__all__ = [
    "autocast",
    "autocast_key",
    "cast",
    "cast_all",
    "clear_autocast_cache",
    "get_autocast_dtype",
    "is_autocast_available",
    "is_autocast_cache_enabled",
    "is_autocast_enabled",
    "is_listed",
    "set_autocast_cache_enabled",
    "set_autocast_dtype",
    "set_autocast_enabled",
    "uncast",
]

_F = TypeVar("_F", bound=Callable[..., Any])
_KINDS = {"cpu": "cpu", "cuda": "cuda", "cuda-emulated": "cuda"}  # a device's type → whose lists hold there


class _Here(threading.local):
    """What this thread has asked for."""

    def __init__(self) -> None:
        self.enabled = {"cuda": False, "cpu": False}
        self.dtypes = {"cuda": float16, "cpu": bfloat16}
        self.caches = True
        self.depth = 0  # contexts that are open
        self.casts: dict[Any, tuple[Tensor, int, Tensor]] = {}  # (leaf, its version, the leaf in the narrow type)


_here = _Here()


def _kind(device_type: Any) -> str:
    if not isinstance(device_type, str):
        raise ValueError(f"autocast: device_type expects a string, got {type(device_type).__name__}")
    if device_type not in _KINDS:
        raise RuntimeError(f"autocast: device_type expects 'cuda' or 'cpu', got {device_type!r}")
    return _KINDS[device_type]


# --- policies ---------------------------------------------------------------------------------------------------------


def _casts(t: Any, kind: str) -> bool:
    """Whether it is a tensor that autocast may cast: not of integers, nor of float64."""
    return (
        isinstance(t, Tensor) and _KINDS[t.device.type] == kind and t.dtype.is_floating_point and t.dtype is not float64
    )


def _cast_to(t: Tensor, wanted: DType, kind: str) -> Tensor:
    """The tensor in another type; of a leaf in float32 the narrow form is kept until the outermost context ends."""
    from pullback.ops.view import to_dtype

    if t.dtype is wanted:
        return t
    leaf = t.requires_grad and t.is_leaf and t._base is None and t.dtype is float32
    if not (leaf and _here.caches and _here.depth and wanted is _here.dtypes[kind]):
        return to_dtype(t, wanted)
    key, version = (id(t), wanted, _tape.grad_enabled()), t._version[0]
    kept = _here.casts.get(key)
    if kept is not None and kept[0] is t and kept[1] == version:
        return kept[2]
    narrow = to_dtype(t, wanted)
    _here.casts[key] = (t, version, narrow)
    return narrow


def cast_all(value: Any, wanted: DType, device_type: str) -> Any:
    """Tensors that autocast may cast, also within lists, tuples and dictionaries, in another type; all else as it is."""
    if isinstance(value, (list, tuple)):
        cast_values = [cast_all(v, wanted, device_type) for v in value]
        return cast_values if isinstance(value, list) else tuple(cast_values)
    if isinstance(value, dict):
        return {k: cast_all(v, wanted, device_type) for k, v in value.items()}
    kind = _kind(device_type)
    return _cast_to(value, wanted, kind) if _casts(value, kind) else value


def _tensors(values: Any) -> Iterator[Tensor]:
    for v in values:
        if isinstance(v, Tensor):
            yield v
        elif isinstance(v, (list, tuple)):
            yield from _tensors(v)


def _narrow(kind: str, tensors: list[Tensor]) -> DType:
    return _here.dtypes[kind]


def _float32(kind: str, tensors: list[Tensor]) -> DType:
    return float32


def _widest(kind: str, tensors: list[Tensor]) -> DType | None:
    types = [t.dtype for t in tensors if _casts(t, kind)]
    return functools.reduce(promote_types, types) if types else None


def _as_is(kind: str, tensors: list[Tensor]) -> None:
    """For an op that PyTorch does not list, and that is made of ops that are."""


def _refuse(kind: str, tensors: list[Tensor]) -> DType:
    raise RuntimeError(
        "binary_cross_entropy: it is unsafe to autocast, as the sigmoid before it overflows in half precision; combine the "
        "two in binary_cross_entropy_with_logits (BCEWithLogitsLoss), which is safe"
    )


_PRODUCTS = "addbmm addmm baddbmm bmm linear linear_relu linear_sigmoid linear_tanh matmul mm prelu"
_LOSSES = (
    "binary_cross_entropy_with_logits cosine_embedding_loss cross_entropy hinge_embedding_loss huber_loss kl_div l1_loss "
    "margin_ranking_loss mse_loss nll_loss poisson_nll_loss smooth_l1_loss soft_margin_loss triplet_margin_loss"
)


def _table(**names: tuple[Callable[..., Any], str]) -> dict[str, Callable[..., Any]]:
    return {name: policy for policy, listed in names.values() for name in listed.split()}


_POLICIES = {
    "cuda": _table(
        narrow=(_narrow, f"{_PRODUCTS} addmv addr chain_matmul einsum mv"),
        float32=(
            _float32,
            f"{_LOSSES} __rtruediv__ acos asin cosh cosine_similarity cumprod cumsum exp expm1 log log10 log1p log2 "
            "log_softmax logsumexp norm pow prod reciprocal rsqrt sinh softmax softplus square sum tan",
        ),
        widest=(
            _widest,
            "addcdiv addcmul atan2 bilinear cat dot index_copy index_put scatter_add stack tensordot vdot",
        ),
        refused=(_refuse, "binary_cross_entropy"),
    ),
    "cpu": _table(
        narrow=(_narrow, f"{_PRODUCTS} tensordot"),
        float32=(_float32, f"{_LOSSES} binary_cross_entropy nanquantile pad_edges prod quantile trace"),
        widest=(_widest, "cat index_copy stack"),
        as_is=(_as_is, "bilinear"),
    ),
}


class _Policy:
    """What becomes of an op's operands, by the device that they are on."""

    def __init__(self, name: str, by_kind: dict[str, Callable[..., Any]]) -> None:
        self.name = name
        self.by_kind = by_kind

    def __call__(self, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        tensors = list(_tensors((*args, *kwargs.values())))
        found = {_KINDS[t.device.type] for t in tensors}
        kind = next((k for k in self.by_kind if k in found and _here.enabled[k]), None)
        if kind is None:
            return function(*args, **kwargs)
        wanted = self.by_kind[kind](kind, tensors)
        if wanted is not None:
            args, kwargs = cast_all(args, wanted, kind), cast_all(kwargs, wanted, kind)
        before = _core.set_autocast(False)
        try:
            return function(*args, **kwargs)
        finally:
            _core.set_autocast(before)


def is_listed(name: str) -> bool:
    """Whether some list names an op."""
    return any(name in table for table in _POLICIES.values())


@overload
def cast(function: str) -> Callable[[_F], _F]: ...


@overload
def cast(function: _F) -> _F: ...


def cast(function: Any) -> Any:
    """Let autocast know an op, by its name or by one that is given: `@cast`, or `@cast("pow")`."""
    if isinstance(function, str):
        return functools.partial(_known, name=function)
    return _known(function, function.__name__)


def _known(function: _F, name: str) -> _F:
    assert is_listed(name), f"no list of autocast has {name}"
    by_kind = {kind: table[name] for kind, table in _POLICIES.items() if name in table}
    return _before(_Policy(name, by_kind), function)


def uncast(function: _F) -> _F:
    """Have an op compute in its operands' types also where it calls ops that the lists name: those in place, for instance."""
    return _before(_Policy(function.__name__, dict.fromkeys(_POLICIES, _as_is)), function)


def _before(policy: _Policy, function: _F) -> _F:
    return functools.update_wrapper(_core.Op(function, "cast", policy, ""), function)  # type: ignore[return-value]


# --- switches ---------------------------------------------------------------------------------------------------------


def is_autocast_available(device_type: str) -> bool:
    """Whether there is autocast for a type of device."""
    if not isinstance(device_type, str):
        raise ValueError(f"is_autocast_available: device_type expects a string, got {type(device_type).__name__}")
    return device_type in _KINDS


def is_autocast_enabled(device_type: str = "cuda") -> bool:
    """Whether autocast is on for a type of device, in this thread."""
    return _here.enabled[_kind(device_type)]


def get_autocast_dtype(device_type: str) -> DType:
    """The narrow type: float16 on "cuda" and bfloat16 on "cpu" unless something else was asked for."""
    return _here.dtypes[_kind(device_type)]


def set_autocast_enabled(device_type: str, enabled: bool) -> None:
    """Switch autocast for a type of device, in this thread."""
    _here.enabled[_kind(device_type)] = bool(enabled)
    _core.set_autocast(any(_here.enabled.values()))


def set_autocast_dtype(device_type: str, dtype: Any) -> None:
    """Choose the narrow type of a type of device, in this thread."""
    _here.dtypes[_kind(device_type)] = as_dtype(dtype, "set_autocast_dtype")


def is_autocast_cache_enabled() -> bool:
    """Whether the casts of leaves are kept until the outermost context ends."""
    return _here.caches


def set_autocast_cache_enabled(enabled: bool) -> None:
    """Keep the casts of leaves until the outermost context ends, or do not."""
    _here.caches = bool(enabled)


def clear_autocast_cache() -> None:
    """Forget the casts of leaves."""
    _here.casts.clear()


def autocast_key() -> Any:
    """What a recorded step depends on: None where autocast is off."""
    if not _core.autocasting():
        return None
    return (*_here.enabled.values(), *_here.dtypes.values(), _here.caches and _here.depth > 0)


class autocast:
    """Mixed precision within a `with` block or a decorated function, on one type of device.

    Products (`linear`, `matmul`, …) compute in `dtype`, float16 on "cuda" and bfloat16 on "cpu" if it is None; losses, and
    on "cuda" also sums, norms, powers and exponentials, in float32; ops such as `cat` in the widest type of their operands;
    all others in the type that they are given. float64 is never cast. Weights and their gradients stay in float32; with
    `cache_enabled` a weight is cast once until the outermost block ends. Blocks nest, `enabled=False` makes an exception,
    and every thread has its own. Leave the block before `backward`.

    ValueError or RuntimeError for a `device_type` that is not "cuda" or "cpu"; another `dtype` than float16 and bfloat16,
    and "cuda" without a GPU, turn it off with a warning.
    """

    def __init__(
        self, device_type: str, dtype: Any = None, enabled: bool = True, cache_enabled: bool | None = None
    ) -> None:
        self.device = device_type
        self._kind = _kind(device_type)
        self.fast_dtype = get_autocast_dtype(device_type) if dtype is None else as_dtype(dtype, "autocast")
        self._enabled = bool(enabled)
        self._caches = cache_enabled
        self._before: list[tuple[bool, DType, bool]] = []
        if self._enabled and device_type == "cuda" and gpu_count() == 0:
            warnings.warn("autocast: there is no GPU; autocast is off", stacklevel=2)
            self._enabled = False
        if self._enabled and self.fast_dtype not in (float16, bfloat16):
            warnings.warn(
                f"autocast: dtype expects float16 or bfloat16, got {self.fast_dtype}; autocast is off", stacklevel=2
            )
            self._enabled = False

    def __enter__(self) -> autocast:
        kind, here = self._kind, _here
        self._before.append((here.enabled[kind], here.dtypes[kind], here.caches))
        here.depth += 1
        here.dtypes[kind] = self.fast_dtype
        here.caches = here.caches if self._caches is None else bool(self._caches)
        set_autocast_enabled(kind, self._enabled)
        return self

    def __exit__(
        self, error_type: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        enabled, _here.dtypes[self._kind], _here.caches = self._before.pop()
        set_autocast_enabled(self._kind, enabled)
        _here.depth -= 1
        if _here.depth == 0:
            clear_autocast_cache()

    def __call__(self, function: _F) -> _F:
        if not callable(function):
            raise TypeError(f"autocast: expected a function to decorate, got {type(function).__name__}")

        @functools.wraps(function)
        def call(*args: Any, **kwargs: Any) -> Any:
            with autocast(self.device, self.fast_dtype, self._enabled, self._caches):  # threads may call it at once
                return function(*args, **kwargs)

        return call  # type: ignore[return-value]
