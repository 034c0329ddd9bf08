"""Sums and lengths of episodes against adding them up one step at a time."""

from __future__ import annotations

import numpy as np
import pytest

from maskrl.trainers.episodes import RECENT, Episode, EpisodeRecord


def by_hand(rewards, ended):
    total, length = [0.0] * rewards.shape[1], [0] * rewards.shape[1]
    returns, lengths = [], []
    for reward, last in zip(rewards, ended, strict=True):
        for env in range(len(reward)):
            total[env] += float(reward[env])
            length[env] += 1
            if last[env]:
                returns.append(total[env])
                lengths.append(length[env])
                total[env], length[env] = 0.0, 0
    return returns, lengths, total, length


@pytest.mark.parametrize("parts", [[40], [1, 39], [13, 0, 27]])
def test_to_the_digit_wherever_rollouts_end(parts):
    rng = np.random.default_rng(0)
    rewards, ended = rng.normal(size=(40, 3)), rng.random((40, 3)) < 0.2
    record = EpisodeRecord(3)
    start = 0
    for steps in parts:
        record.add(rewards[start : start + steps], ended[start : start + steps])
        start += steps
    returns, lengths, total, length = by_hand(rewards, ended)
    assert list(record.recent_returns) == returns
    assert list(record.recent_lengths) == lengths
    assert record.running_return.tolist() == total
    assert record.running_length.tolist() == length
    assert record.finished == len(returns) > 10
    assert record.means() == {
        "return_mean": np.mean(returns),
        "length_mean": np.mean(lengths),
        "episodes": float(len(returns)),
    }


def test_only_recent_episodes_are_averaged():
    record = EpisodeRecord(1)
    rewards = np.arange(RECENT + 50, dtype=np.float64)[:, None]
    record.add(rewards, np.ones(rewards.shape, np.bool_))
    assert record.finished == RECENT + 50
    assert record.means()["return_mean"] == np.mean(rewards[50:])


def test_nothing_is_known_before_the_first_end():
    record = EpisodeRecord(2)
    record.add(np.ones((3, 2)), np.zeros((3, 2), np.bool_))
    means = record.means()
    assert np.isnan(means["return_mean"])
    assert np.isnan(means["length_mean"])
    assert means["episodes"] == 0.0
    assert record.running_return.tolist() == [3.0, 3.0]


def test_counters_go_on_elsewhere():
    record = EpisodeRecord(2)
    record.add(np.ones((3, 2)), np.ones((3, 2), np.bool_))
    other = EpisodeRecord(2)
    other.set_counters(record.counters())
    assert other.means() == record.means()
    assert other.recent_returns.maxlen == RECENT


def test_charges_are_summed_apart_and_put_back(tmp_path):
    rng = np.random.default_rng(1)
    rewards, ended = rng.normal(size=(40, 3)), rng.random((40, 3)) < 0.2
    charges = np.where(rng.random((40, 3)) < 0.3, 0.5, 0.0)
    record = EpisodeRecord(3)
    record.keep()
    record.add(rewards[:10], ended[:10])  # nothing was charged yet
    charges[:10] = 0.0
    assert "task_return_mean" not in record.means()
    record.add(rewards[10:25] - charges[10:25], ended[10:25], charges[10:25])
    # A run that goes on from a checkpoint counts on.
    other = EpisodeRecord(3)
    other.set_counters(record.counters())
    other.set_running(record.running())
    other.keep()
    other.add(rewards[25:] - charges[25:], ended[25:], charges[25:])
    owed = by_hand(charges, ended)[0]
    plain, lengths, _, _ = by_hand(rewards, ended)
    kept = [*record.kept, *other.kept]
    assert [episode.charged for episode in kept] == pytest.approx(owed)
    assert [episode.returned for episode in kept] == pytest.approx(plain)
    assert [episode.length for episode in kept] == lengths
    when = [(t + 1) * 3 for t, env in np.argwhere(ended)]
    assert [episode.step for episode in kept] == when
    assert list(other.recent_charges) == pytest.approx(owed)
    means = other.means()
    assert means["return_mean"] + np.mean(owed) == pytest.approx(means["task_return_mean"])
    assert means["task_return_mean"] == pytest.approx(np.mean(plain))


def test_nothing_is_kept_unless_asked_for():
    record = EpisodeRecord(2)
    record.add(np.ones((1, 2)), np.ones((1, 2), np.bool_))
    assert record.kept is None and record.steps == 2
    record.keep()
    record.add(np.ones((1, 2)), np.array([[True, False]]))
    assert record.kept == [Episode(4, 1.0, 1, 0.0)]
