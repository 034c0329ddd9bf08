"""Opponents: drawn moves are fair and allowed, single ones serve many games, mistakes are named."""

from __future__ import annotations

import numpy as np
import pytest

from maskrl.envs.opponents import (
    BatchOpponent,
    OneByOne,
    RandomOpponent,
    as_batch,
    draw_allowed,
    require_allowed,
)
from maskrl.errors import ConfigError


def test_draws_are_allowed_and_alike():
    rng = np.random.default_rng(1)
    mask = np.array([True, False, True, True, False])
    drawn = draw_allowed(np.repeat(mask[None], 9000, 0), rng)
    counts = np.bincount(drawn, minlength=5)
    assert counts[[1, 4]].tolist() == [0, 0]
    # chi-square with 2 degrees of freedom: above 18.5 once in 10,000 seeds
    assert ((counts[[0, 2, 3]] - 3000) ** 2 / 3000).sum() < 18.5
    alone = np.eye(5, dtype=bool)
    assert draw_allowed(alone, rng).tolist() == [0, 1, 2, 3, 4]


def test_random_is_the_same_in_both_forms():
    mask = np.array([False, True, True])
    one = RandomOpponent().act({"action_mask": mask}, np.random.default_rng(4))
    many = RandomOpponent().act_all(
        {"action_mask": mask[None]}, np.zeros(1, int), np.ones(1, bool), np.random.default_rng(4)
    )
    assert many.tolist() == [one] and isinstance(RandomOpponent(), BatchOpponent)


class Counts:
    """Plays how many moves it has made in this game."""

    def __init__(self):
        self.moves = 99

    def reset(self, rng):
        self.moves = 0

    def act(self, obs, rng):
        assert obs["action_mask"].shape == (6,)
        self.moves += 1
        return self.moves

    def get_state(self):
        return {"moves": self.moves}

    def set_state(self, state):
        self.moves = state["moves"]


def test_single_opponents_have_a_game_each():
    many = as_batch(Counts())
    assert isinstance(many, OneByOne)
    rng, mask = np.random.default_rng(0), np.ones((2, 6), bool)

    def ask(places, starts):
        rows = len(places)
        return many.act_all(
            {"action_mask": mask[:rows]}, np.array(places), np.array(starts), rng
        ).tolist()

    assert ask([0, 5], [True, True]) == [1, 1]
    assert ask([5], [False]) == [2]
    assert ask([5, 0], [False, False]) == [3, 2]
    state = many.get_state()
    assert state == {"0.moves": 2, "5.moves": 3}
    other = OneByOne(Counts())
    other.set_state(state)
    assert ask([0, 5], [True, False]) == [1, 4]
    many = other
    assert ask([0, 5], [False, False]) == [3, 4]


def test_a_single_opponent_is_reset_before_it_is_asked():
    """Also in a game that was begun before its state was saved, of which it had none."""

    class Prepares:
        def reset(self, rng):
            self.moves = 0

        def act(self, obs, rng):
            self.moves += 1
            return self.moves

    mask, place = np.ones((1, 6), bool), np.array([3])
    one, other = OneByOne(Prepares()), OneByOne(Prepares())
    one.act_all({"action_mask": mask}, place, np.array([True]), np.random.default_rng(0))
    other.set_state(one.get_state())
    for expected in (1, 2):
        given = other.act_all({"action_mask": mask}, place, np.array([False]), None)
        assert given.tolist() == [expected]


@pytest.mark.parametrize(
    ("answer", "told"), [(1.7, "float64"), (None, "object"), ("1", "<U1"), (True, "bool")]
)
def test_answers_of_single_opponents_are_not_rounded(answer, told):
    class Strange(Counts):
        def act(self, obs, rng):
            return answer

    mask, places, starts = np.ones((2, 6), bool), np.array([0, 1]), np.ones(2, bool)
    many = as_batch(Strange())
    given = many.act_all({"action_mask": mask}, places, starts, np.random.default_rng(0))
    with pytest.raises(ConfigError, match=f"go: the opponent Strange answered {told} of shape"):
        require_allowed(many, given, mask, "go")
    nobody = many.act_all({"action_mask": mask[:0]}, places[:0], starts[:0], None)
    assert nobody.shape == (0,) and nobody.dtype == np.int64


def test_who_is_no_opponent():
    with pytest.raises(ConfigError, match="act\\(obs, rng\\).*str has neither"):
        as_batch("random")


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        ([1.0, 1.0], r"answered float64 of shape \(2,\), expected integers \(2,\)"),
        ([1], r"answered int64 of shape \(1,\)"),
        ([1, 3], "answered 3 in row 1, expected an action from 0 to 2"),
        ([1, 2], r"answered 2 in row 1, which its mask does not allow: allowed are \[0, 1\]"),
    ],
)
def test_mistakes_of_opponents_are_named(answer, message):
    mask = np.array([[True, True, True], [True, True, False]])
    with pytest.raises(ConfigError, match=f"chess: the opponent Counts {message}"):
        require_allowed(Counts(), np.array(answer), mask, "chess")
