"""Every setting of PPO, with the line that explains it on the command line.

A configuration is frozen and checked when it is made: sizes that are not positive and
settings that contradict each other never reach training. It goes to JSON and back.
"""

from __future__ import annotations

import dataclasses
import difflib
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from maskrl.errors import ConfigError
from maskrl.networks.encoders import NetworkConfig

CHOICES: dict[str, tuple[str | None, ...]] = {
    "empty": ("raise", "idle"),
    "ratio": ("auto", "joint", "agent", "head"),
    "death": ("terminal", "posthumous", None),
    "critic": ("auto", "team", "agent"),
    "weight": ("agent_step", "env_step"),
}
"""Settings that are one of a few words."""


@dataclass(frozen=True)
class PPOConfig:
    """Proximal policy optimisation under masks."""

    num_envs: int = 16
    """Environments that step in parallel."""
    rollout_steps: int = 128
    """Steps of each environment between two updates."""
    minibatch_size: int = 256
    """Rows per gradient step, at most num_envs * rollout_steps; with a memory whole sequences of
    about so many rows. A row of a team is an environment step with all agents that act in it."""
    epochs: int = 10
    """Passes over each rollout."""
    sequence_length: int = 32
    """With a memory: most steps that are learned from in one piece, from one remembered state."""
    gamma: float = 0.99
    """Discount per step."""
    gae_lambda: float = 0.95
    """Lambda of the advantage estimation: 0 trusts the value network, 1 the returns."""
    clip: float = 0.2
    """Trust region: how far the probability ratio may leave 1 and still be rewarded."""
    ratio: Literal["auto", "joint", "agent", "head"] = "auto"
    """What has a trust region: the whole action (of a team: what all agents do in a step), what
    each agent of a team does, or each head of it (the losses add up); auto: joint for one agent,
    agent for a team."""
    death: Literal["terminal", "posthumous"] | None = None
    """Needed for a team, whose agents may die. terminal: nothing after its death is credited to an
    agent; posthumous: what the team gets afterwards is, by the value of the team."""
    critic: Literal["auto", "team", "agent"] = "auto"
    """Of a team: one value of the whole, learned from the team's rewards, or a value of each agent,
    learned from its own rewards where the environment gives them; auto: agent where it does and
    death is terminal."""
    weight: Literal["agent_step", "env_step"] = "agent_step"
    """Of a team: what sums over agents are divided by in policy loss and entropy: the number of
    agents that decided, or of environment steps in which one did."""
    waiting_discount: bool = True
    """Of a team: discount the steps that an agent waits; False counts one discount per decision of
    an agent, for games in which agents take turns."""
    value_clip: float | None = None
    """How far, in units of return, an update may move a value; None does not clip."""
    value_coef: float = 0.5
    """Weight of the value loss."""
    entropy_coef: float = 0.01
    """Weight of the entropy bonus over the allowed actions."""
    entropy_coef_final: float | None = None
    """What the weight of the entropy bonus falls to, linearly, until the end; None keeps it."""
    learning_rate: float = 3e-4
    """Step size of Adam."""
    anneal_learning_rate: bool = True
    """Let the step size fall to 0, linearly, until the end."""
    adam_eps: float = 1e-5
    """Adam's epsilon."""
    max_grad_norm: float = 0.5
    """Longest gradient; longer ones are scaled down. 0 does not clip."""
    target_kl: float | None = None
    """End an update when the policy moved by more than 1.5 times this; None never does."""
    normalize_advantage: bool = True
    """Shift and scale the advantages of each rollout to mean 0 and deviation 1."""
    normalize_observations: bool = False
    """Normalise real-valued observations by running statistics, frozen during an update."""
    normalize_rewards: bool = False
    """Divide rewards by the running deviation of the discounted return."""
    empty: Literal["raise", "idle"] = "raise"
    """What a step that allows no action means: an error, or that no decision is taken."""
    idle_action: int = 0
    """What is sent to the environment when no decision is taken."""
    network: NetworkConfig = field(default_factory=NetworkConfig)
    """How the network is built."""
    device: str = "cpu"
    """Where the network is trained: cpu, cuda, cuda:1, ..."""
    threads: int | None = None
    """Threads of torch; None measures which number is fastest and keeps it for the run."""
    evaluate_every: int = 100_000
    """Steps between evaluations during training; 0 never evaluates."""
    evaluation_episodes: int = 100
    """Episodes of each of these evaluations."""
    checkpoint_every: int = 100_000
    """Steps between checkpoints, with one at the start and one every two minutes at least; 0 saves
    only at the end."""

    def __post_init__(self) -> None:
        if isinstance(self.network, Mapping):
            object.__setattr__(self, "network", _network(self.network, NetworkConfig()))
        for name in ("num_envs", "rollout_steps", "minibatch_size", "epochs", "sequence_length"):
            self._whole(name, at_least=1)
        for name in ("evaluate_every", "checkpoint_every", "idle_action"):
            self._whole(name, at_least=0)
        self._whole("evaluation_episodes", at_least=1)
        if self.threads is not None:
            self._whole("threads", at_least=1)
        for name in ("gamma", "gae_lambda"):
            self._number(name, low=0.0, high=1.0)
        for name in ("clip", "learning_rate", "adam_eps"):
            self._number(name, low=0.0, above=True)
        for name in ("value_coef", "entropy_coef", "max_grad_norm"):
            self._number(name, low=0.0)
        for name in ("value_clip", "target_kl"):
            if getattr(self, name) is not None:
                self._number(name, low=0.0, above=True)
        if self.entropy_coef_final is not None:
            self._number("entropy_coef_final", low=0.0)
        for name, choices in CHOICES.items():
            if getattr(self, name) not in choices:
                some = [repr(choice) for choice in choices]
                expected = f"{', '.join(some[:-1])} or {some[-1]}"
                raise ConfigError(f"{name}: expected {expected}, got {getattr(self, name)!r}")
        if not isinstance(self.waiting_discount, bool):
            raise ConfigError(f"waiting_discount: expected a bool, got {self.waiting_discount!r}")
        if self.minibatch_size > self.batch_size:
            raise ConfigError(
                f"minibatch_size: {self.minibatch_size} rows are more than a rollout has: "
                f"num_envs * rollout_steps = {self.num_envs} * {self.rollout_steps} = "
                f"{self.batch_size}"
            )
        if self.normalize_advantage and self.batch_size < 2:
            raise ConfigError(
                "normalize_advantage: a rollout of one step has no spread; make it longer, or set "
                "normalize_advantage to False"
            )

    @property
    def batch_size(self) -> int:
        """Rows of one rollout."""
        return self.num_envs * self.rollout_steps

    def replace(self, **changes: Any) -> PPOConfig:
        """The configuration with some fields changed, and checked again."""
        return dataclasses.replace(self, **changes)

    def to_json(self) -> dict[str, Any]:
        """All settings as plain nested dicts."""
        return dataclasses.asdict(self)

    @classmethod
    def from_json(cls, settings: Mapping[str, Any], *, base: PPOConfig | None = None) -> PPOConfig:
        """A configuration from plain settings, the rest taken from `base`.

        Args:
            settings: Fields by name; `network` may be a mapping of some of its fields.
            base: What is not named; the defaults without it.

        Raises:
            ConfigError: A name is unknown (the nearest are offered), or a value impossible.
        """
        base = base or cls()
        given = dict(settings)
        _known("PPO setting", cls, given)
        if isinstance(given.get("network"), Mapping):
            given["network"] = _network(given["network"], base.network)
        return dataclasses.replace(base, **given)

    def _whole(self, name: str, *, at_least: int) -> None:
        value = getattr(self, name)
        if isinstance(value, bool) or not isinstance(value, int) or value < at_least:
            kind = "a positive whole number" if at_least else "a whole number, 0 or more"
            raise ConfigError(f"{name}: expected {kind}, got {value!r}")

    def _number(
        self, name: str, *, low: float, high: float = math.inf, above: bool = False
    ) -> None:
        value = getattr(self, name)
        fine = isinstance(value, (int, float)) and not isinstance(value, bool)
        if (
            not fine
            or not math.isfinite(value)
            or not low <= value <= high
            or (above and value == low)
        ):
            upper = "" if high == math.inf else f" and at most {high:g}"
            least = f"above {low:g}" if above else f"at least {low:g}"
            raise ConfigError(f"{name}: expected a number {least}{upper}, got {value!r}")


def _network(settings: Mapping[str, Any], base: NetworkConfig) -> NetworkConfig:
    _known("network setting", NetworkConfig, settings)
    return dataclasses.replace(base, **settings)


def _known(what: str, cls: type[Any], settings: Mapping[str, Any]) -> None:
    names = [f.name for f in dataclasses.fields(cls)]
    for name in settings:
        if name not in names:
            near = difflib.get_close_matches(name, names, n=3, cutoff=0.5)
            advice = f" Did you mean {' or '.join(near)}?" if near else ""
            raise ConfigError(f"unknown {what} {name!r}.{advice}")
