import torch
import torch.nn as nn
import torch.nn.functional as F


class VAE(nn.Module):
    def __init__(self, n=64, hidden=40, latent=4):
        super().__init__()
        self.hidden = nn.Linear(n, hidden)
        self.mu = nn.Linear(hidden, latent)
        self.logvar = nn.Linear(hidden, latent)
        self.up = nn.Linear(latent, hidden)
        self.out = nn.Linear(hidden, n)

    def encode(self, x):
        h = F.softplus(self.hidden(x))
        return self.mu(h), self.logvar(h)

    def reparameterize(self, mu, logvar):
        std = torch.exp(0.5 * logvar)
        eps = torch.randn_like(std)
        return mu + eps * std

    def decode(self, z):
        return self.out(F.elu(self.up(z)))

    def forward(self, x):
        mu, logvar = self.encode(x)
        return self.decode(self.reparameterize(mu, logvar)), mu, logvar


def make():
    model = VAE()
    return model, torch.optim.AdamW(model.parameters(), lr=2e-3, amsgrad=True)


def batch(rng):
    return (rng.random((24, 64), dtype="float32"),)


def loss(model, x):
    x = torch.as_tensor(x)
    logits, mu, logvar = model(x)
    reconstruction = F.binary_cross_entropy_with_logits(logits, x, reduction="sum")
    kl = -0.5 * torch.sum(1 + logvar - mu.pow(2) - logvar.exp())
    return (reconstruction + kl) / x.shape[0]
