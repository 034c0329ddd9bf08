"""rl4co's problems, stepped beside the library itself, and tours measured by hand."""

from __future__ import annotations

import numpy as np
import pytest
from gymnasium import spaces

import maskrl
from maskrl.envs.adapters.batches import BatchVectorEnv
from maskrl.envs.adapters.library_import import Library, LibraryMissingError
from maskrl.errors import ConfigError, NoMaskError, UnknownEnvError

needs_rl4co = pytest.mark.worlds("rl4co")


def batch(problem, count, **settings):
    from maskrl.envs.adapters.rl4co import Rl4coBatch

    return Rl4coBatch(problem, count, **settings)


def draw(mask, rng):
    """An allowed action of each row."""
    return np.array([rng.choice(np.flatnonzero(row)) for row in mask])


def episodes(problem, seed, count=2, **settings):
    """Whole episodes of one problem: (mask and action per step, rewards, observations)."""
    env = maskrl.make(f"rl4co:{problem}", **settings)
    rng = np.random.default_rng(seed)
    observation, _ = env.reset(seed=seed)
    for _ in range(count):
        steps, rewards, seen, over = [], [], [observation], False
        while not over:
            action = draw(observation["action_mask"][None], rng)[0]
            steps.append((observation["action_mask"], action))
            observation, reward, over, cut, _ = env.step(action)
            assert not cut
            rewards.append(reward)
            seen.append(observation)
        yield steps, rewards, seen
        observation, _ = env.reset()


def length(places):
    return float(np.linalg.norm(np.diff(places, axis=0), axis=-1).sum())


def test_a_missing_library_is_told_with_what_to_type(monkeypatch):
    monkeypatch.setattr(Library, "is_installed", lambda self: False)
    with pytest.raises(LibraryMissingError, match=r'pip install "maskrl\[rl4co\]"'):
        maskrl.make("rl4co:tsp")


@needs_rl4co
def test_problems_that_are_none_are_refused_with_the_reason():
    with pytest.raises(UnknownEnvError, match=r"Did you mean rl4co:tsp"):
        maskrl.make("rl4co:tps")
    with pytest.raises(ConfigError, match="rl4co downloads its data"):
        maskrl.make("rl4co:dpp")
    with pytest.raises(NoMaskError, match="improves a solution by moves"):
        maskrl.make("rl4co:tsp_kopt")
    with pytest.raises(ConfigError, match=r"'num_locs' is no argument .* Did you mean num_loc\?"):
        maskrl.make("rl4co:tsp?num_locs=5")
    with pytest.raises(ConfigError, match="rewards is 'often'; expected 'dense' or 'end'"):
        maskrl.make("rl4co:tsp?rewards=often")
    with pytest.raises(ConfigError, match="rewards=dense needs nodes that have places"):
        maskrl.make("rl4co:smtwtp?rewards=dense")
    for wrong in (0, True, 1.0):
        with pytest.raises(ConfigError, match="num_envs must be a whole number from 1 on"):
            batch("tsp", wrong)


@needs_rl4co
def test_the_return_of_a_tour_is_minus_its_length():
    for steps, rewards, seen in episodes("tsp", 3, num_loc=6):
        places = seen[0]["candidates"][:, :2]
        tour = [action for _, action in steps]
        assert sorted(tour) == list(range(6)) and len(steps) == 6
        for number, (allowed, _) in enumerate(steps):  # what was visited is not allowed
            assert set(np.flatnonzero(allowed)) == set(range(6)) - set(tour[:number])
        np.testing.assert_allclose(sum(rewards), -length(places[[*tour, tour[0]]]), rtol=1e-5)
        ways = [-length(places[tour[k - 1 : k + 1]]) for k in range(1, 5)]
        np.testing.assert_allclose(rewards[1:5], ways, rtol=1e-5)
        assert rewards[0] == 0.0  # nowhere before the first node
        assert not seen[-1]["action_mask"].any()  # solved: nothing is left


@needs_rl4co
def test_the_return_of_routes_is_the_same_whether_dense_or_at_the_end():
    dense = list(episodes("cvrp", 5, num_loc=8))
    at_end = list(episodes("cvrp", 5, num_loc=8, rewards="end"))
    for (steps, rewards, seen), (same, late, _) in zip(dense, at_end, strict=True):
        assert [a for _, a in steps] == [a for _, a in same]
        places = seen[0]["candidates"][:, :2]
        route = places[[0, *(a for _, a in steps), 0]]
        np.testing.assert_allclose(sum(rewards), -length(route), rtol=1e-5)
        assert not any(late[:-1]) and all(reward <= 0 for reward in rewards)
        np.testing.assert_allclose(sum(rewards), late[-1], rtol=1e-5)


@needs_rl4co
@pytest.mark.parametrize("problem", ["tsp", "cvrp", "op", "ffsp", "mcp"])
def test_a_row_is_what_a_single_problem_of_its_seed_is(problem):
    """Those that read the whole batch, those of one age, and those that need neither."""

    def story(count, seed):
        venv = BatchVectorEnv(batch(problem, count), seed=seed)
        draws = [np.random.default_rng(seed + i) for i in range(count)]
        observation, _ = venv.reset()
        told = []
        for _ in range(30):
            assert observation in venv.observation_space
            actions = [
                draw(m[None], r)[0] for m, r in zip(observation["action_mask"], draws, strict=True)
            ]
            observation, rewards, terminated, truncated, infos = venv.step(np.array(actions))
            told.append((rewards, terminated, infos.get("final_obs", observation), observation))
            assert not truncated.any()
        return told

    together = story(3, 4)
    ends = [sum(terminated[i] for _, terminated, *_ in together) for i in range(3)]
    assert min(ends) > 0
    for i in (0, 2):
        for (rewards, terminated, *seen), (reward, over, *own) in zip(
            together, story(1, 4 + i), strict=True
        ):
            np.testing.assert_allclose(rewards[i], reward[0], rtol=1e-6)
            assert terminated[i] == over[0]
            for observation, one in zip(seen, own, strict=True):
                for name, array in observation.items():
                    np.testing.assert_array_equal(array[i], one[name][0], err_msg=name)


@needs_rl4co
def test_masks_are_rl4co_s_own_and_not_its_memory():
    here = batch("cvrp", 2, num_loc=5)
    here.seed([1, 2])
    here.begin(np.arange(2))
    seen = here.observe()
    theirs = here.env.get_action_mask(here._state).numpy()
    np.testing.assert_array_equal(seen["action_mask"], theirs)
    assert seen["action_mask"].dtype == np.bool_ and not seen["action_mask"][:, 0].any()
    kept = {name: array.copy() for name, array in seen.items()}
    here.step(draw(seen["action_mask"], np.random.default_rng(0)))
    for name, array in seen.items():
        np.testing.assert_array_equal(array, kept[name])
    seen["action_mask"][:] = True
    assert not here.observe()["action_mask"].all()


@needs_rl4co
def test_torch_s_own_random_numbers_are_left_alone():
    import torch

    torch.manual_seed(11)
    expected = torch.rand(3)
    torch.manual_seed(11)
    env = maskrl.make("rl4co:tsp?num_loc=4")
    first, _ = env.reset(seed=0)
    assert torch.equal(torch.rand(3), expected)
    torch.manual_seed(12)
    np.testing.assert_array_equal(env.reset(seed=0)[0]["candidates"], first["candidates"])
    assert (env.reset()[0]["candidates"] != first["candidates"]).any()  # a new problem
    assert (env.reset(seed=1)[0]["candidates"] != first["candidates"]).any()


@needs_rl4co
def test_a_saved_state_goes_on_exactly_and_others_are_refused():
    venv, other = (BatchVectorEnv(batch("cvrp", 2, num_loc=5), seed=s) for s in (0, 50))
    rng = np.random.default_rng(0)
    observation, _ = venv.reset()
    for _ in range(9):  # some are at another age than others
        observation, *_ = venv.step(draw(observation["action_mask"], rng))
    other.set_state(venv.get_state())
    for _ in range(20):
        actions = draw(observation["action_mask"], rng)
        mine, theirs = venv.step(actions), other.step(actions)
        observation = mine[0]
        for name, array in observation.items():
            np.testing.assert_array_equal(array, theirs[0][name])
        np.testing.assert_array_equal(mine[1], theirs[1])
        np.testing.assert_array_equal(mine[2], theirs[2])
    for wrong in (batch("cvrp", 3, num_loc=5), batch("cvrp", 2, num_loc=6)):
        with pytest.raises(ConfigError, match="of another problem, or of more or fewer"):
            BatchVectorEnv(wrong).set_state(venv.get_state())


@needs_rl4co
def test_prizes_that_are_drawn_on_arrival_are_hidden():
    assert not {"real_prize", "stochastic_prize"} & set(batch("spctsp", 1).layout.columns)
    assert "real_prize" in batch("pctsp", 1).layout.columns  # there it is the known prize


@needs_rl4co
def test_candidates_or_every_array_and_no_pictures():
    env = maskrl.make("rl4co:tsp?num_loc=5&form=flat")
    assert env.observation_space["locs"].shape == (5, 2)
    assert env.observation_space["current_node"] == spaces.Discrete(5)
    assert maskrl.make("rl4co:tsp?num_loc=5").observation_space["candidates"].shape == (5, 7)
    with pytest.raises(ConfigError, match="there are no pictures"):
        maskrl.make("rl4co:tsp", render_mode="rgb_array")


@needs_rl4co
def test_a_learner_trains_on_it():
    config = maskrl.PPOConfig(num_envs=4, rollout_steps=16, minibatch_size=32, epochs=1)
    trainer = maskrl.PPO("rl4co:tsp?num_loc=5", config)
    trainer.learn(128)
    assert trainer.steps >= 128 and trainer.env.illegal_actions == 0
