"""From a Dict observation to one feature vector, whatever its entries are.

Every feature entry gets the part that fits its space: scenes of entities go through
attention, sets of candidates are pooled, pictures and grids go through convolutions,
whole numbers through one-hot or an embedding, the rest is flattened. The parts are joined
and pass through a few fully connected layers. Masks are not features: they steer
attention and pooling here, and the distribution later.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from gymnasium import spaces
from torch import Tensor, nn

from maskrl.envs.contract import CANDIDATES, is_mask_key
from maskrl.errors import ConfigError
from maskrl.networks.conv import ConvFeatures
from maskrl.networks.entity import EntityNetwork
from maskrl.networks.first_weights import FirstWeights
from maskrl.networks.mlp import ACTIVATIONS, MLP
from maskrl.networks.pointer import CandidatePool

Sees = Literal["observer", "everything"]

POSITIONS = "positions"
"""The entry with the cell of every entity, whole numbers [E, 2]."""

ONE_HOT_LIMIT = 32
"""Whole numbers up to this many values become one-hot, larger ones an embedding."""


@dataclass(frozen=True)
class NetworkConfig:
    """How the network is built."""

    hidden: tuple[int, ...] = (64, 64)
    """Widths of the fully connected layers before the heads."""
    activation: Literal["tanh", "relu", "gelu", "silu"] = "tanh"
    """Activation of the fully connected layers."""
    shared: bool = False
    """Let policy and value share one network instead of having one each."""
    critic_sees: Literal["same", "everything"] = "same"
    """What the value sees of a scene; the policy acts under its own visibility. A shared
    network then runs twice: once for each."""
    entity_dim: int = 64
    """Width of an entity's embedding, and of a candidate's."""
    entity_depth: int = 2
    """Attention layers over a scene of entities."""
    entity_heads: int = 4
    """Attention heads; they divide entity_dim."""
    entity_feed_forward: int = 0
    """Hidden width of the feed-forward part in each attention layer; 0 for none."""
    entity_pool: Literal["self", "mean", "max", "attention"] = "self"
    """How a scene becomes one vector: the observer's own row, or a pooling of what it sees."""
    entity_count: bool = False
    """Tell the networks how many entities are seen, as log(1 + count)."""
    entity_offsets: int = 0
    """Radius of a learned bias on attention for the offset between two entities, whose cells are
    then read from the entry "positions" [E, 2]; 0 for none."""
    channels: tuple[int, ...] = (16, 32)
    """Output channels of the convolutions over pictures and grids; none at all, (), flattens
    them instead, which is far faster and does for small boards."""
    kernel: int = 3
    """Side of the convolutions' kernels over grids with sides below 36. Odd ones keep the size of
    the grid; even ones see whole windows only, and shrink it by kernel - 1."""
    kernels: tuple[int, ...] = ()
    """Sides of these kernels layer by layer; none at all, (), gives every layer that one side."""
    padding: Literal["odd", "none"] = "odd"
    """none lets odd kernels see whole windows only, too."""
    pool: int = 1
    """Side of the squares of cells of which each layer over such a grid keeps the largest."""
    weights: FirstWeights = "orthogonal"
    """What fully connected layers and convolutions begin with: orthogonal weights, those of a
    policy's last layer small, so that it begins undecided; or torch's own."""
    image_layout: Literal["auto", "channels_last", "channels_first"] = "auto"
    """Where a picture has its channels; auto judges by the shape."""
    embedding_dim: int = 64
    """Width of the embedding of a whole number with more than 32 values."""
    memory: Literal["none", "gru", "lstm"] = "none"
    """What remembers the episode so far, after the encoder: nothing, a GRU or an LSTM."""
    memory_size: int = 128
    """Width of the memory."""
    memory_layers: int = 1
    """Layers of the memory upon each other."""

    def __post_init__(self) -> None:
        for name in ("hidden", "channels", "kernels"):
            value = getattr(self, name)
            object.__setattr__(self, name, tuple(value))
            if any(isinstance(x, bool) or not isinstance(x, int) or x < 1 for x in value):
                raise ConfigError(f"network.{name}: expected positive whole numbers, got {value}")
        sizes = {"entity_dim": 1, "entity_depth": 1, "entity_heads": 1, "embedding_dim": 1}
        sizes |= {"memory_size": 1, "memory_layers": 1, "kernel": 1, "pool": 1}
        for name, least in {**sizes, "entity_feed_forward": 0, "entity_offsets": 0}.items():
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or value < least:
                raise ConfigError(
                    f"network.{name}: expected a whole number of at least {least}, got {value!r}"
                )
        for name, known in _CHOICES.items():
            if getattr(self, name) not in known:
                raise ConfigError(
                    f"network.{name}: expected one of {', '.join(known)}, "
                    f"got {getattr(self, name)!r}"
                )
        if self.kernels and len(self.kernels) != len(self.channels):
            raise ConfigError(
                f"network.kernels: expected one for each of the {len(self.channels)} layers of "
                f"channels {self.channels}, or none at all, got {self.kernels}"
            )
        if self.entity_dim % self.entity_heads:
            raise ConfigError(
                f"network.entity_heads: {self.entity_heads} heads do not divide entity_dim "
                f"{self.entity_dim}"
            )


_CHOICES: dict[str, tuple[str, ...]] = {
    "activation": tuple(ACTIVATIONS),
    "critic_sees": ("same", "everything"),
    "entity_pool": ("self", "mean", "max", "attention"),
    "image_layout": ("auto", "channels_last", "channels_first"),
    "memory": ("none", "gru", "lstm"),
    "padding": ("odd", "none"),
    "weights": ("orthogonal", "torch"),
}


class OneHot(nn.Module):
    """Whole numbers `[B, K]` (or `[B]`) to their one-hot vectors `[B, sum(sizes)]`."""

    offsets: Tensor

    def __init__(self, sizes: tuple[int, ...], starts: tuple[int, ...]) -> None:
        super().__init__()
        places = np.concatenate([[0], np.cumsum(sizes)[:-1]]) - np.asarray(starts)
        self.register_buffer("offsets", torch.as_tensor(places, dtype=torch.int64))
        self.out_features = int(sum(sizes))

    def forward(self, x: Tensor) -> Tensor:
        """The one-hot vectors, joined."""
        index = x.reshape(len(x), -1).to(torch.int64) + self.offsets
        flat = torch.zeros(len(x), self.out_features, device=x.device)
        return flat.scatter_(1, index, 1.0)


class IndexEmbedding(nn.Module):
    """Whole numbers `[B]` to learned vectors `[B, dim]`: a one-hot layer without the zeros."""

    def __init__(self, n: int, start: int, dim: int) -> None:
        super().__init__()
        self.start = start
        self.table = nn.Embedding(n, dim)
        self.out_features = dim

    def forward(self, x: Tensor) -> Tensor:
        """The learned vectors."""
        vectors: Tensor = self.table(x.reshape(-1).to(torch.int64) - self.start)
        return vectors


class FlatNumbers(nn.Module):
    """Numbers of any shape and dtype to float vectors `[B, size]`."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        super().__init__()
        self.out_features = int(np.prod(shape))

    def forward(self, x: Tensor) -> Tensor:
        """The numbers in a row."""
        x = x.reshape(len(x), self.out_features)
        return x if x.is_floating_point() else x.to(torch.float32)


class DictEncoder(nn.Module):
    """Joins the parts of a Dict observation: dict of `[B, ...]` to `[B, out_features]`.

    Args:
        observation_space: Of one environment, with at least one feature entry.
        config: Widths and depths.
        see: "observer" lets entity 0 look only at what it sees; "everything" looks at all
            that is there, for value networks.

    Attributes:
        out_features: Width of the output.
        reads: Names of the entries that it reads: all features, and masks that steer.

    Raises:
        ConfigError: An entry has a space that no part reads, there is no entry, or a mask of
            entities has no scene to act on.
    """

    def __init__(
        self, observation_space: spaces.Dict, config: NetworkConfig, *, see: Sees = "observer"
    ) -> None:
        super().__init__()
        _require_scene(observation_space)
        if config.entity_offsets:
            _require_positions(observation_space)
        self.keys: list[str] = []
        self.entity_key: str | None = None
        parts: list[nn.Module] = []
        width = 0
        for key, space in observation_space.spaces.items():
            if is_mask_key(key):
                continue
            if key == POSITIONS and config.entity_offsets and _is_scene(observation_space):
                continue  # of the scene, which reads it itself
            if key == "entities" and _is_scene(observation_space):
                self.entity_key = key
                parts.append(_entity_part(space, config, see))
            elif key == CANDIDATES:
                parts.append(_candidate_part(space, config))
            else:
                parts.append(_part(key, space, config))
            self.keys.append(key)
            width += _width(parts[-1])
        if not parts:
            raise ConfigError(
                "make_encoder: the observation has masks and no features; its entries are "
                f"{list(observation_space.spaces)}"
            )
        steering = ["action_mask"] if CANDIDATES in self.keys else []
        if self.entity_key is not None:
            steering += ["entity_mask", *(["visibility"] if see == "observer" else [])]
            steering += [POSITIONS] if config.entity_offsets else []
        here = observation_space.spaces
        self.reads = (*self.keys, *(key for key in steering if key in here))
        self.parts = nn.ModuleList(parts)
        self.trunk = MLP(width, config.hidden, activation=config.activation)
        self.out_features = self.trunk.out_features

    def joined(self, obs: Mapping[str, Tensor]) -> Tensor:
        """What the parts make of B observations, side by side."""
        features = []
        for key, part in zip(self.keys, self.parts, strict=True):
            if key == self.entity_key:
                features.append(part(obs))
            elif key == CANDIDATES:
                features.append(part(obs[key], obs.get("action_mask")))
            else:
                features.append(part(obs[key]))
        return features[0] if len(features) == 1 else torch.cat(features, -1)

    def forward(self, obs: Mapping[str, Tensor]) -> Tensor:
        """The features of B observations."""
        out: Tensor = self.trunk(self.joined(obs))
        return out


def make_encoder(
    observation_space: spaces.Space[Any], config: NetworkConfig, *, see: Sees = "observer"
) -> DictEncoder:
    """The encoder for a Dict observation space.

    Args:
        observation_space: Of one environment.
        config: Widths and depths.
        see: As in `DictEncoder`.

    Raises:
        ConfigError: No Dict, or entries that cannot be read.
    """
    if not isinstance(observation_space, spaces.Dict):
        raise ConfigError(f"make_encoder: expected a Dict space, got {observation_space}")
    return DictEncoder(observation_space, config, see=see)


def _is_scene(observation_space: spaces.Dict) -> bool:
    return {"entities", "entity_mask"} <= observation_space.spaces.keys()


def _require_positions(observation_space: spaces.Dict) -> None:
    """Refuse offsets between entities of which nobody tells where they are."""
    entries = observation_space.spaces
    size = (entries["entities"].shape or (0,))[0] if _is_scene(observation_space) else None
    given = entries.get(POSITIONS)
    if size is None:
        raise ConfigError(
            "network.entity_offsets: the observation has no scene of entities, so it would be "
            "ignored. Leave it at 0."
        )
    whole = given is not None and np.issubdtype(given.dtype or np.float32, np.integer)
    if given is None or not whole or given.shape != (size, 2):
        raise ConfigError(
            f"network.entity_offsets: expected an entry {POSITIONS!r} of whole numbers "
            f"{(size, 2)}, the cell of every entity; the observation has {given}"
        )


def _require_scene(observation_space: spaces.Dict) -> None:
    """Refuse a mask of entities that nothing would obey: hidden things would be seen."""
    entries = observation_space.spaces
    present = [key for key in ("entity_mask", "visibility") if key in entries]
    if not present:
        return
    if "entities" not in entries or "entity_mask" not in entries:
        features = [key for key in entries if not is_mask_key(key)]
        raise ConfigError(
            f"{present[0]}: the observation has no scene for it to act on, so it would be ignored. "
            "A scene is an entry 'entities' [E, F] together with 'entity_mask' [E]; the features "
            f"here are {features}. Rename them, add what is missing, or leave the mask out."
        )
    if len(entries["entities"].shape or ()) != 2:
        return  # named by the part that reads it
    size = (entries["entities"].shape or ())[0]
    fitting: dict[str, list[tuple[int, ...]]] = {
        "entity_mask": [(size,)],
        "visibility": [(size, size), (size,)],
    }
    for key in present:
        if entries[key].shape not in fitting[key]:
            raise ConfigError(
                f"{key}: the space has shape {entries[key].shape}, expected "
                f"{' or '.join(map(str, fitting[key]))} for {size} entities"
            )


def _width(part: nn.Module) -> int:
    width: Any = part.out_features
    return int(width)


def _entity_part(space: spaces.Space[Any], config: NetworkConfig, see: Sees) -> nn.Module:
    if not isinstance(space, spaces.Box) or len(space.shape) != 2:
        raise ConfigError(f"entities: expected Box [entities, features], got {space}")
    return EntityNetwork(
        space.shape[-1],
        dim=config.entity_dim,
        depth=config.entity_depth,
        heads=config.entity_heads,
        pool=config.entity_pool,
        see=see,
        feed_forward=config.entity_feed_forward,
        count_feature=config.entity_count,
        relative_position=config.entity_offsets or None,
    )


def _candidate_part(space: spaces.Space[Any], config: NetworkConfig) -> nn.Module:
    if not isinstance(space, spaces.Box) or len(space.shape) != 2:
        raise ConfigError(f"{CANDIDATES}: expected Box [candidates, features], got {space}")
    return CandidatePool(space.shape[-1], config.entity_dim, activation=config.activation)


def _part(key: str, space: spaces.Space[Any], config: NetworkConfig) -> nn.Module:
    if isinstance(space, spaces.Discrete):
        if space.n <= ONE_HOT_LIMIT:
            return OneHot((int(space.n),), (int(space.start),))
        return IndexEmbedding(int(space.n), int(space.start), config.embedding_dim)
    if isinstance(space, spaces.MultiDiscrete):
        sizes = tuple(int(n) for n in space.nvec.flatten())
        return OneHot(sizes, tuple(int(s) for s in space.start.flatten()))
    if isinstance(space, spaces.Box) and len(space.shape) == 3 and config.channels:
        return ConvFeatures(
            space.shape,
            space.dtype,
            channels=config.channels,
            layout=config.image_layout,
            kernel=config.kernels or config.kernel,
            padding=config.padding,
            pool=config.pool,
        )
    if isinstance(space, (spaces.Box, spaces.MultiBinary)):
        return FlatNumbers(tuple(space.shape))
    raise ConfigError(
        f"observation {key!r}: a {type(space).__name__} space cannot be read by maskrl's "
        "networks; expected Box, Discrete, MultiDiscrete or MultiBinary. Flatten it in a wrapper, "
        "or give PPO a policy of your own."
    )
