"""Every setting of PPO, with the line that explains it on the command line.

A configuration is frozen and checked when it is made: sizes that are not positive and
settings that contradict each other never reach training. It goes to JSON and back.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Literal

from maskrl.errors import ConfigError
from maskrl.networks.encoders import NetworkConfig
from maskrl.trainers.trainer_config import TrainerConfig

CHOICES: dict[str, tuple[str | None, ...]] = {
    "empty": ("raise", "idle"),
    "ratio": ("auto", "joint", "agent", "head"),
    "death": ("terminal", "posthumous", None),
    "critic": ("auto", "team", "agent"),
    "weight": ("agent_step", "env_step"),
    "entropy_of": ("policy", "action"),
    "mask_removed_rollouts": ("native", "withheld", None),
}
"""Settings that are one of a few words."""


@dataclass(frozen=True)
class PPOConfig(TrainerConfig):
    """Proximal policy optimisation under masks."""

    label = "PPO"

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
    """Weight of the entropy bonus over the allowed actions; below 0 it is a penalty, as in some
    published runs."""
    entropy_coef_final: float | None = None
    """What the weight of the entropy bonus falls to, linearly, until the end; None keeps it."""
    entropy_of: Literal["policy", "action"] = "policy"
    """policy: the entropy itself. action: -p log p of each choice that was made, as in some
    published runs; its mean over many steps is not the entropy."""
    learning_rate: float = 3e-4
    """Step size of Adam."""
    anneal_learning_rate: bool = True
    """Let the step size fall to 0, linearly, until the end."""
    anneal_steps: int | None = None
    """Steps until what falls over the training has fallen, from its start; None: those of the
    run. For the first part of a longer training."""
    adam_eps: float = 1e-5
    """Adam's epsilon."""
    max_grad_norm: float = 0.5
    """Longest gradient; longer ones are scaled down. 0 does not clip."""
    value_max_grad_norm: float | None = None
    """Longest gradient of the value's own network, which max_grad_norm then says nothing of; 0
    does not clip. None limits the gradients of policy and value together."""
    target_kl: float | None = None
    """End an update when the policy moved by more than 1.5 times this; None never does."""
    bootstrap_truncated: bool = True
    """Where an episode is cut off by a limit, value what would have followed; False takes it for
    the episode's end, as in some published runs."""
    normalize_advantage: bool = True
    """Shift and scale the advantages of each rollout to mean 0 and deviation 1."""
    normalize_observations: bool = False
    """Normalise real-valued observations by running statistics, frozen during an update."""
    normalize_novelty: bool = False
    """With them: what never varied before has the greatest magnitude, 10, when it first does, as
    in some published runs; False leaves it as small as it is until the statistics move."""
    normalize_rewards: bool = False
    """Divide rewards by the running deviation of the discounted return."""
    masked_scores: bool = True
    """Score actions under the mask that they were sampled under. False is the naive regime, for
    comparisons: masks are obeyed in acting alone, and ratio and entropy are those of a network
    that knows of no mask."""
    mask_removed_rollouts: Literal["native", "withheld"] | None = None
    """After each update play a rollout without the mask, in environments of its own. native: what
    it disallows is for the environment to answer; withheld: such an action passes without effect.
    Logs what it earns, mask_removed_return; its observations also move the statistics that
    observations are normalised by, as in some published runs."""
    measure_kl: bool = False
    """Also measure how far each update moved the policy: the exact divergence of what acts, that
    of the network without its masks, and the estimate that was published for both regimes."""
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
    workers: int | None = None
    """Processes among which the environments are divided; None steps all in this one, which is
    faster unless a step of an environment takes long, some 0.1 ms or more. Runs are equal
    where each environment draws by its own seed; worlds that step as one batch, such as the panda,
    then play other episodes."""
    evaluate_every: int = 100_000
    """Steps between evaluations during training; 0 never evaluates."""
    evaluation_episodes: int = 100
    """Episodes of each of these evaluations."""
    checkpoint_every: int = 100_000
    """Steps between checkpoints, with one at the start and one every two minutes at least; 0 saves
    only at the end."""

    def __post_init__(self) -> None:
        self._build_network()
        for name in ("num_envs", "rollout_steps", "minibatch_size", "epochs", "sequence_length"):
            self._whole(name, at_least=1)
        for name in ("evaluate_every", "checkpoint_every", "idle_action"):
            self._whole(name, at_least=0)
        self._whole("evaluation_episodes", at_least=1)
        for name in ("threads", "workers", "anneal_steps"):
            if getattr(self, name) is not None:
                self._whole(name, at_least=1)
        for name in ("gamma", "gae_lambda"):
            self._number(name, low=0.0, high=1.0)
        for name in ("clip", "learning_rate", "adam_eps"):
            self._number(name, low=0.0, above=True)
        for name in ("value_coef", "max_grad_norm"):
            self._number(name, low=0.0)
        self._number("entropy_coef", low=-math.inf)
        for name in ("value_clip", "target_kl"):
            if getattr(self, name) is not None:
                self._number(name, low=0.0, above=True)
        if self.value_max_grad_norm is not None:
            self._number("value_max_grad_norm", low=0.0)
        if self.entropy_coef_final is not None:
            self._number("entropy_coef_final", low=-math.inf)
        for name, choices in CHOICES.items():
            self._one_of(name, choices)
        for name in ("waiting_discount", "masked_scores", "measure_kl", "bootstrap_truncated"):
            self._yes_or_no(name)
        self._yes_or_no("normalize_novelty")
        if self.normalize_novelty and not self.normalize_observations:
            raise ConfigError(
                "normalize_novelty: observations are not normalised, so it would change nothing; "
                "set normalize_observations to True"
            )
        if self.value_max_grad_norm is not None and self.network.shared:
            raise ConfigError(
                "value_max_grad_norm: policy and value share one network, whose gradients have "
                "one limit, max_grad_norm; set network.shared to False"
            )
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
