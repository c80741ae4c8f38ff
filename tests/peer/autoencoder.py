import torch
from torch import nn
from torch.optim import SGD


class Autoencoder(nn.Module):
    def __init__(self, n=64, code=6):
        super().__init__()
        self.encoder = nn.Sequential(nn.Flatten(), nn.Linear(n, 32), nn.GELU(), nn.Linear(32, code), nn.Tanh())
        self.decoder = nn.Sequential(
            nn.Linear(code, 32), nn.SiLU(), nn.Linear(32, n), nn.Sigmoid(), nn.Unflatten(1, (1, 8, 8))
        )

    def forward(self, x):
        return self.decoder(self.encoder(x))


def make():
    model = Autoencoder()
    return model, SGD(model.parameters(), lr=0.5, momentum=0.9, nesterov=True)


def batch(rng):
    return (rng.random((16, 1, 8, 8), dtype="float32"),)


def loss(model, x):
    x = torch.as_tensor(x)
    reconstruction = model(x)
    sparsity = sum(p.abs().sum() for name, p in model.named_parameters() if name.endswith("weight"))
    return nn.MSELoss()(reconstruction, x) + 1e-5 * sparsity
