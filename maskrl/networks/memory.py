"""What a policy remembers: a recurrent network for the actor and one for the critic.

Their states lie side by side in one tensor, so that whoever plays an episode carries one
thing. A network that is shared between actor and critic remembers once; shared weights that
run twice, because the critic sees more, remember twice, each what passed through it.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from maskrl.errors import ConfigError
from maskrl.networks.recurrent import Cell, RecurrentCore
from maskrl.networks.segments import Segments


class Memory(nn.Module):
    """Features of actor and critic to features that know of the episode so far.

    Args:
        actor_features: Width of what the actor's encoder gives.
        critic_features: Width of what the critic's own encoder gives; None where they share one.
        cell: "gru" or "lstm".
        size: Width of the output.
        layers: Layers upon each other.
        twice: With a shared encoder: the critic's features are not the actor's, and pass
            through the same weights with a state of their own.

    Attributes:
        out_features: Width of the output.
        state_size: Numbers that are remembered for a row, S: the actor's, then the critic's.
    """

    def __init__(
        self,
        actor_features: int,
        critic_features: int | None,
        *,
        cell: Cell,
        size: int,
        layers: int = 1,
        twice: bool = False,
    ) -> None:
        super().__init__()
        self.actor = RecurrentCore(actor_features, size, cell=cell, layers=layers)
        self.critic: RecurrentCore | None = None
        if critic_features is not None:
            self.critic = RecurrentCore(critic_features, size, cell=cell, layers=layers)
        self.has_two = self.critic is not None or twice
        self.out_features = size
        self.state_size = self.actor.state_size * (2 if self.has_two else 1)

    def initial_state(self, batch: int) -> Tensor:
        """Nothing remembered: zeros `[B, S]`."""
        return self.actor.initial_state(batch).new_zeros(batch, self.state_size)

    def step(
        self,
        actor: Tensor,
        critic: Tensor,
        state: Tensor,
        episode_start: Tensor | None = None,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """One step of B rows.

        Args:
            actor: `[B, F]`, the actor's features.
            critic: `[B, F']`, the critic's; not read where they share a network.
            state: `[B, S]`.
            episode_start: `[B]` bool: rows that begin with nothing remembered.

        Returns:
            Features of actor and critic `[B, size]`, and the state `[B, S]` that follows.

        Raises:
            ConfigError: A shape or dtype does not fit.
        """
        if not self.has_two:
            out, state = self.actor.step(actor, state, episode_start)
            return out, out, state
        mine, theirs = self._halves(state)
        out, mine = self.actor.step(actor, mine, episode_start)
        judged, theirs = (self.critic or self.actor).step(critic, theirs, episode_start)
        return out, judged, torch.cat([mine, theirs], -1)

    def run(
        self, actor: Tensor, critic: Tensor, state: Tensor, segments: Segments
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Many steps of B sequences.

        Args:
            actor: `[R, F]`, the actor's features of the steps that are valid.
            critic: `[R, F']`, the critic's; not read where they share a network.
            state: `[B, S]`, before the first step of every sequence.
            segments: How they are cut.

        Returns:
            Features of actor and critic `[R, size]`, and the state `[B, S]` after the last step.

        Raises:
            ConfigError: There are not as many rows or states as `segments` say.
        """
        if not self.has_two:
            out, state = self.actor.run(actor, state, segments)
            return out, out, state
        mine, theirs = self._halves(state)
        out, mine = self.actor.run(actor, mine, segments)
        judged, theirs = (self.critic or self.actor).run(critic, theirs, segments)
        return out, judged, torch.cat([mine, theirs], -1)

    def _halves(self, state: Tensor) -> tuple[Tensor, Tensor]:
        """The actor's and the critic's."""
        if state.shape[-1] != self.state_size:
            raise ConfigError(
                f"Memory: state has shape {tuple(state.shape)}, expected rows of {self.state_size} "
                "numbers, as initial_state gives"
            )
        mine, theirs = state.split(self.actor.state_size, -1)
        return mine, theirs
