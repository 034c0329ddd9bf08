"""An attention extractor with two masks in a training loop of one's own.

    python examples/attention_extractor.py

A panda learns to fetch a watermelon: `entity_mask` and `visibility` say what its network may
look at, `action_mask` what it may do. Advantage actor-critic, 16 steps of 64 worlds an update.
"""

import torch

import maskrl
from maskrl.attention import observer_view

torch.manual_seed(0)
worlds = maskrl.make_vec("panda-trees", 64, seed=0)
obs, _ = worlds.reset(seed=0)
extractor = maskrl.EntityEncoder(obs["entities"].shape[-1], 32, depth=2, heads=4, pool="self")
head = torch.nn.Linear(32, 6 + 1)  # logits of six actions, and a value
adam = torch.optim.Adam([*extractor.parameters(), *head.parameters()], lr=2e-3)


def act(obs):
    """The panda's policy and the value of each world, through its own eyes only."""
    scene = {name: torch.as_tensor(entry) for name, entry in obs.items()}
    view = observer_view(scene["visibility"], 0)
    out = head(extractor(scene["entities"], scene["entity_mask"], view, observer=0))
    return maskrl.MaskedCategorical(out[:, :6], scene["action_mask"]), out[:, 6]


for update in range(60):
    steps, loss = [], 0.0
    for _ in range(16):
        policy, value = act(obs)
        action = policy.sample()
        obs, reward, terminated, truncated, _ = worlds.step(action.numpy())
        steps.append((policy, action, value, torch.tensor(reward), terminated | truncated))
    target = act(obs)[1].detach()
    for policy, action, value, reward, ended in reversed(steps):
        target = reward + 0.97 * torch.where(torch.tensor(ended), 0.0, target)
        loss += (value - target).square() + (value.detach() - target) * policy.log_prob(action)
    adam.zero_grad()
    loss.mean().backward()
    adam.step()
    print(f"update {update}: reward per step {sum(s[3].mean().item() for s in steps) / 16:.3f}")
