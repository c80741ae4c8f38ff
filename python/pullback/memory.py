"""The caching allocator that arrays and temporaries come from: its figures, and the bound of what it keeps.

Blocks of memory that are no longer used wait for the next array of their size class instead of going back to the
system: touching fresh pages costs more than most kernels. A size is rounded up to its class, by at most a quarter or
64 bytes; blocks of 2 MiB and more begin on a huge page. What is kept is bounded, by a quarter of the machine's memory
(or of the container's) at first; beyond it, the sizes that have been out of use for longest go back to the system.
"""

from __future__ import annotations

import operator
from typing import SupportsIndex

from pullback import _cpu

__all__ = ["release", "reset_peak", "set_limit", "stats"]

MOST_BYTES = 2**63 - 1


def stats() -> dict[str, int]:
    """The allocator's figures now.

    Bytes, in whole blocks, so that in_use + cached is what the allocator holds:
        in_use       in arrays and in the temporaries that threads keep
        cached       kept for reuse
        peak         the most that in_use has been since the start, or since `reset_peak`
        limit        the bound of cached
    Counts since the start:
        allocations  hits + misses
        hits         served from the cache
        misses       taken from the system
        system_calls blocks taken from the system and blocks given back to it
    """
    return _cpu.memory_stats()  # type: ignore[no-any-return]


def release() -> int:
    """Give all cached memory back to the system; returns its bytes. Arrays are not touched."""
    return _cpu.memory_release()


def reset_peak() -> None:
    """Let `stats()["peak"]` begin at what is in use now."""
    _cpu.memory_reset_peak()


def set_limit(bytes: SupportsIndex) -> None:
    """Keep at most this many bytes for reuse; 0 keeps nothing. What is cached beyond goes back to the system at once.

    Raises TypeError for what is no integer, ValueError for a negative number or one above 2⁶³ − 1.
    """
    if isinstance(bytes, bool) or not hasattr(bytes, "__index__"):
        raise TypeError(f"memory.set_limit: expected an integer number of bytes, got {type(bytes).__name__}")
    number = operator.index(bytes)
    if not 0 <= number <= MOST_BYTES:
        raise ValueError(f"memory.set_limit: expected 0 to 2**63 - 1 bytes, got {number}")
    _cpu.memory_set_limit(number)
