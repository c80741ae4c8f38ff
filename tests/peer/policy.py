import torch
import torch.nn as nn
import torch.nn.functional as F
from torch.nn.utils import clip_grad_norm_


class ActorCritic(nn.Module):
    def __init__(self, observations=8, actions=5):
        super().__init__()
        self.body = nn.ModuleList([nn.Linear(observations, 32), nn.Linear(32, 32)])
        self.heads = nn.ModuleDict({"policy": nn.Linear(32, actions), "value": nn.Linear(32, 1)})
        self.register_buffer("scale", torch.full((observations,), 0.5))

    def forward(self, x):
        x = x * self.scale
        for layer in self.body:
            x = torch.tanh(layer(x))
        return F.log_softmax(self.heads["policy"](x), dim=-1), self.heads["value"](x).squeeze(-1)


def make():
    model = ActorCritic()
    groups = [{"params": model.body.parameters(), "lr": 3e-3}, {"params": model.heads.parameters()}]
    return model, torch.optim.RMSprop(groups, lr=1e-3, alpha=0.95, momentum=0.5, centered=True)


def batch(rng):
    return (
        rng.standard_normal((20, 8), dtype="float32"),
        rng.integers(0, 5, 20),
        rng.standard_normal(20, dtype="float32"),
    )


def loss(model, observations, actions, rewards):
    log_probs, values = model(torch.as_tensor(observations))
    rewards = torch.as_tensor(rewards)
    returns = torch.flip(torch.cumsum(torch.flip(rewards, [0]), 0), [0])
    returns = (returns - returns.mean()) / (returns.std() + 1e-6)
    advantage = (returns - values).detach()
    chosen = log_probs.gather(1, torch.as_tensor(actions).unsqueeze(1)).squeeze(1)
    entropy = -(log_probs.exp() * log_probs).sum(dim=-1).mean()
    ratio = (chosen - chosen.detach()).exp()
    surrogate = torch.min(ratio * advantage, ratio.clamp(0.8, 1.2) * advantage)
    return -surrogate.mean() + 0.5 * F.smooth_l1_loss(values, returns) - 0.01 * entropy


def after_backward(model):
    return clip_grad_norm_(model.parameters(), max_norm=0.5)
