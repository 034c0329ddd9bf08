"""From a PettingZoo name to environments, whether its agents act at once or take turns.

Agents who act at once are a team; of those who take turns one is trained and opponents play
the others. Connect four and tic-tac-toe are played by compiled rules unless PettingZoo's own
environment is asked for (`engine=pettingzoo`); both give the same games, move by move.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import gymnasium
from gymnasium.vector import VectorEnv

from maskrl.envs import construct
from maskrl.envs.adapters import pettingzoo_ids
from maskrl.envs.adapters.pettingzoo_aec import AECGames
from maskrl.envs.adapters.pettingzoo_ids import PREFIX, short_id
from maskrl.envs.adapters.pettingzoo_parallel import TEAM_OPTIONS
from maskrl.envs.games.lines.board import CONNECT_FOUR, TIC_TAC_TOE, Board
from maskrl.envs.games.lines.engine import LineGames
from maskrl.envs.versus.engine import GameEngine
from maskrl.envs.versus.finding import find_opponent
from maskrl.envs.versus.settings import GAME_OPTIONS, SELF, VersusSettings
from maskrl.envs.versus.single_env import VersusEnv
from maskrl.envs.versus.vector_env import VersusVectorEnv
from maskrl.errors import ConfigError

BOARDS: dict[str, Board] = {"connect_four_v3": CONNECT_FOUR, "tictactoe_v3": TIC_TAC_TOE}
"""Games whose rules are compiled too, and which scripted opponents know."""

SELF_PLAY_OPENINGS = {"connect_four_v3": "0-10"}
"""Random moves that begin a game against oneself where nothing is said: without them the games
grow alike, and the learner meets few of the positions that others bring it into."""

ENGINES = ("fast", "pettingzoo")
MASK_OPTIONS = ("mask_key", "mask_allowed")
"""Settings that say how a mask of PettingZoo's own environments is read."""


def make(name: str, **kwargs: Any) -> gymnasium.Env[Any, Any]:
    """Make one environment by its name: a team's, or one seat of a game.

    Args:
        name: As after "pettingzoo:".
        kwargs: Settings in `TEAM_OPTIONS` or `GAME_OPTIONS`; all others are the environment's.

    Raises:
        PettingZooMissingError: PettingZoo, or what the environment needs, is not installed.
        UnknownEnvError: There is no such environment.
        ConfigError: It cannot be made with these settings.
    """
    if _is_game(name, kwargs):
        return make_game(name, **kwargs)
    _refuse_settings_of_games(name, kwargs)
    return pettingzoo_ids.make_parallel(name, **kwargs)


def make_vec(
    name: str, num_envs: int, *, seed: int | None = None, **kwargs: Any
) -> VectorEnv[Any, Any, Any]:
    """Make `num_envs` environments by their name, stepping in this process."""
    if _is_game(name, kwargs):
        return make_games(name, num_envs, seed=seed, **kwargs)
    _refuse_settings_of_games(name, kwargs)
    return pettingzoo_ids.make_parallel_vec(name, num_envs, seed=seed, **kwargs)


def _is_game(name: str, kwargs: dict[str, Any]) -> bool:
    if short_id(name) in BOARDS:
        return True
    known = {*TEAM_OPTIONS, *GAME_OPTIONS, "render_mode"}
    return pettingzoo_ids.is_turn_game(name, {k: v for k, v in kwargs.items() if k not in known})


def _refuse_settings_of_games(name: str, kwargs: dict[str, Any]) -> None:
    """Settings that only games of turns have are no arguments of an environment's own."""
    wrong = [key for key in ("opponent", "seat", "opening_moves") if key in kwargs]
    if wrong and ":" not in name:
        raise ConfigError(
            f"{PREFIX}{name}: {wrong[0]}={kwargs[wrong[0]]!r} is for games in which agents take "
            "turns; here they act at once, as a team. Leave it out"
        )


def make_game(name: str, *, render_mode: str | None = None, **kwargs: Any) -> VersusEnv:
    """One seat of one game of turns; arguments as of `make`."""
    settings = VersusSettings.split(_with_openings(name, kwargs))
    engine = _engine(name, 1, render_mode, kwargs)
    opponent = find_opponent(settings, board=BOARDS.get(short_id(name)), name=PREFIX + name)
    return VersusEnv(engine, opponent, settings, render_mode=render_mode)


def make_games(
    name: str, num_envs: int, *, seed: int | None = None, **kwargs: Any
) -> VersusVectorEnv:
    """One seat in each of `num_envs` games of turns; arguments as of `make_vec`."""
    settings = VersusSettings.split(_with_openings(name, kwargs))
    engine = _engine(name, num_envs, kwargs.pop("render_mode", None), kwargs)
    opponent = find_opponent(settings, board=BOARDS.get(short_id(name)), name=PREFIX + name)
    return VersusVectorEnv(engine, opponent, settings, seed=seed)


def _with_openings(name: str, kwargs: dict[str, Any]) -> dict[str, Any]:
    if kwargs.get("opponent") == SELF and short_id(name) in SELF_PLAY_OPENINGS:
        kwargs.setdefault("opening_moves", SELF_PLAY_OPENINGS[short_id(name)])
    return kwargs


def _engine(name: str, count: int, render_mode: str | None, kwargs: dict[str, Any]) -> GameEngine:
    """What plays the games."""
    board = BOARDS.get(short_id(name))
    chosen = kwargs.pop("engine", ENGINES[0] if board is not None else ENGINES[1])
    if chosen not in ENGINES:
        raise ConfigError(f"engine: expected {' or '.join(ENGINES)}, got {chosen!r}")
    if chosen == "fast":
        if board is None:
            raise ConfigError(
                f"engine: there are compiled rules for {', '.join(BOARDS)}, not for {name}; "
                "leave it out"
            )
        for setting in MASK_OPTIONS:
            if setting in kwargs:
                raise ConfigError(
                    f"{setting}: the compiled rules of {PREFIX}{name}, which play it unless told "
                    f"otherwise, make the mask themselves and need no {setting}. Leave it out, or "
                    "say engine=pettingzoo to read the mask of PettingZoo's own environment"
                )
        if kwargs:
            known = [setting for setting in GAME_OPTIONS if setting not in MASK_OPTIONS]
            raise ConfigError(
                f"{PREFIX}{name}: unknown setting {next(iter(kwargs))!r}; there are "
                f"{', '.join(known)}, and with engine=pettingzoo {', '.join(MASK_OPTIONS)} and "
                "those of PettingZoo's own environment"
            )
        return LineGames(board, count, name=PREFIX + name)
    masks = {key: kwargs.pop(key) for key in MASK_OPTIONS if key in kwargs}
    if render_mode is not None and board is None:
        kwargs["render_mode"] = render_mode
    factory = pettingzoo_ids.find_factory(name, render_mode)
    make_one = partial(construct.call, f"environment {PREFIX + name!r}", factory, kwargs)
    return AECGames(make_one, count, name=PREFIX + name, board=board, **masks)
