"""Ids, vector environments and single ones all become one vector environment."""

from __future__ import annotations

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces
from gymnasium.vector import AutoresetMode, SyncVectorEnv

from maskrl.envs.contract import mask_space
from maskrl.errors import ConfigError, NoMaskError, UnknownEnvError
from maskrl.masks.tree import ActionTree, Head
from maskrl.trainers.training_env import open_training_env, stored_kwargs


def test_vector_environment_is_taken_as_it_is(corridor):
    venv = corridor(3)
    opened = open_training_env(venv, 16, seed=0)
    assert opened.venv is venv
    assert (opened.id, opened.kwargs) == (None, {})
    assert opened.name == "CorridorVectorEnv"


def test_single_environment_is_adapted_and_wrapped(corridor_env):
    opened = open_training_env(corridor_env(), 16, seed=0)
    assert opened.venv.num_envs == 1
    assert set(opened.observation_space) == {"observation", "action_mask"}
    obs, _ = opened.venv.reset(seed=1)
    assert obs["action_mask"].dtype == np.bool_
    assert obs["action_mask"].sum() == 2


def test_workers_are_for_ids(corridor):
    with pytest.raises(ConfigError, match=r"workers: 2 processes cannot be given an environment"):
        open_training_env(corridor(3), 16, seed=0, workers=2)
    opened = open_training_env("gymnasium:Taxi-v4", 2, seed=0, workers=2)
    assert opened.venv.num_envs == 2 and opened.id == "gymnasium:Taxi-v4"
    opened.venv.close()


def test_id_goes_through_the_registry():
    opened = open_training_env("gymnasium:Taxi-v4", 3, seed=0, kwargs={"is_rainy": False})
    assert opened.venv.num_envs == 3
    assert opened.action_space == spaces.Discrete(6)
    assert (opened.id, opened.kwargs) == ("gymnasium:Taxi-v4", {"is_rainy": False})
    opened.venv.close()


def test_unknown_id():
    with pytest.raises(UnknownEnvError):
        open_training_env("pandda", 3, seed=0)


def test_arguments_need_an_id(corridor):
    with pytest.raises(ConfigError, match="exists already"):
        open_training_env(corridor(2), 2, seed=0, kwargs={"length": 3})


def test_other_objects_are_refused():
    with pytest.raises(ConfigError, match="got int"):
        open_training_env(3, 2, seed=0)
    with pytest.raises(ConfigError, match="got the type 'CartPole'; of a class pass an instance"):
        open_training_env(type("CartPole", (gymnasium.Env,), {}), 2, seed=0)


def test_environment_without_a_mask_is_refused():
    with pytest.raises(NoMaskError):
        open_training_env(gymnasium.make("CartPole-v1"), 1, seed=0)


@pytest.mark.parametrize("mode", [AutoresetMode.NEXT_STEP, AutoresetMode.DISABLED])
def test_environments_of_other_modes_are_made_to_keep_the_contract(corridor_env, mode):
    opened = open_training_env(SyncVectorEnv([corridor_env] * 2, autoreset_mode=mode), 9, seed=0)
    assert opened.venv.metadata["autoreset_mode"] is AutoresetMode.SAME_STEP
    assert set(opened.observation_space) == {"observation", "action_mask"}
    obs, _ = opened.venv.reset(seed=1)
    assert obs["action_mask"].dtype == np.bool_ and opened.name == "SyncVectorEnv"


def test_an_environment_that_names_no_mode_is_refused(corridor):
    venv = corridor(2)
    venv.metadata = {}
    with pytest.raises(ConfigError, match="autoreset_mode"):
        open_training_env(venv, 2, seed=0)


def test_the_description_tells_heads_and_tree(corridor):
    venv = corridor(2)
    assert open_training_env(venv, 2, seed=0).description.is_single_choice
    venv.single_action_space = spaces.MultiDiscrete([4, 6])
    opened = open_training_env(venv, 2, seed=0)
    assert opened.description.heads == (4, 6) and not opened.description.is_single_choice
    assert opened.action_space == spaces.MultiDiscrete([4, 6])
    venv.action_tree = ActionTree(Head("type", 4), Head("place", 6, relevant={"type": [1]}))
    assert open_training_env(venv, 2, seed=0).description.heads == venv.action_tree


def test_several_heads_for_each_of_several_agents_are_refused(corridor):
    venv = corridor(2)
    venv.single_action_space = spaces.MultiDiscrete([4, 6])
    venv.single_observation_space = spaces.Dict(
        {
            "x": spaces.Box(0, 1, (3,)),
            "agent_mask": mask_space(3),
            "action_mask": mask_space(3, 10),
        }
    )
    with pytest.raises(ConfigError, match="agent_mask has shape .3,.; expected a MultiDiscrete"):
        open_training_env(venv, 2, seed=0)


@pytest.mark.parametrize("name", ["seed", "num_envs"])
def test_what_training_chooses_is_no_argument_of_the_environment(name):
    with pytest.raises(ConfigError, match=f"{name} was given among the environment's own"):
        open_training_env("panda", 2, seed=0, kwargs={name: 1})


def test_an_environment_of_pettingzoos_is_taken_as_it_is():
    import pettingzoo

    name = "butterfly/knights_archers_zombies-v11"
    for env in (pettingzoo.make("parallel", name), pettingzoo.make("aec", name)):
        opened = open_training_env(env, 5, seed=0)
        assert opened.venv.num_envs == 1 and opened.gives_agent_rewards
        assert opened.description.team.agents == 4 and opened.id is None


def test_objects_among_the_arguments_cannot_be_written():
    assert stored_kwargs({"sight": "full", "size": np.int64(3)}) == {"sight": "full", "size": 3}
    with pytest.raises(ConfigError, match=r"env_kwargs\['opponent'\].*got object; make the env"):
        stored_kwargs({"opponent": object()})
