"""Learning-rate schedules: PyTorch's `torch.optim.lr_scheduler`, and Robbins and Monro's.

A schedule sets the `lr` of every parameter group when it is made, and at every `step()`. Most compute the next rate from
the present one, so that several schedules of one optimizer multiply.
"""

from pullback.optim.lr_scheduler.base import LRScheduler
from pullback.optim.lr_scheduler.compose import ChainedScheduler, SequentialLR
from pullback.optim.lr_scheduler.cosine import CosineAnnealingLR, CosineAnnealingWarmRestarts
from pullback.optim.lr_scheduler.cycle import OneCycleLR
from pullback.optim.lr_scheduler.factors import (
    ConstantLR,
    ExponentialLR,
    LambdaLR,
    LinearLR,
    MultiplicativeLR,
    MultiStepLR,
    PolynomialLR,
    RobbinsMonroLR,
    StepLR,
)
from pullback.optim.lr_scheduler.plateau import ReduceLROnPlateau

__all__ = [
    "ChainedScheduler",
    "ConstantLR",
    "CosineAnnealingLR",
    "CosineAnnealingWarmRestarts",
    "ExponentialLR",
    "LRScheduler",
    "LambdaLR",
    "LinearLR",
    "MultiStepLR",
    "MultiplicativeLR",
    "OneCycleLR",
    "PolynomialLR",
    "ReduceLROnPlateau",
    "RobbinsMonroLR",
    "SequentialLR",
    "StepLR",
]
