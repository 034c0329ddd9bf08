"""Advantages of agents that wait, die and come back, against sums that can be checked by eye.

gamma = lambda = 1/2 and small numbers, so that every expected value is exact in float64.
"""

from __future__ import annotations

import math

import pytest
import torch

from maskrl.errors import ConfigError, MaskDtypeError, MaskError, MaskShapeError
from maskrl.objectives import agent_advantages, generalized_advantages

NAN = math.nan


def column(*values):
    """One agent of one environment: [T, 1, 1]."""
    return torch.tensor(values, dtype=torch.float64).view(-1, 1, 1)


def flags(*values):
    return torch.tensor([bool(v) for v in values]).view(-1, 1, 1)


def advantages(rewards, values, following, acts, alive, *, terminated=(), truncated=(), **settings):
    """Advantages of one agent; `alive` has one entry more than there are steps."""
    steps = len(acts)
    ends = {"terminated": terminated, "truncated": truncated}
    ends = {k: torch.tensor([t in at for t in range(steps)]).view(-1, 1) for k, at in ends.items()}
    settings = {"death": "terminal", "gamma": 0.5, "gae_lambda": 0.5, **settings}
    team = settings["death"] == "posthumous"
    tensors = [column(*x)[..., 0] if team else column(*x) for x in (rewards, values, following)]
    got, returns = agent_advantages(
        *tensors, flags(*acts), flags(*alive[:-1]), flags(*alive[1:]), **ends, **settings
    )
    expected = torch.where(flags(*acts), got + column(*values), 0.0)
    torch.testing.assert_close(returns, expected, rtol=0, atol=0, equal_nan=True)
    return got.flatten().tolist()


def test_agents_that_always_act_have_the_ordinary_advantages():
    torch.manual_seed(0)
    rewards, values, following = torch.randn(3, 7, 5, 3, dtype=torch.float64)
    following[:-1] = values[1:]
    terminated, truncated = torch.rand(2, 7, 5) < 0.2
    everywhere = torch.ones(7, 5, 3, dtype=torch.bool)
    ends = terminated, truncated
    settings = {"gamma": 0.9, "gae_lambda": 0.8}
    got = agent_advantages(
        rewards, values, following, *[everywhere] * 3, *ends, death="terminal", **settings
    )
    wide = [x.unsqueeze(-1).expand(7, 5, 3) for x in ends]
    expected = generalized_advantages(rewards, values, following, *wide, **settings)
    for ours, theirs in zip(got, expected, strict=True):
        torch.testing.assert_close(ours, theirs)


def test_terminal_death_ends_the_recursion_with_the_reward_of_its_step():
    # dies in step 1: delta1 = 2 - 4 = -2; delta0 = 1 + .5 * 4 - 2 = 1; A0 = 1 + .25 * -2 = .5
    got = advantages((1, 2, NAN), (2, 4, NAN), (4, NAN, NAN), (1, 1, 0), (1, 1, 0, 0))
    assert got == [0.5, -2.0, 0.0]


def test_posthumous_recursion_runs_on_through_death():
    # team: deltas 1 + .5 * 4 - 2 = 1; 2 + .5 * 8 - 4 = 2; 4 + .5 * 16 - 8 = 4, dead in the last
    # A2 = 4 (no decision); A1 = 2 + .25 * 4 = 3; A0 = 1 + .25 * 3 = 1.75
    got = advantages((1, 2, 4), (2, 4, 8), (4, 8, 16), (1, 1, 0), (1, 1, 0, 0), death="posthumous")
    assert got == [1.75, 3.0, 0.0]


def test_who_comes_back_begins_a_new_segment():
    # segment 1: step 0 alone, delta = 1 - 2; segment 2: step 2, delta = 4 + .5 * 16 - 8
    acts, alive = (1, 0, 1), (1, 0, 1, 1)
    assert advantages((1, NAN, 4), (2, NAN, 8), (NAN, 8, 16), acts, alive) == [-1.0, 0.0, 4.0]
    # posthumous, nothing is cut: deltas 1, 2, 4 as above
    got = advantages((1, 2, 4), (2, 4, 8), (4, 8, 16), acts, alive, death="posthumous")
    assert got == [1.75, 0.0, 4.0]


def test_waiting_makes_a_decision_longer():
    # step 0 decides, 1 and 2 wait, 3 decides: delta3 = 8 + .5 * 4 - 2 = 8
    # delta0 = 1 + .5 * 2 + .25 * 4 + .125 * 2 - 1 = 2.25; A0 = 2.25 + .125 * .5 * 8 = 2.75
    rewards, values, following = (1, 2, 4, 8), (1, NAN, NAN, 2), (NAN, NAN, 2, 4)
    acts, alive = (1, 0, 0, 1), (1, 1, 1, 1, 1)
    assert advantages(rewards, values, following, acts, alive) == [2.75, 0.0, 0.0, 8.0]


def test_waiting_without_discount_counts_one_gamma_for_a_decision():
    # delta0 = 1 + 2 + 4 + .5 * 2 - 1 = 7; A0 = 7 + .25 * 8 = 9
    rewards, values, following = (1, 2, 4, 8), (1, NAN, NAN, 2), (NAN, NAN, 2, 4)
    acts, alive = (1, 0, 0, 1), (1, 1, 1, 1, 1)
    got = advantages(rewards, values, following, acts, alive, waiting_discount=False)
    assert got == [9.0, 0.0, 0.0, 8.0]


@pytest.mark.parametrize("ending", ["truncated", "rollout"])
def test_an_end_while_waiting_bootstraps_from_the_value_there(ending):
    # decided at 0, the end after 2 steps: 1 + .5 * 2 + .25 * 16 - 2 = 4
    if ending == "rollout":
        assert advantages((1, 2), (2, NAN), (NAN, 16), (1, 0), (1, 1, 1)) == [4.0, 0.0]
        return
    # and the next episode, step 2: delta = 4 + .5 * 4 - 1 = 5, of which nothing reaches step 0
    got = advantages((1, 2, 4), (2, NAN, 1), (NAN, 16, 4), (1, 0, 1), (1, 1, 1, 1), truncated=(1,))
    assert got == [4.0, 0.0, 5.0]


def test_an_end_while_waiting_without_discount_costs_one_gamma():
    # 1 + 2 + .5 * 16 - 2 = 9
    got = advantages((1, 2), (2, NAN), (NAN, 16), (1, 0), (1, 1, 1), waiting_discount=False)
    assert got == [9.0, 0.0]


def test_a_terminated_episode_owes_nothing_to_who_waits():
    # 1 + .5 * 2 - 2 = 0
    got = advantages((1, 2), (2, NAN), (NAN, NAN), (1, 0), (1, 1, 1), terminated=(1,))
    assert got == [0.0, 0.0]


def test_death_while_waiting():
    acts, alive = (1, 0, 0), (1, 1, 0, 0)
    # terminal: the decision at 0 ends in step 1: 1 + .5 * 2 - 1 = 1
    assert advantages((1, 2, NAN), (1, NAN, NAN), (NAN, NAN, NAN), acts, alive) == [1, 0, 0]
    # posthumous: it lasts until the first dead step, 2, where the team goes on:
    # delta2 = 4 + .5 * 16 - 8 = 4; delta0 = 1 + .5 * 2 + .25 * 8 - 1 = 3; A0 = 3 + .125 * 4 = 3.5
    got = advantages((1, 2, 4), (1, 9, 8), (9, 8, 16), acts, alive, death="posthumous")
    assert got == [3.5, 0.0, 0.0]


def test_death_in_the_step_that_is_truncated():
    # terminal: no future though the value there is 16: 1 - 2; posthumous: 1 + .5 * 16 - 2 = 7
    ends = {"truncated": (0,)}
    assert advantages((1,), (2,), (16,), (1,), (1, 0), **ends) == [-1.0]
    assert advantages((1,), (2,), (16,), (1,), (1, 0), death="posthumous", **ends) == [7.0]


def test_a_team_that_dies_out_and_slots_never_used_add_nothing():
    rewards = torch.tensor([[[1.0, NAN]], [[2.0, NAN]]], dtype=torch.float64)
    values = torch.tensor([[[2.0, NAN]], [[NAN, NAN]]], dtype=torch.float64)
    alive = torch.tensor([[[True, False]], [[False, False]]])
    gone = torch.zeros_like(alive)
    none = torch.zeros(2, 1, dtype=torch.bool)
    got, returns = agent_advantages(
        rewards, values, values, alive, alive, gone, none, none,
        death="terminal", gamma=0.5, gae_lambda=0.5,
    )  # fmt: skip
    assert got.flatten().tolist() == [-1.0, 0.0, 0.0, 0.0]
    assert returns.flatten().tolist() == [1.0, 0.0, 0.0, 0.0]


def test_against_a_recursion_written_for_one_agent():
    """Random lives of many agents beside a loop that goes through one agent's decisions."""
    torch.manual_seed(1)
    steps, batch, agents, gamma, lam = 12, 6, 4, 0.9, 0.7
    rewards = torch.randn(steps, batch, agents, dtype=torch.float64)
    values, following = torch.randn(2, steps, batch, agents, dtype=torch.float64)
    alive = torch.rand(steps + 1, batch, agents) < 0.8
    acts = alive[:-1] & (torch.rand(steps, batch, agents) < 0.6)
    terminated, truncated = torch.rand(2, steps, batch) < 0.1
    got, _ = agent_advantages(
        rewards, values, following, acts, alive[:-1], alive[1:], terminated, truncated,
        death="terminal", gamma=gamma, gae_lambda=lam,
    )  # fmt: skip
    for b in range(batch):
        for n in range(agents):
            expected = torch.zeros(steps, dtype=torch.float64)
            for t in reversed(range(steps)):
                if not acts[t, b, n]:
                    continue
                total, k = rewards[t, b, n].clone(), t
                while True:
                    died = alive[k, b, n] and not alive[k + 1, b, n]
                    discount = gamma ** (k + 1 - t)
                    if terminated[k, b] or died:
                        expected[t] = total - values[t, b, n]
                        break
                    if truncated[k, b] or k == steps - 1:
                        expected[t] = total + discount * following[k, b, n] - values[t, b, n]
                        break
                    k += 1
                    if acts[k, b, n]:
                        delta = total + discount * values[k, b, n] - values[t, b, n]
                        expected[t] = delta + discount * lam * expected[k]
                        break
                    total = total + discount * rewards[k, b, n]
            torch.testing.assert_close(got[:, b, n], expected)


def test_the_meaning_of_death_has_no_default_and_needs_its_critic():
    good = ((1,), (2,), (4,), (1,), (1, 1))
    with pytest.raises(ConfigError, match=r"death is 'final'.*no default"):
        advantages(*good, death="final")
    one = torch.ones(1, 1, 1, dtype=torch.bool)
    none = torch.zeros(1, 1, dtype=torch.bool)
    x = torch.zeros(1, 1, 1)
    settings = {"death": "posthumous", "gamma": 1.0, "gae_lambda": 1.0}
    with pytest.raises(ConfigError, match=r"values of shape \(1, 1, 1\).*team's state"):
        agent_advantages(x, x, x, one, one, one, none, none, **settings)


def test_bad_input_is_named():
    one = torch.ones(2, 1, 3, dtype=torch.bool)
    none = torch.zeros(2, 1, dtype=torch.bool)
    x = torch.zeros(2, 1, 3)
    settings = {"death": "terminal", "gamma": 1.0, "gae_lambda": 1.0}

    def call(rewards=x, values=x, following=x, acts=one, alive=one, later=one, ends=none):
        agent_advantages(rewards, values, following, acts, alive, later, ends, none, **settings)

    with pytest.raises(MaskDtypeError, match=r"alive has dtype torch\.int64"):
        call(alive=one.long())
    with pytest.raises(MaskShapeError, match=r"agent_mask has shape \(2, 3\)"):
        call(acts=one[:, 0])
    with pytest.raises(MaskShapeError, match=r"terminated"):
        call(ends=none[:1])
    with pytest.raises(MaskShapeError, match=r"rewards has shape \(2, 3\)"):
        call(rewards=x[:, 0])
    with pytest.raises(MaskShapeError, match=r"next_values has shape"):
        call(following=x[..., 0])
    dead = one.clone()
    dead[1, 0, 2] = False
    with pytest.raises(MaskError, match=r"agent 2 decides at step 1 of environment 0"):
        call(alive=dead)
