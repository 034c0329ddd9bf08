"""The frame of off-policy training: turns, schedules, checkpoints with their memory."""

from __future__ import annotations

import json
import logging
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from gymnasium import spaces

from maskrl.buffers.replay import ReplayBuffer
from maskrl.envs.contract import mask_space
from maskrl.errors import ConfigError, RunFolderError
from maskrl.networks.encoders import NetworkConfig
from maskrl.policies.load import load_policy
from maskrl.runs.run_dir import RunDir
from maskrl.trainers.callbacks import Callback
from maskrl.trainers.dqn import DQN, DQNConfig
from maskrl.trainers.off_policy import REPLAY, readable

SMALL = DQNConfig(
    num_envs=4,
    replay_size=200,
    learning_starts=16,
    train_every=8,
    gradient_steps=3,
    batch_size=16,
    log_every=32,
    threads=1,
    evaluate_every=0,
    checkpoint_every=0,
    network=NetworkConfig(hidden=(16,)),
)
TOTAL = 6 * SMALL.log_every


class Log(Callback):
    def __init__(self, stop_after=None):
        self.rows = []
        self.stop_after = stop_after

    def on_rollout(self, trainer, metrics):
        self.rows.append(dict(metrics))
        return trainer.updates != self.stop_after


def everything(trainer):
    """All that the rest of a training depends on, as comparable values."""
    tensors, state = trainer.parts.training_state(lean=False)
    tensors |= {f"policy.{name}": x for name, x in trainer.policy.state_dict().items()}
    arrays, of_replay = trainer.replay.get_state()
    tensors |= {f"replay.{name}": torch.from_numpy(np.array(x)) for name, x in arrays.items()}
    return tensors, json.dumps([state, of_replay, trainer.seeds.get_state()])


def compare(first, second):
    (tensors, state), (other, other_state) = everything(first), everything(second)
    assert tensors.keys() == other.keys()
    for name, tensor in tensors.items():
        assert torch.equal(tensor, other[name]), name
    assert state == other_state


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"priority_exponent": 0.6, "returns": "quantile", "atoms": 5, "target_rate": 0.1},
        {"normalize_observations": True, "returns": "categorical", "exploration": "boltzmann"},
        {"exploration": "noisy", "empty": "idle", "double": False, "dueling": False},
    ],
    ids=["plain", "prioritised", "normalised", "noisy"],
)
def test_a_resumed_training_is_the_same_to_the_digit(corridor, tmp_path, changes):
    config = SMALL.replace(**changes)
    cooldown = config.empty == "idle"
    straight_log, first_log, second_log = Log(), Log(stop_after=3), Log()
    straight = DQN(corridor(4, cooldown=cooldown), config, seed=2)
    straight.learn(TOTAL, callbacks=[straight_log])

    first = DQN(corridor(4, cooldown=cooldown), config, seed=2)
    first.learn(TOTAL, callbacks=[first_log])
    first.save(tmp_path / "saved")
    torch.manual_seed(77)
    second = DQN.load(tmp_path / "saved", env=corridor(4, cooldown=cooldown))
    compare(second, first)
    second.learn(TOTAL, callbacks=[second_log])

    assert [row["step"] for row in straight_log.rows] == [32.0 * k for k in range(1, 7)]
    assert repr(first_log.rows + second_log.rows) == repr(straight_log.rows)
    compare(second, straight)


def test_a_training_that_was_killed_before_its_first_step_is_the_same_too(corridor, tmp_path):
    config = SMALL.replace(normalize_observations=True)
    logs = Log(), Log()
    straight = DQN(corridor(4), config, seed=2)
    straight.collector.begin()
    straight.save(tmp_path / "saved")
    straight.learn(TOTAL, callbacks=[logs[0]])
    resumed = DQN.load(tmp_path / "saved", env=corridor(4))
    resumed.learn(TOTAL, callbacks=[logs[1]])
    assert repr(logs[0].rows) == repr(logs[1].rows)
    compare(resumed, straight)  # the normaliser has seen the first observations in both


def test_turns_of_acting_and_learning(corridor):
    log = Log()
    DQN(corridor(4), SMALL, seed=0).learn(TOTAL, callbacks=[log])
    # 32 steps are 4 turns of 8; the first one ends with 8 transitions, the second with 16.
    assert [row["gradient_steps"] for row in log.rows] == [9.0, *[12.0] * 5]
    assert [row["replay_size"] for row in log.rows] == [32, 64, 96, 128, 160, 192]
    rates = [row["learning_rate"] for row in log.rows]
    assert rates[-1] == 0.0 and rates[0] == pytest.approx(5e-4 * (1 - 32 / 192))
    assert all(row["illegal_actions"] == 0 for row in log.rows)
    assert "loss" not in SMALL.label and log.rows[0]["loss"] > 0
    few = Log()
    DQN(corridor(4), SMALL.replace(train_every=1), seed=0).learn(32, callbacks=[few])
    # Every environment steps at least once: 8 turns, learning from the fourth on.
    assert few.rows[0]["gradient_steps"] == 15.0


def test_a_step_by_itself_is_a_whole_stretch(corridor):
    trainer = DQN(corridor(4), SMALL)
    metrics, timings = trainer.step()
    assert (trainer.steps, trainer.updates, metrics["step"]) == (32, 1, 32.0)
    assert timings["steps_per_second"] > 0
    short = DQN(corridor(4), SMALL).learn(16)  # and training ends where it should
    assert short.steps == 16


def test_the_beginning_is_explored_at_random_whatever_the_values(corridor):
    config = SMALL.replace(epsilon=0.0, epsilon_final=0.0, learning_starts=40, log_every=40)
    trainer = DQN(corridor(4, length=40, limit=100), config, seed=0)
    trainer.learn(40)
    taken = trainer.replay.get_state()[0]["actions"][:10]
    rights = trainer.env.right  # of two allowed moves about half
    cells = trainer.replay.get_state()[0]["observation.observation"][:10].argmax(-1)
    assert 8 < int((taken == rights[cells]).sum()) < 32


def test_a_memory_that_was_not_saved_is_filled_anew(corridor, tmp_path, caplog):
    config = SMALL.replace(save_replay=False)
    trainer = DQN(corridor(4), config, seed=0)
    trainer.learn(64)
    trainer.save(tmp_path / "saved")
    assert not (tmp_path / "saved" / REPLAY).exists()
    with caplog.at_level(logging.WARNING, logger="maskrl"):
        resumed = DQN.load(tmp_path / "saved", env=corridor(4))
    assert "holds no memory of transitions: 16 are collected" in caplog.text
    log = Log()
    resumed.learn(96, callbacks=[log])
    assert log.rows[0]["gradient_steps"] == 9.0
    assert resumed.steps == 96 and log.rows[0]["replay_size"] == 32


def test_the_size_of_a_saved_memory_is_told_once(corridor, tmp_path, caplog):
    trainer = DQN(corridor(4), SMALL, seed=0)
    trainer.learn(96)
    with caplog.at_level(logging.INFO, logger="maskrl"):
        trainer.save(tmp_path / "lean", lean=True)
        assert caplog.text == ""
        trainer.save(tmp_path / "saved")
        trainer.save(tmp_path / "again")
    assert len(caplog.records) == 1 and "save_replay=False leaves it out" in caplog.text
    told = float(caplog.text.split("now ")[1].split(" MB")[0])
    files = sum(path.stat().st_size for path in (tmp_path / "saved" / REPLAY).glob("*.bin"))
    assert told == pytest.approx(files / 1e6, abs=0.06)


def test_an_environment_by_id_is_made_anew_and_continued(tmp_path):
    env = "gymnasium:Taxi-v4"
    straight_log, first_log, second_log = Log(), Log(stop_after=1), Log()
    straight = DQN(env, SMALL).learn(64, callbacks=[straight_log])
    DQN(env, SMALL).learn(64, callbacks=[first_log]).save(tmp_path / "saved")
    resumed = DQN.load(tmp_path / "saved").learn(64, callbacks=[second_log])
    assert repr(first_log.rows + second_log.rows) == repr(straight_log.rows)
    compare(resumed, straight)


def test_the_last_checkpoint_holds_the_memory_and_the_best_does_not(tmp_path):
    run = RunDir.create(tmp_path / "run")
    network = NetworkConfig(hidden=(8,), entity_dim=8, entity_heads=2, entity_depth=1)
    config = SMALL.replace(network=network, evaluate_every=32, evaluation_episodes=2)
    trainer = DQN("panda-open", config, seed=0)
    trainer.learn(64, run_dir=run)
    assert (run.last_checkpoint / REPLAY).is_dir()
    assert run.best_checkpoint.is_dir() and not (run.best_checkpoint / REPLAY).exists()
    saved = run.read_config()
    assert saved["algorithm"] == "dqn" and saved["dqn"]["replay_size"] == 200
    resumed = DQN.load(run)
    compare(resumed, trainer)
    obs, _ = resumed.env.reset(seed=3)
    policy = load_policy(run, "last")
    np.testing.assert_array_equal(policy.predict(obs)[0], trainer.predict(obs)[0])


def test_environments_that_cannot_save_their_state_begin_new_episodes(corridor, tmp_path):
    class Forgetful(corridor):
        get_state = None

    trainer = DQN(Forgetful(4), SMALL, seed=0)
    trainer.learn(64)
    trainer.save(tmp_path / "saved")
    resumed = DQN.load(tmp_path / "saved", env=Forgetful(4))
    assert not resumed.collector.started and len(resumed.replay) == 64
    resumed.learn(96)
    assert len(resumed.replay) == 96


def test_checkpoints_of_other_environments_are_refused(corridor, tmp_path):
    trainer = DQN(corridor(4), SMALL)
    trainer.learn(32)
    trainer.save(tmp_path / "saved")
    with pytest.raises(RunFolderError):
        DQN.load(tmp_path / "saved", env=corridor(4, length=9))


def test_a_memory_in_files(corridor, tmp_path):
    logs = []
    for folder in (None, str(tmp_path / "memory")):
        log = Log()
        DQN(corridor(4), SMALL.replace(replay_folder=folder)).learn(TOTAL, callbacks=[log])
        logs.append(log.rows)
    assert repr(logs[0]) == repr(logs[1])
    assert any((tmp_path / "memory").iterdir())


def test_what_is_no_single_choice_is_refused(shifts, corridor):
    with pytest.raises(ConfigError, match=r"DQN: .* has a team of 3 agents.*PPO"):
        DQN(shifts(4), SMALL)

    class Heads(corridor):
        def __init__(self, *args):
            super().__init__(*args)
            self.single_action_space = spaces.MultiDiscrete([4, 6])

    with pytest.raises(ConfigError, match=r"DQN: .* have 2 heads .*PPO"):
        DQN(Heads(4), SMALL)

    class InAnArray(corridor):
        def __init__(self, *args):
            super().__init__(*args)
            self.single_action_space = spaces.MultiDiscrete([10])

    with pytest.raises(ConfigError, match=r"array with one choice.*Make the space Discrete\(10\)"):
        DQN(InAnArray(4), SMALL)


def test_observations_are_normalised_by_all_that_was_seen_once(corridor):
    config = SMALL.replace(normalize_observations=True)
    trainer = DQN(corridor(4), config, seed=0)
    trainer.learn(TOTAL)
    arrays, _ = trainer.replay.get_state()
    seen = arrays["observation.observation"].reshape(-1, 7)  # and the newest, not acted on yet
    moments = trainer.policy.normalizer.normalizers[0].moments
    assert int(moments.count) == len(seen) == TOTAL + 4
    np.testing.assert_allclose(moments.mean.numpy(), seen.mean(0), atol=1e-7)
    assert trainer.target.normalizer is trainer.policy.normalizer


def test_rows_behind_an_end_can_be_read():
    space = spaces.Dict({"number": spaces.Discrete(5, start=3), "action_mask": mask_space(2)})
    replay = ReplayBuffer(space, 1, 8)
    allowed = np.ones((1, 2), np.bool_)
    replay.begin({"number": np.array([4]), "action_mask": allowed})
    nothing = np.zeros(1, np.bool_)
    for k, ends in ((5, nothing), (6, ~nothing), (7, nothing)):
        obs = {"number": np.array([k]), "action_mask": allowed}
        replay.add(np.zeros(1, np.int64), np.ones(1), ends, nothing, obs)
    drawn = replay.sample(64, np.random.default_rng(0))
    assert (drawn.next_observations["number"][drawn.terminated] == 0).all()
    batch = readable(drawn, torch.device("cpu"))
    pairs = set(
        zip(
            batch.observations["number"].tolist(),
            batch.next_observations["number"].tolist(),
            strict=True,
        )
    )
    assert pairs == {(4, 5), (5, 5), (6, 7)}


def test_random_actions_are_allowed_and_each_as_likely(corridor):
    parts = DQN(corridor(4), SMALL).parts
    mask = torch.tensor([[True, False, True, *[False] * 7]]).expand(4000, -1)
    drawn = parts.random_actions({"observation": torch.zeros(4000, 7), "action_mask": mask})
    counts = torch.bincount(drawn, minlength=10)
    assert counts.sum() == counts[0] + counts[2]
    assert abs(int(counts[0]) - 2000) < 200  # six standard deviations of 32


def test_weights_of_prioritised_replay_are_corrected_more_and_more():
    class Draws:
        def sample(self, rows, generator, *, beta):
            self.beta = beta
            return SimpleNamespace(
                terminated=torch.zeros(1, dtype=torch.bool), next_observations={}
            )

    from maskrl.trainers.dqn_parts import DQNParts

    parts = SimpleNamespace(
        config=SMALL.replace(priority_correction=0.4),
        replay=Draws(),
        device=torch.device("cpu"),
        _draws=None,
    )
    for fraction, beta in ((0.0, 0.4), (0.5, 0.7), (1.0, 1.0)):
        parts.fraction = fraction
        DQNParts.sample(parts)
        assert parts.replay.beta == pytest.approx(beta)
