"""Actor and critic from spaces: what PPO trains unless it is given another policy.

Encoders read the observation, one head gives logits, the other a value. The logits meet
the action masks in the distribution of the action space; candidates are scored by one
network; scenes of entities are read through the eyes of entity 0. Between encoders and
heads may lie a memory: then `act` takes and gives a state, and `unroll` runs through whole
sequences. Everything that an action depends on is in the state dict or in that state, and
a policy can be rebuilt from its JSON description without running code.
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any, Literal

import numpy as np
import torch
from gymnasium import spaces
from torch import Tensor, nn

from maskrl.envs.contract import CANDIDATES, describe
from maskrl.envs.space_json import space_from_json, space_to_json
from maskrl.errors import ConfigError
from maskrl.masks.tree import FLAT_MASK, ActionTree
from maskrl.networks.chain import Chain, chain_of
from maskrl.networks.encoders import DictEncoder, NetworkConfig, make_encoder
from maskrl.networks.first_weights import begin_with
from maskrl.networks.heads import PolicyHead, ValueHead
from maskrl.networks.memory import Memory
from maskrl.networks.normalize import ObservationNormalizer
from maskrl.networks.pointer import CandidateScorer
from maskrl.networks.segments import Segments, segments_of
from maskrl.networks.towers import Towers, towers_of
from maskrl.policies.action_heads import ActionDistribution, ActionHeads
from maskrl.policies.own_parts import require_own_methods, width_of
from maskrl.policies.predict import obs_to_tensors, predict_and_remember

__all__ = ["ActorCritic", "obs_to_tensors"]


class ActorCritic(nn.Module):
    """Policy and value over Dict observations with masks.

    Args:
        observation_space: Of one environment: a Dict with at least one mask.
        action_space: Discrete, MultiDiscrete or MultiBinary, starting at 0.
        config: How the network is built.
        normalize_observations: Normalise real-valued entries by running statistics.
        action_tree: On which earlier choices the heads of a MultiDiscrete action depend.
        empty: What a row that allows nothing means: "raise", or "idle" for no decision.
        idle_action: What is sent to the environment when idle, in every head that is.
        encoder: Replaces the actor's encoder: a module from the Dict observation to
            `[B, out_features]`, with the attribute `out_features`.
        critic_encoder: Likewise for the critic; without it the critic has one built from
            `config`, or shares the actor's where `config.shared`. If it then sees everything,
            the shared encoder runs twice, for the value with a `visibility` of all True.

    Attributes:
        normalizer: Statistics of the observations, or None.
        runs_twice: Whether the value passes through the actor's encoder on its own, seeing
            more than the actor does, so that nothing of it can reach the logits.
        memory: What it remembers by, or None.

    Raises:
        NoMaskError: The observation has no mask.
        ConfigError: Spaces that cannot be read, settings that contradict, or a subclass whose
            methods its memory would pass by.
    """

    def __init__(
        self,
        observation_space: spaces.Dict,
        action_space: spaces.Space[Any],
        config: NetworkConfig | None = None,
        *,
        action_tree: ActionTree | None = None,
        normalize_observations: bool = False,
        empty: Literal["raise", "idle"] = "raise",
        idle_action: int = 0,
        encoder: nn.Module | None = None,
        critic_encoder: nn.Module | None = None,
    ) -> None:
        super().__init__()
        config = config or NetworkConfig()
        description = describe(observation_space, action_space, action_tree)
        if "agent_mask" in description.masks:
            raise ConfigError(
                "agent_mask: this policy decides for one agent at every step, so the mask would be "
                "ignored. Leave it out of the observation, or give PPO a policy of your own."
            )
        self.heads = ActionHeads(description)
        self.heads.require_idle_action(idle_action)
        if config.critic_sees == "everything" and not description.has_entities:
            raise ConfigError(
                "network.critic_sees='everything': the observation has no scene of entities, so "
                "the value network sees all there is already. Leave it at 'same'."
            )
        self.observation_space = observation_space
        self.action_space = action_space
        self.action_tree = action_tree
        self.config = config
        self.empty: Literal["raise", "idle"] = empty
        self.idle_action = idle_action
        self._trusted = False
        self._actor_chain: Chain | None = None
        self._critic_chain: Chain | None = None
        self.is_rebuildable = encoder is None and critic_encoder is None
        self.normalizer = (
            ObservationNormalizer(observation_space) if normalize_observations else None
        )
        self.actor = encoder or make_encoder(observation_space, config)
        self.critic: nn.Module | None = critic_encoder
        if critic_encoder is None and not config.shared:
            see: Literal["observer", "everything"] = (
                "everything" if config.critic_sees == "everything" else "observer"
            )
            self.critic = make_encoder(observation_space, config, see=see)
        self.runs_twice = (
            self.critic is None
            and config.critic_sees == "everything"
            and "visibility" in observation_space.spaces
        )
        self.memory: Memory | None = None
        if config.memory != "none":
            require_own_methods(type(self), ActorCritic)
            self.memory = Memory(
                width_of(self.actor),
                None if self.critic is None else width_of(self.critic),
                cell=config.memory,
                size=config.memory_size,
                layers=config.memory_layers,
                twice=self.runs_twice,
            )
        self.policy_head: PolicyHead | CandidateScorer
        if self.heads.kind == "candidates":
            features = (observation_space[CANDIDATES].shape or ())[-1]
            hidden = config.hidden or (config.entity_dim,)
            self.policy_head = CandidateScorer(
                features,
                width_of(self.memory or self.actor),
                hidden,
                activation=config.activation,
            )
        else:
            self.policy_head = PolicyHead(width_of(self.memory or self.actor), self.heads.n_logits)
        self.value_head = ValueHead(width_of(self.memory or self.critic or self.actor))
        begin_with(config.weights, self, besides=(encoder, critic_encoder))

    one_pass = True

    @property
    def value_reads(self) -> tuple[str, ...] | None:
        """What the value reads, where it has a network of our own to itself; None otherwise.

        Such values may be computed later, and for any number of rows at once. A subclass may
        read anything else, and says so itself.
        """
        if type(self) is not ActorCritic or self.memory is not None:
            return None
        if self.runs_twice and type(self.actor) is DictEncoder:
            return tuple(key for key in self.actor.reads if key != "visibility")
        return self.critic.reads if type(self.critic) is DictEncoder else None

    @property
    def packed_masks(self) -> tuple[str, ...]:
        """Masks that may be given as `PackedMask`: the action mask, if only the heads read it.

        A subclass may read it too, and has none, unless it says otherwise.
        """
        encoders = (self.actor, self.critic or self.actor)
        if type(self) is not ActorCritic:
            return ()
        if self.action_tree is not None or self.heads.kind == "candidates":
            return ()
        if any(type(e) is not DictEncoder or FLAT_MASK in e.reads for e in encoders):
            return ()
        return (FLAT_MASK,) if FLAT_MASK in self.observation_space.spaces else ()

    def towers(self) -> Towers | None:
        """Its networks for training without a graph, where they are nothing but perceptrons.

        A subclass may compute anything else, and has none.
        """
        if type(self) is not ActorCritic or self.runs_twice or self.memory is not None:
            return None
        return towers_of(self.actor, self.critic, self.policy_head, self.value_head)

    def normalized(self, obs: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        """The observation as the encoders read it."""
        return obs if self.normalizer is None else self.normalizer(obs)

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Be a copy: one made while a trainer vouches for the masks is not vouched for."""
        super().__setstate__(state)
        self._trusted = False
        self._actor_chain = self._critic_chain = None

    @classmethod
    def from_spaces(
        cls,
        observation_space: spaces.Dict,
        action_space: spaces.Space[Any],
        config: NetworkConfig | None = None,
        **settings: Any,
    ) -> ActorCritic:
        """Build a policy for these spaces; arguments as of the class."""
        return cls(observation_space, action_space, config, **settings)

    def logits(self, obs: Mapping[str, Tensor]) -> Tensor:
        """Logits `[B, A]` before any mask, laid out as `ActionHeads.n_logits` says."""
        if self.memory is not None:
            return self.logits_and_value(obs)[0]
        obs = self.normalized(obs)
        if self._actor_chain is not None:
            return self._actor_chain(obs)
        return self._logits(self.actor(obs), obs)

    def value(self, obs: Mapping[str, Tensor]) -> Tensor:
        """Value of each observation: `[B]`."""
        if self.memory is not None:
            return self.logits_and_value(obs)[1]
        obs = self._everything(self.normalized(obs))
        if self._critic_chain is not None:
            return self._critic_chain(obs).squeeze(-1)
        value: Tensor = self.value_head((self.critic or self.actor)(obs))
        return value

    def logits_and_value(self, obs: Mapping[str, Tensor]) -> tuple[Tensor, Tensor]:
        """Logits `[B, A]` and values `[B]`, computing shared parts once.

        With a memory: of observations that episodes begin with.
        """
        if self.memory is not None:
            return self.recall(obs, self.initial_state(len(next(iter(obs.values())))))[:2]
        obs = self.normalized(obs)
        if self._actor_chain is not None and self._critic_chain is not None:
            seen = self._everything(obs)
            return self._actor_chain(obs), self._critic_chain(seen).squeeze(-1)
        features, critic_features = self._encoded(obs)
        return self._logits(features, obs), self.value_head(critic_features)

    def _encoded(self, obs: Mapping[str, Tensor]) -> tuple[Tensor, Tensor]:
        """What the encoders of actor and critic make of a normalised observation."""
        features: Tensor = self.actor(obs)
        if self.critic is None and not self.runs_twice:
            return features, features
        return features, (self.critic or self.actor)(self._everything(obs))

    @property
    def state_size(self) -> int:
        """Numbers that it remembers for a row; 0 without a memory."""
        return 0 if self.memory is None else self.memory.state_size

    def initial_state(self, batch: int) -> Tensor:
        """Nothing remembered: zeros `[B, S]`."""
        if self.memory is not None:
            return self.memory.initial_state(batch)
        return self.value_head.linear.weight.new_zeros(batch, 0)

    def recall(
        self, obs: Mapping[str, Tensor], state: Tensor, episode_start: Tensor | None = None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Logits `[B, A]` before any mask, values `[B]` and the next state; args as of `act`."""
        if self.memory is None:
            return (*self.logits_and_value(obs), state)
        obs = self.normalized(obs)
        actor, critic, state = self.memory.step(*self._encoded(obs), state, episode_start)
        return self._logits(actor, obs), self.value_head(critic), state

    def act(
        self, obs: Mapping[str, Tensor], state: Tensor, episode_start: Tensor | None = None
    ) -> tuple[ActionDistribution, Tensor, Tensor]:
        """One step of B episodes.

        Args:
            obs: Per key `[B, ...]`.
            state: `[B, S]`, from the step before or from `initial_state`.
            episode_start: `[B]` bool: rows that begin with nothing remembered. None for none.

        Returns:
            The distribution over actions, values `[B]`, and the state `[B, S]` for the next step.
        """
        logits, value, state = self.recall(obs, state, episode_start)
        return self.masked(logits, obs), value, state

    def unroll(
        self,
        obs: Mapping[str, Tensor],
        state: Tensor,
        episode_start: Tensor,
        valid: Tensor | None = None,
    ) -> tuple[ActionDistribution, Tensor]:
        """Whole sequences at once: what `act` answers step by step.

        Args:
            obs: Per key `[L, B, ...]`; what stands where `valid` is False is not read.
            state: `[B, S]`, before the first step.
            episode_start: `[L, B]` bool.
            valid: `[L, B]` bool: False for padding. None where all steps are valid.

        Returns:
            The distribution over actions and the values of the R valid steps, step after step:
            row `l * B + b` is step `l` of sequence `b` where all are valid.

        Raises:
            ConfigError: The shapes of observations, state and episode starts do not fit.
        """
        shape = tuple(next(iter(obs.values())).shape[:2])
        for name, flags in (("episode_start", episode_start), ("valid", valid)):
            if flags is not None and (tuple(flags.shape) != shape or flags.dtype != torch.bool):
                raise ConfigError(
                    f"unroll: {name} has shape {tuple(flags.shape)} and dtype {flags.dtype}, "
                    f"expected bool of shape {shape}, as the observations have"
                )
        seen = None if valid is None or bool(valid.all()) else valid
        device = state.device
        segments = segments_of(
            episode_start.cpu().numpy(), None if seen is None else seen.cpu().numpy(), device=device
        )
        # Chosen row by row: nothing of the padding is there any more.
        rows = {key: x.flatten(0, 1) if seen is None else x[seen] for key, x in obs.items()}
        logits, values = self.unroll_rows(rows, state, segments)
        return self.masked(logits, rows), values

    def unroll_rows(
        self, obs: Mapping[str, Tensor], state: Tensor, segments: Segments
    ) -> tuple[Tensor, Tensor]:
        """Logits `[R, A]` before any mask and values `[R]` of the valid steps of sequences.

        Args:
            obs: Per key `[R, ...]`: the valid steps.
            state: `[B, S]`, before the first step of each sequence.
            segments: How the sequences are cut.
        """
        if self.memory is None:
            return self.logits_and_value(obs)
        obs = self.normalized(obs)
        actor, critic, _ = self.memory.run(*self._encoded(obs), state, segments)
        return self._logits(actor, obs), self.value_head(critic)

    def _everything(self, obs: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        """The observation as the value reads it: nothing hidden, where that needs saying."""
        if not self.runs_twice or "visibility" not in obs:
            return obs
        return {**obs, "visibility": torch.ones_like(obs["visibility"])}

    def _logits(self, features: Tensor, obs: Mapping[str, Tensor]) -> Tensor:
        if isinstance(self.policy_head, CandidateScorer):
            scores: Tensor = self.policy_head(obs[CANDIDATES], features, obs.get(FLAT_MASK))
            return scores
        logits: Tensor = self.policy_head(features)
        return logits

    def masked(self, logits: Tensor, obs: Mapping[str, Tensor]) -> ActionDistribution:
        """The distribution of these logits under the observation's action masks."""
        return self.heads.distribution(
            logits,
            obs,
            empty="idle" if self._trusted else self.empty,
            idle_action=self.idle_action,
            validate_args=False if self._trusted else None,
        )

    def distribution(self, obs: Mapping[str, Tensor]) -> ActionDistribution:
        """The distribution over actions for a batch of B observations.

        With a memory: of observations that episodes begin with; others are asked by `act`.
        """
        return self.masked(self.logits(obs), obs)

    def forward(self, obs: Mapping[str, Tensor]) -> tuple[ActionDistribution, Tensor]:
        """Distribution and value `[B]` in one pass; of a subclass, what it says of each."""
        # What it is evaluated by is what it must be trained by.
        own, ours = type(self), ActorCritic
        says_each = (own.logits, own.distribution, own.value) != (
            ours.logits,
            ours.distribution,
            ours.value,
        )
        if says_each and own.logits_and_value is ours.logits_and_value:
            return self.distribution(obs), self.value(obs)
        logits, value = self.logits_and_value(obs)
        return self.masked(logits, obs), value

    def predict(
        self,
        obs: Any,
        *,
        action_mask: Any = None,
        state: Any = None,
        episode_start: Any = None,
        deterministic: bool = True,
        generator: torch.Generator | None = None,
    ) -> tuple[np.ndarray, Any]:
        """An action for one observation, or `[B]` actions for a batch.

        Args:
            obs: As the environment gives it; see `maskrl.policies.predict.predict_action`.
            action_mask: Boolean mask that takes the place of the observation's own.
            state: With a memory: what the step before handed back, `[B, S]` or `[S]`; None
                begins afresh. Without one it is handed back as it is.
            episode_start: With a memory: bool `[B]`, rows that begin afresh whatever `state`
                holds.
            deterministic: The most probable action; otherwise a sample.
            generator: Of the samples.

        Returns:
            Actions as `maskrl.policies.predict.predict_action` gives them, and the state for
            the next step, an array or tensor as `state` was.

        Raises:
            NoMaskError: The space has an action mask and none was given.
            ConfigError: `state` or `episode_start` does not fit the observation.

        Empty rows:
            By `empty`: an error, or `idle_action`.
        """
        return predict_and_remember(
            self,
            self.observation_space,
            obs,
            action_space=self.action_space,
            action_mask=action_mask,
            state=state,
            episode_start=episode_start,
            deterministic=deterministic,
            generator=generator,
        )

    def to_json(self) -> dict[str, Any]:
        """What is needed, beside the state dict, to build this policy again."""
        return {
            "kind": "actor_critic" if self.is_rebuildable else "own",
            "observation_space": space_to_json(self.observation_space),
            "action_space": space_to_json(self.action_space),
            "action_tree": None if self.action_tree is None else self.action_tree.to_json(),
            "network": dataclasses.asdict(self.config),
            "normalize_observations": self.normalizer is not None,
            "empty": self.empty,
            "idle_action": self.idle_action,
        }

    @classmethod
    def from_json(cls, description: Mapping[str, Any]) -> ActorCritic:
        """A policy with fresh weights, as `to_json` described it.

        Raises:
            ConfigError: It describes a policy that only its author's code can build.
        """
        if description.get("kind") != "actor_critic":
            raise ConfigError(
                "this policy has a network of its author's own, which a run folder cannot "
                "build: construct it and load with policy=..."
            )
        observation_space = space_from_json(description["observation_space"])
        action_space = space_from_json(description["action_space"])
        if not isinstance(observation_space, spaces.Dict):
            raise ConfigError("the policy's description has spaces of another kind")
        tree = description.get("action_tree")
        return cls(
            observation_space,
            action_space,
            NetworkConfig(**description["network"]),
            action_tree=None if tree is None else ActionTree.from_json(tree),
            normalize_observations=description["normalize_observations"],
            empty=description["empty"],
            idle_action=description["idle_action"],
        )


@contextlib.contextmanager
def trusted(policy: nn.Module) -> Iterator[None]:
    """Leave out checks of masks and actions inside the block, which the caller makes itself.

    A trainer looks for empty rows where it still knows the environment and the step, and at
    every action's ratio; looking twice would only cost time. For the same reason layers are
    looked up once: they may be trained inside the block, and not be exchanged. Of no effect
    on other policies.
    """
    given: Any = policy
    if not isinstance(getattr(given, "_trusted", None), bool):
        yield
        return
    given._trusted = True
    chained = isinstance(policy, ActorCritic) and policy.memory is None
    if chained and (given.critic is not None or given.runs_twice):
        given._actor_chain = chain_of(given.actor, given.policy_head)
        given._critic_chain = chain_of(given.critic or given.actor, given.value_head)
    try:
        yield
    finally:
        given._trusted = False
        if chained:
            given._actor_chain = given._critic_chain = None
