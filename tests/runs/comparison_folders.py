"""A made-up comparison on disk for tests: nothing here trains."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from maskrl.runs.episode_log import EpisodeLog
from maskrl.runs.metrics import MetricsWriter
from maskrl.runs.run_dir import RunDir, env_slug

EPISODES = 20
TOTAL = 1000


def write_comparison(out, variants, *, seeds=(0, 1, 2, 3), threshold=None, window=2, total=TOTAL):
    """Write `compare.json` and the runs.

    Each variant: label, env, regime, and per seed a dict (`mean`, and what else its test has),
    or None for a run that is not finished; `returns` are of ten training episodes each, the
    share of allowed choices goes from `allowed_from` to a half, and rollouts without the mask
    from nothing to `without_mask`, where that is given.
    """
    out = Path(out)
    contenders, about = {}, {}
    for one in variants:
        label = one["label"]
        contenders[label] = {"env": one["env"], "total_steps": total, "ppo": {}}
        about[label] = {
            "env": one["env"],
            "regime": one.get("regime", "masked"),
            "varied": one.get("varied", {}),
            "algorithm": one.get("algorithm", "ppo"),
            "folder": env_slug(label),
        }
        for seed, test in zip(seeds, one["tests"], strict=True):
            folder = out / env_slug(label) / f"seed-{seed}"
            _write_run(folder, test, one.get("regime", "masked"), total)
    out.mkdir(parents=True, exist_ok=True)
    settings = {
        "format": 2,
        "seeds": list(seeds),
        "episodes": EPISODES,
        "threshold": threshold,
        "window": window,
        "contenders": contenders,
        "about": about,
    }
    (out / "compare.json").write_text(json.dumps(settings))
    return out


def _write_run(folder, test, regime, total):
    run = RunDir.create(folder)
    run.write_config({"env": "toy", "seed": 0})
    given = {} if test is None else dict(test)
    returns = given.pop("returns", np.linspace(0.0, given.get("mean", 0.0), 10).tolist())
    if test is None:
        returns = returns[:5]
    steps = [int(total * (k + 1) / 10) for k in range(len(returns))]
    charge = 0.5 if regime.startswith("penalty") else 0.0
    rows = [(step, value, total // 10, charge) for step, value in zip(steps, returns, strict=True)]
    EpisodeLog(run.episodes_path).write(rows)
    mass = given.pop("disallowed_mass", 0.25)
    shares = np.linspace(given.pop("allowed_from", 0.5), 0.5, len(steps)).tolist()
    without = given.pop("without_mask", None)
    spent = given.get("training_illegal_actions", 0)
    with MetricsWriter(run, tensorboard=False) as writer:
        for step, allowed in zip(steps, shares, strict=True):
            writer.write(
                step,
                {
                    "return_mean": 0.0,
                    "allowed_share": allowed,
                    "illegal_actions": spent * step // total,
                    "forced_share": 0.1,
                    "disallowed_mass": mass,
                    "kl_masked": 0.001,
                    "kl_unmasked": 0.01,
                    "kl_published": 0.02,
                    **({} if without is None else {"mask_removed_return": without * step / total}),
                },
                {"elapsed": step / 100},
            )
    if test is None:
        return
    run.write_evaluation(
        {
            "episodes": EPISODES,
            "random_mean": -1.0,
            "untrained_mean": -0.5,
            "illegal_actions": 0,
            "sampled": {"mean": given["mean"] - 0.1, "illegal_actions": 0},
            "step": total,
            **given,
        }
    )
