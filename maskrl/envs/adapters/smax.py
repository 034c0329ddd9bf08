"""SMAX of JaxMARL: StarCraft-like battles in JAX, every ally an agent in a slot.

`smax:3m` is a scenario's name. Agents act by the library's own masks (moves, and enemies in
reach); an ally that died is not alive and does not act, and the library is sent "stop" for
it, the one action that it still allows there. The library resets inside of its step and
loses the last observation; here its inner step is called, so that the real one is kept, and
a battle that was cut off (truncated) is told from one that is over.
"""

from __future__ import annotations

import difflib
import math
from dataclasses import asdict, dataclass
from typing import Any, Literal, get_args

import gymnasium
import numpy as np
from gymnasium import spaces
from gymnasium.vector import VectorEnv

from maskrl.envs.adapters.batches import BatchEnv, BatchVectorEnv
from maskrl.envs.adapters.jax_batch import JaxBatch
from maskrl.envs.adapters.library_import import SMAX
from maskrl.envs.adapters.smax_picture import battle_text, enemy_mark
from maskrl.envs.entries import mask_space
from maskrl.errors import ConfigError, UnknownEnvError
from maskrl.masks.tree import FLAT_MASK

PREFIX = "smax:"
MOVES = ("north", "east", "south", "west", "stop")
"""The actions before attacks, in the library's order."""
STOP = MOVES.index("stop")
WON, DRAWN, LOST = 1.0, 0.0, -1.0

UNIT_FEATURES = ("health", "x", "y", "cooldown", "moved x", "moved y", "attacked", "enemy")
"""What a scene tells of a unit, before the one-hot of its type."""

View = Literal["own", "scene"]


@dataclass(frozen=True)
class SmaxSettings:
    """A kind of battle.

    Raises:
        ConfigError: A value is out of range; the message names it.
    """

    view: View = "own"
    """own: every agent has the library's list of what it sees. scene: all units as entities,
    with who sees whom as `visibility`, for policies that attend."""
    max_steps: int = 100
    """JaxMARL's limit. It looks at the clock before it moves it, so a battle is cut off (truncated,
    counting as drawn) in step max_steps + 1; kept, to be comparable with what is published."""
    see_enemy_actions: bool = True
    """Whether agents see what enemies in sight did last."""
    walls_cause_death: bool = True
    """Whether units die at the edge of the map."""
    enemy_shoots: bool = True
    """Whether the enemies, who play by rules of thumb, shoot."""
    attack_mode: Literal["closest", "random"] = "closest"
    """Whom an enemy attacks among those in reach."""
    won_battle_bonus: float = 1.0
    """Reward for a battle won, beside the share of the enemies' health taken."""

    def __post_init__(self) -> None:
        for name, known in (("view", get_args(View)), ("attack_mode", ("closest", "random"))):
            if getattr(self, name) not in known:
                raise ConfigError(
                    f"smax: {name} must be {' or '.join(known)}; got {getattr(self, name)!r}"
                )
        steps = self.max_steps
        if isinstance(steps, bool) or not isinstance(steps, int) or steps < 1:
            raise ConfigError(f"smax: max_steps must be a whole number from 1 on; got {steps!r}")
        for name in ("see_enemy_actions", "walls_cause_death", "enemy_shoots"):
            if not isinstance(getattr(self, name), bool):
                raise ConfigError(f"smax: {name} must be true or false; got {getattr(self, name)}")
        bonus = self.won_battle_bonus
        if (
            isinstance(bonus, bool)
            or not isinstance(bonus, int | float)
            or not math.isfinite(bonus)
        ):
            raise ConfigError(f"smax: won_battle_bonus must be a number; got {bonus!r}")


class SmaxWorld:
    """One scenario as pure functions; see `JaxWorld` for its methods.

    The reward is the team's. Infos have `outcome`: 1 won, 0 drawn or cut off, -1 lost, NaN
    while the battle goes on.

    Args:
        scenario: Name of the scenario.
        settings: Of the battle.

    Raises:
        LibraryMissingError: JaxMARL is not installed.
        UnknownEnvError: It has no such scenario.
    """

    rendered: tuple[str, ...] = ("ansi",)

    def __init__(self, scenario: str, settings: SmaxSettings) -> None:
        self.name = PREFIX + scenario
        check_name(scenario)
        self._jax = SMAX.load(self.name, "jax")
        package = SMAX.load(self.name, "jaxmarl.environments.smax")
        of_library = asdict(settings)
        del of_library["view"]
        self.settings = settings
        self.env = package.HeuristicEnemySMAX(
            scenario=_scenarios(self.name)[scenario], **of_library
        )
        inner = self.env._env
        self.allies, self.enemies = int(inner.num_allies), int(inner.num_enemies)
        units = self.allies + self.enemies
        count = len(MOVES) + self.enemies
        self.nvec: tuple[int, ...] = (count,)
        self.action_space: spaces.Space[Any] = spaces.MultiDiscrete(np.full(self.allies, count))
        self.action_names = (*MOVES, *(f"attack {enemy_mark(i)}" for i in range(self.enemies)))
        if settings.view == "own":
            shape = (self.allies, int(inner.obs_size))
            entries: dict[str, spaces.Space[Any]] = {
                "observation": spaces.Box(-np.inf, np.inf, shape, np.float32)
            }
        else:
            features = len(UNIT_FEATURES) + int(inner.unit_type_bits)
            entries = {
                "entities": spaces.Box(-np.inf, np.inf, (units, features), np.float32),
                "entity_mask": mask_space(units),
                "visibility": mask_space(units, units),
            }
        self.observation_space = spaces.Dict(
            {
                **entries,
                "agent_mask": mask_space(self.allies),
                "alive": mask_space(self.allies),
                FLAT_MASK: mask_space(self.allies, count),
            }
        )

    def begin(self, key: Any) -> tuple[Any, dict[str, Any]]:
        """State and observation of a new battle."""
        seen, state = self.env.reset(key)
        return state, self._entries(seen, state)

    def advance(self, state: Any, action: Any, key: Any) -> tuple[Any, ...]:
        """A step, in which the dead stop."""
        numpy = self._jax.numpy
        alive = state.state.unit_alive[: self.allies]
        given = numpy.where(alive, action, STOP)
        orders = {agent: given[n] for n, agent in enumerate(self.env.agents)}
        seen, state, rewards, dones, _ = self.env.step_env(key, state, orders)
        own = state.state.unit_alive[: self.allies].any()
        foes = state.state.unit_alive[self.allies :].any()
        terminated, ended = ~own | ~foes, dones["__all__"]
        outcome = numpy.where(own & ~foes, WON, numpy.where(foes & ~own, LOST, DRAWN))
        told = {"outcome": numpy.where(ended, outcome, numpy.nan)}
        reward = rewards[self.env.agents[0]]
        return state, self._entries(seen, state), reward, terminated, ended & ~terminated, told

    def picture(self, state: Any, mode: str) -> str:
        """The battlefield as text."""
        inner, battle = self.env._env, state.state
        return battle_text(
            positions=np.asarray(battle.unit_positions),
            alive=np.asarray(battle.unit_alive),
            health=np.asarray(battle.unit_health)
            / np.asarray(inner.unit_type_health)[np.asarray(battle.unit_types)],
            letters=[inner.unit_type_shorthands[int(kind)] for kind in battle.unit_types],
            allies=self.allies,
            size=(float(inner.map_width), float(inner.map_height)),
            step=int(battle.step),
        )

    def _entries(self, seen: dict[str, Any], state: Any) -> dict[str, Any]:
        numpy = self._jax.numpy
        alive = state.state.unit_alive[: self.allies]
        allowed = self.env.get_avail_actions(state)
        mask = numpy.stack([allowed[agent] for agent in self.env.agents]) == 1
        if self.settings.view == "own":
            own = {"observation": numpy.stack([seen[agent] for agent in self.env.agents])}
        else:
            own = self._scene(state.state)
        return {**own, "agent_mask": alive, "alive": alive, FLAT_MASK: mask & alive[:, None]}

    def _scene(self, battle: Any) -> dict[str, Any]:
        """All units as entities: allies first, each agent the entity of its number."""
        numpy, inner = self._jax.numpy, self.env._env
        kinds, alive = battle.unit_types, battle.unit_alive
        size = numpy.array([inner.map_width, inner.map_height])
        enemy = numpy.arange(self.allies + self.enemies) >= self.allies
        shown = ~enemy | self.settings.see_enemy_actions
        features = [
            (battle.unit_health / inner.unit_type_health[kinds])[:, None],
            battle.unit_positions / size,
            (battle.unit_weapon_cooldowns / inner.unit_type_weapon_cooldowns[kinds])[:, None],
            numpy.where(shown[:, None], battle.prev_movement_actions, 0.0),
            numpy.where(shown, battle.prev_attack_actions > 0, False)[:, None],
            enemy[:, None],
            self._jax.nn.one_hot(kinds, inner.unit_type_bits),
        ]
        apart = battle.unit_positions[:, None] - battle.unit_positions[None]
        near = numpy.linalg.norm(apart, axis=-1) < inner.unit_type_sight_ranges[kinds][:, None]
        rows = numpy.concatenate([part.astype(numpy.float32) for part in features], axis=-1)
        return {
            "entities": numpy.where(alive[:, None], rows, 0.0),
            "entity_mask": alive,
            "visibility": near & alive[:, None] & alive[None],
        }


def check_name(scenario: str) -> None:
    """Check that a name means a scenario.

    Raises:
        LibraryMissingError: JaxMARL is not installed.
        UnknownEnvError: There is none of this name; the message offers the nearest.
    """
    known = list(_scenarios(PREFIX + scenario))
    if scenario not in known:
        near = difflib.get_close_matches(scenario, known, n=3, cutoff=0.4)
        advice = f" Did you mean {' or '.join(PREFIX + one for one in near)}?" if near else ""
        raise UnknownEnvError(
            f"environment {PREFIX + scenario!r}: SMAX has no such scenario.{advice} It has "
            f"{', '.join(known)}."
        )


def make_smax(
    scenario: str, *, render_mode: str | None = None, seed: int = 0, **settings: Any
) -> gymnasium.Env[Any, Any]:
    """One battle by the name of its scenario."""
    world = SmaxWorld(scenario, read_settings(settings))
    return BatchEnv(JaxBatch(world, 1), seed=seed, render_mode=render_mode)


def make_smax_vec(
    scenario: str, num_envs: int, *, seed: int = 0, **settings: Any
) -> VectorEnv[Any, Any, Any]:
    """`num_envs` battles, stepped in one compiled call."""
    world = SmaxWorld(scenario, read_settings(settings))
    return BatchVectorEnv(JaxBatch(world, num_envs), seed=seed)


def read_settings(given: dict[str, Any]) -> SmaxSettings:
    """Settings from keyword arguments.

    Raises:
        ConfigError: One is unknown or out of range.
    """
    known = list(SmaxSettings.__dataclass_fields__)
    unknown = next((name for name in given if name not in known), None)
    if unknown is not None:
        near = difflib.get_close_matches(unknown, known, n=1, cutoff=0.5)
        advice = f" Did you mean {near[0]}?" if near else ""
        raise ConfigError(
            f"smax: unknown setting {unknown!r}; the settings are {', '.join(known)}.{advice}"
        )
    return SmaxSettings(**given)


def _scenarios(name: str) -> dict[str, Any]:
    module = SMAX.load(name, "jaxmarl.environments.smax.smax_env")
    scenarios: dict[str, Any] = module.MAP_NAME_TO_SCENARIO
    return scenarios
