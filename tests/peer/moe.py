import torch
import torch.nn as nn
import torch.nn.functional as F


class Expert(nn.Module):
    def __init__(self, d_model, d_hidden):
        super().__init__()
        self.net = nn.Sequential(nn.Linear(d_model, d_hidden), nn.ReLU(inplace=True), nn.Linear(d_hidden, d_model))

    def forward(self, x):
        return self.net(x)


class MoE(nn.Module):
    def __init__(self, d_model=12, d_hidden=24, experts=4, k=2, classes=3):
        super().__init__()
        self.k = k
        self.gate = nn.Linear(d_model, experts, bias=False)
        self.experts = nn.ModuleList([Expert(d_model, d_hidden) for _ in range(experts)])
        self.bias = nn.Parameter(torch.zeros(d_model))
        self.head = nn.Linear(d_model, classes)

    def forward(self, x):
        scores = self.gate(x)
        top, index = torch.topk(scores, self.k, dim=-1)
        weights = torch.zeros_like(scores).scatter(-1, index, F.softmax(top, dim=-1))
        outputs = torch.stack([expert(x) for expert in self.experts], dim=1)
        mixed = torch.einsum("be,bed->bd", weights, outputs) + self.bias
        routed = torch.zeros_like(mixed)
        for e, expert in enumerate(self.experts):
            rows = torch.where(index[:, 0] == e)[0]
            if rows.numel() > 0:
                routed[rows] = expert(x[rows])
        mask = (weights > 0).float()
        balance = (weights.mean(0) * mask.mean(0)).sum() * len(self.experts)
        return self.head(torch.cat([x + mixed, routed], dim=0)), balance


def make():
    model = MoE()
    return model, torch.optim.Adam(model.parameters(), lr=5e-3)


def batch(rng):
    return rng.standard_normal((18, 12), dtype="float32"), rng.integers(0, 3, 18)


def loss(model, x, y):
    target = torch.as_tensor(y)
    logits, balance = model(torch.as_tensor(x))
    return F.nll_loss(F.log_softmax(logits, dim=1), torch.cat([target, target])) + 0.01 * balance
