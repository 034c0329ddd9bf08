"""Which parts PPO is put together from, and that both kinds offer the same."""

from __future__ import annotations

import inspect

import pytest

from maskrl.networks.encoders import NetworkConfig
from maskrl.trainers.collector import Collector
from maskrl.trainers.gradient_steps import GradientSteps
from maskrl.trainers.parts import Parts
from maskrl.trainers.ppo import PPO
from maskrl.trainers.ppo_config import PPOConfig
from maskrl.trainers.ppo_parts import PPOParts
from maskrl.trainers.single_parts import SingleAgentParts
from maskrl.trainers.team_parts import TeamParts

SMALL = PPOConfig(
    num_envs=2, rollout_steps=4, minibatch_size=4, threads=1, network=NetworkConfig(hidden=(4,))
)


@pytest.mark.parametrize("kind", [SingleAgentParts, TeamParts])
def test_both_kinds_have_every_method_with_the_same_arguments(kind):
    offered = vars(Parts) | vars(PPOParts)
    methods = {name: x for name, x in offered.items() if inspect.isfunction(x)}
    methods = {name: x for name, x in methods.items() if not name.startswith("_")}
    assert set(methods) >= {"judge", "update_statistics", "trusted", "choose_threads", "predict"}
    for name, method in methods.items():
        own = inspect.signature(getattr(kind, name))
        assert list(own.parameters) == list(inspect.signature(method).parameters), name


def test_the_observation_says_which(corridor, shifts):
    for env, config, kind in (
        (corridor(2), SMALL, SingleAgentParts),
        (shifts(2), SMALL.replace(death="terminal"), TeamParts),
    ):
        trainer = PPO(env, config)
        assert type(trainer.parts) is kind
        for name in (*PPOParts.__annotations__, "buffer", "collector", "update"):
            assert hasattr(trainer.parts, name), name
        assert isinstance(trainer.collector, Collector)
        assert isinstance(trainer.update, GradientSteps)
        for name in ("policy", "buffer", "collector", "update", "reward_scale"):
            assert getattr(trainer, name) is getattr(trainer.parts, name)
