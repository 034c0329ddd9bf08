"""Environments that punish what their mask disallows instead of telling it."""

from __future__ import annotations

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces

from maskrl.envs.adapters.mask_regime import MaskPenalty, MaskRegime, one_by_one, step_limit
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
