"""A GPU's memory that has run out: what the pool keeps for reuse is given back once, then an error says who holds what."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pullback._repr import size_text


class OutOfMemoryError(RuntimeError, MemoryError):
    """A GPU has no memory of the size that was asked for. What was held before is held still, and usable."""


def again(make: Callable[[], Any], size: int, pool: Any, device: str, free_and_total: Callable[[], Any]) -> Any:
    """make(), which takes `size` bytes from a pool and has failed, without the blocks that the pool keeps for reuse.

    OutOfMemoryError where it fails once more, with the pool's figures and the device's, which are of all processes.
    """
    pool.free_all_blocks()
    try:
        return make()
    except MemoryError:
        sizes = (size, pool.used_bytes(), pool.total_bytes(), *free_and_total())
        asked, used, held, free, total = map(size_text, sizes)
        raise OutOfMemoryError(
            f"{device} is out of memory: {asked} were asked for; the pool holds {held}, {used} of them in use; "
            f"the GPU has {total}, {free} of them free"
        ) from None
