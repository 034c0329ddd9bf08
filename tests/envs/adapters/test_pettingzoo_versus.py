"""PettingZoo's games by their ids: both engines, settings, masks at the end, pictures."""

from __future__ import annotations

import numpy as np
import pytest

from maskrl.envs import make, make_vec
from maskrl.envs.adapters.pettingzoo_aec import AECGames
from maskrl.envs.adapters.pettingzoo_parallel import ParallelTeam
from maskrl.envs.games.lines.engine import LineGames
from maskrl.envs.opponents import draw_allowed
from maskrl.envs.registry import find_entry
from maskrl.envs.versus.single_env import VersusEnv
from maskrl.errors import ConfigError

C4, TTT = "pettingzoo:connect_four_v3", "pettingzoo:tictactoe_v3"


@pytest.mark.parametrize(("env_id", "steps"), [(C4, 60), (TTT, 40)])
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_both_engines_give_the_same_transitions(env_id, steps):
    settings = {"opponent": "win_or_block", "opening_moves": "0-3"}
    envs = [
        make_vec(env_id, 6, seed=4, engine=engine, **settings) for engine in ("fast", "pettingzoo")
    ]
    assert isinstance(envs[0].engine, LineGames) and isinstance(envs[1].engine, AECGames)
    assert envs[0].single_observation_space == envs[1].single_observation_space
    assert envs[0].action_names == envs[1].action_names
    seen = [env.reset()[0] for env in envs]
    rng, ended = np.random.default_rng(2), 0
    for step in range(steps):
        actions = draw_allowed(seen[0]["action_mask"], rng)
        if step % 9 == 8:  # now and then against the mask, where it forbids something
            forbidden = ~seen[0]["action_mask"]
            actions = np.where(forbidden.any(1), forbidden.argmax(1), actions)
        answers = [env.step(actions) for env in envs]
        (ours, *numbers, infos), (theirs, *their_numbers, their_infos) = answers
        for key in ours:
            np.testing.assert_array_equal(ours[key], theirs[key])
            assert ours[key].dtype == theirs[key].dtype
        for mine, other in zip(numbers, their_numbers, strict=True):
            np.testing.assert_array_equal(mine, other)
        np.testing.assert_array_equal(infos["seat"], their_infos["seat"])
        assert infos.keys() == their_infos.keys()
        if "final_obs" in infos:
            ended += int(infos["_final_obs"].sum())
            for key in ours:  # the mask at the end too: it tells which columns are free
                np.testing.assert_array_equal(
                    infos["final_obs"][key], their_infos["final_obs"][key]
                )
            for name, value in infos["final_info"].items():
                np.testing.assert_array_equal(value, their_infos["final_info"][name])
        seen = [ours, theirs]
    assert ended >= 20 and envs[0].illegal_actions == envs[1].illegal_actions > 0


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("engine", ["fast", "pettingzoo"])
def test_an_illegal_move_ends_the_game_with_minus_one(engine):
    env = make(TTT, opponent="random", seat=0, engine=engine)
    env.reset(seed=0)
    env.step(4)
    _, reward, terminated, truncated, info = env.step(4)
    assert (reward, terminated, truncated) == (-1.0, True, False)
    assert info["outcome"] == -1.0 and env.illegal_actions == 1


def test_masks_at_the_end_are_the_games_own():
    env = make(C4, opponent="random", seat=0, engine="pettingzoo")
    obs, _ = env.reset(seed=3)
    terminated = False
    while not terminated:
        obs, _, terminated, *_ = env.step(int(np.flatnonzero(obs["action_mask"])[0]))
    free = (obs["observation"][0] == 0).all(-1)
    np.testing.assert_array_equal(obs["action_mask"], free)  # may look playable: it is over


@pytest.mark.parametrize("engine", ["fast", "pettingzoo"])
def test_pictures(engine):
    env = make(C4, opponent="random", seat=1, render_mode="ansi", engine=engine)
    env.reset(seed=1)
    assert sum("x" in line for line in env.render().splitlines()) == 1  # the other has begun
    drawn = make(C4, opponent="random", render_mode="rgb_array", engine=engine)
    drawn.reset(seed=1)
    assert drawn.render().shape == (7 * 48, 7 * 48, 3)


def test_other_games_of_pettingzoos():
    env = make("pettingzoo:go_v5", opponent="random", board_size=5, seat=1)
    assert isinstance(env, VersusEnv)
    obs, info = env.reset(seed=2)
    assert info["seat"] == 1 and obs["action_mask"].sum() == 25  # one of 26 points is taken
    rng, steps = np.random.default_rng(0), 0
    terminated = truncated = False
    while not (terminated or truncated):
        obs, reward, terminated, truncated, info = env.step(
            rng.choice(np.flatnonzero(obs["action_mask"]))
        )
        steps += 1
    assert steps > 5 and info["outcome"] == np.sign(reward) and env.illegal_actions == 0


def test_who_is_met_when():
    entry = find_entry(C4)
    assert entry.kwargs_for("train") == {"opponent": "self"}
    assert entry.kwargs_for("validation") == {"opponent": "win_or_block", "opening_moves": 1}
    chosen = find_entry(f"{C4}?opponent=depth:4").kwargs_for("evaluation")
    assert chosen == {"opponent": "depth:4", "opening_moves": 1}
    assert set(entry.options) >= {"opponent", "seat", "engine", "mask_key"}


@pytest.mark.parametrize(
    ("env_id", "settings", "message"),
    [
        (C4, {"engine": "slow"}, "engine: expected fast or pettingzoo, got 'slow'"),
        (C4, {"speed": 3}, "unknown setting 'speed'; there are opponent, seat"),
        (
            C4,
            {"screen_scaling": 3},
            "opening_moves, .* engine, and with engine=pettingzoo mask_key, mask_allowed and those",
        ),
        (C4, {"mask_key": "legal"}, "mask_key: the compiled rules .* say engine=pettingzoo"),
        (C4, {"engine": "fast", "mask_allowed": 0}, "mask_allowed: the compiled rules"),
        (C4, {"engine": "pettingzoo", "speed": 3}, "connect_four_v3.*speed=3.*TypeError"),
        (C4, {"seat": 2}, "has 2 players, expected a number from 0 to 1, got 2"),
        (
            "pettingzoo:go_v5",
            {"engine": "fast"},
            "compiled rules for connect_four_v3, tictactoe_v3",
        ),
        ("pettingzoo:go_v5", {"opponent": "depth:2"}, "not those of pettingzoo:go_v5"),
        ("pettingzoo:rps_v2", {"opponent": "random"}, "opponent='random' is for games in which"),
    ],
)
def test_settings_that_do_not_fit(env_id, settings, message):
    with pytest.raises(ConfigError, match=message):
        make(env_id, **settings)


OWN = """
from pettingzoo import AECEnv
from pettingzoo.classic.tictactoe.tictactoe import env as tictactoe

def game() -> AECEnv:
    return tictactoe()
"""


def test_ones_own_game(tmp_path, monkeypatch):
    (tmp_path / "mygame.py").write_text(OWN)
    monkeypatch.syspath_prepend(str(tmp_path))
    env = make("pettingzoo:mygame:game", opponent="random", seat=0)
    assert isinstance(env, VersusEnv) and env.reset(seed=0)[0]["action_mask"].all()
    venv = make_vec("pettingzoo:mygame:game", 3, seat=0, seed=1)
    assert venv.reset()[0]["action_mask"].shape == (3, 9)


def test_teams_stay_teams():
    assert isinstance(make("pettingzoo:knights_archers_zombies_v11"), ParallelTeam)


@pytest.mark.parametrize(
    ("kwargs", "expected"),
    [
        ({"opponent": "self"}, "0-10"),
        ({"opponent": "self", "opening_moves": 0}, 0),
        ({"opponent": "random"}, 0),
    ],
)
def test_games_against_oneself_begin_at_random(kwargs, expected):
    venv = make_vec("pettingzoo:connect_four_v3", 2, **kwargs)
    assert venv.settings.opening_moves == expected
    venv.close()
