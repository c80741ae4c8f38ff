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

from pullback._backend import as_device
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
        return int(self.state[0]) % _BITS

    def get_state(self) -> Tensor:
        """The state as a tensor of 16 bytes: the seed and the place in its stream."""
        return Tensor._wrap(self.state.copy().view(np.uint8))

    def set_state(self, new_state: Tensor) -> None:
        """Go back to what `get_state` returned. TypeError or RuntimeError for anything else."""
        if not isinstance(new_state, Tensor):
            raise TypeError(f"set_state: new_state expects a Tensor, got {type(new_state).__name__}")
        array = new_state._array
        if array.dtype != np.uint8 or array.shape != (16,):
            raise RuntimeError(
                f"set_state: new_state expects uint8 and shape [16], got {array.dtype}, {list(array.shape)}"
            )
        self.device.kernels.copy(np.ascontiguousarray(array).view(np.int64), self.state)

    def __reduce__(self) -> tuple[Any, ...]:
        return (_restored, (self.state.copy(),))

    def __repr__(self) -> str:
        return f"Generator(device={self.device.type!r}, seed={self.initial_seed()})"


def _restored(state: Any) -> Generator:
    generator = Generator()
    generator.state[...] = state
    return generator


default_generator = Generator()


class _ThisThread(threading.local):
    """The generator that None means: a worker of `DataLoader` has one of its own, so that its numbers are reproducible."""

    generator = default_generator


this_thread = _ThisThread()


def state_of(op: str, generator: Any) -> Any:
    """The state array that an op draws from; the default generator's for None."""
    if generator is None:
        return this_thread.generator.state
    if not isinstance(generator, Generator):
        raise TypeError(f"{op}: generator expects a Generator or None, got {type(generator).__name__}")
    return generator.state


def manual_seed(seed: int) -> Generator:
    """Seed the default generator, and return it."""
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
