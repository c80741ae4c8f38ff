"""Mixed precision, by the names of `torch.amp`: `autocast` chooses types, `custom_fwd` and `custom_bwd` do for a `Function`,
and a `GradScaler` keeps gradients in float16 from vanishing."""

from pullback._autocast import (
    autocast as autocast,
    is_autocast_available as is_autocast_available,
)
from pullback.amp.function import custom_bwd as custom_bwd, custom_fwd as custom_fwd
from pullback.amp.grad_scaler import GradScaler as GradScaler
