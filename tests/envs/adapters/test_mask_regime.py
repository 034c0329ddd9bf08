"""Environments that punish what their mask disallows instead of telling it."""

from __future__ import annotations

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces

from maskrl.envs.adapters.mask_regime import (
    MaskPenalty,
    MaskRegime,
    one_by_one,
    step_charges,
    step_limit,
)
from maskrl.envs.contract import mask_space
from maskrl.envs.registry import find_entry, make, make_vec
from maskrl.errors import ConfigError
from maskrl.trainers.evaluate import evaluate_random


class Stairs(gymnasium.Env):
    """Action 1 climbs and is disallowed on every second stair; reward is the stair."""

    observation_space = spaces.Dict(
        {"at": spaces.Box(0, 99, (1,), np.float32), "action_mask": mask_space(2)}
    )
    action_space = spaces.Discrete(2)

    def __init__(self, step_limit=4):
        self.step_limit = step_limit

    def look(self):
        mask = np.array([True, self.at % 2 == 0])
        return {"at": np.array([self.at], np.float32), "action_mask": mask}

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.at = self.steps = 0
        return self.look(), {}

    def step(self, action):
        self.steps += 1
        self.at += int(action)
        return self.look(), float(self.at), False, self.steps >= self.step_limit, {}


@pytest.mark.parametrize(
    ("text", "penalty", "withholds"),
    [
        ("masked", None, True),
        ("none", 0.0, True),
        ("penalty:0.5", 0.5, True),
        ("penalty:1:native", 1.0, False),
    ],
)
def test_regimes_are_read(text, penalty, withholds):
    assert MaskRegime.parse(text) == MaskRegime(penalty, withholds)


@pytest.mark.parametrize(
    "text", ["", "naive", "penalty", "penalty:x", "penalty:-1", "penalty:nan", "penalty:1:own"]
)
def test_what_is_no_regime_is_refused(text):
    with pytest.raises(ConfigError, match=r"expected masked, none, penalty:P or penalty:P:native"):
        MaskRegime.parse(text)


def test_a_disallowed_action_is_withheld_and_its_step_counts():
    env = MaskPenalty(Stairs(4), 0.5)
    first, _ = env.reset()
    up, reward, *_ = env.step(1)
    assert (up["at"][0], reward) == (1, 1.0)
    # On stair 1 climbing is disallowed: the same is seen again, and it costs 0.5.
    again, reward, terminated, truncated, _ = env.step(1)
    assert (again["at"][0], reward, terminated, truncated) == (1, -0.5, False, False)
    assert env.unwrapped.steps == 1 and env.illegal_actions == 1
    again["at"][0] = 9  # a copy: what is seen next is not this
    assert env.step(1)[0]["at"][0] == 1
    # The fourth step is the last one, though the environment counted two.
    _, reward, _, truncated, _ = env.step(0)
    assert (reward, truncated) == (1.0, True) and env.unwrapped.steps == 2
    assert first["at"][0] == 0


def test_an_episode_of_withheld_actions_alone_ends():
    env = MaskPenalty(Stairs(3), 1.0)
    env.reset()
    env.step(1)
    rest = [env.step(1) for _ in range(2)]
    assert [(r, truncated) for _, r, _, truncated, _ in rest] == [(-1.0, False), (-1.0, True)]
    env.reset()
    assert env.step(0)[3] is False


def test_natively_the_environment_answers_and_the_penalty_comes_off():
    env = MaskPenalty(Stairs(4), 0.25, withholds=False)
    env.reset()
    env.step(1)
    up, reward, *_ = env.step(1)
    assert (up["at"][0], reward) == (2, 2.0 - 0.25)
    assert env.unwrapped.steps == 2 and env.illegal_actions == 1


def test_what_has_no_end_is_refused_unless_it_answers_itself():
    endless = Stairs()
    del endless.step_limit
    assert step_limit(endless) is None
    with pytest.raises(ConfigError, match="does not tell how many steps.*penalty:2:native"):
        MaskPenalty(endless, 2.0)
    MaskPenalty(endless, 2.0, withholds=False)


def test_limits_are_found_where_environments_have_them():
    assert step_limit(make("gymnasium:Taxi-v4")) == 200
    assert step_limit(make("panda?step_limit=17")) == 17


def test_a_registered_environment_under_a_regime_tells_no_mask_and_counts():
    env = make("panda", mask_regime="penalty:0.5")
    obs, _ = env.reset(seed=0)
    masked = make("panda")
    allowed = masked.reset(seed=0)[0]["action_mask"]
    assert obs["action_mask"].all() and not allowed.all()
    wrong = int(np.flatnonzero(~allowed)[0])
    after, reward, *_ = env.step(wrong)
    assert reward == -0.5 and after["action_mask"].all()
    assert np.array_equal(after["entities"], obs["entities"])
    assert env.get_wrapper_attr("illegal_actions") == 1


def test_evaluations_charge_nothing():
    entry = find_entry("panda?mask_regime=penalty:2")
    assert entry.kwargs_for("train")["mask_regime"] == "penalty:2"
    for phase in ("validation", "evaluation"):
        assert entry.kwargs_for(phase)["mask_regime"] == "penalty:0"
        native = entry.kwargs_for(phase, mask_regime="penalty:2:native")
        assert native["mask_regime"] == "penalty:0:native"
        assert entry.kwargs_for(phase, mask_regime="masked")["mask_regime"] == "masked"


def test_an_evaluation_counts_and_is_judged_by_the_same_reference():
    found = evaluate_random("panda", episodes=4, env_kwargs={"mask_regime": "penalty:50"})
    plain = evaluate_random("panda", episodes=4)
    assert found.illegal_actions > 0 and found.returns.min() > -10
    assert plain.illegal_actions == 0
    assert found.layout_ids.tolist() == plain.layout_ids.tolist()


def test_a_team_or_nothing_disallowed_is_refused():
    with pytest.raises(ConfigError, match="a team acts"):
        make("pandas", mask_regime="none")


def test_a_batch_plays_every_layout_once():
    kwargs = {"split": "test", "layout_seeds": 5, "mask_regime": "none"}
    venv = make_vec("panda", 2, seed=0, **kwargs)
    plain = make_vec("panda", 2, seed=0, split="test", layout_seeds=5)
    for env in (venv, plain):
        _, infos = env.reset(seed=0)
        seen = [infos["layout_id"].tolist()]
        for _ in range(400):
            *_, infos = env.step(np.zeros(2, np.int64))
            if (now := infos["layout_id"].tolist()) != seen[-1]:
                seen.append(now)
        env.close()
        env.found = seen
    first = [{i for i, _ in e.found} for e in (venv, plain)]
    assert first[0] | {j for _, j in venv.found} == first[1] | {j for _, j in plain.found}
    assert venv.found[0] == plain.found[0]


def test_layouts_are_dealt_out_as_to_a_batch():
    given = []
    for maker in one_by_one(
        lambda **k: given.append(k), 3, {"layout_seeds": [7, 8, 9, 10], "a": 1}
    ):
        maker()
    assert [k["layout_seeds"] for k in given] == [[7, 10], [8], [9]]
    assert all(k["a"] == 1 for k in given)


class StairsWithRules(Stairs):
    """Counts standing still as invalid, whatever its mask says."""

    def counts_as_invalid(self, action):
        return int(action) == 0


@pytest.mark.parametrize(
    ("withholds", "rewards"), [(False, [1.0, 2.0, 1.5]), (True, [1.0, -0.5, 1.0])]
)
def test_an_environment_that_counts_itself_is_believed_where_it_answers(withholds, rewards):
    """Up, up (disallowed by the mask), and not at all (disallowed by the environment)."""
    env = MaskPenalty(StairsWithRules(), 0.5, withholds=withholds)
    env.reset()
    assert [env.step(action)[1] for action in (1, 1, 0)] == rewards
    assert env.illegal_actions == 1


@pytest.mark.parametrize("withholds", [True, False])
def test_what_was_charged_is_told_where_it_was(withholds):
    env = MaskPenalty(Stairs(4), 0.25, withholds=withholds)
    env.reset()
    assert "charged" not in env.step(1)[4]
    assert env.step(1)[4]["charged"] == 0.25
    assert "charged" not in env.step(0)[4]


def test_charges_of_a_batch_are_those_of_every_step_also_the_last():
    """Two stairs of two steps: on the second, climbing is charged and the episode ends."""
    fns = [lambda: MaskPenalty(Stairs(2), 0.5) for _ in range(2)]
    from maskrl.envs.vectorize import GymnasiumVectorEnv

    batch = GymnasiumVectorEnv(fns)
    batch.reset(seed=0)
    *_, infos = batch.step(np.array([1, 0]))
    assert step_charges(infos, 2) is None
    _, rewards, _, truncated, infos = batch.step(np.array([1, 1]))
    assert truncated.all() and step_charges(infos, 2).tolist() == [0.5, 0.0]
    assert rewards.tolist() == [-0.5, 1.0]


def test_charges_are_found_wherever_vector_environments_put_infos():
    final = np.array([{"charged": 1.0}, None], dtype=object)
    assert step_charges({"final_info": final}, 2).tolist() == [1.0, 0.0]
    both = {"charged": np.array([0.5, 0.0]), "final_info": {"charged": np.array([0.0, 2.0])}}
    assert step_charges(both, 2).tolist() == [0.5, 2.0]
    assert step_charges({}, 2) is None


def played(regime, env_id="mining-4x4?masks=published"):
    """Two worlds under a regime, and 260 random actions for each, whatever the masks say."""
    batch = make_vec(env_id, 2, seed=0, mask_regime=regime)
    batch.reset()
    space = batch.action_space
    space.seed(0)
    return batch, [space.sample() for _ in range(260)]


@pytest.mark.parametrize(
    ("env_id", "regime"),
    [
        ("mining-4x4?masks=published", "none"),
        ("mining-4x4?masks=published", "penalty:0.1:native"),
        ("panda", "penalty:0.1"),
        ("panda", "penalty:0.1:native"),
        ("outpost", "penalty:0.1"),
        ("packing", "penalty:0.1"),
        ("gymnasium:Taxi-v4", "penalty:0.1"),
    ],
)
def test_a_run_under_a_regime_can_be_continued_from_its_state(env_id, regime):
    first, orders = played(regime, env_id)
    for order in orders[:150]:
        first.step(order)
    again, _ = played(regime, env_id)
    again.set_state(first.get_state())
    for order in orders[150:]:  # across the end of an episode, by whoever ends it
        left, right = first.step(order), again.step(order)
        assert all(np.array_equal(left[0][key], right[0][key]) for key in left[0])
        assert all(np.array_equal(left[part], right[part]) for part in (1, 2, 3))
    assert first.illegal_actions == again.illegal_actions > 0


def test_what_could_not_be_carried_out_is_one_figure_under_masks_and_native_penalties():
    """The same orders get the same answers; charged are only those of them that the task counts."""
    counts = {}
    for regime in ("masked", "penalty:0.1:native"):
        batch, orders = played(regime)
        charged = 0.0
        for order in orders:
            *_, infos = batch.step(order)
            charges = step_charges(infos, 2)
            charged += 0.0 if charges is None else charges.sum()
        counts[regime] = batch.illegal_actions
    assert counts["masked"] == counts["penalty:0.1:native"]
    assert 0 < round(charged / 0.1) < counts["masked"]


def test_what_is_withheld_and_what_the_environment_refuses_are_both_counted():
    """A published mask allows a worker to harvest where no mine is, which the rules refuse."""
    env = make("mining-4x4", masks="published", mask_regime="penalty:0.1")
    env.reset()
    nobody = np.array([15, 0, 0, 0, 0, 0, 0, 0])
    env.step(nobody)  # withheld: no own unit is there
    assert env.get_wrapper_attr("illegal_actions") == 1
    # Below the worker is no mine; the target is the enemy's worker, so that every head obeys.
    env.step(np.array([5, 2, 0, 2, 0, 0, 0, 10]))
    assert env.unwrapped.illegal_actions == 1
    assert env.get_wrapper_attr("illegal_actions") == 2
