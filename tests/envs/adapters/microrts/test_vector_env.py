"""The vector environment keeps the contract: fresh masks, true ends, copies, counted mistakes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from maskrl.envs.adapters.microrts.settings import MICRORTS_TREE, PLANES, REWARDS
from maskrl.envs.adapters.microrts.vector_env import MicrortsVectorEnv
from maskrl.envs.contract import (
    action_tree_of,
    can_save_state,
    describe,
    final_observations,
    require_same_step,
)
from maskrl.envs.outcomes import episode_outcomes
from maskrl.envs.teams import describe_team, is_team
from maskrl.errors import ConfigError, UnknownEnvError

SMALL = "maps/8x8/basesWorkers8x8.xml"
STARTS = np.cumsum([0, *MICRORTS_TREE.nvec])


def make(count=2, *, name=SMALL, **settings):
    return MicrortsVectorEnv(name, count, **settings)


def act_at_random(obs, rng):
    """Valid orders of all who act; nonsense everywhere else, which must not matter."""
    agents, masks = obs["agent_mask"], obs["action_mask"]
    count, height, width = agents.shape
    actions = rng.integers(-5, 99, (count, 7, height, width))
    for game, row, column in np.argwhere(agents):
        for head in range(7):
            allowed = masks[game, STARTS[head] : STARTS[head + 1], row, column]
            choices = np.flatnonzero(allowed)
            actions[game, head, row, column] = rng.choice(choices) if choices.size else 0
    return actions


def wait(obs):
    return np.zeros((len(obs["grid"]), 7, *obs["agent_mask"].shape[1:]), np.int64)


def test_it_is_a_team_on_a_grid_without_identity():
    venv = make()
    require_same_step(venv)
    assert is_team(venv.single_observation_space)
    team = describe_team(
        venv.single_observation_space,
        venv.single_action_space,
        action_tree_of(venv),
        max_agents=venv.max_agents,
    )
    assert (team.form, team.agents, team.nvec) == ("grid", 47, (6, 4, 4, 4, 4, 7, 49))
    assert not team.has_identity and team.has_action_mask and team.has_head_axis
    assert describe(
        venv.single_observation_space, venv.single_action_space, action_tree_of(venv)
    ).features == ("grid",)
    obs, _ = venv.reset(seed=0)
    assert venv.observation_space.contains(obs)
    assert venv.plane_names == PLANES


def test_thousands_of_random_valid_steps():
    venv, rng = make(6, seed=1), np.random.default_rng(0)
    obs, _ = venv.reset()
    idle = acting = ends = 0
    returns, current = [], np.zeros(6)
    for _ in range(900):
        own = obs["grid"][:, 11]
        assert not (obs["agent_mask"] & ~own).any()
        assert np.array_equal(obs["action_mask"].any(1), obs["agent_mask"])  # all-zero elsewhere
        assert obs["action_mask"][:, 0][obs["agent_mask"]].all()  # one may always wait
        for first, last in ((0, 5), (5, 10), (10, 13), (13, 21), (21, 27)):
            assert (obs["grid"][:, first:last].sum(1) == 1).all()
        idle += int((~obs["agent_mask"].any((1, 2))).sum())
        acting += int(obs["agent_mask"].sum())
        assert obs["agent_mask"].sum((1, 2)).max() <= venv.max_agents
        obs, rewards, terminated, truncated, infos = venv.step(act_at_random(obs, rng))
        assert np.allclose(rewards, infos["raw_rewards"] @ [10, 1, 1, 0.2, 1, 4])
        assert not truncated.any()
        current += rewards
        outcomes = episode_outcomes(infos, terminated)
        for game in np.flatnonzero(terminated):
            ends += 1
            assert outcomes[game] == infos["raw_returns"][game, REWARDS.index("win")]
            returns.append(current[game])
            assert np.isclose(current[game], infos["raw_returns"][game] @ venv._weights)
            current[game] = 0
        assert np.isnan(outcomes[~terminated]).all()
    assert venv.illegal_actions == 0
    assert ends >= 2 and np.isfinite(returns).all()
    # busy units wait for their actions to end: steps without anybody are common, and real
    assert 0.02 < idle / 5400 < 0.4 and acting / 5400 > 0.5


@pytest.mark.slow
@pytest.mark.parametrize(
    ("opponent", "low", "high"),
    [("passive", 13.0, 39.0), ("random-biased", 13.0, 39.0), ("worker-rush", -5.0, 22.0)],
)
def test_random_valid_play_brings_what_it_always_brought(opponent, low, high):
    """Bounds three standard errors wide.

    Per 1000 steps on 10x10, mean and standard error of 48 games: 25.7 +- 2.9, 27.1 +- 2.8,
    8.8 +- 2.1.
    """
    venv = make(24, name="maps/10x10/basesWorkers10x10.xml", opponent=opponent, seed=3)
    rng, total, wins = np.random.default_rng(0), 0.0, 0.0
    obs, _ = venv.reset()
    for _ in range(1000):
        obs, rewards, *_, infos = venv.step(act_at_random(obs, rng))
        total += rewards.sum()
        wins += infos["raw_rewards"][:, 0].sum()
    assert low < total / 24 < high
    assert (wins / 24 < -1) == (opponent == "worker-rush")  # it wins two games in 1000 steps


def test_won_lost_and_cut_off_are_told_apart_and_the_last_state_is_shown():
    venv, rng = make(4, seed=2, max_steps=400, opponent="worker-rush"), np.random.default_rng(1)
    obs, _ = venv.reset()
    over = cut = 0
    lengths = np.zeros(4, int)
    for _ in range(1300):
        obs, _, terminated, truncated, infos = venv.step(act_at_random(obs, rng))
        lengths += 1
        ended = terminated | truncated
        assert not (terminated & truncated).any()
        assert np.array_equal(ended, infos.get("_final_obs", np.zeros(4, bool)))
        for game in np.flatnonzero(ended):
            final = {k: v[0] for k, v in final_observations(infos, np.array([game])).items()}
            own, others = final["grid"][11].any(), final["grid"][12].any()
            if terminated[game]:
                over += 1
                assert own != others and not final["agent_mask"].any()
                assert infos["outcome"][game] == (1.0 if own else -1.0)
            else:
                cut += 1
                assert own and others and lengths[game] == 400
                assert infos["outcome"][game] == 0.0
            # the observation is the first of the next game: two units on either side
            assert obs["grid"][game, 11].sum() == 2 == obs["grid"][game, 12].sum()
            assert obs["agent_mask"][game].sum() == 2
        lengths[ended] = 0
    assert over > 3 and venv.illegal_actions == 0
    assert cut + over > 6


def test_games_that_nobody_ends_are_cut_off():
    venv = make(2, opponent="passive", max_steps=5)
    obs, _ = venv.reset()
    for step in range(1, 11):
        obs, _, terminated, truncated, infos = venv.step(wait(obs))
        assert not terminated.any() and truncated.all() == (step % 5 == 0)
        if truncated.any():
            assert (infos["outcome"] == 0).all()
            final = infos["final_obs"]
            assert np.array_equal(final["agent_mask"], final["action_mask"].any(1))


def test_what_is_handed_out_is_the_callers():
    venv = make(2, opponent="passive", max_steps=4)
    obs, _ = venv.reset()
    first = {key: array.copy() for key, array in obs.items()}
    move = wait(obs)
    allowed = venv.observation()["action_mask"]
    obs["action_mask"][:] = ~obs["action_mask"]  # callers may do with theirs what they like
    for _ in range(3):
        seen, *_ = venv.step(move)
    assert venv.illegal_actions == 0
    for key in ("grid", "agent_mask"):
        assert np.array_equal(obs[key], first[key])
    *_, infos = venv.step(move)
    final, before = infos["final_obs"], {k: v.copy() for k, v in infos["final_obs"].items()}
    venv.step(move)
    assert all(np.array_equal(final[key], before[key]) for key in final)
    assert not np.shares_memory(seen["grid"], final["grid"]) and allowed.any()


def test_masks_change_with_every_step():
    venv = make(1, opponent="passive")
    obs, _ = venv.reset()
    move = wait(obs)
    ((worker_y, worker_x),) = np.argwhere(obs["grid"][0, 17] & obs["grid"][0, 11])
    move[0, 0, worker_y, worker_x] = 1
    allowed = obs["action_mask"][0, 6:10, worker_y, worker_x]
    move[0, 1, worker_y, worker_x] = int(np.flatnonzero(allowed)[0])
    obs, *_ = venv.step(move)
    assert not obs["agent_mask"][0, worker_y, worker_x]  # under way, so it has no mask
    assert not obs["action_mask"][0, :, worker_y, worker_x].any()
    for _ in range(12):
        if obs["agent_mask"].sum() == 2:
            break
        obs, *_ = venv.step(wait(obs))
    assert not obs["grid"][0, 17, worker_y, worker_x]  # it has arrived elsewhere
    assert obs["agent_mask"].sum() == 2


def test_an_illegal_action_is_counted_and_does_nothing():
    venv, honest = (make(1, opponent="passive") for _ in range(2))
    obs, _ = venv.reset()
    honest.reset()
    orders = wait(obs)
    orders[0, 0] = 3  # everybody returns what nobody carries
    seen, *_ = venv.step(orders)
    expected, *_ = honest.step(wait(obs))
    assert venv.illegal_actions == 2 and honest.illegal_actions == 0
    assert all(np.array_equal(seen[key], expected[key]) for key in seen)
    assert seen["agent_mask"].sum() == 2  # they lost one step and no more


@pytest.mark.parametrize(
    ("actions", "told"),
    [
        (np.zeros((2, 7, 8, 8)), "must be integers of shape"),
        (np.zeros((2, 8, 8, 7), int), "heads type, move, harvest, return, produce, unit, attack"),
        (
            np.full((2, 7, 8, 8), 6),
            r"actions\[0, 0, 1, 1\] = 6 is no choice of 'type', which has 6",
        ),
    ],
)
def test_actions_that_are_none_are_told(actions, told):
    venv = make()
    venv.reset()
    with pytest.raises(ConfigError, match=told):
        venv.step(actions)


def test_wrong_use_is_told():
    venv = make()
    with pytest.raises(ConfigError, match="before the first reset"):
        venv.step(np.zeros((2, 7, 8, 8), int))
    with pytest.raises(ConfigError, match="leave out reset_mask"):
        venv.reset(options={"reset_mask": np.array([True, False])})
    with pytest.raises(ConfigError, match="seed must be a whole number"):
        venv.reset(seed=-1)
    venv.close()
    with pytest.raises(ConfigError, match="was closed"):
        venv.reset()
    with pytest.raises(ConfigError, match="num_envs must be"):
        make(0)
    with pytest.raises(UnknownEnvError, match="there is no map"):
        make(1, name="maps/9x9.xml")


def test_some_games_can_begin_anew_alone():
    venv, rng = make(3, seed=4), np.random.default_rng(2)
    obs, _ = venv.reset()
    for _ in range(40):
        obs, *_ = venv.step(act_at_random(obs, rng))
    kept, _ = venv.reset(options={"reset_mask": np.array([False, True, False])})
    for game in (0, 2):
        assert all(np.array_equal(kept[key][game], obs[key][game]) for key in obs)
    assert kept["agent_mask"][1].sum() == 2 and (kept["grid"][1] != obs["grid"][1]).any()
    assert venv._lengths.tolist() == [40, 0, 40]


def test_a_seed_repeats_everything():
    traces = []
    for _ in range(2):
        venv, rng = make(2), np.random.default_rng(5)
        obs, _ = venv.reset(seed=11)
        for _ in range(150):
            obs, *_ = venv.step(act_at_random(obs, rng))
        traces.append(obs)
    assert all(np.array_equal(traces[0][key], traces[1][key]) for key in traces[0])


def test_a_saved_state_goes_on_to_the_bit():
    venv, rng = make(3, seed=6, max_steps=170), np.random.default_rng(8)
    obs, _ = venv.reset()
    for _ in range(90):
        obs, *_ = venv.step(act_at_random(obs, rng))
    assert can_save_state(venv)
    saved, generator = venv.get_state(), rng.bit_generator.state
    again = make(3, seed=99, max_steps=170)
    again.set_state(saved)
    here = obs = venv.observation()
    there = again.observation()
    assert all(np.array_equal(here[key], there[key]) for key in here)
    wanted = []
    for _ in range(150):  # past the end of the episodes
        obs, rewards, *ends, _ = venv.step(act_at_random(obs, rng))
        wanted.append((obs, rewards, ends))
    rng.bit_generator.state = generator
    obs = there
    for step, (expected, paid, ended) in enumerate(wanted):
        obs, rewards, *ends, _ = again.step(act_at_random(obs, rng))
        assert all(np.array_equal(obs[key], expected[key]) for key in obs), step
        assert np.array_equal(rewards, paid) and np.array_equal(ends, ended)


def test_states_that_do_not_fit_are_refused():
    venv = make(2)
    venv.reset()
    saved = venv.get_state()
    with pytest.raises(ConfigError, match="is of 2 games"):
        make(3).set_state(saved)
    with pytest.raises(ConfigError, match="on a map of"):
        make(2, name="maps/4x4/base4x4.xml").set_state(saved)
    with pytest.raises(ConfigError, match="damaged"):
        make(2).set_state({**saved, "games": saved["games"][:-5]})
    with pytest.raises(ConfigError, match="damaged"):
        make(2).set_state({k: v for k, v in saved.items() if k != "random"})
    rushed = make(1, opponent="worker-rush")
    rushed.reset()
    assert not can_save_state(rushed)
    with pytest.raises(ConfigError, match="against worker-rush cannot be saved"):
        rushed.get_state()


def test_several_opponents_take_turns_over_the_games():
    venv = make(3, opponent=["passive", "worker-rush"])
    names = [str(client.ai2.getClass().getSimpleName()) for client in venv.games._clients]
    assert names == ["PassiveAI", "WorkerRush", "PassiveAI"]


def test_walls_and_sight_have_planes():
    walled = make(1, name="maps/8x8/basesWorkers8x8Obstacle.xml", partial_obs=True)
    obs, _ = walled.reset()
    assert walled.plane_names[27:] == ("wall", "in sight")
    assert np.array_equal(obs["grid"][0, 27], walled.game_map.walls)
    assert walled.observation_space.contains(obs)
    # the base at row 1, column 2 sees 5 cells far, so not the far corner
    assert obs["grid"][0, 28, 1, 2] and not obs["grid"][0, 28, 7, 7]
    assert not obs["grid"][0, 12].any()  # and the opponent is out of sight


@pytest.mark.parametrize(
    "opponent", ["random", "heavy-rush", "ranged-rush", "coac", "mixed", "droplet", "mayari"]
)
def test_opponents_play(opponent):
    venv, rng = make(1, opponent=opponent), np.random.default_rng(0)
    obs, _ = venv.reset()
    for _ in range(30):
        obs, *_ = venv.step(act_at_random(obs, rng))
    assert venv.illegal_actions == 0


def test_the_example_tells_how_fast_it_is():
    program = Path(__file__).parents[4] / "examples" / "microrts_speed.py"
    command = [sys.executable, str(program), "--games", "1", "3", "--seconds", "0.1"]
    run = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert run.returncode == 0, run.stderr
    rows = [line.split() for line in run.stdout.splitlines()[2:]]
    assert [row[0] for row in rows] == ["1", "3"]
    for games, per_second, cycle, masks, python, acting in rows:
        whole = sum(float(part.replace(",", "")) for part in (cycle, masks, python))
        told = float(per_second.replace(",", ""))
        assert told == pytest.approx(1e6 * int(games) / whole, rel=0.1)
        assert 0.3 < float(acting) < 6
