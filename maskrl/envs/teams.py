"""Team environments: many agents in one observation, and what their spaces say about them.

A team environment has an `agent_mask` in its Dict observation: a row of slots [N], or a
grid [H, W]. `describe_team` reads the two spaces, refuses whatever contradicts itself, and
tells what a policy, a learner and a viewer need to know about one agent and about all.
`agent_rewards` finds what every agent got in a step. No torch.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from gymnasium import spaces

from maskrl.envs.entries import (
    AGENT_CELLS,
    TABLE_PREFIX,
    entries_of,
    feature_keys,
    mask_keys,
    require_boolean_masks,
)
from maskrl.errors import ConfigError, MaskShapeError, NoMaskError
from maskrl.masks.heads import Heads
from maskrl.masks.tree import FLAT_MASK, ActionTree

Form = Literal["slots", "grid"]
Source = Literal["scene", "own", "grid"]

SCENE_ENTRIES = ("entities", "entity_mask", "visibility", "positions")
"""Entries of a scene of entities, which agents in slots may share."""


@dataclass(frozen=True)
class TeamDescription:
    """What the (unbatched) spaces of a team environment say. A is `n_actions`.

    Attributes:
        form: "slots": agents have slots, `agent_mask` is [N]. "grid": they are in cells of a
            map, `agent_mask` is [H, W].
        source: What a policy reads. "scene": entities [E, F], agent n is entity n. "own": every
            feature has a row per slot, [N, ...]. "grid": planes [C, H, W].
        agents: N, how many agents there can be: slots, or the length of `agent_cells`; without
            either, `max_agents` or the number of cells.
        grid_shape: (H, W); None in slots.
        nvec: Number of choices per head of ONE agent; `(n,)` where it has one head.
        heads: The same, or the tree, as `maskrl.masks.heads` takes them.
        has_head_axis: Whether actions have an axis of heads: [N, K] or [K, H, W], also where
            K is 1; otherwise they are [N] or [H, W].
        has_identity: Whether it is known which agent is which from step to step; always in
            slots, on a grid if there are `agent_cells`.
        has_alive: Whether the observation tells `alive`; if not, those who act are alive.
        has_action_mask: Whether some actions are disallowed at some times.
        features: Names of the entries that are features, in the space's order.
        masks: Names of the entries that are masks, in the space's order.
    """

    form: Form
    source: Source
    agents: int
    grid_shape: tuple[int, int] | None
    nvec: tuple[int, ...]
    heads: Heads
    has_head_axis: bool
    has_identity: bool
    has_alive: bool
    has_action_mask: bool
    features: tuple[str, ...]
    masks: tuple[str, ...]

    @property
    def n_actions(self) -> int:
        """Number of choices of all heads of one agent together: A = sum(nvec)."""
        return sum(self.nvec)

    @property
    def n_heads(self) -> int:
        """Number of heads of one agent: K."""
        return len(self.nvec)

    @property
    def action_tree(self) -> ActionTree | None:
        """On which earlier choices a head depends; None where heads are independent."""
        return self.heads if isinstance(self.heads, ActionTree) else None

    @property
    def places(self) -> tuple[int, ...]:
        """Shape of `agent_mask`: (N,) or (H, W)."""
        return (self.agents,) if self.grid_shape is None else self.grid_shape

    @property
    def n_places(self) -> int:
        """How many slots or cells there are."""
        return int(np.prod(self.places))

    @property
    def action_shape(self) -> tuple[int, ...]:
        """Shape of the action of all: (N,), (N, K), (H, W) or (K, H, W)."""
        if not self.has_head_axis:
            return self.places
        if self.form == "slots":
            return (*self.places, self.n_heads)
        return (self.n_heads, *self.places)


def is_team(observation_space: spaces.Space[Any]) -> bool:
    """Whether an (unbatched) observation space is that of a team: it has an `agent_mask`."""
    return isinstance(observation_space, spaces.Dict) and "agent_mask" in observation_space.spaces


def describe_team(
    observation_space: spaces.Space[Any],
    action_space: spaces.Space[Any],
    action_tree: ActionTree | None = None,
    *,
    max_agents: int | None = None,
) -> TeamDescription:
    """Read the spaces of one team environment (of a vector environment: the `single_` ones).

    Args:
        observation_space: A Dict with `agent_mask`.
        action_space: MultiDiscrete whose nvec has the shape [N], [N, K], [H, W] or [K, H, W];
            all agents alike.
        action_tree: How the heads of ONE agent depend on each other.
        max_agents: How many agents a grid without `agent_cells` can hold; all cells otherwise.

    Raises:
        NoMaskError: There is no `agent_mask`, or the tree needs a mask that is missing.
        MaskDtypeError: A mask's space is not boolean.
        MaskShapeError: A mask's shape contradicts `agent_mask`, the action space or the tree.
        ConfigError: Spaces contradict each other in another way; the message says which do.
    """
    entries = entries_of(observation_space)
    if "agent_mask" not in entries:
        raise NoMaskError(
            "describe_team: the observation space has no agent_mask; its entries are "
            f"{list(entries)}. A team environment says who acts: mask_space(N) for N slots, "
            "mask_space(H, W) for the cells of a grid."
        )
    require_boolean_masks(observation_space, "describe_team")
    places = entries["agent_mask"].shape or ()
    if len(places) not in (1, 2) or 0 in places:
        raise MaskShapeError(
            f"describe_team: agent_mask has shape {places}; expected [N] for slots or [H, W] for "
            "the cells of a grid, not empty."
        )
    nvec, has_head_axis = _heads_of_one(action_space, places)
    if action_tree is not None and (not has_head_axis or action_tree.nvec != nvec):
        axis = "" if has_head_axis else ", and the action space has no axis of heads"
        raise ConfigError(
            f"describe_team: {action_tree} does not fit the action space {_shown(action_space)}: "
            f"the tree's sizes are {list(action_tree.nvec)}, one agent's are {list(nvec)}{axis}. "
            "The tree is that of one agent."
        )
    _require_action_masks(entries, places, nvec, action_tree)
    grid_shape: tuple[int, int] | None = None
    source: Source
    if len(places) == 2:
        grid_shape = (int(places[0]), int(places[1]))
        source = "grid"
        agents = _agents_on_grid(entries, grid_shape, max_agents)
    else:
        source = _source_of_slots(entries, feature_keys(observation_space), places[0])
        agents = int(places[0])
        if max_agents is not None and max_agents != agents:
            raise ConfigError(
                f"describe_team: max_agents is {max_agents} and agent_mask has {agents} slots; "
                "expected the same number. In slots it need not be given."
            )
    return TeamDescription(
        form="slots" if grid_shape is None else "grid",
        source=source,
        agents=agents,
        grid_shape=grid_shape,
        nvec=nvec,
        heads=nvec if action_tree is None else action_tree,
        has_head_axis=has_head_axis,
        has_identity=grid_shape is None or AGENT_CELLS in entries,
        has_alive="alive" in entries,
        has_action_mask=FLAT_MASK in entries,
        features=feature_keys(observation_space),
        masks=mask_keys(observation_space),
    )


def agent_rewards(
    infos: Mapping[str, Any], ended: npt.ArrayLike, batch: int, agents: int
) -> npt.NDArray[np.float64]:
    """What every agent got in a step of a vector environment.

    Our own vector environments tell it for all rows in `infos["agent_rewards"]`. Gymnasium's,
    which begin the next episode in the same step, have that of ended episodes in
    `infos["final_info"]`; this reads both.

    Args:
        infos: As the vector environment's step gave them.
        ended: bool [B], the row's episode ended in this step.
        batch: B, number of sub-environments.
        agents: N, slots per sub-environment.

    Returns:
        float64 [B, N], a fresh array; what dead agents got is 0 unless the environment says
        otherwise.

    Raises:
        ConfigError: A row has none, they have another shape, or one is not finite.
    """
    ended = np.asarray(ended)
    if ended.shape != (batch,) or ended.dtype != np.bool_:
        raise ConfigError(
            f"agent_rewards: ended has shape {ended.shape} and dtype {ended.dtype}; expected "
            f"bool ({batch},), one entry per sub-environment."
        )
    rewards = np.full((batch, agents), np.nan)
    told = np.zeros(batch, np.bool_)
    final = infos.get("final_info")
    sources = [(infos, ~ended if isinstance(final, Mapping) and _NAME in final else None)]
    if isinstance(final, Mapping):
        sources.append((final, ended))
    for place, rows in sources:
        if _NAME not in place:
            continue
        given = _reward_rows(place[_NAME], batch, agents)
        here = np.asarray(place.get(f"_{_NAME}", np.ones(batch, np.bool_)))
        here = here if rows is None else here & rows
        rewards[here] = given[here]
        told |= here
    if not told.all():
        row = int(np.flatnonzero(~told)[0])
        state = "ended its episode in this step" if ended[row] else "goes on"
        raise ConfigError(
            f"agent_rewards: infos have no agent_rewards of sub-environment {row}, which {state}; "
            f"they have the keys {sorted(infos)}. An environment with gives_agent_rewards = True "
            f'puts info["agent_rewards"] [{agents}] into the info of every step.'
        )
    if not np.isfinite(rewards).all():
        row, slot = (int(i) for i in np.argwhere(~np.isfinite(rewards))[0])
        raise ConfigError(
            f"agent_rewards: sub-environment {row}, agent {slot} got {rewards[row, slot]}; "
            "expected a finite number, 0 for agents who are not there."
        )
    return rewards


_NAME = "agent_rewards"


def _reward_rows(given: Any, batch: int, agents: int) -> npt.NDArray[np.float64]:
    """The rewards as float64 [B, N], if they are that."""
    rows = np.asarray(given)
    if rows.dtype.kind not in "fiub" or rows.shape != (batch, agents):
        raise ConfigError(
            f"agent_rewards: infos['agent_rewards'] has shape {rows.shape} and dtype "
            f"{rows.dtype}; expected numbers ({batch}, {agents}): sub-environments, agents."
        )
    return rows.astype(np.float64)


def _heads_of_one(
    action_space: spaces.Space[Any], places: tuple[int, ...]
) -> tuple[tuple[int, ...], bool]:
    """Sizes of one agent's heads, and whether the action has an axis of heads."""
    slots = len(places) == 1
    expected = (
        f"MultiDiscrete with nvec of shape [{places[0]}] or [{places[0]}, heads]"
        if slots
        else f"MultiDiscrete with nvec of shape {list(places)} or [heads, {places[0]}, {places[1]}]"
    )
    if not isinstance(action_space, spaces.MultiDiscrete):
        raise ConfigError(
            f"describe_team: the action space is {_shown(action_space)}, and agent_mask has shape "
            f"{places}; expected a {expected}: one action per place."
        )
    nvec = np.asarray(action_space.nvec)
    if np.asarray(action_space.start).any():
        raise ConfigError(
            f"describe_team: the action space {_shown(action_space)} does not start at 0; actions "
            "must be numbered from 0."
        )
    has_head_axis = nvec.ndim == len(places) + 1
    rest = nvec.shape if not has_head_axis else (nvec.shape[:-1] if slots else nvec.shape[1:])
    if rest != places:
        raise ConfigError(
            f"describe_team: nvec of the action space has shape {nvec.shape}, agent_mask has "
            f"shape {places}; expected a {expected}.{_nvec_hint(nvec.shape, places)}"
        )
    if not has_head_axis:
        by_place = nvec.reshape(-1, 1)
    else:
        by_place = nvec if slots else nvec.reshape(nvec.shape[0], -1).T
    unlike = np.flatnonzero((by_place != by_place[0]).any(axis=1))
    if unlike.size:
        odd = int(unlike[0])
        where = odd if slots else tuple(int(i) for i in np.unravel_index(odd, places))
        raise ConfigError(
            f"describe_team: the agent at {where} has the choices {by_place[odd].tolist()}, the "
            f"first one {by_place[0].tolist()}; expected all agents alike, because they share one "
            "policy. Give all the larger number and disallow the rest by action_mask."
        )
    return tuple(int(n) for n in by_place[0]), has_head_axis


def _nvec_hint(shape: tuple[int, ...], places: tuple[int, ...]) -> str:
    cells = int(np.prod(places))
    if len(places) == 1 and shape[-1:] == places:
        return " It looks transposed: heads are the last axis in slots."
    if len(places) == 2 and shape[:2] == places:
        return " Heads are the first axis on a grid, as channels are."
    if len(shape) == 1 and shape[0] % cells == 0:
        return " It is flat: reshape it, so that each place has an entry of its own."
    return ""


def _require_action_masks(
    entries: Mapping[str, spaces.Space[Any]],
    places: tuple[int, ...],
    nvec: tuple[int, ...],
    tree: ActionTree | None,
) -> None:
    """Refuse action masks, tables included, that fit neither places nor heads."""
    needed = {FLAT_MASK: (sum(nvec),)} if tree is None else tree.mask_shapes
    for key in entries:
        if key.startswith(TABLE_PREFIX) and key not in needed:
            why = "there is no action_tree" if tree is None else f"no head of {tree} takes it"
            raise ConfigError(
                f"describe_team: the observation has the table {key!r}, and {why}. A head takes a "
                "table if it says mask_by=..."
            )
    if FLAT_MASK not in entries and len(needed) == 1:
        return  # everything is allowed
    for key, shape in needed.items():
        expected = (*places, *shape) if len(places) == 1 else (*shape, *places)
        if key not in entries:
            raise NoMaskError(
                f"describe_team: {tree} needs the entry {key!r} of shape {expected}, and the "
                f"observation has none; its entries are {list(entries)}. Where everything is "
                "allowed, give it as all True, or let the head have no mask_by."
            )
        found = entries[key].shape or ()
        if found != expected:
            names = "[agents, actions]" if len(places) == 1 else "[actions, H, W]"
            order = (
                " It has the right number of entries in another order or layout."
                if np.prod(found) == np.prod(expected)
                else ""
            )
            raise MaskShapeError(
                f"describe_team: {key} has shape {found}, agent_mask {places} and the choices "
                f"{list(nvec)} of one agent need {expected}: {names}.{order}"
            )


def _agents_on_grid(
    entries: Mapping[str, spaces.Space[Any]], grid_shape: tuple[int, int], max_agents: int | None
) -> int:
    """Number of agents on a grid, if its entries do not contradict each other."""
    cells = grid_shape[0] * grid_shape[1]
    scene = [key for key in ("visibility", "entity_mask", "entities") if key in entries]
    if scene:
        raise ConfigError(
            f"describe_team: the observation has {scene[0]!r} beside agent_mask {grid_shape}, and "
            "a map is seen whole by its policy: it has no entities and takes no visibility. Agents "
            "that see only part are told in slots: agent_mask [N], entities [E, F], "
            "entity_mask [E], visibility [E, E]."
        )
    grid = entries.get("grid")
    if not isinstance(grid, spaces.Box) or len(grid.shape) != 3 or grid.shape[1:] != grid_shape:
        raise ConfigError(
            f"describe_team: agent_mask {grid_shape} needs the entry 'grid', a Box "
            f"[C, {grid_shape[0]}, {grid_shape[1]}] of planes; got {grid}."
        )
    where = entries.get(AGENT_CELLS)
    if where is None:
        if "alive" in entries:
            raise ConfigError(
                "describe_team: the observation has alive and no agent_cells: on a grid nobody "
                f"could tell which agent is meant. Give agent_cells, a Box(-1, {cells - 1}, (N,), "
                "int64) with the cell of each, or leave alive out."
            )
        if max_agents is not None and not 1 <= max_agents <= cells:
            raise ConfigError(
                f"describe_team: max_agents is {max_agents}; expected 1 to {cells}, the number of "
                f"cells of the grid {grid_shape}."
            )
        return cells if max_agents is None else int(max_agents)
    good = isinstance(where, spaces.Box) and where.dtype == np.int64 and len(where.shape) == 1
    if not good or not np.all((where.low == -1) & (where.high == cells - 1)):  # type: ignore[attr-defined]
        raise ConfigError(
            f"describe_team: agent_cells is {where}; expected Box(-1, {cells - 1}, (N,), int64): "
            "row * W + column of each agent's cell, -1 for one that is not on the grid."
        )
    agents = int(where.shape[0])  # type: ignore[index]
    if not 1 <= agents <= cells:
        raise ConfigError(
            f"describe_team: agent_cells has {agents} agents on {cells} cells; expected 1 to "
            f"{cells}, since a cell holds at most one."
        )
    if max_agents is not None and max_agents != agents:
        raise ConfigError(
            f"describe_team: max_agents is {max_agents} and agent_cells has {agents} agents; "
            "expected the same number. With agent_cells it need not be given."
        )
    _require_alive(entries, agents, AGENT_CELLS)
    return agents


def _require_alive(entries: Mapping[str, spaces.Space[Any]], agents: int, other: str) -> None:
    if "alive" in entries and entries["alive"].shape != (agents,):
        raise MaskShapeError(
            f"describe_team: alive has shape {entries['alive'].shape}, {other} has {agents} "
            f"agents; expected ({agents},)."
        )


def _source_of_slots(
    entries: Mapping[str, spaces.Space[Any]], features: tuple[str, ...], agents: int
) -> Source:
    """Where agents in slots get their features from, if that is unmistakable."""
    if AGENT_CELLS in entries:
        raise ConfigError(
            f"describe_team: the observation has agent_cells beside agent_mask ({agents},); "
            "expected it only where agent_mask is [H, W]. In slots, agent n is slot n."
        )
    _require_alive(entries, agents, "agent_mask")
    if "entity_mask" in entries:
        _require_scene(entries, agents)
        return "scene"
    if "visibility" in entries:
        raise ConfigError(
            "describe_team: the observation has visibility and no entity_mask; expected a scene: "
            "entities [E, F], entity_mask [E], visibility [E, E], agent n = entity n."
        )
    if not features:
        raise ConfigError(
            "describe_team: the observation has masks and no features; its entries are "
            f"{list(entries)}."
        )
    for key in features:
        entry = entries[key]
        if not isinstance(entry, spaces.Box) or entry.shape[:1] != (agents,):
            scene = (
                " If it is a scene that agents share, add entity_mask [E]."
                if key == "entities"
                else ""
            )
            raise ConfigError(
                f"describe_team: the feature {key!r} is {entry}; expected a Box [{agents}, ...] "
                f"with a row per slot, as agent_mask ({agents},) says.{scene}"
            )
    return "own"


def _require_scene(entries: Mapping[str, spaces.Space[Any]], agents: int) -> None:
    """Refuse a scene whose entries differ in their number of entities, or with too few."""
    scene = entries.get("entities")
    if not isinstance(scene, spaces.Box) or len(scene.shape) != 2:
        raise ConfigError(
            f"describe_team: the observation has entity_mask, and its entry 'entities' is {scene}; "
            "expected a Box [E, F], one scene that all agents share."
        )
    count = scene.shape[0]
    for key, shape in (("entity_mask", (count,)), ("visibility", (count, count))):
        if key in entries and entries[key].shape != shape:
            raise MaskShapeError(
                f"describe_team: {key} has shape {entries[key].shape}, there are {count} entities; "
                f"expected {shape}."
            )
    places = entries.get("positions")
    if places is not None and (
        not isinstance(places, spaces.Box) or len(places.shape) != 2 or places.shape[0] != count
    ):
        raise ConfigError(
            f"describe_team: positions is {places}; expected a Box [{count}, coordinates], a row "
            "per entity."
        )
    if count < agents:
        raise ConfigError(
            f"describe_team: there are {count} entities and {agents} agents; expected at least as "
            "many entities, because agent n is entity n."
        )


def _shown(action_space: spaces.Space[Any]) -> str:
    """An action space in few words: those of large teams print many numbers."""
    if isinstance(action_space, spaces.MultiDiscrete):
        return f"MultiDiscrete(nvec of shape {action_space.nvec.shape})"
    return str(action_space)
