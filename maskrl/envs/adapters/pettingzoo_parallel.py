"""PettingZoo's `ParallelEnv` as a team environment: agents in slots, observations of their own.

Every possible agent has a slot. Who is in `env.agents` is alive; whose action mask allows
something acts; an agent whose mask allows nothing waits. What agents observe is stacked with
a row per slot, zeros where nobody is, and copied. Rewards are the team's sum, with every
agent's own beside it. Only agents that are alive are handed to the environment's step.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces

from maskrl.envs.adapters import raw_mask
from maskrl.envs.adapters.agent_entries import (
    Indicator,
    agent_entries,
    first_difference,
    indicator_rows,
    possible_agents,
)
from maskrl.envs.adapters.still_watch import POLARITY, Watch, begin_watch, look, look_at_waiting
from maskrl.envs.entries import mask_space
from maskrl.errors import ConfigError, MaskError, MaskShapeError, NoMaskError
from maskrl.masks.arrays import BoolArray, as_mask_array
from maskrl.masks.heads import choices_of
from maskrl.masks.tree import FLAT_MASK, ActionTree

TEAM_OPTIONS = {
    "mask_key": "Name of the action mask in agents' observations or infos; action_mask if "
    "nothing is said.",
    "mask_allowed": "The value that means allowed, 1 or 0; 1 if nothing is said.",
    "agent_indicator": "What tells agents apart that share a network: type (the name without its "
    "number, where there are several types), which holds if nothing is said, slot, or none.",
    "waiting_action": "What an agent is given that may do nothing; 0 if nothing is said.",
}
"""Settings that every PettingZoo environment takes, beside its own."""

_SAVED = (
    "illegal_actions",
    "_alive",
    "_agent_mask",
    "_over",
    "_warned",
    "_only_waited",
    "_step",
    "_episode",
)


class ParallelTeam(gymnasium.Env[dict[str, np.ndarray], np.ndarray]):
    """One `ParallelEnv` with N possible agents, all alike, as the contract's slots.

    Users read `illegal_actions`, how often an agent acted against the mask handed out, and
    `agent_infos`, what the environment last told each agent.

    Args:
        parallel_env: The environment. It must know its `possible_agents`.
        name: What messages call it; its own name otherwise.
        mask_key: Name of the action mask, in the agents' Dict observations or in their infos.
        mask_allowed: The value that means "allowed" in it, 1 or 0.
        agent_indicator: "type" adds `agent_type` [N, types], one-hot, where agents' names
            without their numbers differ; "slot" adds `agent_slot` [N, N]; "none" adds nothing.
        waiting_action: The choice, in every head, that a waiting agent is given.

    Raises:
        ConfigError: Agents are not alike, or a space or a setting is none that fits.

    Endings:
        An agent's episode ends when it leaves `env.agents`. One that leaves by truncation
        while others go on is from then on not alive, like one that died, which a warning
        says once. The team's episode ends when no agent is left: truncated if one of the last
        left by truncation alone, and then those are alive in the final observation, with what
        they last saw; terminated otherwise.

    Empty rows:
        A mask that allows nothing makes its agent wait; a reset without agents is an episode
        of one step in which nobody acts.
    """

    gives_agent_rewards = True

    def __init__(
        self,
        parallel_env: Any,
        *,
        name: str | None = None,
        mask_key: str = FLAT_MASK,
        mask_allowed: int = 1,
        agent_indicator: Indicator = "type",
        waiting_action: int = 0,
    ) -> None:
        self.parallel_env = parallel_env
        self.name = name or str(parallel_env)
        self.metadata = dict(getattr(parallel_env, "metadata", {}))
        self.render_mode = getattr(parallel_env, "render_mode", None)
        self.agent_names = possible_agents(parallel_env, self.name)
        self.agent_infos: dict[Any, Any] = {}
        self.illegal_actions = 0
        self._mask_key = mask_key
        self._allowed = mask_allowed
        self._slot = {agent: n for n, agent in enumerate(self.agent_names)}
        count = len(self.agent_names)

        action = self._shared_space("action_space")
        self._one_action = action
        self._nvec = raw_mask.action_heads(action, self.name)
        shape = raw_mask.head_shape(action)
        heads = (len(self._nvec),) if shape else ()
        nvec = np.broadcast_to(np.asarray(self._nvec), (count, len(self._nvec)))
        self.action_space = spaces.MultiDiscrete(nvec.reshape(count, *heads))
        if isinstance(waiting_action, bool) or not isinstance(waiting_action, int | np.integer):
            raise ConfigError(f"waiting_action: expected a whole number, got {waiting_action!r}")
        if not 0 <= waiting_action < min(self._nvec):
            raise ConfigError(
                f"environment {self.name!r}: waiting_action is {waiting_action}; expected 0 to "
                f"{min(self._nvec) - 1}, a choice that every head has."
            )
        self._waiting = np.full(heads, waiting_action, np.int64)
        tree = getattr(getattr(parallel_env, "unwrapped", parallel_env), "action_tree", None)
        self.action_tree: ActionTree | None = tree

        observed = self._shared_space("observation_space")
        keys = _mask_names(mask_key, tree, sum(self._nvec))
        self._in_observation = isinstance(observed, spaces.Dict) and mask_key in observed.spaces
        self._masks = keys if self._in_observation or self._has_mask_in_infos() else {}
        if not self._masks and (mask_key != FLAT_MASK or mask_allowed != 1):
            raise NoMaskError(
                f"environment {self.name!r}: mask_key is {mask_key!r} and mask_allowed "
                f"{mask_allowed!r}, and there is no such mask: agents observe {observed}, and the "
                f"first reset told no {mask_key!r} in infos. Name the mask as it is called there, "
                "or leave both settings out where there is none."
            )
        left_out = [key for key, _ in keys.values()] if self._in_observation else []
        self._entries = agent_entries(observed, self.name, left_out)
        entries: dict[str, spaces.Space[Any]] = {
            entry.name: entry.stacked_space(count) for entry in self._entries
        }
        self._indicator = indicator_rows(agent_indicator, self.agent_names, self.name)
        for key, table in self._indicator.items():
            if key in entries:
                raise ConfigError(
                    f"environment {self.name!r}: agents observe an entry {key!r} of their own; "
                    "set agent_indicator=none."
                )
            entries[key] = spaces.Box(0.0, 1.0, table.shape, np.float32)
        entries["agent_mask"] = mask_space(count)
        entries["alive"] = mask_space(count)
        entries.update({key: mask_space(count, *of[1]) for key, of in self._masks.items()})
        self.observation_space: Any = spaces.Dict(entries)
        self._blank = {key: (space.shape or (), space.dtype) for key, space in entries.items()}

        self._alive: BoolArray = np.zeros(count, np.bool_)
        self._agent_mask: BoolArray = np.zeros(count, np.bool_)
        self._handed_out: dict[str, np.ndarray] = {}
        self._over = True
        self._warned = False
        self._watch: Watch | None = begin_watch()
        self._only_waited: int | None = 0
        self._step = 0
        self._episode = 0

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        """Begin an episode; every environment gets a seed, so that a first one decides all.

        Args:
            seed: Handed to the environment as it is; later resets without one draw theirs
                from a generator that it seeds.
            options: Handed to the environment.
        """
        super().reset(seed=seed)
        inner = seed if seed is not None else int(self.np_random.integers(2**31))
        try:
            observations, infos = self.parallel_env.reset(seed=inner, options=options)
        except Exception as error:
            raise ConfigError(
                f"environment {self.name!r}: reset(seed={inner}) fails: "
                f"{type(error).__name__}: {error}"
            ) from error
        self._step = 0
        self._episode += 1
        self._over = False
        self._alive = self._slots_of(self._listed())
        self.agent_infos = dict(infos or {})
        return self._observe(observations, self._alive), {}

    def step(self, action: Any) -> tuple[dict[str, np.ndarray], float, bool, bool, dict[str, Any]]:
        """Let all who are alive act.

        Args:
            action: int [N] or [N, K]; what stands in slots that do not act is not read.

        Returns:
            Observation, sum of the agents' rewards, terminated, truncated, and an info with
            `agent_rewards` float64 [N], `agent_terminated` and `agent_truncated` bool [N]:
            who left in this step, and how.

        Raises:
            ConfigError: The episode is over, an action is out of range, or the environment
                fails or contradicts itself.
        """
        illegal_before = self.illegal_actions
        given = self._actions(action)
        if self._alive.any():
            self._only_waited = look_at_waiting(
                self._only_waited, self.name, acts=bool(self._agent_mask.any())
            )
        try:
            told = self.parallel_env.step(given)
            observations, rewards, terminations, truncations, infos = told
        except Exception as error:
            allowed = f" The masks handed out allow this. {POLARITY}" if self._masks else ""
            raise ConfigError(
                f"{self._place()}: step({given}) fails: {type(error).__name__}: {error}.{allowed}"
            ) from error
        self._step += 1
        self.agent_infos = dict(infos or {})
        before = self._alive
        flagged = self._flags(terminations), self._flags(truncations)
        alive = self._slots_of(self._listed()) & ~flagged[0] & ~flagged[1]
        cut_off = before & flagged[1] & ~flagged[0]
        died = before & ~alive & ~cut_off
        self._over = not alive.any()
        truncated = bool(self._over and cut_off.any())
        if cut_off.any() and not self._over:
            self._say_that_one_was_cut_off(cut_off)
        self._alive = cut_off if truncated else alive
        seen = self._observe(observations, self._alive, over=self._over)
        if self.illegal_actions > illegal_before:
            self._watch = None  # it is about actions that masks allow
        if self._watch is not None:
            forbids = any(not mask[self._alive].all() for mask in self._handed_out.values())
            self._watch = look(self._watch, self.name, action, seen, forbids=forbids)
        each = self._rewards(rewards)
        info = {"agent_rewards": each, "agent_terminated": died, "agent_truncated": cut_off}
        return seen, float(each.sum()), self._over and not truncated, truncated, info

    def render(self) -> Any:
        """What the environment itself draws."""
        return self.parallel_env.render()

    def close(self) -> None:
        """Close the environment."""
        self.parallel_env.close()

    def get_state(self) -> dict[str, Any]:
        """All that decides what comes next, as plain data, where the environment tells its own.

        Raises:
            ConfigError: The environment has no `get_state` and `set_state`.
        """
        inner = self._stateful()
        return {
            "environment": inner.get_state(),
            "generator": self.np_random,
            "masks": self._handed_out,
            "watch": self._watch,
            "infos": self.agent_infos,
            **{name: getattr(self, name) for name in _SAVED},
        }

    def set_state(self, state: Mapping[str, Any]) -> None:
        """Go on from `get_state` of an environment made in the same way."""
        self._stateful().set_state(state["environment"])
        self.np_random = state["generator"]
        self._handed_out = state["masks"]
        self._watch = state["watch"]
        self.agent_infos = state["infos"]
        for name in _SAVED:
            setattr(self, name, state[name])

    def _stateful(self) -> Any:
        """The environment that has `get_state` and `set_state`, wrapped or not."""
        for env in (self.parallel_env, getattr(self.parallel_env, "unwrapped", None)):
            if all(callable(getattr(env, name, None)) for name in ("get_state", "set_state")):
                return env
        raise ConfigError(
            f"the state of environment {self.name!r} cannot be saved: it has no get_state() and "
            "set_state(state). Give the ParallelEnv both, with plain data, and it can."
        )

    # --- what goes in ---------------------------------------------------------------------

    def _actions(self, action: Any) -> dict[Any, Any]:
        """An action for each agent that is alive, as its own space has them."""
        if self._over:
            raise ConfigError(f"{self._place()}: the episode is over; call reset() first.")
        shape = self.action_space.shape
        rows = np.asarray(action)
        if rows.shape != shape or rows.dtype.kind not in "iu":
            raise ConfigError(
                f"{self._place()}: step got an action of shape {rows.shape} and dtype "
                f"{rows.dtype}; expected whole numbers {shape}, a row per agent."
            )
        rows = rows.astype(np.int64)
        acting = np.flatnonzero(self._agent_mask)
        chosen = rows[acting].reshape(len(acting), len(self._nvec))
        wrong = (chosen < 0) | (chosen >= np.asarray(self._nvec))
        if wrong.any():
            row, head = (int(i) for i in np.argwhere(wrong)[0])
            raise ConfigError(
                f"{self._place()}: the action of agent {self.agent_names[acting[row]]!r} is "
                f"{chosen[row].tolist()}; expected 0 to {self._nvec[head] - 1} in head {head}."
            )
        if self._handed_out and len(acting):
            masks = {key: mask[acting] for key, mask in self._handed_out.items()}
            tree = self.action_tree
            choices = choices_of(chosen, masks, self._nvec if tree is None else tree)
            self.illegal_actions += int(choices.illegal.sum())
        return {
            self.agent_names[n]: raw_mask.to_space(
                rows[n] if self._agent_mask[n] else self._waiting, self._one_action
            )
            for n in np.flatnonzero(self._alive)
        }

    # --- what comes out -------------------------------------------------------------------

    def _observe(
        self, observations: Mapping[Any, Any], alive: np.ndarray, *, over: bool = False
    ) -> dict[str, np.ndarray]:
        """Stack what the agents see; `alive` says whose rows count."""
        seen = {key: np.zeros(shape, dtype) for key, (shape, dtype) in self._blank.items()}
        seen["alive"][:] = alive
        for n in np.flatnonzero(alive):
            agent = self.agent_names[n]
            if agent not in observations:
                why = (
                    "was truncated, so what would have followed is estimated from what it last saw"
                )
                raise ConfigError(
                    f"{self._place()}: agent {agent!r} {why if over else 'is among env.agents'} "
                    f"and has no observation; there are some of {list(observations)}."
                )
            for entry in self._entries:
                try:
                    seen[entry.name][n] = entry.row(observations[agent])
                except ConfigError as error:
                    raise ConfigError(f"{self._place()}, agent {agent!r}: {error}") from None
            for key, table in self._indicator.items():
                seen[key][n] = table[n]
            for key in self._masks:
                seen[key][n] = self._mask(key, agent, observations[agent], over)
        seen["agent_mask"][:] = alive
        if FLAT_MASK in self._masks:
            seen["agent_mask"] &= seen[FLAT_MASK].any(axis=-1)
        elif not self._in_observation:
            self._refuse_late_masks(alive)
        self._agent_mask = seen["agent_mask"].copy()
        self._handed_out = {key: seen[key].copy() for key in self._masks}
        return seen

    def _mask(self, key: str, agent: Any, observation: Any, over: bool) -> np.ndarray:
        """One agent's mask, checked."""
        raw_key, shape = self._masks[key]
        if self._in_observation:
            where, raw = f"observation[{raw_key!r}]", observation.get(raw_key)
        else:
            info = self.agent_infos.get(agent)
            where = f"infos[{agent!r}][{raw_key!r}]"
            raw = info.get(raw_key) if isinstance(info, Mapping) else None
        place = f"{self._place()}, agent {agent!r}, {where}"
        if raw is None:
            if over:
                return np.zeros(shape, np.bool_)
            raise NoMaskError(
                f"{place}: the mask is missing, and the agent goes on. An environment must give "
                "the masks of all its agents at every step, or none ever."
            )
        hint = raw_mask.ids_hint
        try:
            if key == FLAT_MASK:
                raw = raw_mask.flat_row(raw, self._nvec, raw_mask.head_shape(self._one_action))
            keep = as_mask_array(raw, allowed=self._allowed, name=key)
            hint = raw_mask.shape_hint
            if keep.shape != shape:
                raise MaskShapeError(f"{key} has shape {keep.shape}, expected {shape}.")
        except MaskError as error:
            advice = hint(raw, sum(self._nvec)) if key == FLAT_MASK else ""
            raise type(error)(f"{place}: {error}{advice}") from error
        return keep

    def _rewards(self, rewards: Mapping[Any, Any]) -> np.ndarray:
        """What each agent got: float64 [N], 0 for those of whom nothing is said."""
        each = np.zeros(len(self.agent_names))
        for agent, reward in rewards.items():
            if agent not in self._slot:
                raise ConfigError(f"{self._place()}: a reward for {self._stranger(agent)}")
            value = np.asarray(reward)
            if value.size != 1 or value.dtype.kind not in "fiub" or not np.isfinite(value).all():
                raise ConfigError(
                    f"{self._place()}: the reward of agent {agent!r} is {reward!r}; expected a "
                    "finite number."
                )
            each[self._slot[agent]] = float(value.reshape(()))
        return each

    def _flags(self, flags: Mapping[Any, Any]) -> np.ndarray:
        """Terminations or truncations as bool [N]; False for agents of whom nothing is said."""
        return self._slots_of([agent for agent, flag in flags.items() if flag])

    def _listed(self) -> list[Any]:
        return list(self.parallel_env.agents)

    def _slots_of(self, agents: Sequence[Any]) -> np.ndarray:
        """Which slots these agents have: bool [N]."""
        there = np.zeros(len(self.agent_names), np.bool_)
        for agent in agents:
            if agent not in self._slot:
                raise ConfigError(f"{self._place()}: env.agents has {self._stranger(agent)}")
            there[self._slot[agent]] = True
        return there

    # --- what the environment is ----------------------------------------------------------

    def _shared_space(self, method: str) -> spaces.Space[Any]:
        """The space that all agents share."""
        first, *others = self.agent_names
        space_of = getattr(self.parallel_env, method)
        space: spaces.Space[Any] = space_of(first)
        for other in others:
            if difference := first_difference(space, space_of(other)):
                raise ConfigError(
                    f"environment {self.name!r}: agents {first!r} and {other!r} differ in their "
                    f"{method}: {difference}. Agents in slots share one policy, so all must be "
                    "alike: pad them to the same size (SuperSuit's pad_observations_v0 and "
                    "pad_action_space_v0), or give each kind an environment of its own."
                )
        return space

    def _has_mask_in_infos(self) -> bool:
        """Whether a first reset tells masks in the infos of agents."""
        try:
            _, infos = self.parallel_env.reset(seed=0)
        except Exception as error:
            raise ConfigError(
                f"environment {self.name!r}: its first reset() fails: "
                f"{type(error).__name__}: {error}"
            ) from error
        return any(
            isinstance(infos.get(agent), Mapping) and self._mask_key in infos[agent]
            for agent in self.agent_names
        )

    def _refuse_late_masks(self, alive: np.ndarray) -> None:
        for n in np.flatnonzero(alive):
            info = self.agent_infos.get(self.agent_names[n])
            if isinstance(info, Mapping) and self._mask_key in info:
                raise NoMaskError(
                    f"{self._place()}: infos[{self.agent_names[n]!r}] has {self._mask_key!r} now, "
                    "and the first reset told no agent's. An environment must give the masks of "
                    "all its agents at every step, or none ever."
                )

    def _say_that_one_was_cut_off(self, cut_off: np.ndarray) -> None:
        if self._warned:
            return
        self._warned = True
        agent = self.agent_names[int(np.flatnonzero(cut_off)[0])]
        warnings.warn(
            f"{self._place()}: agent {agent!r} was truncated while others go on. It is treated "
            "like one that died: its return ends there, without an estimate of what would have "
            "followed. Truncate all agents together where that matters.",
            stacklevel=3,
        )

    def _stranger(self, agent: Any) -> str:
        return f"{agent!r}, which is none of its possible_agents {list(self.agent_names)}"

    def _place(self) -> str:
        return f"environment {self.name!r}, episode {self._episode}, step {self._step}"


def _mask_names(mask_key: str, tree: Any, n_actions: int) -> dict[str, tuple[str, tuple[int, ...]]]:
    """Per mask of one agent: its name in the environment, and its shape."""
    if not isinstance(tree, ActionTree):
        return {FLAT_MASK: (mask_key, (n_actions,))}
    return {
        key: (mask_key + key.removeprefix(FLAT_MASK), shape)
        for key, shape in tree.mask_shapes.items()
    }
