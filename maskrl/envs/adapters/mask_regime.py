"""An environment that tells no mask and punishes what it disallows: for comparisons.

Before there were masks, agents were told by a penalty what is impossible. Under
"penalty:P" the observation's mask is all True and a disallowed action is withheld: the
same observation comes again with reward -P, and the step counts. "penalty:P:native" lets
the environment answer as it always does and takes P off that reward; one that says itself
which actions it counts as invalid (`counts_as_invalid`) is believed. "none" is
"penalty:0", "masked" leaves everything as it is. Evaluations do not charge the penalty.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import gymnasium
import numpy as np

from maskrl.envs.adapters.mask_removal import remove_masks
from maskrl.envs.contract import describe_env
from maskrl.errors import ConfigError
from maskrl.masks.heads import choices_of
from maskrl.masks.tree import FLAT_MASK

MASK_REGIME = "mask_regime"
"""What `maskrl.make` and `maskrl.make_vec` call the setting."""

MASKED = "masked"

CHARGED = "charged"
"""The entry of an info that says what was taken off a reward; it is there only then."""

_LIMITS = ("step_limit", "max_episode_steps", "max_steps", "time_limit")


@dataclass(frozen=True)
class MaskRegime:
    """How an agent learns what is disallowed.

    Attributes:
        penalty: What a disallowed action costs; None where the mask itself says it.
        withholds: Whether such an action never reaches the environment.
    """

    penalty: float | None = None
    withholds: bool = True

    @classmethod
    def parse(cls, text: str) -> MaskRegime:
        """Read "masked", "none", "penalty:P" or "penalty:P:native".

        Raises:
            ConfigError: It is something else.

        >>> MaskRegime.parse("penalty:0.1:native")
        MaskRegime(penalty=0.1, withholds=False)
        """
        if text == MASKED:
            return cls()
        if text == "none":
            return cls(0.0)
        kind, *rest = str(text).split(":")
        try:
            penalty = float(rest[0]) if kind == "penalty" and rest else math.nan
        except ValueError:
            penalty = math.nan
        if not 0 <= penalty < math.inf or rest[1:] not in ([], ["native"]):
            raise ConfigError(
                f"{MASK_REGIME}: expected masked, none, penalty:P or penalty:P:native with a "
                f"number P from 0 on, got {text!r}"
            )
        return cls(penalty, not rest[1:])


def tested_under(text: str) -> str:
    """The regime of a test of who was trained under another: the same, but nothing is charged.

    >>> tested_under("penalty:0.1:native")
    'penalty:0:native'
    """
    regime = MaskRegime.parse(text)
    if regime.penalty is None:
        return MASKED
    return "penalty:0" if regime.withholds else "penalty:0:native"


class MaskPenalty(gymnasium.Wrapper[Any, Any, Any, Any]):
    """Punishes what the mask of the environment below disallows.

    Args:
        env: With an `action_mask`, for one agent.
        penalty: Taken off the reward of a disallowed action.
        withholds: Whether such an action is withheld: nothing happens, but the step counts.
            If not, and `env` has a function `counts_as_invalid(action)`, what that says is
            charged instead of what the mask disallows.

    Raises:
        ConfigError: There is no action mask, a team acts, or a withheld action could go on
            forever because nobody tells how long an episode may be.
    """

    def __init__(
        self, env: gymnasium.Env[Any, Any], penalty: float, *, withholds: bool = True
    ) -> None:
        super().__init__(env)
        description = describe_env(env)
        if description.team is not None or not description.has_action_mask:
            what = "a team acts" if description.team is not None else "there is no action_mask"
            raise ConfigError(
                f"{MASK_REGIME}: a penalty is for what the action mask of one agent disallows, "
                f"and in {type(env.unwrapped).__name__} {what}"
            )
        self.penalty = float(penalty)
        self.withholds = withholds
        self._charged_actions = 0
        self._heads = description.heads
        self._counts: Callable[[Any], bool] | None = None
        if not withholds and env.has_wrapper_attr("counts_as_invalid"):
            self._counts = env.get_wrapper_attr("counts_as_invalid")
        self._limit = step_limit(env)
        if withholds and self._limit is None:
            raise ConfigError(
                f"{MASK_REGIME}: {type(env.unwrapped).__name__} does not tell how many steps an "
                "episode may have, and an agent that only tries what is withheld would never "
                "end one. Make it with a time limit, or let it answer itself: "
                f"penalty:{self.penalty:g}:native"
            )
        self._steps = 0
        self._seen: dict[str, np.ndarray] = {}
        self._masks: dict[str, np.ndarray] = {}
        self._told: dict[str, Any] = {}

    @property
    def illegal_actions(self) -> int:
        """Disallowed actions so far.

        An environment that counts what it could not carry out is asked, so that this is the
        same figure under every regime; what never reached it is added.
        """
        if not self.env.has_wrapper_attr("illegal_actions"):
            return self._charged_actions
        own = int(self.env.get_wrapper_attr("illegal_actions"))
        return own + self._charged_actions if self.withholds else own

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """Begin the next episode."""
        observation, info = self.env.reset(seed=seed, options=options)
        self._steps = 0
        self._keep(observation, info)
        return observation, info

    def step(self, action: Any) -> tuple[dict[str, Any], float, bool, bool, dict[str, Any]]:
        """Do one action, or withhold it and take off the penalty."""
        self._steps += 1
        late = self._limit is not None and self._steps >= self._limit
        if not self._is_disallowed(action):
            observation, reward, terminated, truncated, info = self.env.step(action)
            self._keep(observation, info)
            truncated = bool(truncated) or (late and not terminated)
            return observation, float(reward), bool(terminated), truncated, info
        self._charged_actions += 1
        if self.withholds:
            seen = {key: value.copy() for key, value in self._seen.items()}
            return seen, -self.penalty, False, late, {**self._told, CHARGED: self.penalty}
        observation, reward, terminated, truncated, info = self.env.step(action)
        self._keep(observation, info)
        told = {**info, CHARGED: self.penalty}
        return observation, float(reward) - self.penalty, bool(terminated), bool(truncated), told

    def get_state(self) -> dict[str, Any]:
        """What the future depends on beside the environment below: plain data, copied."""
        return {
            "charged_actions": self._charged_actions,
            "steps": self._steps,
            "seen": {key: value.copy() for key, value in self._seen.items()},
            "told": dict(self._told),
        }

    def set_state(self, state: Mapping[str, Any]) -> None:
        """Continue where `get_state` was called."""
        self._charged_actions, self._steps = int(state["charged_actions"]), int(state["steps"])
        self._keep(state["seen"], state["told"])

    def _is_disallowed(self, action: Any) -> bool:
        if self._counts is not None:
            return bool(self._counts(action))
        row = np.asarray(action).reshape(-1)
        return bool(choices_of(row, self._masks, self._heads).illegal)

    def _keep(self, observation: Mapping[str, Any], info: Mapping[str, Any]) -> None:
        """Remember what is seen, for the case that the next action is withheld."""
        self._seen = {key: np.array(value) for key, value in observation.items()}
        self._masks = {k: v for k, v in self._seen.items() if k.partition(":")[0] == FLAT_MASK}
        self._told = {k: v for k, v in info.items() if k == "layout_id"}


def step_charges(infos: Mapping[str, Any], num_envs: int) -> np.ndarray | None:
    """What was taken off the rewards of one step of a vector environment.

    Args:
        infos: Of the step, in SAME_STEP mode: those of a step that ended an episode are in
            `infos["final_info"]`.
        num_envs: B.

    Returns:
        float64 `[B]`, or None where nothing was.

    Example:
        >>> step_charges({"charged": np.array([0.5, 0.0])}, 2)
        array([0.5, 0. ])
    """
    charges: np.ndarray | None = None
    final = infos.get("final_info")
    for told in (infos, final):
        if isinstance(told, Mapping) and CHARGED in told:
            given = np.asarray(told[CHARGED], np.float64)
            charges = given.copy() if charges is None else charges + given
    if final is not None and not isinstance(final, Mapping):  # infos that did not stack
        charges = np.zeros(num_envs) if charges is None else charges
        for row, told in enumerate(final):
            if isinstance(told, Mapping):
                charges[row] += float(told.get(CHARGED, 0.0))
    return charges


def step_limit(env: gymnasium.Env[Any, Any]) -> int | None:
    """Steps after which an environment cuts an episode off; None where it does not tell.

    Looked for in its `spec`, and as `step_limit`, `max_episode_steps`, `max_steps` or
    `time_limit` among its attributes and those of its `settings`.
    """
    found = getattr(env.spec, "max_episode_steps", None)
    settings = env.get_wrapper_attr("settings") if env.has_wrapper_attr("settings") else None
    for name in _LIMITS:
        if found is None and env.has_wrapper_attr(name):
            found = env.get_wrapper_attr(name)
        if found is None:
            found = getattr(settings, name, None)
    if isinstance(found, bool) or not isinstance(found, int | np.integer) or found < 1:
        return None
    return int(found)


def under_regime(env: gymnasium.Env[Any, Any], text: str) -> gymnasium.Env[Any, Any]:
    """A single environment under a regime; itself under "masked".

    Raises:
        ConfigError: There is no such regime, or it does not go with the environment.
    """
    regime = MaskRegime.parse(text)
    if regime.penalty is None:
        return env
    punished = MaskPenalty(env, regime.penalty, withholds=regime.withholds)
    without: gymnasium.Env[Any, Any] = remove_masks(punished, (FLAT_MASK,))
    return without


def one_by_one(
    make: Callable[..., gymnasium.Env[Any, Any]],
    num_envs: int,
    arguments: Mapping[str, Any],
) -> list[Callable[[], gymnasium.Env[Any, Any]]]:
    """What makes each of several single environments, the list of layouts dealt out to them.

    Args:
        make: Makes one.
        num_envs: How many.
        arguments: Of the environment; with `layout_seeds`, environment i plays every
            `num_envs`-th of them from number i on, as a batch does.
    """
    layouts: Any = arguments.get("layout_seeds")
    if isinstance(layouts, int) and not isinstance(layouts, bool):
        from maskrl.envs.games.layout_seeds import split_seeds

        layouts = split_seeds(arguments.get("split", "train"), layouts).tolist()

    def maker(index: int) -> Callable[[], gymnasium.Env[Any, Any]]:
        own = dict(arguments)
        if layouts is not None and len(layouts):
            places = range(index, max(index + 1, len(layouts)), num_envs)
            own["layout_seeds"] = [layouts[k % len(layouts)] for k in places]
        return lambda: make(**own)

    return [maker(index) for index in range(num_envs)]
