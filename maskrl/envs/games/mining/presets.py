"""What PPO trains mining with: the usual settings, the published ones, and these corrected.

The published settings are those of the article that the task is from, as its code has them;
what they cannot say is listed in docs/mining.md. Plain data: nothing compiled is imported.
"""

from __future__ import annotations

from typing import Any

USUAL: dict[str, Any] = {
    "num_envs": 8,
    "rollout_steps": 32,  # small rollouts: harvesting is found early, and learned from at once
    "minibatch_size": 128,
    "epochs": 4,
    "gae_lambda": 0.97,
    "learning_rate": 1e-3,
    "entropy_coef": 0.01,
    "entropy_coef_final": 0.0,  # what was found is then done reliably
    "empty": "idle",  # while no unit is free nothing is decided
    "network": {"shared": True, "channels": (16, 32), "hidden": (128,), "activation": "relu"},
    "evaluate_every": 50_000,
    "evaluation_episodes": 16,  # nothing is random but the agent
    "total_steps": 100_000,
}
"""Masked PPO on mining: few environments, short rollouts, one network for policy and value."""

AS_PUBLISHED: dict[str, Any] = {
    "env": {"masks": "published"},
    "native_penalties": True,  # what cannot be carried out passes as the engine lets it pass
    "num_envs": 1,
    "rollout_steps": 2048,
    "minibatch_size": 256,
    "epochs": 10,
    "gamma": 0.99,
    "gae_lambda": 0.97,
    "clip": 0.2,
    "ratio": "head",
    "value_clip": 0.2,
    "entropy_coef": -0.01,
    "entropy_of": "action",
    "value_coef": 1.0,  # half the squared error
    "max_grad_norm": 4.0,  # of the sum over eight parts: 0.5 of their mean
    "value_max_grad_norm": 0.5,
    "learning_rate": 3e-4,
    "anneal_steps": 500_000,  # of which the first fifth is trained
    "adam_eps": 1e-8,
    "bootstrap_truncated": False,
    "normalize_observations": True,
    "normalize_novelty": True,
    "mask_removed_rollouts": "native",  # what is seen without the mask moves the statistics too
    "empty": "idle",
    "threads": 1,
    "evaluate_every": 0,
    "evaluation_episodes": 100,
    "total_steps": 100_000,
}
"""What the article about masks that the task is from was trained with, its mistakes included: a
trust region for every part of an action, and an entropy bonus that is a penalty and no entropy."""

CORRECTED: dict[str, Any] = {
    **AS_PUBLISHED,
    "ratio": "joint",
    "clip": 0.5,  # of a product of eight ratios: 0.2 * 8 ** 0.5 is 0.57
    "entropy_coef": 0.01,
    "entropy_of": "policy",
    "mask_removed_rollouts": None,
}
"""The same with one ratio for the whole action, a bonus for entropy, and statistics of what was
seen in training alone. The logarithm of that ratio is a sum over the parts of an action, and most
of them count for nothing in a step and move all the same: left at 0.2, its trust region would be
the narrower one by far."""

NETWORKS: dict[str, dict[str, Any]] = {
    "4x4": {"channels": (16,), "kernels": (2,)},
    "10x10": {"channels": (16, 32), "kernels": (3, 3)},
    "16x16": {"channels": (16, 32), "kernels": (3, 3)},
    "24x24": {"channels": (16, 32), "kernels": (3, 2), "pool": 2},
}
"""The article's convolutions, which see whole windows only, for policy and value each."""


def mining_presets(board: str) -> dict[str, dict[str, Any]]:
    """The presets of one map: "ppo", "ppo:as_published" and "ppo:corrected"."""
    network = {
        **NETWORKS[board],
        "padding": "none",
        "weights": "torch",
        "hidden": (128,),
        "activation": "relu",
        "shared": False,
    }
    return {
        "ppo": USUAL,
        "ppo:as_published": {**AS_PUBLISHED, "network": network},
        "ppo:corrected": {**CORRECTED, "network": network},
    }
