"""Optimizers and learning-rate schedules: PyTorch's `torch.optim`."""

from pullback.optim import lr_scheduler
from pullback.optim.adam import Adam
from pullback.optim.adamw import AdamW
from pullback.optim.optimizer import Optimizer
from pullback.optim.rmsprop import RMSprop
from pullback.optim.sgd import SGD

__all__ = ["Adam", "AdamW", "Optimizer", "RMSprop", "SGD", "lr_scheduler"]
