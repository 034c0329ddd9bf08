"""Actor and critic of a team from its spaces: one policy for many units.

All agents share one network, which gives a row of logits for each that acts: in a scene from
what that agent sees, from its own observation, or from its cell of a grid. The critic values
the team or each agent. Nothing is computed for places where nobody is, and what stands there
changes nothing. A policy can be rebuilt from its JSON description without running code.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, Literal, get_args

import numpy as np
import torch
from gymnasium import spaces
from torch import Tensor, nn

from maskrl.distributions import GridwiseCategorical
from maskrl.envs.contract import EnvDescription
from maskrl.envs.space_json import space_from_json, space_to_json
from maskrl.envs.teams import TeamDescription, describe_team
from maskrl.errors import ConfigError, MaskShapeError
from maskrl.masks.tree import ActionTree
from maskrl.networks.encoders import NetworkConfig
from maskrl.networks.first_weights import begin_with
from maskrl.networks.heads import PolicyHead, ValueHead
from maskrl.networks.mlp import linear_alike
from maskrl.networks.team import TeamNetwork
from maskrl.networks.team_grid import GridTeam, require_grid
from maskrl.networks.team_members import Members, in_fours, living
from maskrl.networks.team_normalize import TeamNormalizer
from maskrl.networks.team_own import OwnTeam
from maskrl.networks.team_pool import TeamPool
from maskrl.networks.team_scene import SceneTeam, require_scene
from maskrl.policies.acting import Acting
from maskrl.policies.action_heads import ActionHeads
from maskrl.policies.team_predict import predict_team
from maskrl.policies.team_protocol import TeamCritic


class TeamActorCritic(nn.Module):
    """Policy of N agents and value of their team, or of each of them.

    Args:
        observation_space: Of one environment: a Dict with `agent_mask`.
        action_space: MultiDiscrete with a choice for every slot or cell.
        config: How the networks are built.
        action_tree: On which earlier choices the heads of ONE agent's action depend.
        critic: "team": one value for all; "agent": a value for each.
        normalize_observations: Normalise real-valued entries by running statistics.
        empty: What an agent that acts and may do nothing means: "raise", or "idle" for no
            decision.
        idle_action: What is sent where nobody acts, and for heads that are idle.
        max_agents: How many agents a grid whose agents have no identity can hold.

    Attributes:
        team: What the spaces say.
        actor: The network of the logits.
        value_network: The critic's own; None where `config.shared`.
        runs_twice: Whether the value passes through the actor's network on its own, seeing
            more than the actor does, so that nothing of it can reach the logits.
        normalizer: Statistics of the observations, or None.

    Raises:
        NoMaskError: The observation has no `agent_mask`.
        ConfigError: Spaces that cannot be read, or settings that contradict.
    """

    one_pass = True

    def __init__(
        self,
        observation_space: spaces.Dict,
        action_space: spaces.Space[Any],
        config: NetworkConfig | None = None,
        *,
        action_tree: ActionTree | None = None,
        critic: TeamCritic = "team",
        normalize_observations: bool = False,
        empty: Literal["raise", "idle"] = "raise",
        idle_action: int = 0,
        max_agents: int | None = None,
    ) -> None:
        super().__init__()
        config = config or NetworkConfig()
        team = describe_team(observation_space, action_space, action_tree, max_agents=max_agents)
        self.heads = ActionHeads(_of_one_agent(team))
        self.heads.require_idle_action(idle_action)
        _require_settings(observation_space, team, config, critic)
        self.team: TeamDescription = team
        self.critic: TeamCritic = critic
        self.observation_space = observation_space
        self.action_space = action_space
        self.action_tree = action_tree
        self.config = config
        self.empty: Literal["raise", "idle"] = empty
        self.idle_action = idle_action
        self._trusted = False
        self.normalizer: TeamNormalizer | None = None
        if normalize_observations:
            self.normalizer = TeamNormalizer(observation_space, team)
        everything = config.critic_sees == "everything"
        self.actor = _network(observation_space, team, config, values=config.shared, critic=critic)
        self.value_network: TeamNetwork | None = None
        if not config.shared:
            self.value_network = _network(
                observation_space, team, config, acts=False, values=True, critic=critic
            )
        self.runs_twice = config.shared and everything and "visibility" in observation_space.spaces
        self.policy_head = PolicyHead(self.actor.agent_features, self.heads.n_logits)
        source = self.value_network or self.actor
        self.pool: TeamPool | None = None
        width = source.team_features if critic == "team" else source.agent_features
        self.joins_team = team.source == "own" and everything
        if (critic == "team" and not source.team_features) or self.joins_team:
            self.pool = TeamPool(source.agent_features, activation=config.activation)
            width += self.pool.out_features
        self.value_head = ValueHead(width)
        begin_with(config.weights, self)

    @property
    def value_reads(self) -> tuple[str, ...] | None:
        """What the value reads, where it has a network to itself; None otherwise.

        Such values may be computed later, and for any number of rows at once.
        """
        if type(self) is not TeamActorCritic or self.value_network is None:
            return None
        who = ("agent_mask", "alive", "agent_cells")
        entries = self.observation_space.spaces
        return (*self.value_network.reads, *(key for key in who if key in entries))

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Be a copy: one made while a trainer vouches for the masks is not vouched for."""
        super().__setstate__(state)
        self._trusted = False

    @classmethod
    def from_spaces(
        cls,
        observation_space: spaces.Dict,
        action_space: spaces.Space[Any],
        config: NetworkConfig | None = None,
        **settings: Any,
    ) -> TeamActorCritic:
        """Build a policy for these spaces; arguments as of the class."""
        return cls(observation_space, action_space, config, **settings)

    def normalized(self, obs: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        """The observation as the networks read it."""
        return obs if self.normalizer is None else self.normalizer(obs)

    def logits(self, obs: Mapping[str, Tensor], acting: Acting | None = None) -> Tensor:
        """Logits `[M, A]` of those who act, before any mask."""
        acting = self._acting(obs, acting)
        return self._logits(self.actor.read(self.normalized(obs)), acting)

    def value(self, obs: Mapping[str, Tensor]) -> Tensor:
        """Of the team `[B]`; or of each agent that exists `[B, N]`, 0 for others."""
        obs = self.normalized(obs)
        network = self.value_network or self.actor
        seen = network.read(obs, everything=self.runs_twice)
        if self.critic == "team" and network.team_features:
            value: Tensor = self.value_head(network.of_team(seen))
            return value
        there = living(obs, self.team)
        members = Members.of(there, obs, self.team)
        return self._value_of(network.of_agents(seen, members), members, there)

    def logits_and_value(self, obs: Mapping[str, Tensor], acting: Acting) -> tuple[Tensor, Tensor]:
        """Logits `[M, A]` before any mask and values, computing shared parts once."""
        if self.value_network is not None or self.runs_twice:
            return self.logits(obs, acting), self.value(obs)
        obs = self.normalized(obs)
        seen = self.actor.read(obs)
        if self.actor.team_features:
            return self._logits(seen, acting), self.value_head(self.actor.of_team(seen))
        # Who waits has a value too; whoever acts is there, whatever `alive` says.
        there = living(obs, self.team).clone()
        there[acting.row, acting.slot] = True
        members = Members.of(there, obs, self.team)
        features = self._of_agents(self.actor, seen, members)
        where = (there.flatten().cumsum(0) - 1)[acting.row * self.team.agents + acting.slot]
        logits = self._headed(features.index_select(0, where))
        return logits, self._value_of(features, members, there)

    def _acting(self, obs: Mapping[str, Tensor], acting: Acting | None) -> Acting:
        """Who acts, in as many observations as there are."""
        acting = Acting.read(obs, self.team) if acting is None else acting
        key = self.actor.reads[0]
        if len(obs[key]) != acting.batch:
            raise MaskShapeError(
                f"team: {key} has {len(obs[key])} rows, and who acts is told of {acting.batch}; "
                "expected one batch."
            )
        return acting

    def _logits(self, seen: Any, acting: Acting) -> Tensor:
        """Logits `[M, A]` of those who act."""
        return self._headed(self._of_agents(self.actor, seen, acting.members))

    @staticmethod
    def _of_agents(network: TeamNetwork, seen: Any, members: Members) -> Tensor:
        """Features `[R, D]` of members, computed in rows of fours."""
        fours = in_fours(len(members.row), members.row.device)
        if fours is None:
            return network.of_agents(seen, members)
        return network.of_agents(seen, members.at(fours))[: len(members.row)]

    def _headed(self, features: Tensor) -> Tensor:
        """Logits `[M, A]` of features `[M, D]`, computed in rows of fours."""
        fours = in_fours(len(features), features.device)
        rows = features if fours is None else features.index_select(0, fours)
        odd = rows.shape[-1] % 4
        logits = linear_alike(rows, self.policy_head.linear) if odd else self.policy_head(rows)
        return logits[: len(features)]

    def _value_of(self, features: Tensor, members: Members, there: Tensor) -> Tensor:
        """Values from the features `[R, D]` of those who are `there`, bool `[B, N]`."""
        shape = (there.shape[0], there.shape[1])
        pooled = None
        if self.pool is not None:
            pooled = self.pool.packed(features, members.row, members.slot, shape)
        if self.critic == "team":
            value: Tensor = self.value_head(pooled)
            return value
        if pooled is not None:
            features = torch.cat([features, pooled[members.row]], 1)
        values: Tensor = self.value_head(features)
        at = members.row * shape[1] + members.slot
        return values.new_zeros(there.numel()).index_copy(0, at, values).view(shape)

    def masked(self, logits: Tensor, acting: Acting) -> GridwiseCategorical:
        """The distribution of these logits under the masks of those who act."""
        independent = self.team.has_head_axis and self.action_tree is None
        return GridwiseCategorical.from_packed(
            logits,
            acting.offsets,
            acting.action_mask,
            nvec=self.team.nvec if independent else None,
            tree=self.action_tree,
            head_masks=acting.head_masks,
            empty="idle" if self._trusted else self.empty,
            idle_action=self.idle_action,
            validate_args=False if self._trusted else None,
        )

    def distribution(
        self, obs: Mapping[str, Tensor], acting: Acting | None = None
    ) -> GridwiseCategorical:
        """What all agents that act do, packed, for a batch of B observations.

        Args:
            obs: Per key `[B, ...]`.
            acting: Who acts, with the masks of what each may do; None reads it from `obs`.
        """
        acting = self._acting(obs, acting)
        return self.masked(self.logits(obs, acting), acting)

    def forward(
        self, obs: Mapping[str, Tensor], acting: Acting | None = None
    ) -> tuple[GridwiseCategorical, Tensor]:
        """Distribution, and value `[B]` or `[B, N]`, in one pass."""
        acting = self._acting(obs, acting)
        logits, value = self.logits_and_value(obs, acting)
        return self.masked(logits, acting), value

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
        """What all agents do in one observation, or in a batch of B.

        Args:
            obs: As the environment gives it.
            action_mask: Boolean mask that takes the place of the observation's own.
            state: Handed back as it is: this policy remembers nothing.
            episode_start: Not read, likewise.
            deterministic: The most probable action of each agent; otherwise a sample.
            generator: Of the samples.

        Returns:
            Actions as `maskrl.policies.team_predict.predict_team` gives them, and `state`.

        Raises:
            NoMaskError: The space has an action mask and none was given.

        Empty rows:
            By `empty`: an error, or `idle_action`; `idle_action` where nobody acts.
        """
        actions = predict_team(
            self,
            self.observation_space,
            obs,
            action_space=self.action_space,
            action_mask=action_mask,
            deterministic=deterministic,
            generator=generator,
        )
        return actions, state

    def to_json(self) -> dict[str, Any]:
        """What is needed, beside the state dict, to build this policy again."""
        return {
            "kind": KIND,
            "observation_space": space_to_json(self.observation_space),
            "action_space": space_to_json(self.action_space),
            "action_tree": None if self.action_tree is None else self.action_tree.to_json(),
            "network": dataclasses.asdict(self.config),
            "critic": self.critic,
            "normalize_observations": self.normalizer is not None,
            "empty": self.empty,
            "idle_action": self.idle_action,
            "max_agents": self.team.agents,
        }

    @classmethod
    def from_json(cls, description: Mapping[str, Any]) -> TeamActorCritic:
        """A policy with fresh weights, as `to_json` described it.

        Raises:
            ConfigError: It describes another kind of policy.
        """
        if description.get("kind") != KIND:
            raise ConfigError(
                f"TeamActorCritic.from_json: kind is {description.get('kind')!r}, expected {KIND!r}"
            )
        observation_space = space_from_json(description["observation_space"])
        if not isinstance(observation_space, spaces.Dict):
            raise ConfigError("the policy's description has spaces of another kind")
        tree = description.get("action_tree")
        return cls(
            observation_space,
            space_from_json(description["action_space"]),
            NetworkConfig(**description["network"]),
            action_tree=None if tree is None else ActionTree.from_json(tree),
            critic=description["critic"],
            normalize_observations=description["normalize_observations"],
            empty=description["empty"],
            idle_action=description["idle_action"],
            max_agents=description["max_agents"],
        )


KIND = "team_actor_critic"
"""What a description of such a policy says it is."""


def _of_one_agent(team: TeamDescription) -> EnvDescription:
    """What `ActionHeads` must know about one agent's action."""
    kind = "discrete" if not team.has_head_axis else "multi_discrete"
    tree = team.action_tree
    return EnvDescription(
        kind if tree is None else "tree",
        team.n_actions,
        team.nvec,
        team.features,
        team.masks,
        action_tree=tree,
    )


def _network(
    space: spaces.Dict,
    team: TeamDescription,
    config: NetworkConfig,
    *,
    acts: bool = True,
    values: bool,
    critic: TeamCritic,
) -> TeamNetwork:
    """The network of a policy, of a value, or of both."""
    of_team = values and critic == "team"
    if team.source == "grid":
        return GridTeam(space, config, whole=of_team, cells=acts or critic == "agent")
    if team.source == "own":
        return OwnTeam(space, config)
    everything = not acts and config.critic_sees == "everything"
    return SceneTeam(
        space,
        config,
        agents=team.agents,
        see="everything" if everything else "observer",
        whole=everything and of_team,
    )


def _require_settings(
    space: spaces.Dict, team: TeamDescription, config: NetworkConfig, critic: str
) -> None:
    """Refuse what contradicts itself or would be ignored."""
    if critic not in get_args(TeamCritic):
        raise ConfigError(f"critic: expected 'team' or 'agent', got {critic!r}")
    if config.memory != "none":
        raise ConfigError(
            f"network.memory={config.memory!r}: a team's policy has no memory; expected 'none'. "
            "Tell agents what they must remember in the observation."
        )
    if critic == "agent" and not team.has_identity:
        raise ConfigError(
            "critic='agent': the agents of this grid have no identity from step to step, because "
            "its observation has no agent_cells; expected critic='team'"
        )
    if team.source == "scene":
        require_scene(space, config)
    elif config.entity_offsets:
        raise ConfigError(
            "network.entity_offsets: the observation has no scene of entities, so it would be "
            "ignored. Leave it at 0."
        )
    if team.source == "grid":
        require_grid(space, config)
    sees_all = team.source == "grid" or (team.source == "own" and critic == "team")
    if config.critic_sees == "everything" and sees_all:
        raise ConfigError(
            "network.critic_sees='everything': this critic sees all there is already "
            f"(source {team.source!r}, critic={critic!r}). Leave it at 'same'."
        )
