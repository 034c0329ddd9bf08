"""The evaluations during training: same layouts every time, scored against the planner.

They pick the best checkpoint and draw the score's curve. The validation layouts are
those of a split of their own, so that picking the best does not touch the test.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from torch import nn

from maskrl.envs.registry import Phase, find_entry, make_vec
from maskrl.errors import NoReferenceError
from maskrl.runs.seeding import Seeds
from maskrl.trainers.evaluate import Evaluation, Tell, ask_reference, evaluate
from maskrl.trainers.evaluation import PLANNER, Reference

LAYOUTS = 50
"""Validation layouts. Planning them takes a while once; playing each more often is cheap."""


class Validator:
    """Evaluates a policy on validation layouts; hand it to `learn(evaluator=...)`.

    Args:
        env_id: In any form that `maskrl.make` takes.
        episodes: Of each evaluation. A multiple of 50 plays 50 layouts equally often.
        env_kwargs: Arguments of the environment.
        seed: The run's; every evaluation of a run plays the same.

    Attributes:
        planner: The reference's mean return over the layouts, None without one.
        random: Random valid play's, likewise.
        reference_name: What the reference is: "planner", unless the environment says otherwise.
    """

    def __init__(
        self,
        env_id: str,
        *,
        episodes: int,
        env_kwargs: Mapping[str, Any] | None = None,
        seed: int = 0,
    ) -> None:
        self.env_id = env_id
        self.episodes = episodes
        self.layouts = LAYOUTS if episodes % LAYOUTS == 0 else episodes
        self.env_kwargs = dict(env_kwargs or {})
        self.seed = Seeds(seed).integer("evaluation") & 0x7FFFFFFF
        self.planner: float | None = None
        self.random: float | None = None
        self.reference_name = PLANNER

    def prepare(self, tell: Tell | None = None) -> None:
        """Plan the layouts now, so that no time of training goes into it.

        Args:
            tell: Called with (planned layouts, all layouts).
        """
        # A list of one's own may be longer: all episodes tell which of it are played.
        listed = "layout_seeds" in find_entry(self.env_id).kwargs_for(
            "validation", **self.env_kwargs
        )
        count = self.episodes if listed else self.layouts
        returns = reference_returns(
            self.env_id, count, env_kwargs=self.env_kwargs, phase="validation", tell=tell
        )
        if returns is not None:
            self.planner = float(returns.planner.mean())
            self.random = float(returns.random.mean())
            self.reference_name = returns.name

    def __call__(self, policy: nn.Module) -> Evaluation:
        """Evaluate a policy on the validation layouts."""
        return evaluate(
            policy,
            self.env_id,
            episodes=self.episodes,
            layouts=self.layouts,
            env_kwargs=self.env_kwargs,
            phase="validation",
            seed=self.seed,
        )


def reference_returns(
    env_id: str,
    layouts: int,
    *,
    env_kwargs: Mapping[str, Any] | None = None,
    phase: Phase = "evaluation",
    tell: Tell | None = None,
) -> Reference | None:
    """Planner's and random returns of the first layouts of a phase.

    Args:
        env_id: In any form that `maskrl.make` takes.
        layouts: How many.
        env_kwargs: Arguments of the environment.
        phase: "evaluation" or "validation".
        tell: Called with (planned layouts, all layouts).

    Returns:
        `[layouts]` float64 each; None without a reference, or where it cannot plan this
        environment.
    """
    entry = find_entry(env_id)
    if entry.reference is None:
        return None
    kwargs = entry.kwargs_for(phase, **(env_kwargs or {}))
    venv = make_vec(env_id, layouts, **{"layout_seeds": layouts, **kwargs})
    try:
        _, infos = venv.reset(seed=0)
    finally:
        venv.close()
    try:
        return ask_reference(entry.reference, kwargs, np.asarray(infos["layout_id"]), tell)
    except NoReferenceError:
        return None
