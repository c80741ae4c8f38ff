"""Types for pullback._core, csrc/tape: fields and nodes of the tape, short ways of ops, and the walk back."""

from collections.abc import Callable, Sequence
from contextvars import ContextVar
from typing import Any

from typing_extensions import Self

from pullback._backend import device as Device
from pullback._dtype import dtype as DType
from pullback._tape import Rule
from pullback._tensor import Tensor

class TensorBase:
    """The fields of a tensor."""

    _array: Any
    _base: Tensor | None  # of a view: the tensor it looks into
    _generation: int  # of a base: how often its node was replaced; of a view: the base's when its node was made
    _hooks: list[Callable[[Tensor], Tensor | None]] | None
    _node: Node | None  # None for a leaf
    _output: int  # which of the node's results it is
    _requires_grad: bool
    _version: list[int]  # counts changes in place; shared by all views of one storage
    device: Device
    dtype: DType
    grad: Tensor | None
    @classmethod
    def _wrap(cls, array: Any) -> Self:
        """A new tensor over an array, not on the tape."""

class Marks:
    """What recorded steps depend on and no argument shows."""

    generation: int
    modes: int
    sessions: int

marks: Marks

class Replayer:
    """What may be called, and remembers a replay; what it does not remember it hands to `_call`."""

    _replayed: int  # calls that were replays
    def __call__(self, *args: Any, **kwargs: Any) -> Any: ...
    def _remember(
        self,
        tensors: tuple[Tensor, ...],
        leaves: list[Tensor],
        presence: bytes,
        read: list[tuple[Tensor, Any]],
        cells: list[list[Any]],
        acquire: Callable[..., Any],
        release: Callable[..., Any],
        run: Callable[..., Any],
        exchanged: list[Tensor],
        gradients: list[Tensor | None],
        results: Callable[..., Any] | None,
    ) -> None: ...
    def _forget(self) -> None: ...

class Node:
    """One op that ran: what its pullback needs, and where the result goes."""

    rule: Rule
    parents: tuple[Node | Tensor | None, ...]  # a node, or a leaf itself, or None where no gradient is wanted
    indices: tuple[int, ...]  # which of that node's results
    args: tuple[Any, ...]
    hooks: dict[int, list[Callable[[Tensor], Tensor | None]]] | None
    outputs: tuple[tuple[Any, Any, Any], ...]  # (shape, dtype, device) of each, where there are several
    saved: tuple[Any, ...]
    order: int
    name: str
    def __new__(
        cls, rule: Rule, inputs: Sequence[Tensor], saved: Sequence[Any], args: tuple[Any, ...], out: Tensor
    ) -> Self: ...
    def check_saved(self) -> None: ...
    def tensors(self) -> list[Tensor]: ...
    def needs(self, i: int) -> bool: ...
    def owns(self, gradient: Any) -> bool: ...
    def free(self) -> None: ...

class Op:
    """An op with a short way, see `_tape.quick`, or one that autocast knows, see `_autocast.cast`."""

    def __new__(cls, function: Callable[..., Any], kind: str, rule: Any, saves: str, activation: int = 0) -> Self: ...
    def __call__(self, *args: Any, **kwargs: Any) -> Any: ...
    def before(self, function: Callable[..., Any]) -> Self: ...

OUTPUT: Any  # stands for the op's own result in `saved`
grad_mode: ContextVar[bool]

def device_of(array: Any) -> Device:
    """The device that holds an array."""

def as_strided(array: Any, shape: Sequence[int], strides: Sequence[int]) -> Any:
    """A NumPy array's memory under another shape and strides (bytes)."""

def grad_enabled() -> bool: ...
def record(
    rule: Rule, array: Any, inputs: Sequence[Tensor], saved: Sequence[Any] = (), args: tuple[Any, ...] = ()
) -> Tensor:
    """The result of an op as a tensor: on the tape, if gradients are enabled and any input wants one.

    `saved` lists the tensors that the pullback reads, OUTPUT standing for the result; `args` are plain values.
    """

def walk(
    starts: list[tuple[Node | Tensor, int, Any]],
    create_graph: bool,
    retain_graph: bool,
    stop: set[Any] | None = None,
    targets: dict[Node, dict[int, Any]] | None = None,
) -> dict[Tensor, Any] | None: ...
def watch(leaves: list[Tensor] | None, versions: dict[int, Any] | None) -> None: ...
def presence(leaves: list[Tensor]) -> bytes: ...
def gradients(leaves: list[Tensor]) -> list[Any]: ...
def exchanged(leaves: list[Tensor], before: list[Any]) -> list[Tensor]: ...
def restore(leaves: list[Tensor], gradients: list[Tensor | None]) -> None: ...
def layout(tensors: tuple[Any, ...]) -> bytes | None: ...
def set_autocast(on: bool) -> bool: ...
def autocasting() -> bool: ...
def pull_linear(node: Node, dy: Any) -> list[Any] | None: ...
def connect(
    *,
    Tensor: type[Tensor] = ...,
    device: Device = ...,
    devices: dict[type, Callable[[Any], Device]] = ...,
    dtypes: dict[Any, DType] = ...,
    block: type = ...,
    run_hooks: Callable[..., Any] = ...,
    accumulate: Callable[..., Any] = ...,
) -> None: ...
