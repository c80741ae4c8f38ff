import torch
import torch.nn as nn
import torch.nn.functional as F
from torch import optim


class MLP(nn.Module):
    def __init__(self, n_in=64, n_hidden=48, n_classes=10):
        super().__init__()
        self.fc1 = nn.Linear(n_in, n_hidden)
        self.fc2 = nn.Linear(n_hidden, n_hidden)
        self.fc3 = nn.Linear(n_hidden, n_classes)

    def forward(self, x):
        x = x.view(x.size(0), -1)
        x = F.relu(self.fc1(x))
        x = F.relu(self.fc2(x))
        return self.fc3(x)


def make():
    model = MLP()
    return model, optim.Adam(model.parameters(), lr=1e-3, betas=(0.9, 0.99), weight_decay=1e-4)


def batch(rng):
    return rng.random((32, 1, 8, 8), dtype="float32"), rng.integers(0, 10, 32)


def loss(model, x, y):
    logits = model(torch.as_tensor(x))
    target = torch.as_tensor(y)
    accuracy = (logits.argmax(dim=1) == target).float().mean()
    assert 0 <= accuracy.item() <= 1
    return F.cross_entropy(logits, target, label_smoothing=0.05)
