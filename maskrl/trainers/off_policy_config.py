"""Settings of every algorithm that learns from a memory of transitions.

Sizes of the memory, how often is learned from it and how far a transition reaches are
the same for all of them; what is learned is in the settings of each.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from maskrl.errors import ConfigError
from maskrl.networks.encoders import NetworkConfig
from maskrl.trainers.trainer_config import TrainerConfig


@dataclass(frozen=True)
class OffPolicyConfig(TrainerConfig):
    """Learning from a memory of transitions."""

    num_envs: int = 16
    """Environments that step in parallel."""
    replay_size: int = 200_000
    """Transitions that are remembered, at least; the oldest are forgotten first."""
    learning_starts: int = 2_000
    """Environment steps before the first gradient step; they are explored at random."""
    train_every: int = 16
    """Environment steps, over all environments, between two turns of learning, rounded to whole
    steps of all of them; every environment steps at least once."""
    gradient_steps: int = 2
    """Gradient steps in each turn of learning."""
    batch_size: int = 128
    """Transitions per gradient step."""
    n_step: int = 3
    """Rewards that a target sums before it trusts the values of the state that follows; fewer at
    the end of an episode."""
    gamma: float = 0.99
    """Discount per step."""
    priority_exponent: float = 0.0
    """Prioritised replay: 0 draws all transitions alike, 1 in proportion to their errors; 0.6 is
    usual."""
    priority_correction: float = 0.4
    """How much of the bias of prioritised replay is corrected in the beginning, 0 to 1; it rises
    to 1, linearly, until the end. With priority_exponent 0 there is no bias to correct."""
    learning_rate: float = 5e-4
    """Step size of Adam."""
    anneal_learning_rate: bool = True
    """Let the step size fall to 0, linearly, until the end."""
    adam_eps: float = 1e-5
    """Adam's epsilon."""
    max_grad_norm: float = 10.0
    """Longest gradient; longer ones are scaled down. 0 does not clip."""
    normalize_observations: bool = False
    """Normalise real-valued observations by running statistics of what was seen so far."""
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
    log_every: int = 2_000
    """Environment steps between two lines of metrics; evaluations and checkpoints come at the end
    of such a stretch."""
    evaluate_every: int = 25_000
    """Steps between evaluations during training; 0 never evaluates."""
    evaluation_episodes: int = 100
    """Episodes of each of these evaluations."""
    checkpoint_every: int = 100_000
    """Steps between checkpoints, with one at the start and one every two minutes at least; 0 saves
    only at the end."""
    save_replay: bool = True
    """Save the memory of transitions with the last checkpoint, so that a resumed run goes on to the
    digit; without it a resumed run fills its memory anew before it learns again."""
    replay_folder: str | None = None
    """A folder for the memory of transitions, as files that are mapped into memory, for one that
    is too large for it; None keeps it in memory."""

    def __post_init__(self) -> None:
        self._build_network()
        for name in (
            "num_envs",
            "replay_size",
            "train_every",
            "gradient_steps",
            "batch_size",
            "n_step",
            "log_every",
            "evaluation_episodes",
        ):
            self._whole(name, at_least=1)
        for name in ("learning_starts", "evaluate_every", "checkpoint_every", "idle_action"):
            self._whole(name, at_least=0)
        for name in ("threads", "workers"):
            if getattr(self, name) is not None:
                self._whole(name, at_least=1)
        for name in ("gamma", "priority_exponent", "priority_correction"):
            self._number(name, low=0.0, high=1.0)
        for name in ("learning_rate", "adam_eps"):
            self._number(name, low=0.0, above=True)
        self._number("max_grad_norm", low=0.0)
        for name in ("anneal_learning_rate", "normalize_observations", "save_replay"):
            self._yes_or_no(name)
        self._one_of("empty", ("raise", "idle"))
        if self.replay_folder is not None and not isinstance(self.replay_folder, str):
            raise ConfigError(
                f"replay_folder: expected a folder's path or None, got {self.replay_folder!r}"
            )
        if self.learning_starts > self.replay_size:
            raise ConfigError(
                f"learning_starts: {self.learning_starts} steps are more than the memory holds "
                f"(replay_size = {self.replay_size}), so that their beginning would be forgotten "
                "before it is learned from"
            )
