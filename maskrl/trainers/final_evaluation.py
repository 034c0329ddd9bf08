"""How good a run became: its agent, or team, beside an untrained one, chance and the reference.

All play the same test layouts, which neither training nor the choice of the best
checkpoint has seen. The result goes into the run folder, where reports and summaries
find it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import nn

from maskrl.envs.all_starts import AllStarts
from maskrl.envs.registry import find_entry
from maskrl.errors import ConfigError
from maskrl.policies.load import PREFIX, build_policy, checkpoint_folder, fill
from maskrl.policies.playing import in_evaluation_mode
from maskrl.policies.predict import obs_to_tensors
from maskrl.policies.q_policy import QPolicy
from maskrl.runs.checkpoint import load_checkpoint
from maskrl.runs.metrics import read_metrics
from maskrl.runs.run_dir import RunDir
from maskrl.runs.seeding import Seeds
from maskrl.trainers.evaluate import Tell, evaluate, evaluate_random
from maskrl.trainers.evaluation import Evaluation

EPISODES = 200
"""Test episodes, unless said otherwise."""

EPISODES_WITH_REFERENCE = 500
"""The same where each is a layout with a planner's return, which is compared layout by layout."""

Which = Literal["best", "last"]


@dataclass(frozen=True)
class FinalEvaluation:
    """The trained agent and what to compare it with.

    Attributes:
        greedy: The agent, most probable actions, or those of the largest Q-value.
        sampled: The agent, sampled actions; None of one that acts by Q-values, whose samples are
            nobody's policy.
        untrained: The same network before training; None for a policy of one's own.
        random: Uniform over allowed actions, played.
        checkpoint: Which one was evaluated: "best" or "last".
        step: Environment steps that it was trained for.
        training_illegal_actions: Executed against the mask during the whole training, None
            where they were not counted.
        starts: The agent from every state in which an episode can begin; None where these are
            too many to be listed.
    """

    greedy: Evaluation
    sampled: Evaluation | None
    untrained: Evaluation | None
    random: Evaluation
    checkpoint: str
    step: int
    training_illegal_actions: int | None = None
    starts: AllStarts | None = None

    @property
    def random_mean(self) -> float:
        """Random valid play's mean return: exact where there is a reference, else as played."""
        exact = self.greedy.random_mean
        return self.random.mean if exact is None else exact

    def to_json(self) -> dict[str, Any]:
        """Everything, the greedy agent's figures at the top."""
        figures = self.greedy.to_json()
        figures["random_mean"] = self.random_mean
        figures["checkpoint"] = self.checkpoint
        figures["step"] = self.step
        if self.training_illegal_actions is not None:
            figures["training_illegal_actions"] = self.training_illegal_actions
        if self.sampled is not None:
            figures["sampled"] = self.sampled.summary()
        figures["random_played"] = self.random.summary()
        if self.untrained is not None:
            figures["untrained_mean"] = self.untrained.mean
            figures["untrained"] = self.untrained.summary()
        if self.starts is not None:
            figures["all_starts"] = self.starts.summary()
        return figures


def standard_episodes(env_id: str) -> int:
    """How many test episodes an environment gets, unless said otherwise."""
    entry = find_entry(env_id)
    if entry.test_episodes is not None:
        return entry.test_episodes
    return EPISODES if entry.reference is None else EPISODES_WITH_REFERENCE


def evaluate_run(
    run: RunDir,
    *,
    episodes: int | None = None,
    which: Which = "best",
    seed: int = 0,
    env_kwargs: Mapping[str, Any] | None = None,
    policy: nn.Module | None = None,
    tell: Tell | None = None,
) -> FinalEvaluation:
    """Evaluate a run's agent and its references on test layouts; writes nothing.

    Args:
        run: The run's folder, with its settings.
        episodes: How many, one per layout where there are layouts; None for
            `standard_episodes`.
        which: The best checkpoint (the last where there is no best), or the last.
        seed: Of the environments and of sampled actions.
        env_kwargs: Arguments over those of the run. A list of layouts that the run was
            trained on is not played, unless it is given here.
        policy: A fresh policy of one's own, where one was trained.
        tell: Called with (planned layouts, all layouts).

    Raises:
        RunFolderError: No checkpoint, or a damaged one.
        ConfigError: `episodes` is below 1, a policy of one's own is missing, or the run
            was not trained on an environment's id.
    """
    config = run.read_config()
    env_id = _env_of(run, config)
    folder = checkpoint_folder(run, which)
    tensors, state = load_checkpoint(folder)
    untrained: nn.Module | None = None
    if policy is None:
        untrained = _fresh(state["policy"], int(config["seed"]))
        policy = _fresh(state["policy"], int(config["seed"]))
    fill(policy, tensors, prefix=PREFIX, source=str(folder))
    settings: dict[str, Any] = {
        "episodes": standard_episodes(env_id) if episodes is None else episodes,
        "env_kwargs": {**_test_settings(config), **(env_kwargs or {})},
        "seed": seed,
    }
    samples = not isinstance(policy, QPolicy)
    return FinalEvaluation(
        greedy=evaluate(policy, env_id, **settings, tell=tell),
        sampled=evaluate(policy, env_id, **settings, deterministic=False) if samples else None,
        untrained=None if untrained is None else evaluate(untrained, env_id, **settings),
        random=evaluate_random(env_id, **settings, with_reference=True),
        checkpoint=folder.name,
        step=int(state["progress"]["steps"]),
        training_illegal_actions=_training_illegal_actions(run),
        starts=_all_starts(policy, env_id, settings["env_kwargs"]),
    )


def evaluate_without_mask(
    run: RunDir,
    *,
    env_kwargs: Mapping[str, Any],
    episodes: int,
    which: Which = "best",
    seed: int = 0,
) -> dict[str, Any]:
    """What an agent that was trained under a mask does when the mask is taken away.

    Args:
        run: The run's folder.
        env_kwargs: Arguments that take it away, over those of the run: `mask_regime="none"`
            withholds what is disallowed, "penalty:0:native" lets the environment answer.
        episodes: How many, the same ones as of `evaluate_run` with this seed.
        which: As of `evaluate_run`.
        seed: Likewise.

    Returns:
        Plain data: `env_kwargs` as given, `greedy` and, of an agent that samples, `sampled`: the
        summaries of both evaluations.

    Raises:
        RunFolderError: No checkpoint, or a damaged one.
        ConfigError: `episodes` is below 1, or the mask cannot be taken away like this.
    """
    config = run.read_config()
    env_id = _env_of(run, config)
    folder = checkpoint_folder(run, which)
    tensors, state = load_checkpoint(folder)
    policy = _fresh(state["policy"], int(config["seed"]))
    fill(policy, tensors, prefix=PREFIX, source=str(folder))
    settings: dict[str, Any] = {
        "episodes": episodes,
        "env_kwargs": {**_test_settings(config), **env_kwargs},
        "seed": seed,
    }
    found = {
        "env_kwargs": dict(env_kwargs),
        "greedy": evaluate(policy, env_id, **settings).summary(),
    }
    if not isinstance(policy, QPolicy):
        found["sampled"] = evaluate(policy, env_id, **settings, deterministic=False).summary()
    return found


def _env_of(run: RunDir, config: Mapping[str, Any]) -> str:
    """The id that a run was trained on.

    Raises:
        ConfigError: It was trained on an environment given as an object.
    """
    if config.get("env") is None:
        raise ConfigError(
            f"{run.path} was trained on {config.get('env_name')}, an environment given as an "
            "object, which a folder cannot hold. Load the policy with "
            "maskrl.policies.load_policy and play it there."
        )
    return str(config["env"])


def _test_settings(config: Mapping[str, Any]) -> dict[str, Any]:
    """The environment's arguments for a test: layouts of the training are none."""
    trained_on = dict(config.get("env_kwargs") or {})
    if isinstance(trained_on.get("layout_seeds"), list):
        del trained_on["layout_seeds"]
    return trained_on


def _all_starts(policy: nn.Module, env_id: str, env_kwargs: Mapping[str, Any]) -> AllStarts | None:
    """One episode from every start, where the environment has a list of them."""
    entry = find_entry(env_id)
    if entry.all_starts is None:
        return None
    with in_evaluation_mode(policy), torch.inference_mode():
        found: AllStarts = entry.all_starts(
            lambda obs: policy.distribution(obs_to_tensors(obs)).mode.numpy(),  # type: ignore[operator]
            entry.kwargs_for("evaluation", **env_kwargs),
        )
    return found


def _training_illegal_actions(run: RunDir) -> int | None:
    counts = read_metrics(run.metrics_path).get("illegal_actions")
    return None if counts is None or not counts.size else int(counts[-1])


def _fresh(description: Mapping[str, Any], seed: int) -> nn.Module:
    """The network with random weights, without moving the global random stream."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(Seeds(seed).integer("untrained"))
        return build_policy(description).eval()
