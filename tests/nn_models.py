"""Small modules that several tests of `nn` use."""

from __future__ import annotations

import pullback as pb
from pullback import nn
from pullback.nn import Module, Parameter


class Block(Module):
    def __init__(self, n=3):
        super().__init__()
        self.scale = Parameter(pb.ones(n))
        self.shift = Parameter(pb.zeros(n))
        self.register_buffer("mean", pb.zeros(n))
        self.register_buffer("scratch", pb.zeros(1), persistent=False)

    def forward(self, x, gain=1.0):
        return (x - self.mean) * self.scale * gain + self.shift


class Net(Module):
    def __init__(self):
        super().__init__()
        self.first = Block()
        self.rest = nn.ModuleList([Block(), Block()])
        self.nothing = None
        self.register_parameter("absent", None)

    def forward(self, x):
        x = self.first(x)
        for block in self.rest:
            x = block(x)
        return x
