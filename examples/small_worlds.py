"""PPO on the two small worlds, with the mask and without it, beside random play and the optimum.

    python examples/small_worlds.py [packing outpost] [--seeds 4] [--jobs 2] [--out FILE]

Each run uses its world's own settings, in a process with one thread. Unmasked agents are
never told what is allowed, neither in training nor when judged: an illegal choice does
nothing and costs a step. All are judged on the same 500 test layouts. Runs are kept below
`--runs`; one that is finished is not repeated.
"""

from __future__ import annotations

import argparse
import multiprocessing
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from gymnasium.vector import VectorEnv, VectorWrapper
from torch import Tensor, nn

from maskrl.envs import make_vec
from maskrl.envs.contract import action_tree_of, describe, is_mask_key
from maskrl.envs.registry import find_entry
from maskrl.policies import load_policy
from maskrl.policies.predict import obs_to_tensors
from maskrl.runs.json_file import read_json, write_json
from maskrl.runs.run_dir import RunDir, env_slug
from maskrl.trainers.callbacks import Callback
from maskrl.trainers.evaluate import evaluate
from maskrl.trainers.mask_count import MaskCount
from maskrl.trainers.ppo import PPO, PPOConfig
from maskrl.trainers.validation import reference_returns

WORLDS = ("packing", "outpost")
REGIMES = ("unmasked", "masked")
LAYOUTS = 500
RESULT = "result.json"

Choose = Callable[[dict[str, Tensor]], Tensor]


class HiddenMask(VectorWrapper):
    """A vector environment that says of every action that it is allowed.

    Rules, rewards and the count of illegal actions stay what they are. Only who chooses
    illegally can run out of steps; the observation tells how many are left, so that this is
    an end like any other (`terminated`) and not a future cut off.
    """

    def reset(self, **kwargs: Any) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        """Begin, with nothing but True in the masks."""
        obs, infos = self.env.reset(**kwargs)
        return all_allowed(obs), infos

    def step(self, actions: Any) -> tuple[Any, ...]:
        """Step, with nothing but True in the masks, those of final observations included."""
        obs, rewards, terminated, truncated, infos = self.env.step(actions)
        if "final_obs" in infos:
            infos["final_obs"] = all_allowed(infos["final_obs"])
        ended = terminated | truncated
        return all_allowed(obs), rewards, ended, np.zeros_like(ended), infos

    def __getattr__(self, name: str) -> Any:
        """What else the environment has: its tree, its state, its count of illegal actions."""
        if name == "env":  # asked for before `__init__` has set it
            raise AttributeError(name)
        return getattr(self.env, name)


class Blindfold(nn.Module):
    """A policy that sees observations with nothing but True in their masks."""

    empty = "idle"  # a part with no legal choice is no reason to stop: it is not known here

    def __init__(self, policy: Any) -> None:
        super().__init__()
        self.policy = policy

    def distribution(self, obs: Mapping[str, Any]) -> Any:
        """Over all actions."""
        return self.policy.distribution(all_allowed(obs))


def all_allowed(obs: Mapping[str, Any]) -> dict[str, Any]:
    """An observation, of arrays or tensors, in which every mask is all True."""
    return {key: (x | True) if is_mask_key(key) else x for key, x in obs.items()}


@dataclass(frozen=True)
class Run:
    """One agent to train and judge.

    Attributes:
        world: The environment's id.
        regime: "masked" or "unmasked".
        seed: Of the training.
        steps: Of the environment; the world's own number if None.
        runs: The folder in which the run gets one of its own.
    """

    world: str
    regime: str
    seed: int
    steps: int | None
    runs: Path

    @property
    def name(self) -> str:
        """What progress lines call it."""
        return f"{self.world} {self.regime} seed {self.seed}"

    @property
    def folder(self) -> Path:
        """Where its checkpoints and its result are."""
        return self.runs / env_slug(self.world) / self.regime / f"seed-{self.seed}"

    @property
    def total_steps(self) -> int:
        """Steps to train."""
        return self.steps or int(find_entry(self.world).presets["ppo"]["total_steps"])


class Watch(Callback):
    """One line on stderr for each evaluation; ends the training with the command that began it."""

    def __init__(self, run: Run) -> None:
        self.run = run

    def on_rollout(self, trainer: Any, metrics: Mapping[str, float]) -> bool:
        """Go on unless the process that collects the results is gone."""
        parent = multiprocessing.parent_process()
        return parent is None or parent.is_alive()

    def on_evaluation(self, trainer: Any, result: Any) -> None:
        """Tell steps and the mean return on validation layouts."""
        say(f"{self.run.name}: {trainer.steps:,} steps, validation return {result.mean:.3f}")


def say(text: str) -> None:
    """Progress, which is no result."""
    print(f"{time.strftime('%H:%M:%S')} {text}", file=sys.stderr, flush=True)


def train(run: Run) -> PPO:
    """Train one agent; the best checkpoint by validation lies in the run's folder afterwards."""
    settings = {**find_entry(run.world).presets["ppo"], "threads": 1}
    del settings["total_steps"]
    config = PPOConfig.from_json(settings)
    env: str | VectorEnv[Any, Any, Any] = run.world
    if run.regime == "unmasked":
        env = HiddenMask(make_vec(run.world, config.num_envs))
    trainer = PPO(env, config, seed=run.seed)
    folder = RunDir.create(run.folder, overwrite=True)
    return trainer.learn(
        run.total_steps,
        run_dir=folder,
        callbacks=[Watch(run)],
        evaluator=lambda policy: evaluate(
            as_trained(policy, run),
            run.world,
            phase="validation",
            episodes=config.evaluation_episodes,
            with_reference=False,
        ),
    )


def as_trained(policy: nn.Module, run: Run) -> nn.Module:
    """The policy, shown the mask or not as in its training."""
    return policy if run.regime == "masked" else Blindfold(policy)


def judge(policy: Any, world: str) -> dict[str, float]:
    """Play every test layout once with the most probable actions, and once with sampled ones.

    Returns:
        Mean returns "greedy" and "sampled", and "illegal" and "illegal_sampled", the shares
        of steps with an illegal action.
    """
    generator = torch.Generator().manual_seed(0)
    greedy, illegal = play(lambda seen: policy.distribution(seen).mode, world)
    sampled, illegal_sampled = play(
        lambda seen: policy.distribution(seen).sample(generator=generator), world
    )
    return {
        "greedy": float(greedy.mean()),
        "sampled": float(sampled.mean()),
        "illegal": illegal,
        "illegal_sampled": illegal_sampled,
    }


@torch.inference_mode()
def play(choose: Choose, world: str) -> tuple[np.ndarray, float]:
    """All test layouts side by side, each until its episode ends.

    Args:
        choose: Actions for a batch of observations.
        world: The environment's id.

    Returns:
        The return on each layout [LAYOUTS], and the share of steps with an illegal action.
    """
    kwargs = find_entry(world).kwargs_for("evaluation", layout_seeds=LAYOUTS)
    venv = make_vec(world, LAYOUTS, **kwargs)
    about = describe(venv.single_observation_space, venv.single_action_space, action_tree_of(venv))
    counted = MaskCount(about, world, idles=True)
    obs, _ = venv.reset(seed=0)
    returns, lengths = np.zeros(LAYOUTS), np.zeros(LAYOUTS, np.int64)
    playing = np.ones(LAYOUTS, np.bool_)
    while playing.any():
        actions = choose(obs_to_tensors(obs)).numpy()
        counted.add(obs, actions, playing, lengths)
        obs, rewards, terminated, truncated, _ = venv.step(actions)
        returns += np.where(playing, rewards, 0.0)
        lengths += playing
        playing &= ~(terminated | truncated)
    return returns, counted.illegal / counted.steps


def train_and_judge(run: Run) -> dict[str, Any]:
    """Everything about one run, in the process that calls it; from its folder if it is done."""
    torch.set_num_threads(1)
    path = run.folder / RESULT
    if path.is_file():
        known: dict[str, Any] = read_json(path, advice="Delete its folder to train it anew.")
        if known["asked_steps"] == run.total_steps:
            return known
    trainer = train(run)
    if trainer.steps < run.total_steps:
        raise SystemExit(f"{run.name}: ended early, after {trainer.steps:,} steps")
    result = {
        "world": run.world,
        "regime": run.regime,
        "seed": run.seed,
        "asked_steps": run.total_steps,
        "steps": trainer.steps,
        "seconds": trainer.elapsed,
        **judge(as_trained(load_policy(run.folder), run), run.world),
    }
    write_json(path, result)
    return result


def make_runs(runs: Sequence[Run], jobs: int) -> list[dict[str, Any]]:
    """All runs, `jobs` at a time, each in a process of its own; with one job, in this one."""
    results = []

    def collect(result: dict[str, Any]) -> None:
        results.append(result)
        name = "{world} {regime} seed {seed}".format(**result)
        say(f"{name}: test return {result['greedy']:.3f} after {result['seconds']:.0f} seconds")

    if jobs == 1:
        for run in runs:
            collect(train_and_judge(run))
        return results
    waiting = list(reversed(runs))
    with ProcessPoolExecutor(jobs, mp_context=multiprocessing.get_context("spawn")) as pool:
        active: set[Future[dict[str, Any]]] = set()
        while waiting or active:
            # No more than there are processes: Ctrl-C ends those, and nothing waits behind them.
            while waiting and len(active) < jobs:
                active.add(pool.submit(train_and_judge, waiting.pop()))
            ended, active = wait(active, return_when=FIRST_COMPLETED)
            for future in ended:
                collect(future.result())
    return results


def references(world: str) -> dict[str, float]:
    """Exact means over the test layouts: "optimum", and "random" of uniform allowed actions."""
    returns = reference_returns(world, LAYOUTS)
    if returns is None:
        raise SystemExit(f"{world}: nothing is known about its optimum; try {' or '.join(WORLDS)}")
    return {"optimum": float(returns["planner"].mean()), "random": float(returns["random"].mean())}


def table(world: str, known: Mapping[str, float], results: Sequence[Mapping[str, Any]]) -> str:
    """What came out in one world, for people."""
    optimum = known["optimum"]
    lines = [
        f"{world}: {LAYOUTS} test layouts, {results[0]['steps']:,} steps of training",
        f"{'':<18}{'return':>8}{'of optimum':>12}{'illegal':>9}{'sampled':>10}{'illegal':>9}",
    ]

    def line(name: str, figures: Mapping[str, float]) -> None:
        text = f"{name:<18}{figures['greedy']:>8.3f}{figures['greedy'] / optimum:>12.1%}"
        if "sampled" in figures:
            text += f"{figures['illegal']:>9.1%}{figures['sampled']:>10.3f}"
            text += f"{figures['illegal_sampled']:>9.1%}"
        lines.append(text)

    line("random valid", {"greedy": known["random"]})
    for regime in REGIMES:
        seeds = sorted((r for r in results if r["regime"] == regime), key=lambda r: r["seed"])
        if seeds:
            figures = ("greedy", "illegal", "sampled", "illegal_sampled")
            line(f"{regime}, mean", {f: float(np.mean([r[f] for r in seeds])) for f in figures})
        for result in seeds:
            line(f"  seed {result['seed']}", result)
    line("optimum", {"greedy": optimum})
    return "\n".join(lines)


def positive(text: str) -> int:
    """A command line's whole number from 1 on."""
    if (number := int(text)) < 1:
        raise ValueError
    return number


def main(arguments: Sequence[str] | None = None) -> None:
    """Train, judge, and print a table for each world."""
    whole: Callable[[str], int] = positive
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("worlds", nargs="*", default=list(WORLDS), help="ids of environments")
    parser.add_argument("--seeds", type=whole, default=4, help="seeds 1 to this number")
    parser.add_argument("--steps", type=whole, help="of each run, instead of the world's own")
    parser.add_argument("--regimes", nargs="+", choices=REGIMES, default=list(REGIMES))
    parser.add_argument("--jobs", type=whole, default=2, help="runs at a time")
    parser.add_argument("--runs", type=Path, default=Path("runs/small-worlds"))
    parser.add_argument("--out", type=Path, help="write all figures to this JSON file too")
    options = parser.parse_args(arguments)
    known = {world: references(world) for world in options.worlds}
    results = make_runs(
        [
            Run(world, regime, seed, options.steps, options.runs)
            for world in options.worlds
            for seed in range(1, options.seeds + 1)
            for regime in options.regimes
        ],
        options.jobs,
    )
    parts = [
        table(world, known[world], [r for r in results if r["world"] == world]) for world in known
    ]
    print("\n\n".join(parts))
    if options.out is not None:
        write_json(options.out, {"references": known, "runs": results})


if __name__ == "__main__":
    main()
