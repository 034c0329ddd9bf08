"""Agents' decisions under masks, and who lives, by hand; whole episodes are tested elsewhere."""

from __future__ import annotations

import numpy as np
import pytest
from gymnasium import spaces

from maskrl.envs.contract import mask_space
from maskrl.envs.teams import describe_team
from maskrl.errors import NoAllowedActionError
from maskrl.trainers.agent_count import AgentCount, TeamFollower

GRID = describe_team(
    spaces.Dict(
        {
            "grid": spaces.Box(0, 1, (1, 2, 2)),
            "agent_mask": mask_space(2, 2),
            "action_mask": mask_space(3, 2, 2),
        }
    ),
    spaces.MultiDiscrete(np.full((2, 2), 3)),
)


def test_the_unit_is_an_agents_decision():
    count = AgentCount(GRID, "a world", idles=False)
    acts = np.array([[[True, False], [True, True]], [[False, False], [False, False]]])
    keep = np.ones((2, 3, 2, 2), bool)
    keep[0, 1:, 0, 0] = False  # a forced decision
    keep[0, 2, 1, 0] = False
    actions = np.array([[[0, 9], [2, 2]], [[0, 0], [0, 0]]])  # what stands at (0, 1) is not read
    obs = {"agent_mask": acts, "action_mask": keep}
    active = np.array([True, True])
    against = count.add(obs, actions, active, np.zeros(2, int))
    assert against.tolist() == [1, 0]  # 2 at (1, 0)
    assert (count.steps, count.agent_steps, count.idle_steps, count.illegal) == (2, 3, 1, 1)
    assert count.allowed_share == pytest.approx((1 / 3 + 2 / 3 + 1) / 3)
    assert count.forced_share == pytest.approx(1 / 3)
    assert not count.opened
    # a sub-environment that no longer counts
    assert count.add(obs, actions, ~active, np.zeros(2, int)).tolist() == [1, 0]
    assert count.agent_steps == 3 and count.illegal == 1


def test_a_cell_that_may_do_nothing_is_named():
    count = AgentCount(GRID, "a world", idles=False)
    acts = np.array([[[False, False], [True, False]]])
    obs = {"agent_mask": acts, "action_mask": np.zeros((1, 3, 2, 2), bool)}
    with pytest.raises(NoAllowedActionError, match=r"the agent in cell \(1, 0\) act .* at step 7"):
        count.require_choice(obs, np.array([True]), np.array([7]))
    count.require_choice(obs, np.array([False]), np.array([7]))
    # a cell that holds nobody may be as empty as it likes
    obs["agent_mask"] = np.zeros((1, 2, 2), bool)
    count.require_choice(obs, np.array([True]), np.array([7]))


def test_without_identity_nobody_dies():
    follower = TeamFollower(GRID, 1, own_rewards=False)
    obs = {"agent_mask": np.ones((1, 2, 2), bool), "action_mask": np.ones((1, 3, 2, 2), bool)}
    follower.begin(obs, np.array([True]))
    follower.step(obs, {}, np.array([True]), np.array([True]))
    follower.end(np.array([0]), np.array([0]))
    figures = follower.figures(AgentCount(GRID, "a world", idles=False))
    assert figures.deaths is None and figures.agent_returns is None and figures.agents == 4
