"""What parts are built on, and that all trainers' parts offer what checkpoints ask for."""

from __future__ import annotations

import inspect

import pytest
import torch

from maskrl.runs.seeding import Seeds
from maskrl.trainers.dqn_parts import DQNParts
from maskrl.trainers.off_policy import OffPolicyParts
from maskrl.trainers.parts import Ground, Parts
from maskrl.trainers.ppo_config import PPOConfig
from maskrl.trainers.sac_parts import SACParts
from maskrl.trainers.single_parts import SingleAgentParts
from maskrl.trainers.team_parts import TeamParts
from maskrl.trainers.training_env import open_training_env


def test_collectors_of_one_ground_draw_from_one_stream(corridor):
    seeds = Seeds(4)
    opened = open_training_env(corridor(2), 2, seed=0)
    ground = Ground(opened, seeds, 17, torch.device("cpu"))
    settings = ground.collector_settings(PPOConfig(num_envs=2, empty="idle"))
    assert settings["generator"] is seeds.torch("actions")
    assert (settings["seed"], settings["empty"]) == (17, "idle")
    assert settings["name"] == "CorridorVectorEnv" and settings["device"].type == "cpu"


@pytest.mark.parametrize("kind", [SingleAgentParts, TeamParts, OffPolicyParts, DQNParts, SACParts])
def test_parts_take_what_the_interface_says(kind):
    methods = [
        name
        for name, value in vars(Parts).items()
        if not name.startswith("_") and inspect.isfunction(value)
    ]
    assert {"training_state", "training_folders", "restore_training_state"} <= set(methods)
    for name in methods:
        ours = inspect.signature(getattr(kind, name))
        theirs = inspect.signature(getattr(Parts, name))
        assert list(ours.parameters) == list(theirs.parameters), name
