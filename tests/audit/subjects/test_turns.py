"""Players in turn: the mover's row, and attempts that go past wrappers to the rules."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("pettingzoo")

from maskrl import audit
from maskrl.audit.subjects.turns import TurnsSubject
from maskrl.audit.targets import find_target


@pytest.fixture
def game():
    return find_target("pettingzoo:tictactoe_v3").make_raw()


def test_players_move_in_turn_and_a_win_ends_it(game):
    subject = TurnsSubject(game, "game")
    moment = subject.reset(0)
    movers = []
    for square in (0, 3, 1, 4, 2):  # the first column is won
        movers.append(moment.rows[0].who)
        moment = subject.step([np.array([square])])
    assert movers == ["player_1", "player_2"] * 2 + ["player_1"]
    assert moment.over and moment.results[0].reward == 1.0 and moment.results[0].terminated


def test_attempts_meet_the_rules_and_not_the_wrapper(game):
    subject = TurnsSubject(game, "game")
    subject.reset(0)
    subject.step([np.array([0])])
    with pytest.raises(AssertionError, match="not empty"):
        subject.attempt([np.array([0])])


def test_a_mask_that_forgets_which_squares_are_taken_is_found():
    def every_square(agent):
        return np.ones(9, np.int8)

    def forgetful():
        made = find_target("pettingzoo:tictactoe_v3").make_raw()
        made.unwrapped._get_mask = every_square
        return made

    report = audit.env(forgetful, steps=30, trials=120)
    finding = report.find("allowed-raises")
    assert finding is not None and "Location is not empty" in finding.got, report
