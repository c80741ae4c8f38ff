"""Generators of random numbers: the state that the kernels of csrc/kernels/random.cpp draw from and move on.

The numbers are those of Philox 4x32-10, a function of a key and a counter (Salmon et al. 2011), so that an element gets the
same number for any number of threads, on every instruction set and device.
"""

from __future__ import annotations

import contextlib
import secrets
import threading
from collections.abc import Iterator
from typing import Any

import numpy as np

from pullback._backend import as_device, cpu, device as Device
from pullback._tensor import Tensor

_DEFAULT_SEED = 67280421310721
_BITS = 1 << 64


class Generator:
    """A stream of random numbers of its own: `Generator().manual_seed(0)`, to be passed as `generator=`.

    `state` is an int64 array [seed, counter] that every draw moves on in memory, so that a recorded step which is
    replayed continues the stream. Two threads may draw from one generator, each then getting some part of the stream.
    """

    __slots__ = ("__weakref__", "device", "state")

    def __init__(self, device: Any = "cpu") -> None:
        self.device = as_device(device)
        self.state = self.device.empty((2,), np.dtype(np.int64))
        self.manual_seed(_DEFAULT_SEED)

    def manual_seed(self, seed: int) -> Generator:
        """Start the stream of a seed, −2⁶³ ≤ seed < 2⁶⁴, from its beginning. RuntimeError for any other integer."""
        if not hasattr(seed, "__index__"):
            raise TypeError(f"manual_seed: seed expects an int, got {type(seed).__name__}")
        seed = seed.__index__()
        if not -(_BITS // 2) <= seed < _BITS:
            raise RuntimeError(f"manual_seed: seed expects an integer of 64 bits, got {seed}")
        seed %= _BITS
        fill = self.device.kernels.fill_integer
        fill(self.state[:1], seed - _BITS if seed >= _BITS // 2 else seed)
        fill(self.state[1:], 0)
        return self

    def seed(self) -> int:
        """Start the stream of a seed that the operating system chooses, and return that seed."""
        self.manual_seed(secrets.randbits(64))
        return self.initial_seed()

    def initial_seed(self) -> int:
        """The seed of the stream."""
        return int(self._on_host()[0]) % _BITS

    def _on_host(self) -> Any:
        """A copy of the state as a NumPy array."""
        return np.array(self.device.to_host(self.state))

    def get_state(self) -> Tensor:
        """The state as a tensor of 16 bytes on the CPU: the seed and the place in its stream."""
        return Tensor._wrap(self._on_host().view(np.uint8))

    def set_state(self, new_state: Tensor) -> None:
        """Go back to what `get_state` returned. TypeError or RuntimeError for anything else."""
        if not isinstance(new_state, Tensor):
            raise TypeError(f"set_state: new_state expects a Tensor, got {type(new_state).__name__}")
        array = new_state.cpu()._array
        if array.dtype != np.uint8 or array.shape != (16,):
            raise RuntimeError(
                f"set_state: new_state expects uint8 and shape [16], got {array.dtype}, {list(array.shape)}"
            )
        words = np.ascontiguousarray(array).view(np.int64)
        self.device.kernels.copy(self.device.from_host(words), self.state)

    def __reduce__(self) -> tuple[Any, ...]:
        return (_restored, (self.get_state(), self.device))

    def __repr__(self) -> str:
        return f"Generator(device={str(self.device)!r}, seed={self.initial_seed()})"


def _restored(state: Tensor, device: Device) -> Generator:
    generator = Generator(device)
    generator.set_state(state)
    return generator


default_generator = Generator()
_default_generators: dict[Device, Generator] = {}  # of the other devices


class _ThisThread(threading.local):
    """The generator that None means: a worker of `DataLoader` has one of its own, so that its numbers are reproducible."""

    generator = default_generator


this_thread = _ThisThread()


def default_on(device: Device) -> Generator:
    """A device's default generator; one that is new takes the seed of the CPU's."""
    if device is cpu:
        return this_thread.generator
    if device not in _default_generators:
        made = Generator(device).manual_seed(default_generator.initial_seed())
        return _default_generators.setdefault(device, made)
    return _default_generators[device]


def state_of(op: str, generator: Any, device: Device) -> Any:
    """The state array that an op on a device draws from; the default generator's for None.

    RuntimeError for a generator of another device.
    """
    if generator is None:
        return default_on(device).state
    if not isinstance(generator, Generator):
        raise TypeError(f"{op}: generator expects a Generator or None, got {type(generator).__name__}")
    if generator.device is not device:
        raise RuntimeError(f"{op}: generator expects device {device}, got {generator.device}")
    return generator.state


def manual_seed(seed: int) -> Generator:
    """Seed the default generators of all devices, and return the CPU's."""
    for generator in list(_default_generators.values()):
        generator.manual_seed(seed)
    return this_thread.generator.manual_seed(seed)


def seed() -> int:
    """Seed the default generator with a number that the operating system chooses, and return that."""
    return this_thread.generator.seed()


def initial_seed() -> int:
    """The seed of the default generator."""
    return this_thread.generator.initial_seed()


def get_rng_state() -> Tensor:
    """The state of the default generator."""
    return this_thread.generator.get_state()


def set_rng_state(new_state: Tensor) -> None:
    """Set the state of the default generator."""
    this_thread.generator.set_state(new_state)


@contextlib.contextmanager
def fork_rng(devices: Any = None, enabled: bool = True) -> Iterator[None]:
    """`with fork_rng():` what is drawn inside leaves the default generator as it was before."""
    before = get_rng_state()
    try:
        yield
    finally:
        if enabled:
            set_rng_state(before)
