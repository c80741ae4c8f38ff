"""pullback._cuda_emulated: the same interface, on kernels that run on the host; in test builds."""

from typing import Any

from pullback._cuda import *

def set_thread_order(order: str, seed: int = 0) -> None: ...
def __getattr__(name: str) -> Any: ...  # a kernel
