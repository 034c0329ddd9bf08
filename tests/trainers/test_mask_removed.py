"""Rollouts without the mask: played like a test, learned from never, seen by the normaliser."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from maskrl.envs.registry import make_vec
from maskrl.errors import ConfigError
from maskrl.networks.encoders import NetworkConfig
from maskrl.trainers.callbacks import Callback
from maskrl.trainers.mask_removed import REGIMES, RETURN
from maskrl.trainers.ppo import PPO
from maskrl.trainers.ppo_config import PPOConfig

MINING = "mining-4x4?masks=published"
SMALL = PPOConfig(
    num_envs=2,
    rollout_steps=256,
    minibatch_size=128,
    epochs=1,
    threads=1,
    empty="idle",
    evaluate_every=0,
    normalize_observations=True,
    mask_removed_rollouts="native",
    network=NetworkConfig(channels=(4,), kernels=(2,), hidden=(8,)),
)
ROWS = SMALL.num_envs * SMALL.rollout_steps


class Log(Callback):
    def __init__(self, stop_after=None):
        self.rows = []
        self.stop_after = stop_after

    def on_rollout(self, trainer, metrics):
        self.rows.append(dict(metrics))
        return trainer.updates != self.stop_after


def counted(trainer):
    return int(trainer.policy.normalizer.normalizers[0].moments.count)


def test_what_is_seen_in_them_moves_the_statistics_and_nothing_else():
    asked, plain = (
        PPO(MINING, SMALL.replace(mask_removed_rollouts=way), seed=5) for way in ("native", None)
    )
    logs = [Log(), Log()]
    for trainer, log in zip((asked, plain), logs, strict=True):
        trainer.learn(ROWS, callbacks=[log])
    assert counted(asked) == 2 * ROWS and counted(plain) == ROWS
    for mine, other in zip(asked.policy.parameters(), plain.policy.parameters(), strict=True):
        assert torch.equal(mine, other)
    assert logs[0].rows[0].keys() - logs[1].rows[0].keys() == {RETURN}
    common = {name: value for name, value in logs[0].rows[0].items() if name != RETURN}
    assert common == pytest.approx(logs[1].rows[0], nan_ok=True)
    # From here on they see differently normalised boards, and part.
    asked.learn(2 * ROWS)
    plain.learn(2 * ROWS)
    pairs = zip(asked.policy.parameters(), plain.policy.parameters(), strict=True)
    assert any(not torch.equal(mine, other) for mine, other in pairs)


@pytest.mark.parametrize("way", ["native", "withheld"])
def test_a_rollout_is_that_of_its_regime_step_by_step(way):
    trainer = PPO(MINING, SMALL.replace(mask_removed_rollouts=way), seed=5)
    removed = trainer.parts.mask_removed
    generator = trainer.seeds.torch("mask_removed")
    before = generator.get_state()
    told, features = removed.play(3)
    env = make_vec(MINING, SMALL.num_envs, mask_regime=REGIMES[way])
    obs, _ = env.reset(seed=trainer.seeds.integer("mask_removed.3") & 0x7FFFFFFF)
    again = torch.Generator()
    again.set_state(before)
    running, finished = np.zeros(SMALL.num_envs), []
    for t in range(SMALL.rollout_steps):
        assert obs["action_mask"].all()
        row = features["observation"].unflatten(0, (SMALL.rollout_steps, SMALL.num_envs))[t]
        assert np.array_equal(row.numpy(), obs["observation"])
        given = {key: torch.from_numpy(np.array(x)) for key, x in obs.items()}
        with torch.no_grad():
            action = trainer.policy.distribution(given).sample(generator=again)
        obs, reward, terminated, truncated, _ = env.step(action.numpy())
        running += reward
        ended = terminated | truncated
        finished += running[ended].tolist()
        running[ended] = 0.0
    env.close()
    assert finished
    assert told[RETURN] == pytest.approx(np.mean(finished))


def test_no_episode_that_ends_is_no_number_and_told_once(caplog):
    trainer = PPO(MINING, SMALL.replace(rollout_steps=64), seed=5)
    assert math.isnan(trainer.parts.act_without_mask(1)[RETURN])
    assert math.isnan(trainer.parts.act_without_mask(2)[RETURN])
    (told,) = [row.getMessage() for row in caplog.records if "mask_removed" in row.getMessage()]
    assert "no episode ended within 64 steps" in told


def test_a_resumed_training_plays_the_same_ones(tmp_path):
    whole, first, rest = Log(), Log(stop_after=2), Log()
    PPO(MINING, SMALL, seed=5).learn(4 * ROWS, callbacks=[whole])
    PPO(MINING, SMALL, seed=5).learn(4 * ROWS, run_dir=tmp_path / "run", callbacks=[first])
    resumed = PPO.load(tmp_path / "run")
    assert resumed.steps == 2 * ROWS
    resumed.learn(4 * ROWS, callbacks=[rest])
    assert [row[RETURN] for row in first.rows + rest.rows] == [row[RETURN] for row in whole.rows]
    assert counted(resumed) == 8 * ROWS
    assert rest.rows[-1] == pytest.approx(whole.rows[-1], nan_ok=True)


def test_what_has_no_mask_to_take_away_is_refused(corridor, shifts):
    with pytest.raises(ConfigError, match="given as an object; give an id"):
        PPO(corridor(2), SMALL)
    with pytest.raises(ConfigError, match="trained under penalty:1:native; set it to None"):
        PPO(f"{MINING}&mask_regime=penalty:1:native", SMALL)
    with pytest.raises(ConfigError, match="scored without the mask; set it to None"):
        PPO(MINING, SMALL.replace(masked_scores=False))
    with pytest.raises(ConfigError, match="mask_removed_rollouts: expected 'native', 'withheld'"):
        SMALL.replace(mask_removed_rollouts="yes")
    with pytest.raises(ConfigError, match="a team does; leave it at None"):
        PPO(shifts(4), PPOConfig(death="posthumous", mask_removed_rollouts="native"))
