"""The examination of connect four players, with players whose result is known beforehand."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from maskrl.envs.games.lines.board import CONNECT_FOUR
from maskrl.envs.games.lines.engine import LineGames
from maskrl.networks.encoders import NetworkConfig
from maskrl.policies.actor_critic import ActorCritic
from maskrl.trainers.ppo import PPO, PPOConfig

SCRIPT = Path(__file__).parents[2] / "examples" / "connect_four.py"
GAME = LineGames(CONNECT_FOUR, 1, name="connect four")
NETWORK = NetworkConfig(hidden=(8,), channels=())


@pytest.fixture(scope="module")
def script():
    spec = importlib.util.spec_from_file_location("connect_four", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    yield module
    del sys.modules[spec.name]


class Leftmost(torch.nn.Module):
    """Prefers columns from the left."""

    def distribution(self, obs):
        logits = torch.arange(7, 0, -1).expand(obs["action_mask"].shape).float()
        return ActorCritic(GAME.observation_space, GAME.action_space, NETWORK).masked(logits, obs)


class Rightmost:
    """Plays the rightmost free column; counts what stands when it is first asked."""

    def __init__(self):
        self.first = []

    def act_all(self, obs, places, starts, rng):
        self.first += obs["observation"].sum((1, 2, 3))[starts].tolist()
        return 6 - obs["action_mask"][:, ::-1].argmax(1)


def test_both_colours_after_one_random_move(script):
    opponent = Rightmost()
    first, second = script.both_colours(Leftmost(), opponent, 30, seed=3)
    # one piece was placed at random: of the examined, which moves first, or of the opponent,
    # after which the examined has moved once
    assert set(opponent.first[:30]) == {1} and 2 in opponent.first[30:]
    # each stacks a column of its own: who is a piece ahead has four first. The random first move
    # is the examined one's when it moves first; then the other is ahead, unless the piece fell
    # into the examined one's own column
    for games in (first, second):
        assert games.outcomes.shape == (30,) and set(games.outcomes) <= {-1.0, 1.0}
        assert games.illegal_actions == 0 and 3 <= games.lengths.min() <= games.lengths.max() <= 5
    assert first.share < 0.5 < second.share
    both = script.joined([first, second])
    assert both.share == pytest.approx((first.share + second.share) / 2)


def test_a_tie_counts_half(script):
    games = script.Games(np.array([1.0, 0.0, -1.0, 0.0]), np.full(4, 9), 0)
    assert games.share == 0.5
    # outcomes have the variance 2/3 around 0, points half the deviation, over the root of four
    assert games.error == pytest.approx((2 / 3) ** 0.5 / 2 / 2)
    cells = script.line("random", [games, games]).split()
    assert cells[:2] == ["random", "50.0"] and "2/4/2" in cells


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_a_tiny_run_is_examined_by_the_command(script, tmp_path, monkeypatch, capsys):
    config = PPOConfig(
        num_envs=4,
        rollout_steps=8,
        minibatch_size=32,
        epochs=1,
        threads=1,
        evaluate_every=0,
        network=NETWORK,
    )
    PPO(script.ENV_ID, config).learn(32, run_dir=tmp_path / "run")
    arguments = ["connect_four.py", str(tmp_path / "run"), "--games", "4", "--against", "random"]
    monkeypatch.setattr("sys.argv", [*arguments, "depth:2"])
    script.main()
    head, *rows = capsys.readouterr().out.splitlines()
    assert head.split()[:2] == ["against", "points"]
    assert [row.split()[0] for row in rows] == ["random", "depth:2"]
    for row in rows:
        counts = next(cell for cell in row.split() if cell.count("/") == 2)
        assert sum(map(int, counts.split("/"))) == 8 and row.split()[-1] == "0"


def test_the_introduction_gives_the_commands(script):
    assert "python examples/connect_four.py" in script.__doc__
    assert f"maskrl train {script.ENV_ID}" in script.__doc__
    assert script.OPPONENTS == ("random", "win_or_block", "depth:2", "depth:4")
