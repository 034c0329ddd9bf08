"""What every update has in common: the order of things, and when it ends."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from torch import nn

from maskrl.errors import ConfigError
from maskrl.trainers.gradient_steps import GradientSteps, entropy_estimate, shuffled_parts
from maskrl.trainers.ppo_config import PPOConfig

CPU = torch.device("cpu")


class Steps(GradientSteps):
    """An update whose losses are told: pairs of `approx_kl` and whether there is a gradient."""

    statistics = ("number", "approx_kl")

    def __init__(self, told, **settings):
        self.layer = nn.Linear(1, 1)
        super().__init__(self.layer, PPOConfig(**settings), device=CPU, shuffle=torch.Generator())
        self.told = told
        self.events = []

    def normalize(self, buffer):
        self.events.append("normalize")

    def lesson(self, buffer, entropy_coef):
        return self

    def minibatches(self):
        yield from enumerate(self.told)

    def loss(self, minibatch):
        number, (divergence, has_gradient) = minibatch
        self.events.append(f"loss {number}")
        self.has_gradient = has_gradient
        return SimpleNamespace(statistics=torch.tensor([float(number), divergence]))

    def look(self, loss):
        self.events.append("look")
        return {"ratio_drift": 0.0}

    def backward(self, loss):
        self.events.append("backward")
        for parameter in self.layer.parameters():
            parameter.grad = torch.full_like(parameter, 2.0)
        return self.has_gradient

    def look_back(self):
        self.events.append("look back")
        return {"divergence": 0.7}


def test_the_order_of_things_and_means_of_what_was_learned():
    steps = Steps([(0.0, True), (0.1, False), (0.2, True)], max_grad_norm=0.0)
    learned = steps.run(None, learning_rate=0.5, entropy_coef=0.25)
    assert steps.events == [
        "normalize", "loss 0", "look", "backward", "loss 1", "backward", "loss 2", "backward",
        "look back",
    ]  # fmt: skip
    assert learned == pytest.approx(
        {
            "number": 1.0,  # of 0 and 2: the other had nothing to learn
            "approx_kl": 0.1,
            "grad_norm": 8**0.5,
            "ratio_drift": 0.0,
            "divergence": 0.7,
            "gradient_steps": 2.0,
            "learning_rate": 0.5,
            "entropy_coef": 0.25,
        }
    )


def test_the_end_comes_when_the_policy_has_moved_enough():
    told = [(0.5, True), (0.01, True), (0.031, True), (0.0, True)]
    steps = Steps(told, target_kl=0.02, normalize_advantage=False)
    learned = steps.run(None, learning_rate=0.5, entropy_coef=0.0)
    assert learned["gradient_steps"] == 2  # never before the first; then at 0.031 > 1.5 * 0.02
    assert "normalize" not in steps.events


def test_nothing_to_learn_at_all():
    steps = Steps([(0.0, False)])
    before = steps.layer.weight.detach().clone()
    learned = steps.run(None, learning_rate=0.5, entropy_coef=0.0)
    assert learned["gradient_steps"] == learned["grad_norm"] == learned["number"] == 0.0
    assert torch.equal(steps.layer.weight, before)


def test_a_policy_without_parameters():
    class Frozen(Steps):
        def __init__(self):
            GradientSteps.__init__(
                self, nn.Identity(), PPOConfig(), device=CPU, shuffle=torch.Generator()
            )

    with pytest.raises(ConfigError, match="Identity has no parameter to train"):
        Frozen()


def test_every_row_is_used_once_per_epoch():
    config = PPOConfig(minibatch_size=7, epochs=2)
    parts = list(shuffled_parts(20, config, torch.Generator().manual_seed(1)))
    assert [len(part) for part in parts] == [7, 7, 6, 7, 7, 6]
    for epoch in (parts[:3], parts[3:]):
        assert sorted(torch.cat(epoch).tolist()) == list(range(20))
    assert [len(part) for part in shuffled_parts(3, config, torch.Generator())] == [3, 3]


def test_only_trees_too_large_to_enumerate_are_estimated():
    assert entropy_estimate(object(), torch.Generator(), CPU) is None
