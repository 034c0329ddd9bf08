"""A map's id is enough: make, make_vec, settings and presets come from it."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import maskrl
from maskrl.cli.envs import envs
from maskrl.envs.adapters.microrts import entry, installation
from maskrl.envs.adapters.microrts.entry import EXAMPLE, microrts_entry
from maskrl.envs.registry import ID_FORMS, find_entry
from maskrl.errors import ConfigError, UnknownEnvError
from maskrl.policies.episode import record_episode
from maskrl.trainers.evaluate import evaluate
from maskrl.trainers.ppo import PPO
from maskrl.trainers.ppo_config import PPOConfig


def small(**changes):
    """The preset, cut down."""
    settings = {**entry.MICRORTS_PPO, "epochs": 1, "threads": 1, "evaluate_every": 0, **changes}
    del settings["total_steps"]
    return PPOConfig.from_json(settings)


def test_the_id_makes_environments_with_settings_from_id_and_call():
    env = maskrl.make(f"{EXAMPLE}?max_steps=7&opponent=passive")
    assert (env.settings.max_steps, env.settings.opponents) == (7, ("passive",))
    venv = maskrl.make_vec(f'{EXAMPLE}?opponent=["passive","coac"]', 3, seed=4, max_steps=9)
    assert venv.num_envs == 3 and venv.settings.opponents == ("passive", "coac")
    first, _ = venv.reset()
    assert first["grid"].shape == (3, 27, 8, 8)
    with pytest.raises(ConfigError, match="unknown setting 'oponent'.*Did you mean opponent"):
        maskrl.make(f"{EXAMPLE}?oponent=coac")


def test_unknown_maps_are_told_before_anything_is_made():
    with pytest.raises(UnknownEnvError, match="Did you mean microrts:maps/8x8/basesWorkers8x8.xml"):
        find_entry("microrts:maps/8x8/baseWorkers8x8.xml")
    with pytest.raises(UnknownEnvError, match="expected the file of a map, as in microrts:maps"):
        find_entry("microrts:8x8")


def test_it_is_listed_with_its_settings_and_preset(capsys):
    assert any(form.startswith("microrts:") for form in ID_FORMS)
    assert envs(EXAMPLE) == 0
    told = capsys.readouterr().out
    assert "Weight of win or loss, resources" in told and "random-biased" in told
    assert "posthumous" in told


def test_without_the_engine_the_entry_is_there_and_making_says_what_to_install(monkeypatch):
    def missing(name):
        return None

    monkeypatch.setattr(installation.importlib.util, "find_spec", missing)
    found = microrts_entry("maps/8x8/basesWorkers8x8.xml")
    with pytest.raises(ImportError, match="make microrts"):
        found.make()
    assert found.id == EXAMPLE


def test_checkpoints_are_chosen_by_games_won():
    found = find_entry(EXAMPLE)
    assert found.kwargs_for("validation")["reward_weights"] == (1, 0, 0, 0, 0, 0)
    assert "reward_weights" not in found.kwargs_for("evaluation")
    own = find_entry(f"{EXAMPLE}?reward_weights=[5,1,0,0,0,0]")
    assert own.kwargs_for("validation")["reward_weights"] == [5, 1, 0, 0, 0, 0]
    venv = maskrl.make_vec(EXAMPLE, 1, **found.kwargs_for("validation"))
    assert venv.settings.weights == (1.0, 0.0, 0.0, 0.0, 0.0, 0.0)


def test_the_preset_is_one_that_a_team_without_identity_needs():
    assert entry.MICRORTS_PPO["death"] == "posthumous"
    venv = maskrl.make_vec(EXAMPLE, 1)
    venv.reset()
    assert np.array(venv.single_action_space.nvec).shape == (7, 8, 8)


def test_a_short_real_run_learns_from_whole_games_and_does_nothing_illegal():
    """Rollouts with steps in which nobody acts, ends and cut-offs; and updates from them."""
    env_kwargs = {"max_steps": 40, "opponent": "passive"}
    config = small(num_envs=4, rollout_steps=32, minibatch_size=32, epochs=2)
    trainer = PPO(EXAMPLE, config, seed=1, env_kwargs=env_kwargs)
    before = {name: value.clone() for name, value in trainer.policy.state_dict().items()}
    trainer.learn(3 * 4 * 32)
    after = trainer.policy.state_dict()
    assert trainer.steps == 3 * 4 * 32 and trainer.updates == 3
    assert any(not torch.equal(after[name], before[name]) for name in before)
    assert all(torch.isfinite(value).all() for value in after.values() if value.is_floating_point())
    assert trainer.env.illegal_actions == 0

    played = evaluate(trainer.policy, EXAMPLE, episodes=3, env_kwargs=env_kwargs)
    assert played.illegal_actions == 0 and played.lengths.tolist() == [40, 40, 40]
    assert played.win_rate == 0.0 and played.outcomes.tolist() == [0.0, 0.0, 0.0]

    record = record_episode(trainer.policy, EXAMPLE, env_kwargs, max_steps=5)
    assert len(record.steps) == 5 and record.steps[0].frame.ndim == 3
    trainer.env.close()


def test_a_run_goes_on_as_if_it_had_never_stopped(tmp_path):
    """Games, opponents and their random numbers are in the checkpoint."""
    steady = {"anneal_learning_rate": False, "entropy_coef_final": None}
    config = small(num_envs=2, rollout_steps=16, minibatch_size=16, **steady)
    whole = PPO(EXAMPLE, config, seed=2)
    whole.learn(6 * 32)
    first = PPO(EXAMPLE, config, seed=2)
    first.learn(3 * 32)
    first.save(tmp_path / "half")
    second = PPO.load(tmp_path / "half")
    second.learn(6 * 32)
    for name, value in whole.policy.state_dict().items():
        assert torch.equal(value, second.policy.state_dict()[name]), name
