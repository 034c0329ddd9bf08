"""A player: memory is carried row by row, cleared where an episode begins, and checked."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from maskrl.distributions import MaskedCategorical
from maskrl.errors import ConfigError
from maskrl.policies.playing import Player, in_evaluation_mode, memory_size


class Summing(nn.Module):
    """Remembers the sum of what it has seen, and how often it was asked."""

    state_size = 2

    def initial_state(self, batch):
        return torch.zeros(batch, 2)

    def act(self, obs, state, episode_start):
        state = torch.where(episode_start[:, None], 0.0, state)
        state = state + torch.stack([obs["x"], torch.ones(len(state))], -1)
        return MaskedCategorical(state), state[:, 0], state


class Plain(nn.Module):
    def __init__(self):
        super().__init__()
        self.asked = []

    def distribution(self, obs):
        self.asked.append("distribution")
        return MaskedCategorical(obs["x"][:, None].expand(-1, 3))

    def value(self, obs):
        self.asked.append("value")
        return 2 * obs["x"]


def seen(*numbers):
    return {"x": torch.tensor(numbers)}


def test_rows_are_remembered_by_themselves_and_cleared_where_an_episode_begins():
    player = Player(Summing(), 3)
    assert player.remembers and player.state.tolist() == [[0, 0]] * 3
    player.distribution(seen(1.0, 2.0, 3.0))
    player.distribution(seen(1.0, 1.0, 1.0))
    assert player.state.tolist() == [[2, 2], [3, 2], [4, 2]]
    player.begin(np.array([False, True, False]))
    _, value = player.distribution_and_value(seen(5.0, 5.0, 5.0))
    assert player.state.tolist() == [[7, 3], [5, 1], [9, 3]]
    assert value().tolist() == [7, 5, 9]
    player.distribution(seen(0.0, 0.0, 0.0))  # begun is begun once
    assert player.state.tolist() == [[7, 4], [5, 2], [9, 4]]


def test_who_only_looks_does_not_go_on():
    player = Player(Summing(), 2)
    player.distribution(seen(1.0, 2.0))
    player.begin(np.array([False, True]))
    player.look(seen(100.0, 100.0))
    assert player.state.tolist() == [[1, 1], [2, 1]]
    player.distribution(seen(5.0, 5.0))
    assert player.state.tolist() == [[6, 2], [5, 1]]


def test_two_rows_may_be_said_to_begin_one_after_the_other():
    player = Player(Summing(), 2)
    player.distribution(seen(1.0, 1.0))
    player.begin(np.array([True, False]))
    player.begin(np.array([False, True]))
    player.distribution(seen(4.0, 4.0))
    assert player.state.tolist() == [[4, 1], [4, 1]]


def test_without_memory_nothing_is_computed_that_is_not_asked_for():
    policy = Plain()
    player = Player(policy, 2)
    player.begin(np.array([True, True]))
    assert not player.remembers and player.state is None
    player.distribution(seen(1.0, 2.0))
    assert policy.asked == ["distribution"]
    _, value = player.distribution_and_value(seen(1.0, 2.0))
    assert policy.asked == ["distribution", "distribution"]
    assert value().tolist() == [2, 4]


def changed(**methods):
    return type("Other", (Summing,), methods)()


@pytest.mark.parametrize(
    ("policy", "message"),
    [
        (changed(state_size=-1), r"Other.state_size is -1; expected how many numbers"),
        (changed(state_size=2.0), r"Other.state_size is 2.0"),
        (changed(state_size=True), r"Other.state_size is True"),
        (changed(act=None), r"Other remembers 2 numbers .* no method act\. To be played, a policy"),
        (changed(initial_state=None), r"no method initial_state"),
        (changed(state_size=3), r"Other gave the state \(4, 2\) .* expected real numbers \(4, 3\)"),
        (
            changed(initial_state=lambda self, batch: np.zeros((batch, 2))),
            r"the state ndarray, exp",
        ),
    ],
)
def test_what_is_no_policy_with_memory_is_named(policy, message):
    with pytest.raises(ConfigError, match=message):
        Player(policy, 4)


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (lambda self, obs, state, start: state, r"Other.act gave Tensor; expected \(distribution"),
        (
            lambda self, obs, state, start: (None, None, state[:1]),
            r"Other gave the state \(1, 2\) of torch.float32, expected real numbers \(2, 2\)",
        ),
    ],
)
def test_what_is_no_answer_is_named(answer, message):
    with pytest.raises(ConfigError, match=message):
        Player(changed(act=answer), 2).distribution(seen(1.0, 2.0))


def test_size_of_a_memory():
    assert memory_size(Summing()) == 2
    assert memory_size(Plain()) == 0
    assert memory_size(changed(state_size=0, act=None)) == 0
    assert memory_size(changed(state_size=None, act=None)) == 0


def test_every_part_of_a_policy_gets_its_own_mode_back():
    policy = nn.Sequential(nn.Dropout(), nn.BatchNorm1d(3), nn.Sequential(nn.Dropout()))
    policy[1].eval()  # frozen by its author
    with pytest.raises(KeyError), in_evaluation_mode(policy):
        assert not any(part.training for part in policy.modules())
        raise KeyError
    assert [part.training for part in policy.modules()] == [True, True, False, True, True]
