"""Players of a PettingZoo `AECEnv` as an audit sees them: the row of whoever's turn it is.

Many of these games end when a player makes a disallowed move, because a wrapper says so by
the very mask under audit. Attempts therefore go past the wrappers, to the rules.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from maskrl.audit.subjects.moments import Moment, Result, Row, Subject, flatten
from maskrl.audit.subjects.parallel import AgentMasks
from maskrl.audit.subjects.single import as_action
from maskrl.envs.adapters import raw_mask
from maskrl.envs.adapters.mask_sources import MaskSettings
from maskrl.masks.heads import IntArray


class TurnsSubject(Subject):
    """The players of a game, one after the other.

    Args:
        env: A `pettingzoo.AECEnv`.
        name: What messages call it.
        settings: What the caller said about its masks.
    """

    kind = "players in turn"

    def __init__(self, env: Any, name: str, settings: MaskSettings | None = None) -> None:
        self.space = env.action_space(list(env.possible_agents)[0])
        super().__init__(env, name, raw_mask.action_heads(self.space, name))
        self.masks = AgentMasks(self.space, settings or MaskSettings())
        self.waiting_allows = 0

    def reset(self, seed: int | None) -> Moment:
        """Begin a game."""
        self.env.reset(seed=seed)
        moment = Moment([self._row()])
        moment.rows[0].begins = True
        return moment

    def step(self, choices: Sequence[IntArray | None]) -> Moment:
        """The move of the player whose turn it is."""
        return self._step(self.env, choices)

    def attempt(self, choices: Sequence[IntArray | None]) -> Moment:
        """As `step`, by the rules alone."""
        return self._step(self.env.unwrapped, choices)

    def _step(self, env: Any, choices: Sequence[IntArray | None]) -> Moment:
        mover = env.agent_selection
        env.step(as_action(choices[0], self.space))
        flags = [bool(flag.get(mover, True)) for flag in (env.terminations, env.truncations)]
        reward = float(env.rewards.get(mover, 0.0))
        result = Result(self._features(env, mover), reward, flags[0], flags[1])
        over = all(
            env.terminations.get(agent, True) or env.truncations.get(agent, True)
            for agent in env.possible_agents
        )
        while not over and env.agents and self._is_out(env, env.agent_selection):
            env.step(None)
        over = over or not env.agents
        rows = [self._row(ended="terminated" if flags[0] else "truncated" if over else "")]
        rows[0].acting = not over
        return Moment(rows, [result], over=over)

    def _row(self, ended: str = "") -> Row:
        env = self.env.unwrapped
        agent = env.agent_selection
        reading = self.masks.read(env.observe(agent), env.infos.get(agent, {}))
        for other in [] if ended else env.agents:
            if other != agent:
                masks = self.masks.read(env.observe(other), env.infos.get(other, {})).masks
                self.waiting_allows += masks is not None and any(m.any() for m in masks.values())
        return Row(str(agent), not ended, reading, self._features(env, agent), ended=ended)

    def _features(self, env: Any, agent: Any) -> np.ndarray:
        seen = flatten(env.observe(agent), (self.masks.key,))
        turn = list(env.possible_agents).index(env.agent_selection)
        return np.append(seen, float(turn))

    def _is_out(self, env: Any, agent: Any) -> bool:
        return bool(env.terminations.get(agent, True) or env.truncations.get(agent, True))
