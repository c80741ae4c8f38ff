"""Dtypes and devices of existing tensors, what they are made of, and their way to Python numbers."""

from __future__ import annotations

from typing import Any

from pullback import _dtype
from pullback._backend import as_device, cpu as host, device as Device, device_of
from pullback._session import here, marks, two_devices
from pullback._tape import Rule, record
from pullback._tensor import Tensor, method
from pullback.ops import view

__all__ = [
    "is_complex",
    "is_floating_point",
    "is_tensor",
    "numel",
]


@method
def to(
    self: Tensor,
    *args: Any,
    dtype: Any = None,
    device: Any = None,
    non_blocking: bool = False,
    copy: bool = False,
    memory_format: Any = None,
) -> Tensor:
    """The tensor on another device or of another dtype: `to(dtype)`, `to(device)`, `to(device, dtype)`, `to(other)`.

    The tensor itself where nothing changes, unless `copy`. Differentiable between floating-point types.
    """
    for a in args:
        if isinstance(a, Tensor):
            dtype, device = a.dtype, a.device
        elif isinstance(a, (_dtype.dtype, type)):
            dtype = a
        elif isinstance(a, (str, Device)) or type(a) is int:
            device = a
        elif not isinstance(a, bool):
            raise TypeError(f"to: expected a dtype, a device or a Tensor, got {a!r}")
    result = self if dtype is None else view.to_dtype(self, _dtype.as_dtype(dtype, "to"))
    if device is not None:
        result = to_device(result, as_device(device))
    return view.clone(result) if copy and result is self else result


_TO_DEVICE = Rule(
    "to",
    lambda node, dy: (_moved(dy, node.args[0]),),
    lambda node, dy: (to_device(dy, node.args[0]),),
)


def _moved(x: Any, device: Device) -> Any:
    """The elements on another device."""
    if marks.sessions and here.session is not None:
        here.session.refuse(two_devices(device_of(x), device))
    return device.from_host(device_of(x).to_host(x))


def to_device(input: Tensor, device: Device) -> Tensor:
    """The tensor on a device; the tensor itself where it is there. x̄ is ȳ on x's device."""
    if input.device is device:
        return input
    return record(_TO_DEVICE, _moved(input._array, device), (input,), (), (input.device,))


def _converter(name: str, target: Any) -> None:
    def convert(self: Tensor, memory_format: Any = None) -> Tensor:
        return view.to_dtype(self, target)

    convert.__name__ = convert.__qualname__ = name
    convert.__doc__ = f"The elements as {target.name}."
    method(convert)


for _name, _target in (
    ("float", _dtype.float32),
    ("half", _dtype.float16),
    ("bfloat16", _dtype.bfloat16),
    ("double", _dtype.float64),
    ("long", _dtype.int64),
    ("int", _dtype.int32),
    ("short", _dtype.int16),
    ("char", _dtype.int8),
    ("byte", _dtype.uint8),
    ("bool", _dtype.bool_),
):
    _converter(_name, _target)


@method
def cpu(self: Tensor, memory_format: Any = None) -> Tensor:
    """The tensor on the CPU."""
    return to_device(self, host)


@method
def cuda(self: Tensor, device: Any = None, non_blocking: bool = False, memory_format: Any = None) -> Tensor:
    """The tensor on a GPU, by default the current one. RuntimeError where there is none, saying what is missing."""
    return to_device(self, as_device("cuda" if device is None else device))


@method(name="type")
def type_(self: Tensor, dtype: Any = None, non_blocking: bool = False) -> Any:
    """The elements converted; without an argument the name of the dtype."""
    return f"pullback.{self.dtype.name}" if dtype is None else to(self, dtype)


@method
def type_as(self: Tensor, other: Tensor) -> Tensor:
    """The elements in the other's dtype, on its device."""
    return to(self, other)


@method
def size(self: Tensor, dim: int | None = None) -> Any:
    """The shape, or one of its sizes."""
    from pullback.ops._broadcast import normalize_dim

    return self.shape if dim is None else self.shape[normalize_dim("size", dim, self.ndim)]


@method
def stride(self: Tensor, dim: int | None = None) -> Any:
    """How many elements apart neighbours along each dimension lie in memory."""
    strides = tuple([s // self._array.itemsize for s in self._array.strides])
    return strides if dim is None else strides[dim]


@method(name=("numel", "nelement"))
def numel(input: Tensor) -> int:
    """The number of elements."""
    return int(input._array.size)


@method
def dim(self: Tensor) -> int:
    """The number of dimensions."""
    return int(self._array.ndim)


@method
def is_contiguous(self: Tensor, memory_format: Any = None) -> bool:
    """Whether the elements lie row-major without gaps."""
    return bool(self._array.flags.c_contiguous)


@method
def get_device(self: Tensor) -> int:
    """The GPU's index; −1 on the CPU."""
    return -1 if self.device.index is None else self.device.index


@method
def element_size(self: Tensor) -> int:
    """Bytes of one element."""
    return self.dtype.itemsize


@method
def data_ptr(self: Tensor) -> int:
    """The address of the first element."""
    return self.device.pointer(self._array)


@method
def is_floating_point(input: Tensor) -> bool:
    """Whether the dtype is one of floats."""
    return input.dtype.is_floating_point


@method
def is_complex(input: Tensor) -> bool:
    """Always False."""
    return False


def is_tensor(obj: Any) -> bool:
    """Whether an object is a Tensor."""
    return isinstance(obj, Tensor)


@method(name="__bool__")
def _bool(self: Tensor) -> bool:
    if self._array.size != 1:
        raise RuntimeError(f"bool: the truth of a tensor of shape {list(self.shape)} is ambiguous; use any() or all()")
    return bool(self.item())


@method(name="__float__")
def _float(self: Tensor) -> float:
    return float(self.item())


@method(name="__int__")
def _int(self: Tensor) -> int:
    return int(self.item())


@method(name="__index__")
def _index(self: Tensor) -> int:
    if self.dtype.is_floating_point:
        raise TypeError(f"index: expected an integer tensor of one element, got dtype {self.dtype}")
    return int(self.item())


@method(name="__len__")
def _len(self: Tensor) -> int:
    if not self._array.ndim:
        raise TypeError("len: a tensor without dimensions has no length")
    return int(self._array.shape[0])


@method(name="__format__")
def _format(self: Tensor, spec: str) -> str:
    return (
        format(self.item(), spec) if self._array.ndim == 0 and type(self) is Tensor else object.__format__(self, spec)
    )


def _attach_properties() -> None:
    from pullback._methods import Methods

    def transposed(self: Tensor) -> Tensor:
        """The dimensions in reverse order."""
        return view.permute(self, tuple(range(self.ndim))[::-1])

    def matrix_transposed(self: Tensor) -> Tensor:
        """The last two dimensions exchanged."""
        return view.transpose(self, -1, -2)

    for name, get in (("T", transposed), ("mT", matrix_transposed)):
        setattr(Methods, name, property(get))
    for name, value in (("is_sparse", False), ("is_quantized", False)):
        setattr(Methods, name, value)
    setattr(Methods, "is_cuda", property(lambda self: self.device.type == "cuda"))
    setattr(Methods, "is_cpu", property(lambda self: self.device is host))
    setattr(Methods, "itemsize", property(lambda self: self.dtype.itemsize))
    setattr(Methods, "nbytes", property(lambda self: int(self._array.nbytes)))


_attach_properties()
