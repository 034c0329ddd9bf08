"""Scenes with hidden entities: what attention, an omniscient critic and a memory are worth.

    python examples/entity_learning.py [a b c] [--seeds 4] [--jobs 2] [--minutes 75] [--out FILE]

(a) the panda under partial sight, by attention that leaves hidden entities out, by the same
network fed zeros in their place, by a plain perceptron on the same numbers; (b) the value
masked like the policy or told everything; (c) with memory and without, where trees hide much.
All are judged on the same 500 test layouts. What is finished below `--runs` is not repeated,
and what was interrupted goes on where it was.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from html import escape
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces
from gymnasium.vector import VectorEnv, VectorWrapper
from gymnasium.vector.utils import batch_space

from maskrl.envs import make, make_vec
from maskrl.envs.registry import env_ids, find_entry, register
from maskrl.policies import load_policy
from maskrl.runs.checkpoint import load_checkpoint
from maskrl.runs.json_file import write_bytes_atomic, write_json
from maskrl.runs.metrics import read_metrics
from maskrl.runs.run_dir import RunDir
from maskrl.runs.statistics import bootstrap_interval, interquartile_mean
from maskrl.trainers.compare import Contender, finished_evaluation, plan_jobs, run_jobs
from maskrl.trainers.compare_worker import FINISHED, TRAINING, Job, Report, train_and_test

LAYOUTS = 500
SEEDS, JOBS, MINUTES = 4, 2, 75.0
TRAINING_SHARE = 0.85
"""Of the time; the rest is for starting, judging, and planning the layouts once."""


def zeroed(obs: Mapping[str, Any]) -> dict[str, Any]:
    """A scene in which whatever the panda does not see is a row of zeros, and there."""
    seen = obs["visibility"][..., 0, :] & obs["entity_mask"]
    seen[..., 0] = obs["entity_mask"][..., 0]  # itself
    rest = {key: value for key, value in obs.items() if key != "visibility"}
    return {**rest, "entities": np.where(seen[..., None], obs["entities"], np.float32(0))}


def flat(obs: Mapping[str, Any]) -> dict[str, Any]:
    """The same numbers in one row, and behind them which entities are there."""
    scene = zeroed(obs)
    there = scene["entity_mask"].astype(np.float32)
    numbers = scene["entities"].reshape(*there.shape[:-1], -1)
    return {
        "observation": np.concatenate([numbers, there], -1),
        "action_mask": scene["action_mask"],
    }


READINGS: dict[str, Callable[[Mapping[str, Any]], dict[str, Any]]] = {
    "panda-zeroed": zeroed,
    "panda-flat": flat,
}


def space_of(name: str, scene: Any) -> spaces.Dict:
    """What a reading makes of the panda's observation space."""
    entries = {key: space for key, space in scene.spaces.items() if key != "visibility"}
    if name == "panda-flat":
        rows, width = entries.pop("entities").shape
        del entries["entity_mask"]
        entries["observation"] = spaces.Box(-1.0, 1.0, (rows * (width + 1),), np.float32)
    return spaces.Dict(entries)


class ReadVectorEnv(VectorWrapper):
    """Panda worlds whose observations are read in another way; nothing else differs."""

    def __init__(self, name: str, env: VectorEnv[Any, Any, Any]) -> None:
        super().__init__(env)
        self.read = READINGS[name]
        self.single_observation_space = space_of(name, env.single_observation_space)
        self.observation_space = batch_space(self.single_observation_space, env.num_envs)

    def reset(self, **kwargs: Any) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        """Begin."""
        obs, infos = self.env.reset(**kwargs)
        return self.read(obs), infos

    def step(self, actions: Any) -> tuple[Any, ...]:
        """Step; final observations are read like all others."""
        obs, rewards, terminated, truncated, infos = self.env.step(actions)
        if "final_obs" in infos:
            infos = {**infos, "final_obs": self.read(infos["final_obs"])}
        return self.read(obs), rewards, terminated, truncated, infos

    def __getattr__(self, name: str) -> Any:
        """What else the worlds have: their state, their count of illegal actions."""
        if name == "env":  # asked for before `__init__` has set it
            raise AttributeError(name)
        return getattr(self.env, name)


class ReadEnv(gymnasium.ObservationWrapper):
    """The same for a single world, to watch."""

    def __init__(self, name: str, env: gymnasium.Env[Any, Any]) -> None:
        super().__init__(env)
        self.read = READINGS[name]
        self.observation_space = space_of(name, env.observation_space)

    def observation(self, observation: Any) -> dict[str, np.ndarray]:
        """The observation, read."""
        return self.read(observation)


def make_read(name: str, **kwargs: Any) -> gymnasium.Env[Any, Any]:
    """One panda's world, read."""
    return ReadEnv(name, make("panda", **kwargs))


def make_read_vec(name: str, num_envs: int, **kwargs: Any) -> ReadVectorEnv:
    """Many of them."""
    return ReadVectorEnv(name, make_vec("panda", num_envs, **kwargs))


for reading in READINGS:  # in every process that imports this file
    if reading not in env_ids():
        register(
            replace(
                find_entry("panda"),
                id=reading,
                summary="the panda's world, its observation read in another way",
                make=partial(make_read, reading),
                make_vec=partial(make_read_vec, reading),
            )
        )


@dataclass(frozen=True)
class Arm:
    """One way to learn one world, with several seeds.

    Attributes:
        name: Short, for tables and folders.
        meaning: What it is, in a line.
        world: The environment's id.
        network: Settings of the network that differ from the world's own.
        steps: Of training.
        weight: About how long a run takes beside the others; shares out the time.
    """

    name: str
    meaning: str
    world: str
    network: Mapping[str, Any] = field(default_factory=dict)
    steps: int = 750_000
    weight: float = 1.0

    @property
    def config(self) -> dict[str, Any]:
        """PPO's settings: the world's own, with this network and one thread."""
        settings = {**find_entry(self.world).presets["ppo"], "threads": 1}
        del settings["total_steps"]
        network = {**settings.get("network", {}), **self.network}
        return {**settings, "network": network, "evaluate_every": max(1, self.steps // 10)}


HIDDEN, LONG = "panda-hidden", 2_000_000
FLAT = {"hidden": (128, 128)}  # about as many parameters as the attention has
OWN = {"shared": False}
ALL = {"critic_sees": "everything"}
ARMS = (
    Arm("attention", "attention leaves hidden entities out", "panda"),
    Arm("zeros", "the same network, hidden entities are zeros", "panda-zeroed"),
    Arm("flat", "a perceptron on the same zeroed numbers", "panda-flat", FLAT, weight=0.1),
    Arm("own-masked", "own weights, critic masked like the actor", "panda", OWN, weight=1.9),
    Arm("own-everything", "own weights, critic sees everything", "panda", OWN | ALL, weight=1.9),
    Arm("twice-everything", "shared weights run twice, critic sees all", "panda", ALL, weight=1.9),
    Arm("memory", "with memory (GRU)", HIDDEN, {"memory": "gru"}, LONG, weight=2.15),
    Arm("no-memory", "without memory", HIDDEN, {"memory": "none"}, LONG, weight=1.25),
)
BY_NAME = {arm.name: arm for arm in ARMS}


@dataclass(frozen=True)
class Question:
    """What is compared, and with what."""

    key: str
    title: str
    arms: tuple[str, ...]
    pairs: tuple[tuple[str, str], ...]


QUESTIONS = (
    Question(
        "a",
        "hidden entities",
        ("attention", "zeros", "flat"),
        (("attention", "zeros"), ("attention", "flat"), ("zeros", "flat")),
    ),
    Question(
        "b",
        "what the critic sees",
        ("attention", "twice-everything", "own-masked", "own-everything"),
        (("twice-everything", "attention"), ("own-everything", "own-masked")),
    ),
    Question("c", "memory", ("memory", "no-memory"), (("memory", "no-memory"),)),
)


def contender(arm: Arm, minutes: float, steps: int | None) -> Contender:
    """An arm as a comparison takes it: its own steps, and its share of all the time.

    Args:
        arm: Which.
        minutes: For all arms with `SEEDS` seeds each, `JOBS` at a time.
        steps: Instead of the arm's own.
    """
    each = TRAINING_SHARE * minutes * JOBS / SEEDS / sum(other.weight for other in ARMS)
    arm = arm if steps is None else replace(arm, steps=steps)
    return Contender(arm.name, arm.world, {}, arm.config, arm.steps, each * arm.weight)


def make_runs(jobs: Sequence[Job], names: Sequence[str], workers: int) -> None:
    """All runs that are not finished, each in a process of its own; one at a time in this one."""
    told: dict[int, tuple[str, float]] = {}

    def listen(number: int, report: Report) -> None:
        state, when = told.get(number, ("", 0.0))
        if report.state == state and time.monotonic() - when < 30:
            return
        told[number] = (report.state, time.monotonic())
        figures = ", ".join(f"{name} {value:,.6g}" for name, value in report.facts.items())
        say(f"{names[number]}: {report.state} {figures} {report.message}".rstrip())

    if workers > 1:
        states = run_jobs(jobs, workers=workers, listen=listen)
        if unfinished := [n for n, s in zip(names, states, strict=True) if s != FINISHED]:
            raise SystemExit(f"not finished: {', '.join(unfinished)}; the same command goes on")
        return
    for number, job in enumerate(jobs):
        if finished_evaluation(job) is None:
            train_and_test(job, partial(tell_report, partial(listen, number)), os.getppid())


def tell_report(listen: Callable[[Report], None], state: str, message: str = "", **facts: float):
    """What `train_and_test` says, as a report."""
    if state != TRAINING or "score" in facts:
        listen(Report(state, facts, message))


def say(text: str) -> None:
    """Progress, which is no result."""
    print(f"{time.strftime('%H:%M:%S')} {text}", file=sys.stderr, flush=True)


def figures_of(arm: Arm, jobs: Sequence[Job]) -> dict[str, Any]:
    """What came out of all runs of an arm: every seed, and what they come to."""
    tests = [finished_evaluation(job) or {} for job in jobs]
    columns = [read_metrics(RunDir(job.folder).metrics_path) for job in jobs]
    curves = [np.asarray(c["eval_score"])[~np.isnan(c["eval_score"])] for c in columns]
    last = [load_checkpoint(RunDir(job.folder).last_checkpoint)[1]["progress"] for job in jobs]
    policy = load_policy(jobs[0].folder)
    scores = [float(test["score"]) for test in tests]
    sampled = [float(test["sampled"]["score"]) for test in tests]
    under_way = [float(curve.mean()) for curve in curves]
    return {
        "arm": arm.name,
        "meaning": arm.meaning,
        "world": arm.world,
        "parameters": sum(p.numel() for p in policy.parameters()),
        "seeds": [job.seed for job in jobs],
        "asked_steps": jobs[0].total_steps,
        "steps": [int(progress["steps"]) for progress in last],
        "seconds": [float(progress["elapsed"]) for progress in last],
        "scores": scores,
        "interquartile_mean": interquartile_mean(scores),
        "interval": bootstrap_interval(scores),
        "sampled_scores": sampled,
        "sampled_interquartile_mean": interquartile_mean(sampled),
        "sampled_interval": bootstrap_interval(sampled),
        "under_way": under_way,
        "under_way_interquartile_mean": interquartile_mean(under_way),
        "under_way_interval": bootstrap_interval(under_way),
        "illegal_actions": sum(
            int(t["illegal_actions"]) + int(t["training_illegal_actions"]) for t in tests
        ),
    }


FIGURES = {"": "at the end", "sampled_": "at the end, by sampled actions"}
FIGURES["under_way_"] = "while training"
"""What the arms are compared by: beginnings of names in `figures_of`, and what they mean."""


def verdict(first: Mapping[str, Any], second: Mapping[str, Any], of: str = "") -> dict[str, Any]:
    """Whether the intervals of two arms separate, in figures and in words.

    Args:
        first: `figures_of` an arm.
        second: Of another.
        of: Which of `FIGURES`.
    """
    a, b = first[f"{of}interval"], second[f"{of}interval"]
    difference = first[f"{of}interquartile_mean"] - second[f"{of}interquartile_mean"]
    several = min(len(first["seeds"]), len(second["seeds"])) > 1
    separate = several and (a[0] > b[1] or b[0] > a[1])
    better, worse = (first, second) if difference >= 0 else (second, first)
    what = FIGURES[of]
    if separate:
        words = f"{better['arm']} is better than {worse['arm']}: the intervals separate"
    elif not several:
        words = f"one seed cannot tell {first['arm']} and {second['arm']} apart"
    else:
        words = f"{first['arm']} and {second['arm']} are not told apart: the intervals overlap"
    shown = f"{a[0]:.3f} to {a[1]:.3f} and {b[0]:.3f} to {b[1]:.3f}"
    return {
        "arms": [first["arm"], second["arm"]],
        "of": what,
        "difference": difference,
        "separate": separate,
        "words": f"{what}, {words} ({shown}, difference {difference:+.3f})",
    }


def table(question: Question, results: Mapping[str, Mapping[str, Any]]) -> str:
    """A question's arms, seed by seed, and what may be said of them; Markdown."""
    arms = [results[name] for name in question.arms]
    seeds = arms[0]["seeds"]
    head = ["", *(f"seed {s}" for s in seeds), "interquartile mean", "95 % interval"]
    head += ["sampled actions", "95 % interval", "while training", "95 % interval"]
    head += ["parameters", "minutes"]
    lines = [f"({question.key}) {question.title}: score, {LAYOUTS} test layouts", ""]
    lines += ["| " + " | ".join(head) + " |", "|---" * len(head) + "|"]
    for arm in arms:
        cells = [arm["meaning"], *(f"{score:.3f}" for score in arm["scores"])]
        for of in FIGURES:
            low, high = arm[f"{of}interval"]
            cells += [f"{arm[f'{of}interquartile_mean']:.3f}", f"{low:.3f} to {high:.3f}"]
        minutes = np.asarray(arm["seconds"]) / 60
        cells += [f"{arm['parameters']:,}", f"{minutes.min():.1f} to {minutes.max():.1f}"]
        lines.append("| " + " | ".join(cells) + " |")
    lines.append("")
    for arm in arms:
        short = [s for s, n in zip(seeds, arm["steps"], strict=True) if n < arm["asked_steps"]]
        if short:
            lines.append(
                f"- {arm['arm']}: out of time before {arm['asked_steps']:,} steps: {short}"
            )
    for one, other in question.pairs:
        for of in FIGURES:
            lines.append(f"- {verdict(results[one], results[other], of)['words']}")
    return "\n".join(lines)


def picture(asked: Sequence[Question], results: Mapping[str, Mapping[str, Any]]) -> str:
    """Every seed as a dot, interquartile mean and interval as a line; SVG, light and dark."""
    low = min(min(arm["scores"]) for arm in results.values())
    low = np.floor(10 * min(low, 0.9)) / 10
    left, right, row = 350, 860, 26
    style = (
        "text{font:14px system-ui,sans-serif;fill:#1c2430}.m{fill:#5a6574;font-size:12px}"
        ".q{font-weight:600}.g{stroke:#d5dae1}.d{fill:#2a78d0;fill-opacity:.55}.i{stroke:#d4602a;stroke-width:3}"
        "@media(prefers-color-scheme:dark){text{fill:#e6eaf0}.m{fill:#a3adba}.g{stroke:#3a434e}}"
    )

    def x(score: float) -> float:
        return float(left + (right - left) * (score - low) / (1.0 - low))

    parts: list[str] = []
    y = 30
    for question in asked:
        parts.append(f'<text class="q" x="8" y="{y}">({question.key}) {question.title}')
        parts.append("</text>")
        for name in question.arms:
            y += row
            arm = results[name]
            a, b = arm["interval"]
            middle = x(arm["interquartile_mean"])
            parts.append(f'<text x="24" y="{y}">{escape(arm["meaning"])}</text>')
            parts.append(f'<path class="i" d="M{x(a):.1f} {y - 5}H{x(b):.1f}"/>')
            parts.append(f'<path class="i" d="M{middle:.1f} {y - 12}v14"/>')
            for score, seed in zip(arm["scores"], arm["seeds"], strict=True):
                dot = f'<circle class="d" cx="{x(score):.1f}" cy="{y - 5}" r="4.5">'
                parts.append(f"{dot}<title>seed {seed}: {score:.3f}</title></circle>")
        y += 40
    grid = []
    for tick in np.arange(low, 1.0001, 0.1 if low < 0.8 else 0.05):
        grid.append(f'<path class="g" d="M{x(tick):.1f} 12V{y - 26}"/>')
        grid.append(f'<text class="m" x="{x(tick):.1f}" y="{y - 8}" text-anchor="middle">')
        grid.append(f"{tick:.2f}</text>")
    caption = "score: 0 random valid play, 1 the planner that sees everything"
    grid.append(f'<text class="m" x="{right}" y="{y + 12}" text-anchor="end">{caption}</text>')
    size = f'width="900" height="{y + 24}" viewBox="0 0 900 {y + 24}"'
    body = "\n".join([*grid, *parts])
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} role="img" aria-label="scores by arm">'
        f"<style>{style}</style>\n{body}\n</svg>\n"
    )


def positive(text: str) -> int:
    """A command line's whole number from 1 on."""
    if (number := int(text)) < 1:
        raise ValueError
    return number


def main(arguments: Sequence[str] | None = None) -> None:
    """Train, judge, and print a table for each question."""
    whole: Callable[[str], int] = positive
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    keys = [question.key for question in QUESTIONS]
    parser.add_argument("questions", nargs="*", default=keys, metavar="QUESTION", help="a, b, c")
    parser.add_argument("--seeds", type=whole, default=SEEDS, help="seeds 1 to this number")
    parser.add_argument("--steps", type=whole, help="of each run, instead of the arm's own")
    parser.add_argument("--jobs", type=whole, default=JOBS, help="runs at a time")
    parser.add_argument(
        "--minutes", type=float, default=MINUTES, help="of all arms with 4 seeds, two at a time"
    )
    parser.add_argument("--runs", type=Path, default=Path("runs/entities"))
    parser.add_argument("--out", type=Path, help="write all figures to this JSON file too")
    parser.add_argument("--picture", type=Path, help="and draw them into this SVG file")
    options = parser.parse_args(arguments)
    if unknown := set(options.questions) - set(keys):
        parser.error(f"no such question: {', '.join(sorted(unknown))}; there are a, b and c")
    asked = [question for question in QUESTIONS if question.key in options.questions]
    arms = [arm for arm in ARMS if any(arm.name in question.arms for question in asked)]
    jobs = plan_jobs(
        [contender(arm, options.minutes, options.steps) for arm in arms],
        range(1, options.seeds + 1),
        options.runs,
        episodes=LAYOUTS,
    )
    own = {arm.name: jobs[k :: len(arms)] for k, arm in enumerate(arms)}
    make_runs(jobs, [f"{job.folder.parent.name} {job.folder.name}" for job in jobs], options.jobs)
    results = {arm.name: figures_of(arm, own[arm.name]) for arm in arms}
    print("\n\n".join(table(question, results) for question in asked))
    if options.out is not None:
        said = [
            verdict(results[one], results[other], of)
            for question in asked
            for one, other in question.pairs
            for of in FIGURES
        ]
        write_json(options.out, {"arms": list(results.values()), "verdicts": said})
    if options.picture is not None:
        write_bytes_atomic(options.picture, picture(asked, results).encode())


if __name__ == "__main__":
    main()
