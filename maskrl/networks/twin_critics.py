"""Two Q-networks over one observation, of which the smaller value is believed.

A maximum over noisy values is too high, and a policy that is trained on them seeks out where
they are; two networks seldom err in the same way. Each has an encoder of its own, or both
read one; which actions are allowed is asked by dueling heads and by candidates alone.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from gymnasium import spaces
from torch import Tensor, nn

from maskrl.envs.contract import CANDIDATES
from maskrl.masks.tree import FLAT_MASK
from maskrl.networks.encoders import NetworkConfig, Sees, make_encoder
from maskrl.networks.q_head import CandidateQHead, QHead

PAIR = 2


class TwinCritics(nn.Module):
    """Q-values of every action, twice: dict of `[B, ...]` to `[2, B, A]`.

    Args:
        observation_space: Of one environment.
        n_actions: A, or the number of candidates.
        config: How the encoders are built.
        dueling: Whether a head has layers of their own for value and advantages; see `QHead`.
        one_encoder: Whether both read one encoder.
        encoder: Makes an encoder, a module from the Dict observation to `[B, out_features]` with
            the attribute `out_features`; called once for each. None builds them from `config`.

    Attributes:
        encoders: One or two.
        heads: Two.

    Raises:
        ConfigError: Entries of the observation cannot be read.

    Reference:
        Fujimoto, van Hoof and Meger, Addressing Function Approximation Error in Actor-Critic
        Methods, https://arxiv.org/abs/1802.09477
    """

    def __init__(
        self,
        observation_space: spaces.Dict,
        n_actions: int,
        config: NetworkConfig,
        *,
        dueling: bool = True,
        one_encoder: bool = False,
        encoder: Callable[[], nn.Module] | None = None,
    ) -> None:
        super().__init__()
        see: Sees = "everything" if config.critic_sees == "everything" else "observer"
        made = [
            make_encoder(observation_space, config, see=see) if encoder is None else encoder()
            for _ in range(1 if one_encoder else PAIR)
        ]
        self.encoders = nn.ModuleList(made)
        space = observation_space.spaces.get(CANDIDATES)
        self.of_candidates = space is not None
        heads: list[nn.Module] = []
        for k in range(PAIR):
            width: Any = made[k % len(made)].out_features
            if space is None:
                heads.append(QHead(width, n_actions, dueling=dueling))
            else:
                features = (space.shape or ())[-1]
                hidden = config.hidden or (config.entity_dim,)
                heads.append(
                    CandidateQHead(
                        width, features, hidden, dueling=dueling, activation=config.activation
                    )
                )
        self.heads = nn.ModuleList(heads)

    def features(self, obs: Mapping[str, Tensor]) -> list[Tensor]:
        """What the encoders make of B observations: `[B, out_features]` for each head."""
        made = [encoder(obs) for encoder in self.encoders]
        return made * (PAIR // len(made))

    def of_features(self, features: list[Tensor], obs: Mapping[str, Tensor]) -> Tensor:
        """Q-values `[2, B, A]` from `features`; of disallowed actions they say nothing."""
        mask: Any = obs.get(FLAT_MASK)
        pairs = zip(self.heads, features, strict=True)
        if self.of_candidates:
            return torch.stack([head(x, mask, obs[CANDIDATES]) for head, x in pairs])
        return torch.stack([head(x, mask) for head, x in pairs])

    def forward(self, obs: Mapping[str, Tensor]) -> Tensor:
        """Q-values `[2, B, A]` of B observations; of disallowed actions they say nothing."""
        return self.of_features(self.features(obs), obs)
