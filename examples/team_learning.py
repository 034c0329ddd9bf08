"""Teams: what they learn, under fog, without one mask or both, and by which ratio.

    python examples/team_learning.py [a b c d] [--seeds 4] [--jobs 2] [--out FILE] [--picture FILE]

(a) eight pandas, each under its own sight, beside random valid play and a scripted team;
(b) the same network without fog, and a network over the whole grid; (c) agent mask and
action mask, each on and off; (d) PPO's ratio for the whole team or for each agent, at 4, 16
and 64 agents. What is finished below `--runs` is not repeated, and what was interrupted goes
on where it was.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from team_tables import Question, picture, table, verdicts

from maskrl.envs import make_vec
from maskrl.envs.registry import find_entry
from maskrl.errors import RunFolderError
from maskrl.policies import load_policy
from maskrl.policies.predict import obs_to_tensors
from maskrl.runs.checkpoint import load_checkpoint
from maskrl.runs.json_file import write_bytes_atomic, write_json
from maskrl.runs.metrics import read_metrics
from maskrl.runs.run_dir import RunDir
from maskrl.runs.statistics import bootstrap_interval
from maskrl.trainers.compare import Contender, finished_evaluation, plan_jobs, run_jobs
from maskrl.trainers.compare_worker import FINISHED, TRAINING, Job, Report, train_and_test

LAYOUTS = 500
SEEDS, JOBS = 4, 2
LISTENED = (64, 64)
"""Worlds and steps of play over which an entropy is measured."""
PANDAS, GRID = "pandas", "pandas-grid"


@dataclass(frozen=True)
class Arm:
    """One way to learn one world, with several seeds.

    Attributes:
        name: Short, for folders and verdicts.
        meaning: What it is, in a line.
        world: The environment's id.
        steps: Of all environments together, to train.
        minutes: At most, of each run.
        settings: Of the environment.
        ppo: Settings that differ from the world's own; those of the network are joined.
        seeds: How many, where they differ from the others'.
    """

    name: str
    meaning: str
    world: str
    steps: int
    minutes: float
    settings: Mapping[str, Any] = field(default_factory=dict)
    ppo: Mapping[str, Any] = field(default_factory=dict)
    seeds: int = SEEDS

    @property
    def config(self) -> dict[str, Any]:
        """PPO's settings: the world's own and the arm's, with one thread and few interruptions."""
        own = {k: v for k, v in find_entry(self.world).presets["ppo"].items() if k != "total_steps"}
        network = {**own.get("network", {}), **self.ppo.get("network", {})}
        often = max(1, self.steps // 8)
        return {**own, "evaluate_every": often, **self.ppo, "network": network, "threads": 1}


SIZES = {4: 5, 16: 10, 64: 20}
"""Agents, and the side of a grid on which each has as much room."""
TEAM = {"critic": "team", "death": "posthumous", "gamma": 0.85}
"""What cells without identity, and a joint ratio, can be learned with."""
CROWD = {"normalize_rewards": True, "num_envs": 16, "rollout_steps": 32, "minibatch_size": 64}
"""What a large team needs beside: its rewards are large, and a step of it costs much."""
SHORT = {"scorpions": 0, "step_limit": 12}
"""A world in which a run of minutes learns something: who eats how much in a short time."""


def without(*masks: str) -> dict[str, Any]:
    """The setting of a world without these masks."""
    return {"remove_masks": ",".join(masks)} if masks else {}


ARMS = (
    Arm("fog", "each panda under its own sight", PANDAS, 320_000, 8.0),
    Arm("open", "the same network, nothing hidden", PANDAS, 320_000, 10.0, {"sight": "full"}),
    Arm("grid", "a network over the whole grid", GRID, 320_000, 8.0),
    *(
        Arm(name, meaning, GRID, 120_000, 3.0, without(*gone), TEAM)
        for name, meaning, gone in (
            ("both-masks", "agent mask and action mask", ()),
            ("no-action-mask", "agent mask alone", ("action_mask",)),
            ("no-agent-mask", "action mask alone", ("agent_mask",)),
            ("no-masks", "no mask", ("action_mask", "agent_mask")),
        )
    ),
    *(
        Arm(
            f"{ratio}-{agents}",
            f"{agents} agents, {what}",
            GRID,
            40_000,
            3.0,
            {"pandas": agents, "width": side, "max_trees": agents // 2, **SHORT},
            {**TEAM, **CROWD, "ratio": ratio},
            seeds=3,
        )
        for agents, side in SIZES.items()
        for ratio, what in (("joint", "one ratio of the team"), ("agent", "a ratio of each"))
    ),
)
BY_NAME = {arm.name: arm for arm in ARMS}

SCORE, RETURN = ("score", "sampled_score"), ("return", "sampled_return")
ENTROPY = ("entropy_acting", "entropy_trained")
CLIPPED = ("clipped_joint", "clipped_agent", "clipped_head")


MASKS = ("both-masks", "no-action-mask", "no-agent-mask", "no-masks")
QUESTIONS = (
    Question("a", "eight pandas", ("fog",), (), SCORE + RETURN, ()),
    Question(
        "b",
        "fog, no fog, the whole grid",
        ("fog", "open", "grid"),
        (("open", "fog"), ("grid", "fog"), ("open", "grid")),
        SCORE + RETURN,
        ("score", "sampled_score"),
    ),
    Question(
        "c",
        "agent mask and action mask",
        MASKS,
        tuple((MASKS[0], other) for other in MASKS[1:]),
        RETURN + ENTROPY,
        ("return", "sampled_return", "entropy_acting"),
    ),
    Question(
        "d",
        "the ratio of the team, or of each agent",
        tuple(arm.name for arm in ARMS if arm.name.startswith(("joint-", "agent-"))),
        tuple((f"agent-{agents}", f"joint-{agents}") for agents in SIZES),
        SCORE + CLIPPED,
        ("score", "sampled_score", "clipped_joint"),
    ),
)


def contender(arm: Arm, patience: float, steps: int | None) -> Contender:
    """An arm as a comparison takes it.

    Args:
        arm: Which.
        patience: How many times its own minutes a run may take.
        steps: Instead of the arm's own.
    """
    arm = arm if steps is None else replace(arm, steps=steps)
    minutes = patience * arm.minutes
    return Contender(arm.name, arm.world, dict(arm.settings), arm.config, arm.steps, minutes)


def make_runs(jobs: Sequence[Job], names: Sequence[str], workers: int) -> None:
    """All runs that are not finished, each in a process of its own; one at a time in this one."""
    told_last: dict[int, tuple[str, float]] = {}

    def listen(number: int, report: Report) -> None:
        state, when = told_last.get(number, ("", 0.0))
        if report.state == state and time.monotonic() - when < 30:
            return
        told_last[number] = (report.state, time.monotonic())
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
            if finished_evaluation(job) is None:  # the terminal that began it is gone
                raise SystemExit(f"not finished: {names[number]}; the same command goes on")


def tell_report(listen: Callable[[Report], None], state: str, message: str = "", **facts: float):
    """What `train_and_test` says, as a report."""
    if state != TRAINING or "score" in facts:
        listen(Report(state, facts, message))


def say(text: str) -> None:
    """Progress, which is no result."""
    print(f"{time.strftime('%H:%M:%S')} {text}", file=sys.stderr, flush=True)


def plan(arms: Sequence[Arm], seeds: int | None, jobs: int, patience: float) -> str:
    """How many runs there are, and how long they may take."""
    runs = [(arm.minutes * patience, min(arm.seeds, seeds or arm.seeds)) for arm in arms]
    minutes = sum(limit * count for limit, count in runs)
    number = sum(count for _, count in runs)
    return (
        f"{number} runs of at most {max(limit for limit, _ in runs):g} minutes of training, "
        f"{jobs} at a time: at most {minutes / jobs:.0f} minutes, beside starting and judging"
    )


def entropy_of_agents(policy: torch.nn.Module, arm: Arm) -> float:
    """Mean entropy of who acts, by sampled play: nats per agent and step.

    Measured over the true agents whatever the arm was trained with, and under the action masks
    that it was trained with.
    """
    settings = dict(arm.settings)
    removed = settings.pop("remove_masks", "").split(",")
    env = make_vec(arm.world, LISTENED[0], **find_entry(arm.world).evaluation_kwargs, **settings)
    generator = torch.Generator().manual_seed(0)
    obs, _ = env.reset(seed=0)
    total = agents = 0.0
    with torch.inference_mode():
        for _ in range(LISTENED[1]):
            seen = dict(obs)
            if "action_mask" in removed:
                seen["action_mask"] = np.ones_like(obs["action_mask"])
            tensors = obs_to_tensors(seen)
            distribution = policy.distribution(tensors)
            total += float(distribution.entropy().sum())
            agents += float(obs["agent_mask"].sum())
            actions, _ = policy.predict(seen, deterministic=False, generator=generator)
            obs, *_ = env.step(actions)
    env.close()
    return total / max(1.0, agents)


def figures_of(arm: Arm, jobs: Sequence[Job], asked: Sequence[str]) -> dict[str, Any]:
    """What came out of all runs of an arm: every seed, and what they come to.

    Args:
        arm: Which.
        jobs: Its runs, one for each seed.
        asked: Measures that some table wants.
    """
    tests = [finished_evaluation(job) or {} for job in jobs]
    columns = [read_metrics(RunDir(job.folder).metrics_path) for job in jobs]
    last = [load_checkpoint(RunDir(job.folder).last_checkpoint)[1]["progress"] for job in jobs]
    policies = [load_policy(job.folder) for job in jobs]
    read: dict[str, Callable[[int], Any]] = {
        "score": lambda k: tests[k].get("score"),
        "sampled_score": lambda k: tests[k]["sampled"].get("score"),
        "return": lambda k: tests[k]["mean"],
        "sampled_return": lambda k: tests[k]["sampled"]["mean"],
        "entropy_acting": lambda k: entropy_of_agents(policies[k], arm),
        "entropy_trained": lambda k: tail_mean(columns[k], "entropy"),
        **{
            name: partial(lambda column, k: whole_mean(columns[k], column), column)
            for name, column in (
                (name, name.replace("clipped", "clip_fraction")) for name in CLIPPED
            )
        },
    }
    measures: dict[str, Any] = {}
    for name in asked:
        values = [read[name](k) for k in range(len(jobs))]
        if any(value is None for value in values):
            continue  # an environment without a reference has no score
        measures[name] = {
            "seeds": values,
            "mean": float(np.mean(values)),
            "interval": bootstrap_interval(values, statistic=lambda x: x.mean(-1)),
        }
    return {
        "arm": arm.name,
        "meaning": arm.meaning,
        "world": arm.world,
        "settings": dict(arm.settings),
        "parameters": sum(p.numel() for p in policies[0].parameters()),
        "episodes": jobs[0].episodes,
        "seeds": [job.seed for job in jobs],
        "asked_steps": jobs[0].total_steps,
        "steps": [int(progress["steps"]) for progress in last],
        "minutes": [float(progress["elapsed"]) / 60 for progress in last],
        "ahead": [ahead_of_steps(columns[k], job) for k, job in enumerate(jobs)],
        "random": tests[0].get("random_mean"),
        "script": tests[0].get("planner_mean"),
        "illegal_actions": [
            int(t["illegal_actions"]) + int(t["training_illegal_actions"]) for t in tests
        ],
        **measures,
    }


def ahead_of_steps(columns: Mapping[str, np.ndarray], job: Job) -> float:
    """How much of its run a run was annealed ahead of its steps, at most, by the clock.

    The learning rate fades with the steps or with the minutes, whichever are further, so that
    of two arms of equal steps the slower one may have learned at a lower rate.
    """
    before = np.concatenate(([0.0], columns["step"][:-1]))
    faded = 1.0 - columns["learning_rate"] / job.config["learning_rate"]
    return float(max(0.0, (faded - before / job.total_steps).max()))


def whole_mean(columns: Mapping[str, np.ndarray], name: str) -> float:
    """Mean of a metric over a run."""
    return float(np.nanmean(columns[name]))


def tail_mean(columns: Mapping[str, np.ndarray], name: str) -> float:
    """Mean of a metric over the last tenth of a run."""
    values = columns[name][~np.isnan(columns[name])]
    return float(values[-max(1, len(values) // 10) :].mean())


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
    parser.add_argument("questions", nargs="*", default=keys, metavar="QUESTION", help="a, b, c, d")
    parser.add_argument("--seeds", type=whole, help="at most so many of each arm")
    parser.add_argument("--steps", type=whole, help="of each run, instead of the arm's own")
    parser.add_argument("--jobs", type=whole, default=JOBS, help="runs at a time")
    parser.add_argument(
        "--patience", type=float, default=1.0, help="how many times its own minutes a run may take"
    )
    parser.add_argument("--plan", action="store_true", help="say how long it takes, and end")
    parser.add_argument("--runs", type=Path, default=Path("runs/teams"))
    parser.add_argument("--out", type=Path, help="write all figures to this JSON file too")
    parser.add_argument("--picture", type=Path, help="and draw them into this SVG file")
    options = parser.parse_args(arguments)
    if unknown := set(options.questions) - set(keys):
        parser.error(f"no such question: {', '.join(sorted(unknown))}; there are a, b, c and d")
    asked = [question for question in QUESTIONS if question.key in options.questions]
    arms = [arm for arm in ARMS if any(arm.name in question.arms for question in asked)]
    say(plan(arms, options.seeds, options.jobs, options.patience))
    if options.plan:
        return
    own: dict[str, list[Job]] = {}
    for arm in arms:
        seeds = range(1, min(arm.seeds, options.seeds or arm.seeds) + 1)
        takes_part = [contender(arm, options.patience, options.steps)]
        try:
            own[arm.name] = plan_jobs(takes_part, seeds, options.runs, episodes=LAYOUTS)
        except RunFolderError as error:  # it calls the folder as `maskrl compare` does
            raise RunFolderError(str(error).replace("--out", "--runs")) from error
    jobs = sorted((job for each in own.values() for job in each), key=lambda job: job.seed)
    make_runs(jobs, [f"{job.folder.parent.name} {job.folder.name}" for job in jobs], options.jobs)
    wanted = {
        arm.name: [m for q in asked if arm.name in q.arms for m in q.measures] for arm in arms
    }
    results = {arm.name: figures_of(arm, own[arm.name], wanted[arm.name]) for arm in arms}
    print("\n\n".join(table(question, results) for question in asked))
    if options.out is not None:
        said = [words for question in asked for words in verdicts(question, results)]
        write_json(options.out, {"arms": list(results.values()), "verdicts": said})
    if options.picture is not None:
        write_bytes_atomic(options.picture, picture(asked, results).encode())


if __name__ == "__main__":
    main()
