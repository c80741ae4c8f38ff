"""pullback: a small, fast deep-learning library. Kernels with their derivatives, PyTorch's names, NumPy's arrays."""

from typing import TYPE_CHECKING

from pullback import memory as memory
from pullback._autocast import (  # "as": what type checkers may take for public
    autocast as autocast,
    clear_autocast_cache as clear_autocast_cache,
    get_autocast_dtype as get_autocast_dtype,
    is_autocast_cache_enabled as is_autocast_cache_enabled,
    is_autocast_enabled as is_autocast_enabled,
    set_autocast_cache_enabled as set_autocast_cache_enabled,
    set_autocast_dtype as set_autocast_dtype,
    set_autocast_enabled as set_autocast_enabled,
)
from pullback._backend import device as device
from pullback._dtype import (
    bfloat16 as bfloat16,
    bool_ as bool,
    dtype as dtype,
    finfo as finfo,
    float16 as float16,
    float32 as float32,
    float64 as float64,
    get_default_dtype as get_default_dtype,
    half as half,
    iinfo as iinfo,
    int8 as int8,
    int16 as int16,
    int32 as int32,
    int64 as int64,
    promote_types as promote_types,
    set_default_dtype as set_default_dtype,
    uint8 as uint8,
)
from pullback._tape import (
    enable_grad as enable_grad,
    inference_mode as inference_mode,
    is_grad_enabled as is_grad_enabled,
    no_grad as no_grad,
    set_grad_enabled as set_grad_enabled,
)
from pullback._tensor import Size as Size, Tensor as Tensor
from pullback._threads import get_num_threads as get_num_threads, set_num_threads as set_num_threads
from pullback.ops import *

float = float32
double = float64
long = int64
int = int32
short = int16

__version__ = "0.1.0"

if TYPE_CHECKING:
    from pullback import amp, autograd, cuda, datasets, func, io, linalg, models, nn, optim, utils
    from pullback._capture import capture as capture, compile as compile
    from pullback._session import CaptureError as CaptureError
    from pullback.autograd.gradcheck import gradcheck as gradcheck, gradgradcheck as gradgradcheck
    from pullback.io.checkpoint import load as load, save as save
    from pullback.io.plan import load_plan as load_plan
else:
    _HOMES = {
        "CaptureError": "_session",
        "capture": "_capture",
        "compile": "_capture",
        "gradcheck": "autograd",
        "gradgradcheck": "autograd",
        "load": "io",
        "load_plan": "io.plan",
        "save": "io",
    }

    def __getattr__(name):
        """Packages above the ops are imported when they are first used, which keeps `import pullback` short."""
        import importlib

        if name in ("amp", "autograd", "cuda", "datasets", "func", "io", "linalg", "models", "nn", "optim", "utils"):
            return importlib.import_module(f"pullback.{name}")
        home = _HOMES.get(name)
        if home is not None:
            return getattr(importlib.import_module(f"pullback.{home}"), name)
        raise AttributeError(f"module 'pullback' has no attribute {name!r}")
