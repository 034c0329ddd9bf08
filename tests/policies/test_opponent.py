"""Networks as opponents: what they answer, and from which randomness."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from maskrl.envs import make_vec
from maskrl.envs.games.lines.board import TIC_TAC_TOE
from maskrl.envs.games.lines.engine import LineGames
from maskrl.errors import ConfigError, RunFolderError
from maskrl.networks.encoders import NetworkConfig
from maskrl.policies.actor_critic import ActorCritic
from maskrl.policies.opponent import PolicyOpponent, answers, run_opponent
from maskrl.trainers.ppo import PPO, PPOConfig

GAME = LineGames(TIC_TAC_TOE, 1, name="t")


def policy(**network):
    torch.manual_seed(3)
    config = NetworkConfig(hidden=(8,), channels=(), **network)
    return ActorCritic(GAME.observation_space, GAME.action_space, config)


def boards(count):
    rng = np.random.default_rng(0)
    mask = rng.random((count, 9)) < 0.5
    mask[:, 4] = True
    planes = rng.integers(0, 2, (count, 3, 3, 2)).astype(np.int8)
    return {"observation": planes, "action_mask": mask}


def test_the_most_probable_moves_and_samples():
    net, seen = policy(), boards(4000)
    tensors = {key: torch.from_numpy(x) for key, x in seen.items()}
    expected = net.distribution(tensors)
    rng = np.random.default_rng(1)
    greedy = answers(net, seen, rng, deterministic=True)
    np.testing.assert_array_equal(greedy, expected.mode.numpy())
    sampled = answers(net, seen, rng)
    assert seen["action_mask"][np.arange(4000), sampled].all()
    # samples agree with the probabilities: each count within 5 deviations
    probs = expected.probs.detach().numpy()
    counts = np.bincount(sampled, minlength=9)
    spread = np.sqrt((probs * (1 - probs)).sum(0))
    assert (np.abs(counts - probs.sum(0)) < 5 * spread).all()


def test_samples_come_from_the_generator_that_is_handed_over():
    net, seen = policy(), boards(50)
    one, other = (PolicyOpponent(net, deterministic=False) for _ in range(2))
    places, starts = np.arange(50), np.ones(50, bool)
    first = one.act_all(seen, places, starts, np.random.default_rng(7))
    torch.manual_seed(99)
    np.testing.assert_array_equal(
        first, other.act_all(seen, places, starts, np.random.default_rng(7))
    )
    later = one.act_all(seen, places, starts, np.random.default_rng(8))
    assert (first != later).any()


def test_a_memory_is_refused():
    with pytest.raises(ConfigError, match="PolicyOpponent: ActorCritic has a memory"):
        PolicyOpponent(policy(memory="gru"))


def test_a_policy_of_another_game_is_refused():
    opponent = PolicyOpponent(policy())
    assert opponent.action_space == GAME.action_space
    with pytest.raises(ConfigError, match="of another game than pettingzoo:connect_four_v3: its o"):
        make_vec("pettingzoo:connect_four_v3", 2, opponent=opponent)
    venv = make_vec("pettingzoo:connect_four_v3", 2, opponent="random")
    with pytest.raises(ConfigError, match="opponent: the policy is of another game"):
        venv.play_against(opponent)
    silent = PolicyOpponent(policy())
    silent.observation_space = None  # what a policy does not say is not held against it
    silent.action_space = None
    venv.play_against(silent)


def test_a_run_is_an_opponent_by_its_folder(tmp_path):
    config = PPOConfig(
        num_envs=2,
        rollout_steps=8,
        minibatch_size=16,
        epochs=1,
        threads=1,
        evaluate_every=0,
        network=NetworkConfig(hidden=(8,), channels=()),
    )
    trainer = PPO("pettingzoo:tictactoe_v3", config, seed=1)
    trainer.learn(16, run_dir=tmp_path / "run")
    venv = make_vec("pettingzoo:tictactoe_v3", 5, opponent=str(tmp_path / "run"), seat=1)
    obs, _ = venv.reset(seed=0)
    # greedy: it opens every game with the same cell
    opened = obs["observation"][..., 1].reshape(5, 9)
    assert opened.sum() == 5 and len(set(opened.argmax(1).tolist())) == 1
    sampling = make_vec(
        "pettingzoo:tictactoe_v3",
        40,
        opponent=str(tmp_path / "run"),
        opponent_samples=True,
        seat=1,
    )
    opened = sampling.reset(seed=0)[0]["observation"][..., 1].reshape(40, 9)
    assert len(set(opened.argmax(1).tolist())) > 3
    with pytest.raises(RunFolderError):
        run_opponent(tmp_path)
