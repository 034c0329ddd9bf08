"""Acting for a replay buffer: what is remembered is what happened."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from gymnasium import spaces
from gymnasium.vector.utils import batch_space

from maskrl.buffers.replay import ReplayBuffer
from maskrl.errors import ConfigError, NoAllowedActionError, RunFolderError
from maskrl.trainers.off_policy_collector import OffPolicyCollector

CPU = torch.device("cpu")


def collector_of(env, capacity=400, **settings):
    replay = ReplayBuffer(env.single_observation_space, env.num_envs, capacity)
    return OffPolicyCollector(env, replay, generator=torch.Generator(), device=CPU, **settings)


def any_allowed(seed=0):
    """Acts at random; the same in the same order for the same seed."""
    rng = np.random.default_rng(seed)

    def act(obs):
        weights = obs["action_mask"].numpy() * rng.random(obs["action_mask"].shape)
        return torch.from_numpy(weights.argmax(-1))

    return act


def everything(replay):
    """All transitions, oldest first: [N] in the order of the steps and environments."""
    steps = len(replay) // replay.num_envs
    step, env = np.divmod(np.arange(len(replay)), replay.num_envs)
    oldest = replay._head - steps
    return replay._gather((oldest + step) % replay.rows, env, np.ones(len(replay), np.float32))


def test_every_transition_is_remembered_as_it_was(corridor):
    collector = collector_of(corridor(3, limit=4), seed=5)
    collector.collect(7, any_allowed())
    collector.collect(8, any_allowed(1))

    env, rows = corridor(3, limit=4), []
    obs, _ = env.reset(seed=5)
    acts = [any_allowed()] * 7 + [any_allowed(1)] * 8
    for act in acts:
        seen = {key: torch.from_numpy(np.array(x)) for key, x in obs.items()}
        actions = act(seen).numpy()
        obs, rewards, terminated, truncated, infos = env.step(actions.copy())
        following = {key: np.array(x) for key, x in obs.items()}
        for i in np.flatnonzero(truncated):
            for key in following:
                following[key][i] = infos["final_obs"][key][i]
        rows.append((seen, actions, rewards, following, terminated, truncated))
    assert sum(int(row[5].sum()) for row in rows) > 0 < sum(int(row[4].sum()) for row in rows)

    found = everything(collector.replay)
    assert len(found.actions) == 45
    for t, (seen, actions, rewards, following, terminated, truncated) in enumerate(rows):
        here = slice(3 * t, 3 * t + 3)
        assert found.actions[here].tolist() == actions.tolist()
        assert found.rewards[here].tolist() == rewards.tolist()
        assert found.terminated[here].tolist() == terminated.tolist()
        assert found.truncated[here].tolist() == truncated.tolist()
        goes_on = ~terminated
        for key in seen:
            ours, theirs = found.observations[key], found.next_observations[key]
            if key == "action_mask":
                ours, theirs = ours.unpack(), theirs.unpack()
            assert torch.equal(ours[here], seen[key])
            np.testing.assert_array_equal(theirs[here].numpy()[goes_on], following[key][goes_on])


def test_episodes_are_counted_however_the_steps_are_cut(corridor):
    metrics = []
    for parts in ([12], [1] * 12, [5, 7]):
        collector = collector_of(corridor(3, limit=4), seed=2)
        act = any_allowed()
        for steps in parts:
            collector.collect(steps, act)
        metrics.append((collector.episode_metrics(), collector.mask_metrics()))
    assert metrics[0] == metrics[1] == metrics[2]
    assert metrics[0][0]["episodes"] >= 9
    assert metrics[0][1] == {"allowed_share": 0.2, "forced_share": 0.0, "idle_share": 0.0}


def test_an_environment_that_changes_its_arrays_later_changes_nothing_here(corridor):
    class Reusing(corridor):
        """Gives out the same arrays at every step."""

        def _observe(self):
            fresh = super()._observe()
            if not hasattr(self, "given"):
                self.given = fresh
            for key, x in fresh.items():
                self.given[key][...] = x
            return self.given

    ours, theirs = collector_of(Reusing(3, limit=50)), collector_of(corridor(3, limit=50))
    for collector in (ours, theirs):
        collector.collect(4, any_allowed())
    first, second = everything(ours.replay), everything(theirs.replay)
    for key in ("observation", "action_mask"):
        for a, b in (
            (first.observations[key], second.observations[key]),
            (first.next_observations[key], second.next_observations[key]),
        ):
            if key == "action_mask":
                a, b = a.unpack(), b.unpack()
            assert torch.equal(a, b)
    before = {key: x.copy() for key, x in ours.observation.items()}
    ours.env.given["action_mask"][...] = False
    for key, x in before.items():
        np.testing.assert_array_equal(ours.observation[key], x)


def test_rows_that_allow_nothing_are_refused_or_idle(corridor):
    collector = collector_of(corridor(3, cooldown=True), name="corridor")
    with pytest.raises(NoAllowedActionError, match=r"corridor: environment \d of 3 .* step 1 "):
        collector.collect(2, any_allowed())
    idle = collector_of(corridor(3, cooldown=True), empty="idle")
    idle.collect(2, any_allowed())
    assert idle.mask_metrics()["idle_share"] > 0
    assert idle.illegal_actions == 0  # no decision was taken there


def test_episodes_cut_off_without_a_mask_are_refused_by_name(corridor):
    class Forgetful(corridor):
        """Gives no mask at the end of an episode, whichever end it is."""

        def step(self, actions):
            obs, rewards, terminated, truncated, infos = super().step(actions)
            if "final_obs" in infos:
                infos["final_obs"]["action_mask"][...] = False
            return obs, rewards, terminated, truncated, infos

    collector = collector_of(Forgetful(3, length=9, limit=3), name="corridor")
    with pytest.raises(NoAllowedActionError, match=r"corridor: .*environment \d of 3 was cut off"):
        collector.collect(3, any_allowed())
    assert len(collector.replay) == 6  # and not learned from later
    idle = collector_of(Forgetful(3, length=9, limit=3), empty="idle")
    idle.collect(3, any_allowed())
    assert len(idle.replay) == 9
    ended = collector_of(Forgetful(3, length=3), name="corridor")  # terminated: nothing is to come
    ended.collect(3, any_allowed())
    assert len(ended.replay) == 9


@pytest.mark.parametrize("dtype", [np.float64, np.float16, np.uint16, np.int8])
def test_actions_are_chosen_by_what_is_remembered_whatever_the_dtype(corridor, dtype):
    class Odd(corridor):
        def __init__(self, *args, **kwargs):
            super().__init__(*args, **kwargs)
            entries = self.single_observation_space.spaces
            entries["observation"] = spaces.Box(0, 1, (self.length,), dtype)
            self.observation_space = batch_space(self.single_observation_space, self.num_envs)

        def _observe(self):
            seen = super()._observe()
            return {**seen, "observation": seen["observation"].astype(dtype)}

    shown, act = [], any_allowed()
    collector = collector_of(Odd(3))
    collector.keeps_observations = True
    collector.collect(4, lambda obs: shown.append(obs["observation"]) or act(obs))
    learned = everything(collector.replay).observations["observation"]
    assert torch.cat(shown).dtype == learned.dtype
    assert torch.equal(torch.cat(shown), learned)
    arrays, state = collector.get_state()
    later = collector_of(Odd(3))
    later.set_state({**arrays, "observation.observation": shown[-1].numpy().astype(dtype)}, state)
    assert later.tensors()["observation"].dtype == learned.dtype
    assert collector.take_observations()["observation"].dtype == learned.dtype


def test_actions_against_the_mask_are_counted(corridor):
    collector = collector_of(corridor(3))
    collector.collect(5, lambda obs: (~obs["action_mask"]).int().argmax(-1))
    assert collector.illegal_actions == 15


def test_rewards_that_are_no_numbers_are_refused(corridor):
    class Broken(corridor):
        def step(self, actions):
            obs, rewards, *rest = super().step(actions)
            rewards[1] = np.nan
            return obs, rewards, *rest

    with pytest.raises(ConfigError, match="environment 1 of 3 gave the reward nan"):
        collector_of(Broken(3)).collect(1, any_allowed())


def test_observations_are_handed_out_once(corridor):
    collector = collector_of(corridor(3))
    assert collector.take_observations() == {}
    collector.keeps_observations = True
    collector.collect(4, any_allowed())
    seen = collector.take_observations()
    # The first one was kept at the beginning, the last one was not acted on yet.
    assert seen["observation"].shape == (15, 7)
    expected = everything(collector.replay).observations["observation"]
    assert torch.equal(seen["observation"][:12], expected)
    assert collector.take_observations() == {}


def test_observations_not_handed_out_yet_go_along_with_the_state(corridor):
    first = collector_of(corridor(3), seed=1)
    first.keeps_observations = True
    first.begin()  # before the first step the first observations are all there is
    second = collector_of(corridor(3), seed=1)
    second.keeps_observations = True
    second.set_state(*first.get_state())
    waiting = second.take_observations()
    assert waiting["observation"].shape == (3, 7)
    for key, seen in first.take_observations().items():
        assert torch.equal(waiting[key], seen)
    assert not any(name.startswith("kept") for name in first.get_state()[0])
    careless = collector_of(corridor(3), seed=1)
    careless.set_state(*second.get_state())
    assert careless.take_observations() == {}


def test_state_goes_from_one_to_another(corridor):
    first = collector_of(corridor(3, limit=4), seed=1)
    first.collect(5, any_allowed())
    arrays, state = first.get_state()
    second = collector_of(corridor(3, limit=4), seed=1)
    second.replay.set_state(*first.replay.get_state())
    second.set_state(arrays, state)
    second.env.reset(seed=0)
    second.env.set_state(first.env.get_state())
    for collector in (first, second):
        collector.collect(6, any_allowed(3))
    assert first.episode_metrics() == second.episode_metrics()
    assert repr(everything(first.replay)) == repr(everything(second.replay))
    with pytest.raises(RunFolderError, match="made with other settings"):
        collector_of(corridor(3, length=9)).set_state(arrays, state)
