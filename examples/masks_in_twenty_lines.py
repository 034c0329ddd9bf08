"""The library without the trainers: both masks in a loop of one's own.

A scene of four entities, of which the third (a scorpion) is hidden from the
others, becomes features; a masked distribution chooses among six actions.
"""

import torch

from maskrl import EntityEncoder, MaskedCategorical, as_mask
from maskrl.attention import hidden, observer_view

torch.manual_seed(0)
entities = torch.randn(1, 4, 3, requires_grad=True)  # panda, watermelon, scorpion, dragon
entity_mask = as_mask([[1, 1, 1, 1]])  # all four slots are used
visibility = hidden(entity_mask, as_mask([[0, 0, 1, 0]]))  # the scorpion sees, unseen
action_mask = as_mask([[1, 1, 0, 1, 1, 0]])  # a tree to the left, no banana to throw

encoder = EntityEncoder(3, dim=32, depth=2, heads=4, pool="self")
head = torch.nn.Linear(32, 6)

view = observer_view(visibility, 0)  # what the panda sees, and nothing through others' eyes
logits = head(encoder(entities, entity_mask, view, observer=0))
policy = MaskedCategorical(logits, action_mask)
action = policy.sample()
loss = -policy.log_prob(action).mean() - 0.01 * policy.entropy().mean()
loss.backward()
print(policy.probs.detach())  # what is disallowed: exactly 0
print(entities.grad.abs().sum(-1))  # how far each entity moved the loss; the scorpion: exactly 0
