"""Verdicts: clocks, moving creatures and echoes do not deceive, and doubt says nothing."""

from __future__ import annotations

import numpy as np
import pytest

from maskrl.audit.judgement import echo_entries, judge
from maskrl.audit.subjects.moments import Reading, Row
from maskrl.audit.trials import Spot, Trial
from maskrl.audit.walk import Stage


def spot(before, trials, step=0, episode=0):
    """A spot from (action, allowed, features or None, reward, ended or error) rows."""
    made = Spot(Stage(episode, step, None), Row("", True, Reading(""), np.array(before, float)))
    for number, allowed, after, *more in trials:
        reward, ended, error = (*more, 0.0, "", "")[:3] if more else (0.0, "", "")
        features = None if after is None else np.array(after, float)
        made.trials.append(Trial(np.array([number]), allowed, features, reward, ended, error))
    return made


def verdicts(made, **settings):
    judge([made], **settings)
    return [trial.verdict for trial in made.trials]


def test_what_changes_something_acts_and_what_does_not_idles():
    made = spot([0, 0], [(0, True, [1, 0]), (1, True, [0, 1]), (2, False, [0, 0])])
    assert verdicts(made) == ["acts", "acts", "idle"]


def test_a_clock_is_no_effect():
    made = spot([0, 7], [(0, True, [1, 8]), (1, True, [0, 8]), (2, False, [0, 8])])
    assert verdicts(made) == ["acts", "idle", "idle"]


def test_a_refused_action_that_is_done_as_waiting_is_idle_though_the_world_moves():
    # entry 1 is a creature that follows the first: nobody's outcome is the state before
    moves = [(0, True, [1, 6]), (1, True, [0, 5]), (2, False, [0, 5]), (3, False, [0, 5])]
    assert verdicts(spot([0, 3], moves)) == ["acts", "idle", "idle", "idle"]


def test_where_the_world_moves_one_disallowed_action_alone_says_nothing():
    # the creature alone has moved, differently after every action
    moves = [(0, True, [1, 6, 9]), (1, False, [0, 5, 9])]
    assert verdicts(spot([0, 3, 8], moves)) == ["unclear", "unclear"]


def test_a_disallowed_action_acts_if_others_are_refused():
    made = spot([0, 0], [(0, True, [1, 0]), (1, False, [0, 1]), (2, False, [0, 0])])
    assert verdicts(made) == ["acts", "acts", "idle"]


def test_two_disallowed_actions_with_effects_of_their_own_act():
    made = spot([0, 0], [(0, True, [0, 0]), (1, False, [0, 1]), (2, False, [1, 0])])
    assert verdicts(made) == ["idle", "acts", "acts"]


def test_one_alone_is_judged_where_nothing_is_drawn_and_nothing_moves():
    trials = [(0, True, [0, 0]), (1, False, [0, 1])]
    assert verdicts(spot([0, 0], trials)) == ["idle", "unclear"]
    assert verdicts(spot([0, 0], trials), is_deterministic=True) == ["idle", "acts"]


def test_an_action_that_does_as_an_allowed_one_is_unclear():
    made = spot([0], [(0, True, [1]), (1, True, [0]), (2, False, [1])])
    assert verdicts(made)[2] == "unclear"


def test_where_all_lead_to_the_same_nothing_is_told():
    assert verdicts(spot([0], [(0, True, [1]), (1, False, [1])])) == ["unclear"] * 2


def test_errors_raise_and_prices_end():
    raising = spot([0], [(0, True, [1]), (1, True, [2]), (2, False, None, 0.0, "", "ValueError")])
    assert verdicts(raising) == ["acts", "acts", "raises"]
    ending = spot([0], [(0, True, [1], 0.0), (1, False, [0], -1.0, "terminated")])
    assert verdicts(ending)[1] == "ends"
    # a state in which everything ends badly is no refusal
    lost = spot([0], [(0, True, [0], -1.0, "terminated"), (1, False, [0], -1.0, "terminated")])
    assert verdicts(lost) == ["unclear", "unclear"]


def test_allowed_actions_that_end_as_all_disallowed_ones_do_are_refused():
    spots = [
        spot(
            [step],
            [
                (0, True, [step + 1], 0.0),
                (1, True, [step], -1.0, "terminated"),
                (2, False, [step], -1.0, "terminated"),
            ],
            step,
        )
        for step in range(8)
    ]
    judge(spots)
    assert {s.trials[1].verdict for s in spots} == {"ends"}
    assert {s.trials[0].verdict for s in spots} <= {"acts", "unclear"}


@pytest.mark.parametrize("limit", ["truncated", "terminated"])
def test_an_end_by_the_clock_is_no_refusal(limit):
    """Disallowed actions end episodes, and nobody sees where they are: so does the last step."""
    spots = [
        spot([0], [(0, True, [0]), (1, True, [0]), (2, False, [0], 0.0, "terminated")], step)
        for step in range(8)
    ]
    ends = [(0, True, [0], 0.0, limit), (2, False, [0], 0.0, "terminated")]
    judge([*spots, spot([0], ends, 8)])
    assert {t.verdict for s in spots for t in s.trials if t.allowed} == {"unclear"}
    last = spot([0], ends, 8)
    judge([*spots, last])
    assert last.trials[0].verdict == "unclear"
    # while others go on there, that one is refused as the disallowed one is
    refused = spot([0], [(1, True, [0]), (0, True, [0], 0.0, "terminated"), ends[1]], 8)
    judge([*spots, refused])
    assert [t.verdict for t in refused.trials[:2]] == ["unclear", "ends"]


def echo_spots(keeps):
    """Eight places with three actions; entry 1 repeats the action, or what was ever chosen."""
    spots, ever = [], 0.0
    for step in range(8):
        last = float((step * 2) % 3)
        ever = max(ever, 1.0 if step > 5 else 0.0)
        rows = []
        for action in range(3):
            allowed = action != 2
            moved = step + (action == 0)
            rows.append((action, allowed, [moved, ever if keeps else float(action)]))
        spots.append(spot([step, ever if keeps else last], rows, step))
    return spots


def test_an_echo_of_the_action_is_no_effect():
    spots = echo_spots(keeps=False)
    np.testing.assert_array_equal(echo_entries(spots), [False, True])
    judge(spots)
    assert {s.trials[0].verdict for s in spots} == {"acts"}
    assert {s.trials[1].verdict for s in spots} == {"idle"}
    assert {s.trials[2].verdict for s in spots} == {"idle"}


def test_what_stays_once_it_is_set_is_no_echo():
    assert not echo_entries(echo_spots(keeps=True)).any()
    assert echo_entries([]).size == 0


def test_passing_the_turn_is_not_nothing_for_who_may():
    trials = [(0, True, [0, 1]), (1, True, [5, 1]), (2, False, [0, 1])]
    assert verdicts(spot([0, 0], trials), turn_entries=1) == ["unclear", "acts", "idle"]


def test_disallowed_actions_that_are_replaced_by_allowed_ones_make_none_of_them_idle():
    # what is disallowed is done as the first allowed action: 0 at one place, 1 at another
    one = spot(
        [0, 0], [(0, True, [5, 0]), (1, True, [0, 5]), (2, False, [5, 0]), (3, False, [5, 0])]
    )
    two = spot(
        [0, 1], [(1, True, [0, 6]), (2, True, [1, 1]), (0, False, [0, 6]), (3, False, [0, 6])]
    )
    judge([one, two])
    assert [trial.verdict for trial in one.trials] == ["unclear", "acts", "idle", "idle"]
    assert [trial.verdict for trial in two.trials] == ["unclear", "acts", "idle", "idle"]
