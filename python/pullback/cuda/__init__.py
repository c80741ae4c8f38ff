"""GPUs by PyTorch's names: which there are, streams, memory, random numbers.

Arrays are CuPy's, in memory of CuPy's pool; kernels run on the stream that CuPy holds current. What needs a GPU raises
RuntimeError where there is none, saying what is missing and how to get it; `is_available`, `device_count`, `manual_seed`
and `synchronize` of nothing do not.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pullback import _random
from pullback._backend import as_device, cupy, device as Device, gpu_count
from pullback._gpu_memory import OutOfMemoryError as OutOfMemoryError
from pullback._tensor import Tensor

if TYPE_CHECKING:
    from pullback.cuda import amp as amp

__all__ = [
    "Event",
    "OutOfMemoryError",
    "Stream",
    "current_device",
    "current_stream",
    "default_stream",
    "device",
    "device_count",
    "empty_cache",
    "get_device_capability",
    "get_device_name",
    "get_device_properties",
    "get_rng_state",
    "get_rng_state_all",
    "initial_seed",
    "is_available",
    "is_bf16_supported",
    "manual_seed",
    "manual_seed_all",
    "mem_get_info",
    "memory_allocated",
    "memory_reserved",
    "seed",
    "set_device",
    "set_rng_state",
    "set_rng_state_all",
    "set_stream",
    "stream",
    "synchronize",
]


def __getattr__(name: str) -> Any:
    """`amp` comes with the optimizers, when it is first asked for."""
    if name == "amp":
        return importlib.import_module("pullback.cuda.amp")
    raise AttributeError(f"module 'pullback.cuda' has no attribute {name!r}")


# --- devices ----------------------------------------------------------------------------------------------------------


def is_available() -> bool:
    """Whether there is a GPU that pullback can use: its kernels, CuPy, a driver and a device."""
    return gpu_count() > 0


def device_count() -> int:
    """The GPUs that pullback can use."""
    return gpu_count()


def current_device() -> int:
    """The index of the GPU that `device="cuda"` means."""
    index: int = cupy().cuda.runtime.getDevice()
    return index


def _on(device: Any) -> Device:
    """A GPU from its index, name or device; the current one for None. ValueError for what is no GPU."""
    on = as_device("cuda" if device is None else device)
    if on.type != "cuda":
        raise ValueError(f"cuda: device expects a GPU, got {on}")
    return on


def set_device(device: Any) -> None:
    """Let `device="cuda"` mean this GPU, in this thread."""
    on = _on(device)
    assert on.kernels  # there is one of this index
    cupy().cuda.runtime.setDevice(on.index)


class device:
    """`with cuda.device(1):` that GPU is the current one inside."""

    def __init__(self, device: Any) -> None:
        self._index = _on(device).index
        self._before: list[int] = []

    def __enter__(self) -> None:
        self._before.append(current_device())
        set_device(self._index)

    def __exit__(self, *error: object) -> None:
        set_device(self._before.pop())


@dataclass(frozen=True)
class _Properties:
    name: str
    major: int
    minor: int
    total_memory: int
    multi_processor_count: int


def get_device_properties(device: Any = None) -> _Properties:
    """Name, compute capability (major, minor), total_memory in bytes and multi_processor_count of a GPU."""
    on = _on(device)
    return _Properties(**on.kernels.device_properties(on.index))


def get_device_name(device: Any = None) -> str:
    """The name of a GPU."""
    return get_device_properties(device).name


def get_device_capability(device: Any = None) -> tuple[int, int]:
    """The compute capability (major, minor) of a GPU."""
    found = get_device_properties(device)
    return found.major, found.minor


def is_bf16_supported(including_emulation: bool = True) -> bool:
    """Whether there is a GPU: all that pullback has kernels for compute with bfloat16."""
    return is_available()


def synchronize(device: Any = None) -> None:
    """Wait for everything that a GPU was given to do, and raise what its kernels reported: an index out of range, ….

    Kernels run later than the Python that calls them: time what they do between two of these.
    """
    if device is None and not is_available():
        return
    on = _on(device)
    cupy().cuda.Device(on.index).synchronize()
    on.kernels.check_errors()


# --- streams ----------------------------------------------------------------------------------------------------------


class Event:
    """A point in a stream's work: `record` it, then wait for it, or take the time between two of them."""

    def __init__(self, enable_timing: bool = False, blocking: bool = False) -> None:
        self._event = cupy().cuda.Event(block=blocking, disable_timing=not enable_timing)

    def record(self, stream: Stream | None = None) -> None:
        """The point is where a stream, by default the current one, is now."""
        self._event.record((stream or current_stream())._stream)

    def wait(self, stream: Stream | None = None) -> None:
        """A stream, by default the current one, goes on only when the point is reached."""
        (stream or current_stream())._stream.wait_event(self._event)

    def query(self) -> bool:
        """Whether the point is reached."""
        return bool(self._event.done)

    def synchronize(self) -> None:
        """Wait until the point is reached."""
        self._event.synchronize()

    def elapsed_time(self, end_event: Event) -> float:
        """Milliseconds from this point to another, both of events with `enable_timing` that were reached."""
        return float(cupy().cuda.get_elapsed_time(self._event, end_event._event))


class Stream:
    """A queue of work on a GPU, beside the others: `with cuda.stream(Stream()):`. It does not wait for the default stream."""

    def __init__(self, device: Any = None, priority: int = 0) -> None:
        self.device = _on(device)
        with cupy().cuda.Device(self.device.index):
            self._stream = cupy().cuda.Stream(non_blocking=True, priority=priority or None)

    @classmethod
    def _of(cls, device: Device, stream: Any) -> Stream:
        made = object.__new__(cls)
        made.device, made._stream = device, stream
        return made

    @property
    def cuda_stream(self) -> int:
        """CUDA's own handle."""
        return int(self._stream.ptr)

    def query(self) -> bool:
        """Whether all of its work is done."""
        return bool(self._stream.done)

    def synchronize(self) -> None:
        """Wait for its work, and raise what kernels reported."""
        self._stream.synchronize()
        self.device.kernels.check_errors()

    def record_event(self, event: Event | None = None) -> Event:
        """An event at the point where the stream is now."""
        event = event or Event()
        event.record(self)
        return event

    def wait_event(self, event: Event) -> None:
        """Go on only when the event is reached."""
        event.wait(self)

    def wait_stream(self, stream: Stream) -> None:
        """Go on only when what another stream was given so far is done."""
        self.wait_event(stream.record_event())

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Stream) and (self.device, self.cuda_stream) == (other.device, other.cuda_stream)

    def __hash__(self) -> int:
        return hash((self.device, self.cuda_stream))

    def __repr__(self) -> str:
        return f"<pullback.cuda.Stream device={self.device} cuda_stream={self.cuda_stream:#x}>"


def current_stream(device: Any = None) -> Stream:
    """The stream that a GPU's kernels are launched on, which is CuPy's current one."""
    on = _on(device)
    return Stream._of(on, cupy().cuda.get_current_stream(on.index))


def default_stream(device: Any = None) -> Stream:
    """The stream that is current where no other was made so."""
    return Stream._of(_on(device), cupy().cuda.Stream.null)


def set_stream(stream: Stream) -> None:
    """Make a stream the current one of its GPU, in this thread."""
    with cupy().cuda.Device(stream.device.index):
        stream._stream.use()


class stream:
    """`with cuda.stream(s):` kernels are launched on s inside. Nothing waits: see `Stream.wait_stream`."""

    def __init__(self, stream: Stream | None) -> None:
        self._stream = stream
        self._before: list[Stream] = []

    def __enter__(self) -> None:
        if self._stream is not None:
            self._before.append(current_stream(self._stream.device))
            set_stream(self._stream)

    def __exit__(self, *error: object) -> None:
        if self._stream is not None:
            set_stream(self._before.pop())


# --- memory: CuPy's pool ----------------------------------------------------------------------------------------------


def _pool_figure(name: str, device: Any) -> int:
    with cupy().cuda.Device(_on(device).index):
        return int(getattr(cupy().get_default_memory_pool(), name)())


def memory_allocated(device: Any = None) -> int:
    """Bytes in arrays and in the temporaries of kernels."""
    return _pool_figure("used_bytes", device)


def memory_reserved(device: Any = None) -> int:
    """Bytes that the pool holds: those in use, and those kept for reuse."""
    return _pool_figure("total_bytes", device)


def empty_cache() -> None:
    """Give what the pool keeps for reuse, and the workspaces of cuBLASLt, back to the driver."""
    if is_available():
        _on(None).kernels.drop_workspaces()
        cupy().get_default_memory_pool().free_all_blocks()


def mem_get_info(device: Any = None) -> tuple[int, int]:
    """(free, total) bytes of a GPU's memory, over all processes."""
    free, total = cupy().cuda.Device(_on(device).index).mem_info
    return int(free), int(total)


# --- random numbers ---------------------------------------------------------------------------------------------------


def manual_seed(seed: int) -> None:
    """Seed the current GPU's default generator."""
    if is_available():
        _random.default_on(_on(None)).manual_seed(seed)


def manual_seed_all(seed: int) -> None:
    """Seed the default generators of all GPUs."""
    for index in range(device_count()):
        _random.default_on(_on(index)).manual_seed(seed)


def seed() -> int:
    """Seed the current GPU's default generator with a number that the operating system chooses, and return that."""
    return _random.default_on(_on(None)).seed()


def initial_seed() -> int:
    """The seed of the current GPU's default generator."""
    return _random.default_on(_on(None)).initial_seed()


def get_rng_state(device: Any = None) -> Tensor:
    """The state of a GPU's default generator, on the CPU."""
    return _random.default_on(_on(device)).get_state()


def set_rng_state(new_state: Tensor, device: Any = None) -> None:
    """Set the state of a GPU's default generator."""
    _random.default_on(_on(device)).set_state(new_state)


def get_rng_state_all() -> list[Tensor]:
    """The states of all GPUs' default generators."""
    return [get_rng_state(index) for index in range(device_count())]


def set_rng_state_all(new_states: Iterable[Tensor]) -> None:
    """Set the states of the GPUs' default generators, in their order."""
    for index, state in enumerate(new_states):
        set_rng_state(state, index)
