"""Ids of PettingZoo's environments: found in all families, one's own, and what is said if not."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
import textwrap

import numpy as np
import pytest
from gymnasium.utils.env_checker import data_equivalence
from gymnasium.vector import AsyncVectorEnv, AutoresetMode, SyncVectorEnv

from maskrl.envs import find_entry, make, make_vec
from maskrl.envs.adapters import pettingzoo_ids
from maskrl.envs.adapters.pettingzoo_parallel import ParallelTeam
from maskrl.envs.contract import describe_env, final_observations
from maskrl.envs.teams import agent_rewards
from maskrl.errors import ConfigError, UnknownEnvError, UsageError

KNIGHTS = "pettingzoo:knights_archers_zombies_v11"
MODULE = '''
from __future__ import annotations
import numpy as np
from gymnasium.spaces import Box, Discrete
from pettingzoo import AECEnv, ParallelEnv
from pettingzoo.utils.conversions import parallel_to_aec

class Countdown(ParallelEnv):
    """Agent n falls after n + `first` steps; who chooses 1 gets 1."""
    metadata = {"name": "countdown_v0"}
    possible_agents = ["a_0", "a_1"]
    render_mode = None
    def __init__(self, first=2):
        self.first = first
    def observation_space(self, agent):
        return Box(0, 99, (1,))
    def action_space(self, agent):
        return Discrete(2)
    def reset(self, seed=None, options=None):
        self.t, self.agents = 0, self.possible_agents[:]
        self.offset = float(np.random.default_rng(seed).integers(9))
        return self._seen(), {a: {} for a in self.agents}
    def _seen(self):
        return {a: np.array([self.t + self.offset], np.float32) for a in self.agents}
    def step(self, actions):
        self.t += 1
        fell = {a: self.t >= n + self.first for n, a in enumerate(self.possible_agents)}
        seen, rewards = self._seen(), {a: float(actions[a]) for a in self.agents}
        over = {a: fell[a] for a in self.agents}
        self.agents = [a for a in self.agents if not fell[a]]
        return seen, rewards, over, dict.fromkeys(over, False), {a: {} for a in over}

def parallel_env(**kwargs):
    return Countdown(**kwargs)

def build(first=3) -> ParallelEnv:
    return Countdown(first)

def turns() -> AECEnv:
    return parallel_to_aec(Countdown())

def unsafe() -> AECEnv:
    env = parallel_to_aec(Countdown())
    env.unwrapped.metadata["is_parallelizable"] = False
    env.metadata["is_parallelizable"] = False
    return env

def undeclared():
    return Countdown()

def liar() -> ParallelEnv:
    return 7
'''


@pytest.fixture
def mine(tmp_path, monkeypatch):
    """A module `mypz` of one's own."""
    (tmp_path / "mypz.py").write_text(MODULE)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "mypz", raising=False)
    yield "pettingzoo:mypz"
    sys.modules.pop("mypz", None)


# --- names ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name",
    [
        "knights_archers_zombies_v11",
        "knights_archers_zombies-v11",
        "butterfly/knights_archers_zombies_v11",
        "butterfly/knights_archers_zombies-v11",
    ],
)
def test_all_spellings_are_one_environment(name):
    pettingzoo_ids.check_name(name)
    entry = find_entry(f"pettingzoo:{name}?max_cycles=9")
    assert entry.id == KNIGHTS and entry.presets["ppo"]["death"] == "terminal"
    assert entry.query_kwargs == {"max_cycles": 9} and "mask_key" in entry.options


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (
            "knights_archers_zombies_v10",
            r"does not have v10. Did you mean pettingzoo:knights_arche",
        ),
        ("knights_archers_zombies", r"names it with its version. Did you mean .*_zombies_v11\?"),
        ("pistonbal_v6", "does not know it. Did you mean pettingzoo:pistonball_v6"),
        ("sisl/pistonball_v6", "does not have v6. Did you mean pettingzoo:pistonball_v6"),
        ("zzzzzz", r"does not know it. One's own is pettingzoo:package.module:factory"),
        ("no_such_module:parallel_env", "there is no module 'no_such_module'"),
    ],
)
def test_unknown_names(name, message):
    with pytest.raises(UnknownEnvError, match=message):
        find_entry(f"pettingzoo:{name}")


def test_a_plain_name_is_pointed_to():
    with pytest.raises(UnknownEnvError, match=f"Did you mean {KNIGHTS}"):
        find_entry("knights_archers_zombies_v11")


def test_a_name_that_several_families_have_is_refused(monkeypatch):
    import pettingzoo

    registry = {**pettingzoo.parallel_registry}
    registry["other/pistonball-v6"] = registry["butterfly/pistonball-v6"]
    monkeypatch.setattr(pettingzoo, "parallel_registry", registry)
    with pytest.raises(UnknownEnvError, match="several families.*butterfly/.* or .*other/"):
        pettingzoo_ids.check_name("pistonball_v6")
    pettingzoo_ids.check_name("butterfly/pistonball_v6")


def test_without_pettingzoo_the_message_says_how_to_get_it(monkeypatch):
    real = importlib.import_module

    def missing(name, *more):
        if name.startswith("maskrl."):
            return real(name, *more)
        raise ModuleNotFoundError(f"No module named {name!r}", name=name)

    monkeypatch.setattr(pettingzoo_ids.importlib, "import_module", missing)
    with pytest.raises(pettingzoo_ids.PettingZooMissingError) as error:
        find_entry("pettingzoo:pistonball_v6")
    assert 'pip install "maskrl[pettingzoo]"' in str(error.value)
    assert isinstance(error.value, ImportError) and isinstance(error.value, UsageError)
    assert find_entry(KNIGHTS).id == KNIGHTS  # a known one is listed; making it needs the package
    with pytest.raises(ImportError, match="PettingZoo is not installed"):
        make(KNIGHTS)


def test_an_old_pettingzoo_is_told(monkeypatch):
    import pettingzoo

    monkeypatch.delattr(pettingzoo, "parallel_registry")
    with pytest.raises(ImportError, match="has no registry of its environments; 1.27 has"):
        pettingzoo_ids.check_name("pistonball_v6")


@pytest.mark.parametrize(
    ("family", "recipe"),
    [("butterfly/pistonball_v6", "maskrl.pettingzoo."), ("atari/pong_v3", "pettingzoo.atari.")],
)
def test_what_a_family_needs_is_told(family, recipe, monkeypatch):
    real = importlib.import_module

    def missing(name, *more):
        if name.startswith(f"pettingzoo.{family.partition('/')[0]}"):
            raise ImportError("No module named 'what_it_needs'")
        return real(name, *more)

    monkeypatch.setattr(pettingzoo_ids.importlib, "import_module", missing)
    with pytest.raises(ImportError, match=f"what_it_needs.*pip install .{recipe}"):
        make(f"pettingzoo:{family}")


def test_the_list_of_environments_needs_no_pettingzoo():
    code = "import maskrl.envs, sys; sys.exit('pettingzoo' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


# --- one's own ------------------------------------------------------------------------------


@pytest.mark.parametrize("factory", ["parallel_env", "build", "Countdown", "turns"])
def test_ones_own(mine, factory):
    env = make(f"{mine}:{factory}")
    assert isinstance(env, ParallelTeam) and env.name == f"{mine}:{factory}"
    seen, _ = env.reset(seed=1)
    assert seen["alive"].tolist() == [True, True]
    _, reward, *_ = env.step(np.array([1, 1]))
    assert reward == 2.0


def test_arguments_go_to_the_environment_and_settings_to_the_adapter(mine):
    env = make(f"{mine}:parallel_env?first=5&agent_indicator=slot", waiting_action=1)
    assert env.parallel_env.first == 5 and "agent_slot" in env.observation_space.spaces
    with pytest.raises(ConfigError, match="'pettingzoo:mypz:parallel_env'.*speed=3.*TypeError"):
        make(f"{mine}:parallel_env?speed=3")


@pytest.mark.parametrize(
    ("factory", "error", "message"),
    [
        ("undeclared", ConfigError, "annotated as returning one"),
        ("liar", ConfigError, "expected a pettingzoo.ParallelEnv or AECEnv, got <class 'int'>"),
        ("np", ConfigError, "expected a class derived from"),
        (
            "Countdwn",
            UnknownEnvError,
            "module 'mypz' has no 'Countdwn'. It has Countdown, parallel",
        ),
    ],
)
def test_ones_own_that_is_none(mine, factory, error, message):
    with pytest.raises(error, match=message):
        make(f"{mine}:{factory}")


def test_names_from_run_folders_call_nothing_else():
    with pytest.raises(ConfigError, match="annotated as returning one"):
        find_entry("pettingzoo:os:system")


@pytest.mark.parametrize(
    ("name", "takes_turns"),
    [
        ("classic/go_v5", True),
        ("connect_four_v3", True),
        ("rps_v2", False),  # everybody chooses, then all is revealed: PettingZoo has both forms
        ("pistonball_v6", False),
        ("mypz:unsafe", True),
        ("mypz:turns", False),
        ("mypz:Countdown", False),
    ],
)
def test_which_environments_are_games(mine, name, takes_turns):
    assert pettingzoo_ids.is_turn_game(name, {}) is takes_turns


def test_games_of_two_are_trained_against_oneself_and_measured_against_others():
    game = pettingzoo_ids.game_defaults("chess_v6")
    assert game["default_kwargs"] == {"opponent": "self"}
    assert game["evaluation_kwargs"] == {"opponent": "random", "opening_moves": 0}
    lines = pettingzoo_ids.game_defaults("tictactoe_v3")
    assert lines["validation_kwargs"] == {"opponent": "win_or_block", "opening_moves": 1}
    for other in ("hanabi_v5", "pistonball_v6", "mine.games:chess_v6"):
        assert pettingzoo_ids.game_defaults(other) == {}


def test_a_team_cannot_be_made_of_those_who_take_turns(mine):
    with pytest.raises(ConfigError, match="its agents take turns.*or its id, by which one agent"):
        pettingzoo_ids.make_parallel("mypz:unsafe")


# --- many at once ---------------------------------------------------------------------------


def play(venv, steps, seed=3):
    """Observations, rewards and endings of a random policy."""
    rng = np.random.default_rng(0)
    told = [venv.reset(seed=seed)[0]]
    for _ in range(steps):
        action = rng.integers(0, 2, (venv.num_envs, 2))
        seen, team, terminated, truncated, infos = venv.step(action)
        ended = terminated | truncated
        each = agent_rewards(infos, ended, venv.num_envs, 2)
        np.testing.assert_array_equal(each.sum(axis=1), team)
        final = final_observations(infos, np.flatnonzero(ended)) if ended.any() else None
        told.append((seen, each, ended, final))
    return told


def test_vector_environments_of_all_kinds_agree(mine):
    """In this process by ours and Gymnasium's, and in processes of their own."""
    importlib.import_module("mypz")
    one = [lambda first=first: make(f"{mine}:Countdown", first=first) for first in (2, 4, 2)]
    mode = {"autoreset_mode": AutoresetMode.SAME_STEP}
    sync = SyncVectorEnv(one, **mode)
    other = AsyncVectorEnv(one, **mode)
    try:
        expected = play(sync, 12)
        assert all(data_equivalence(a, b) for a, b in zip(expected, play(other, 12), strict=True))
    finally:
        other.close()
    endings = np.stack([step[2] for step in expected[1:]])
    assert endings.sum(axis=0).tolist() == [4, 2, 4]  # every 3 and 5 steps
    final = expected[3][3]
    assert not final["alive"].any() and not final["observation"].any()
    assert expected[3][0]["alive"][[0, 2]].all()  # the next episode has begun


def test_ours_tells_the_rewards_of_all_and_one_seed_decides_all(mine):
    def run(seed):
        return play(make_vec(f"{mine}:build", 3, seed=seed), 9, seed=None)

    assert all(data_equivalence(a, b) for a, b in zip(run(1), run(1), strict=True))
    offsets = [tuple(np.ravel(step[0]["observation"])) for step in run(1)[1:]]
    assert offsets != [tuple(np.ravel(step[0]["observation"])) for step in run(2)[1:]]


# --- a real one -----------------------------------------------------------------------------


def test_knights_archers_and_zombies_die_and_are_reproducible():
    def episode(seed):
        env = make(f"{KNIGHTS}?spawn_delay=3&max_cycles=200")
        rng = np.random.default_rng(0)
        told, ended = [env.reset(seed=seed)[0]], False
        while not ended:
            seen, reward, terminated, truncated, info = env.step(rng.integers(0, 6, 4))
            told.append({**seen, **info, "reward": np.float64(reward)})
            ended = terminated or truncated
        assert env.observation_space.contains(seen)
        env.close()
        return told

    told = episode(4)
    assert all(data_equivalence(a, b) for a, b in zip(told, episode(4), strict=True))
    alive = np.stack([step["alive"] for step in told])
    assert (np.diff(alive.astype(int), axis=0) <= 0).all()  # nobody comes back
    partly = alive.any(axis=1) & ~alive.all(axis=1)
    assert partly.any(), "nobody died while others went on"
    dead = ~alive
    observed = np.stack([step["observation"] for step in told])
    assert not observed[dead].any() and observed[alive].any(axis=(1, 2)).all()
    for step in told[1:]:
        assert step["agent_rewards"].sum() == step["reward"]
    # what the zombies' victims earn later is nothing
    for n in range(4):
        if dead[:, n].any():
            death = int(dead[:, n].argmax())
            assert not any(step["agent_rewards"][n] for step in told[death + 1 :])


def test_a_real_team_is_described_and_told_by_its_types():
    env = make(KNIGHTS)
    team = describe_env(env).team
    assert (team.agents, team.nvec, team.source) == (4, (6,), "own")
    assert team.features == ("agent_type", "observation") and not team.has_action_mask
    seen, _ = env.reset(seed=0)
    assert seen["agent_type"].tolist() == [[1, 0], [1, 0], [0, 1], [0, 1]]
    with pytest.raises(ConfigError, match="agents' observations are stacked, so they need one"):
        make(f"{KNIGHTS}?obs_method=vector-sequence")


def test_all_truncated_at_the_time_limit():
    env = make(f"{KNIGHTS}?max_cycles=5")
    env.reset(seed=0)
    for _ in range(5):
        seen, _, terminated, truncated, _ = env.step(np.full(4, 5))
    assert (terminated, truncated) == (False, True)
    assert seen["alive"].all() and seen["observation"].any(axis=(1, 2)).all()


def test_it_draws_where_there_is_no_screen():
    """In a process of its own, because pygame keeps the first driver it is given."""
    code = textwrap.dedent(
        f"""
        import os
        for name in ("DISPLAY", "WAYLAND_DISPLAY", "SDL_VIDEODRIVER"):
            os.environ.pop(name, None)
        from maskrl.envs import make
        env = make("{KNIGHTS}?render_mode=rgb_array")
        env.reset(seed=0)
        picture = env.render()
        assert picture.shape == (720, 1280, 3) and picture.any(), picture.shape
        assert os.environ["SDL_VIDEODRIVER"] == "dummy"
        other = make("{KNIGHTS}")
        env.close()  # pygame quits; another environment goes on
        other.reset(seed=1)
        other.step([0] * 4)
        """
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env={**os.environ}
    )
    assert done.returncode == 0, done.stderr
