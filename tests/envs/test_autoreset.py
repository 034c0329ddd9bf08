"""Whoever steps an environment, and in whichever mode: the same transitions, bit for bit."""

from __future__ import annotations

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces
from gymnasium.vector import AsyncVectorEnv, AutoresetMode, SyncVectorEnv, VectorEnv, VectorWrapper

from maskrl.buffers import ReplayBuffer
from maskrl.envs.adapters.gymnasium_info import adapt
from maskrl.envs.autoreset import SameStep, as_same_step, keeps_contract
from maskrl.envs.contract import (
    can_save_state,
    describe_env,
    final_observations,
    require_same_step,
)
from maskrl.envs.outcomes import episode_outcomes
from maskrl.envs.vectorize import GymnasiumVectorEnv
from maskrl.errors import ConfigError, MaskDtypeError, NoMaskError

A, B = 5, 3
MODES = list(AutoresetMode)


def make_walk():
    """The class, by value: processes that step it need not import this file."""

    class Walk(gymnasium.Env):
        """Ends or is cut off at random; its masks are random too, some of them at the end."""

        def __init__(self, *, where="info", reuses=False, forgets=False, give=None, start=0):
            self.where, self.reuses, self.forgets, self.give = where, reuses, forgets, give
            self.action_space = spaces.Discrete(A, start=start)
            box = spaces.Box(-np.inf, np.inf, (2,), np.float64)
            self.observation_space = box
            if where == "observation":
                flags = spaces.Box(0, 1, (A,), np.int8)
                self.observation_space = spaces.Dict({"x": box, "action_mask": flags})
            self.x, self.mask = np.zeros(2), np.zeros(A, np.int8)

        def _seen(self, over=False):
            x, mask = self.np_random.normal(size=2), self.np_random.random(A) < 0.5
            mask[self.np_random.integers(A)] = True
            if self.reuses:
                self.x[:], self.mask[:] = x, mask
            else:
                self.x, self.mask = x, mask.astype(np.int8)
            info = {}
            shown = self.mask if self.give is None else self.give(self.mask)
            if self.where == "info" and not (over and self.forgets):
                info["action_mask"] = shown
            return {
                "x": self.x,
                "action_mask": shown,
            } if self.where == "observation" else self.x, info

        def reset(self, *, seed=None, options=None):
            super().reset(seed=seed)
            return self._seen()

        def step(self, action):
            number = int(action) - int(self.action_space.start)
            dice = self.np_random.random(2)
            ended, cut = bool(dice[0] < 0.2), bool(dice[1] < 0.2)
            observation, info = self._seen(ended or cut)
            if ended or cut:
                info["outcome"] = 1.0 if number else -1.0
            return observation, float(dice[0] + number), ended, cut, info

    return Walk


def with_method(**kwargs):
    class WalkWithMethod(make_walk()):
        def action_masks(self):
            return [bool(flag) for flag in self.mask]

    return WalkWithMethod(where="method", **kwargs)


def stepped_alone(make, seed):
    """What happens, written down by hand: no vector environment, no wrapper of one."""
    envs = [adapt(make()) for _ in range(B)]
    observations = [env.reset(seed=seed + i)[0] for i, env in enumerate(envs)]

    def batch(rows):
        return {key: np.stack([row[key] for row in rows]) for key in rows[0]}

    def step(actions):
        rewards, terminated, truncated, finals, index = [], [], [], [], []
        for i, env in enumerate(envs):
            observations[i], reward, over, cut, _ = env.step(int(actions[i]))
            rewards.append(reward), terminated.append(over), truncated.append(cut)
            if over or cut:
                finals.append(observations[i]), index.append(i)
                observations[i], _ = env.reset()
        final = batch(finals) if finals else None
        flags = np.array(terminated), np.array(truncated)
        return batch(observations), np.array(rewards), *flags, final, np.array(index, int)

    return envs[0].observation_space, batch(observations), step


def stepped_together(venv, seed):
    obs, _ = venv.reset(seed=seed)

    def step(actions):
        obs, rewards, terminated, truncated, infos = venv.step(actions)
        index = np.flatnonzero(terminated | truncated)
        final = final_observations(infos, index) if len(index) else None
        return obs, rewards, terminated, truncated, final, index

    return venv.single_observation_space, obs, step


def replay_of(space, obs, step, steps=60):
    """Everything that a replay buffer holds after some random valid steps."""
    buffer = ReplayBuffer(space, B, steps * B, n_step=2)
    buffer.begin(obs)
    rng = np.random.default_rng(1)
    for _ in range(steps):
        actions = np.where(obs["action_mask"], rng.random((B, A)), -1).argmax(-1)
        obs, rewards, terminated, truncated, final, index = step(actions)
        some = {} if final is None else {"final_obs": final, "final_index": index}
        buffer.add(actions, rewards, terminated, truncated, obs, **some)
    return buffer


def require_same(one, two):
    ours, theirs = one.get_state(), two.get_state()
    assert ours[1] == theirs[1] and ours[0].keys() == theirs[0].keys()
    for name, array in ours[0].items():
        assert array.tobytes() == theirs[0][name].tobytes(), name
    drawn = [buffer.sample(200, np.random.default_rng(0)) for buffer in (one, two)]
    for name in ("rewards", "terminated", "truncated", "discounts"):
        assert (getattr(drawn[0], name) == getattr(drawn[1], name)).all()
    for name in ("observations", "next_observations"):
        left, right = getattr(drawn[0], name), getattr(drawn[1], name)
        assert (left["action_mask"].bits == right["action_mask"].bits).all()


def vector_env(kind, mode, make, **kwargs):
    if kind == "ours":
        return GymnasiumVectorEnv([lambda: adapt(make())] * B)
    return as_same_step(SyncVectorEnv([make] * B, autoreset_mode=mode, **kwargs))


WAYS = {
    "info": lambda: make_walk()(where="info"),
    "forgets": lambda: make_walk()(where="info", forgets=True),
    "lists": lambda: make_walk()(where="info", give=lambda mask: mask.tolist()),
    "dicts": lambda: make_walk()(where="info", give=lambda mask: dict(enumerate(mask.tolist()))),
    "observation": lambda: make_walk()(where="observation"),
    "from one": lambda: make_walk()(where="info", start=1),
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("mode", MODES)
def test_every_mode_gives_the_transitions_of_single_environments(way, mode):
    alone = replay_of(*stepped_alone(WAYS[way], 7))
    arrays, _ = alone.get_state()
    assert arrays["terminated"].sum() > 10 and arrays["truncated"].sum() > 10
    ours = replay_of(*stepped_together(vector_env("ours", mode, WAYS[way]), 7))
    require_same(alone, ours)
    sync = replay_of(*stepped_together(vector_env("sync", mode, WAYS[way]), 7))
    require_same(alone, sync)


@pytest.mark.parametrize("mode", [AutoresetMode.DISABLED, AutoresetMode.NEXT_STEP])
@pytest.mark.parametrize("copy", [True, False])
def test_arrays_that_are_changed_in_place_change_nothing(mode, copy):
    """The environment's own, and with copy=False the vector environment's."""
    for make in (
        lambda: make_walk()(where="info", reuses=True),
        lambda: make_walk()(where="observation", reuses=True),
        lambda: with_method(reuses=True),
    ):
        alone = replay_of(*stepped_alone(make, 3))
        sync = replay_of(*stepped_together(vector_env("sync", mode, make, copy=copy), 3))
        require_same(alone, sync)
        ours = replay_of(*stepped_together(vector_env("ours", mode, make), 3))
        require_same(alone, ours)


def test_a_final_observation_that_was_written_over_is_refused():
    venv = vector_env("sync", AutoresetMode.SAME_STEP, lambda: make_walk()(reuses=True))
    with pytest.raises(ConfigError, match=r"written over the final .*DISABLED"):
        replay_of(*stepped_together(venv, 3))


@pytest.mark.parametrize("mode", MODES)
def test_a_method_tells_the_mask(mode):
    """Of a final observation it tells nothing where the environment has gone on already."""
    venv = vector_env("sync", mode, with_method)
    obs, _ = venv.reset(seed=0)
    masks = [env.mask.astype(bool) for env in venv.env.envs]
    np.testing.assert_array_equal(obs["action_mask"], masks)
    seen = []
    for _ in range(20):
        *_, terminated, truncated, infos = venv.step(np.zeros(B, int))
        index = np.flatnonzero(terminated | truncated)
        if len(index):
            seen.append(final_observations(infos, index)["action_mask"])
    assert np.concatenate(seen).any() == (mode is not AutoresetMode.SAME_STEP)


@pytest.mark.parametrize("mode", MODES)
def test_infos_belong_to_their_episode(mode):
    venv = vector_env("sync", mode, WAYS["info"])
    venv.reset(seed=0)
    for _ in range(30):
        actions = np.array([0, 1, 2])
        _, _, terminated, truncated, infos = venv.step(actions)
        ended = terminated | truncated
        outcomes = episode_outcomes(infos, ended)
        np.testing.assert_array_equal(outcomes, np.where(ended, [-1.0, 1.0, 1.0], np.nan))
        if ended.any():
            assert not (ended & np.asarray(infos.get("_outcome", False))).any()
            assert infos["_final_info"].tolist() == ended.tolist()
        assert infos["_action_mask"].all()


def test_the_caller_s_own_actions_count_as_illegal():
    venv = vector_env("sync", AutoresetMode.NEXT_STEP, WAYS["from one"])
    assert venv.single_action_space == spaces.Discrete(A)
    obs, _ = venv.reset(seed=0)
    expected = 0
    for _ in range(20):
        obs["action_mask"][:] = obs["action_mask"][:]
        expected += int((~obs["action_mask"][:, 3]).sum())
        shown = obs["action_mask"]
        obs, *_ = venv.step(np.full(B, 3))
        shown[:] = True  # what a caller does with his copy
    assert venv.illegal_actions == expected > 0


def test_one_environment_needs_no_reset_of_some():
    class Lonely(VectorWrapper):
        def reset(self, *, seed=None, options=None):
            assert options is None
            return super().reset(seed=seed)

    inner = SyncVectorEnv([WAYS["info"]], autoreset_mode=AutoresetMode.NEXT_STEP)
    venv = as_same_step(Lonely(inner))
    ours = GymnasiumVectorEnv([lambda: adapt(WAYS["info"]())])
    one, two = venv.reset(seed=5)[0], ours.reset(seed=5)[0]
    for _ in range(50):
        np.testing.assert_array_equal(one["observation"], two["observation"])
        np.testing.assert_array_equal(one["action_mask"], two["action_mask"])
        action = one["action_mask"].argmax(-1)
        one, two = venv.step(action)[0], ours.step(action)[0]


class Own(VectorEnv):
    """Somebody's batched environment that resets all of them, whatever it is asked."""

    metadata = {"autoreset_mode": AutoresetMode.DISABLED}
    num_envs = 2
    single_observation_space = spaces.Box(0, 99, (1,), np.float32)
    single_action_space = spaces.Discrete(3)

    def __init__(self, knows=False):
        self.knows = knows
        self.observation_space = spaces.Box(0, 99, (2, 1), np.float32)
        self.action_space = spaces.MultiDiscrete([3, 3])

    def _out(self):
        mask = np.ones((2, 3), np.int64)
        mask[:, 0] = self.t[:, 0] % 2 == 0
        return self.t.copy(), {"action_mask": mask}

    def reset(self, *, seed=None, options=None):
        rows = (options or {}).get("reset_mask") if self.knows else None
        if rows is None:
            self.t = np.zeros((2, 1), np.float32)
        else:
            self.t[rows] = 0
        return self._out()

    def step(self, actions):
        self.t += 1
        obs, infos = self._out()
        ended = self.t[:, 0] == np.array([3, 5])
        return obs, np.ones(2), ended, np.zeros(2, bool), infos


def test_an_environment_that_cannot_reset_one_alone_is_found_out():
    venv = as_same_step(Own())
    venv.reset()
    venv.step(np.ones(2, int))
    venv.step(np.ones(2, int))
    with pytest.raises(ConfigError, match="environment 1 of 2 changed when environment 0"):
        venv.step(np.ones(2, int))


def test_somebody_s_batched_environment_keeps_the_contract_then():
    """Infos without arrays of whose they are: they are of all."""
    venv = as_same_step(Own(knows=True))
    require_same_step(venv)
    assert describe_env(venv).has_action_mask
    obs, _ = venv.reset()
    told = []
    for _ in range(6):
        obs, _, terminated, _, infos = venv.step(np.ones(2, int))
        if terminated.any():
            index = np.flatnonzero(terminated)
            final = final_observations(infos, index)
            told.append((index.tolist(), final["observation"].ravel().tolist(),
                         final["action_mask"][:, 0].tolist(), obs["observation"].ravel().tolist(),
                         obs["action_mask"][:, 0].tolist()))  # fmt: skip
    assert told == [
        ([0], [3], [False], [0, 3], [True, False]),
        ([1], [5], [False], [2, 0], [True, True]),
        ([0], [3], [False], [0, 1], [True, False]),
    ]


def test_what_keeps_the_contract_is_returned_as_it_is():
    ours = GymnasiumVectorEnv([lambda: adapt(WAYS["info"]())] * 2)
    assert as_same_step(ours) is ours and keeps_contract(ours)
    same = as_same_step(SyncVectorEnv([WAYS["info"]] * 2))
    assert isinstance(same, SameStep) and as_same_step(same) is same
    aliased = SyncVectorEnv(
        [lambda: adapt(WAYS["info"]())] * 2, copy=False, autoreset_mode=AutoresetMode.SAME_STEP
    )
    wrapped = as_same_step(aliased)
    assert wrapped is not aliased
    first = wrapped.reset(seed=0)[0]
    kept = {key: value.copy() for key, value in first.items()}
    wrapped.step(np.zeros(2, int))
    for key, value in kept.items():
        np.testing.assert_array_equal(first[key], value)


def test_what_the_environment_below_offers_is_reached():
    venv = as_same_step(SyncVectorEnv([WAYS["info"]] * 2))
    assert len(venv.get_attr("forgets")) == 2
    with pytest.raises(AttributeError, match="SameStep has no attribute '_hidden'"):
        venv._hidden  # noqa: B018


@pytest.mark.parametrize("mode", MODES)
def test_a_saved_state_continues_the_same_trajectory(mode):
    def build():
        return as_same_step(SyncVectorEnv([WAYS["observation"]] * B, autoreset_mode=mode))

    venv = build()
    venv.reset(seed=1)
    for _ in range(7):
        venv.step(np.zeros(B, int))
    assert can_save_state(venv)
    state = venv.get_state()
    assert all(isinstance(value, np.ndarray) for value in state.values())
    other = build()
    other.set_state(state)
    for _ in range(30):
        one, two = venv.step(np.ones(B, int)), other.step(np.ones(B, int))
        for key in one[0]:
            np.testing.assert_array_equal(one[0][key], two[0][key])
        np.testing.assert_array_equal(one[1], two[1])
    assert venv.illegal_actions == other.illegal_actions > 0
    with pytest.raises(ConfigError, match="has no 'illegal_actions'"):
        other.set_state({})


def test_who_cannot_be_saved_says_why():
    venv = as_same_step(Own(knows=True))
    assert not can_save_state(venv)
    assert "Own has no get_state" in venv.state_obstacle()


def forgetful():
    class Forgetful(make_walk()):
        def _seen(self, over=False):
            observation, info = super()._seen(over)
            self.count = getattr(self, "count", 0) + 1
            return observation, info if self.count < 4 else {}

    return Forgetful()


class Late(gymnasium.Wrapper):
    """Gives shorter masks once it has been stepped."""

    def step(self, action):
        *rest, info = self.env.step(action)
        return *rest, {**info, "action_mask": info["action_mask"][:3]}


def test_a_mask_that_is_missing_is_no_mask_of_zeros():
    make = WAYS["info"]
    venv = as_same_step(SyncVectorEnv([make, forgetful, make]))
    venv.reset(seed=0)
    with pytest.raises(NoMaskError, match="environment 1 of 3: action_mask is missing"):
        for _ in range(9):
            venv.step(np.zeros(3, int))
    venv = as_same_step(SyncVectorEnv([make, forgetful, make]), mask_missing="all")
    venv.reset(seed=0)
    rows = [venv.step(np.zeros(3, int))[0]["action_mask"] for _ in range(9)]
    assert np.array(rows)[5:, 1].all() and not np.array(rows)[5:, 0].all()


def test_strange_masks_are_named_with_their_environment():
    venv = SyncVectorEnv([WAYS["info"], lambda: make_walk()(give=lambda m: 3 * m)])
    with pytest.raises(MaskDtypeError, match=r"environment 1 of 2, info\['action_mask'\]"):
        as_same_step(venv).reset(seed=0)


def test_ids_of_actions_are_read():
    """Lists of several lengths are objects to Gymnasium, one for each environment."""

    def make():
        return make_walk()(give=lambda mask: np.flatnonzero(mask).tolist())

    venv = as_same_step(SyncVectorEnv([make] * B), mask_form="ids")
    ours = GymnasiumVectorEnv([lambda: adapt(make(), mask_form="ids")] * B)
    require_same(replay_of(*stepped_together(venv, 2)), replay_of(*stepped_together(ours, 2)))


def test_arrays_of_several_lengths_are_explained():
    """Gymnasium stacks arrays, and fails over those that do not stack."""
    whole = WAYS["info"]
    venv = SyncVectorEnv([whole, lambda: Late(whole())])
    wrapped = as_same_step(venv)
    wrapped.reset(seed=0)
    with pytest.raises(ValueError, match=r"step\(\) fails: .*Gymnasium cannot stack"):
        wrapped.step(np.zeros(2, int))


def test_no_mask_anywhere():
    with pytest.raises(NoMaskError, match="offers no mask.*observation"):
        as_same_step(gymnasium.make_vec("CartPole-v1", 2, vectorization_mode="sync"))


def test_without_a_mode_nobody_knows():
    venv = Own()
    venv.metadata = {}
    with pytest.raises(ConfigError, match=r"autoreset_mode'\] is None"):
        as_same_step(venv)


def test_a_mask_function_is_of_one_environment():
    from maskrl.envs.adapters.mask_sources import MaskSettings
    from maskrl.envs.adapters.vector_masks import VectorMasks

    with pytest.raises(ConfigError, match="mask_fn is a function of one environment"):
        VectorMasks(Own(), MaskSettings(fn=len), "mine")


def test_processes_without_shared_memory_are_refused_where_they_reset_twice():
    venv = AsyncVectorEnv([WAYS["info"]] * 2, shared_memory=False, context="forkserver")
    try:
        with pytest.raises(ConfigError, match="a second time"):
            as_same_step(venv)
    finally:
        venv.close()
