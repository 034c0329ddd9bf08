"""`maskrl compare ENV [ENV ...]`: several seeds, in parallel, and one table.

The same command can be given again at any time: finished runs stand, stopped and killed
ones go on from their checkpoints.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import tyro

from maskrl.cli.arguments import env_settings, join_env_id, parse_options
from maskrl.cli.numbers import steps_from
from maskrl.cli.outcome import planning
from maskrl.cli.settings import preset_of, require_positive
from maskrl.envs.registry import find_entry, parse_env_id
from maskrl.runs.run_dir import env_slug
from maskrl.runs.seeding import Seeds
from maskrl.trainers.compare import Contender, plan_jobs, run_jobs
from maskrl.trainers.compare_summary import summarize, write_summary
from maskrl.trainers.compare_worker import FAILED, FINISHED, Job
from maskrl.trainers.final_evaluation import EPISODES
from maskrl.trainers.ppo_config import PPOConfig
from maskrl.trainers.threads import available_cores

STOPPED_CODE = 130


@dataclass(frozen=True)
class CompareOptions:
    """Train several seeds on one or several environments, in parallel, and compare them.

    One process per core, one thread each. Every run is tested like after `maskrl train`; the
    table has every seed, the interquartile mean with its bootstrap interval, and the
    ratio of each environment's mean score to the first's. With the same world with and
    without full sight, that ratio is the price of not seeing.

    Ctrl-C saves all runs. The same command goes on: finished runs are not repeated,
    stopped and killed ones continue from their checkpoints. summary.json and summary.csv
    in the comparison's folder hold the figures.

    Examples:
      maskrl compare panda --seeds 4
      maskrl compare "panda?sight=full" panda --seeds 4 --max-minutes 15
      maskrl compare gymnasium:Taxi-v4 --seeds 3 --out runs/taxi --ppo.learning-rate 1e-3
    """

    env_ids: Annotated[
        tyro.conf.Positional[tuple[str, ...]],
        tyro.conf.arg(metavar="ENV", help_behavior_hint="(one or more)"),
    ] = ()
    """What to train on, in any form that `maskrl envs` shows. The first is what the others are
    compared with."""
    seeds: Annotated[int, tyro.conf.arg(metavar="N")] = 4
    """How many seeds."""
    first_seed: Annotated[int, tyro.conf.arg(metavar="SEED")] = 0
    """The first of them; the others count up from it."""
    out: Annotated[
        Path | None,
        tyro.conf.arg(metavar="DIR", help_behavior_hint="(default: runs/compare-ENV)"),
    ] = None
    """The comparison's folder; one that was begun with the same settings is continued."""
    env: Annotated[
        tyro.conf.UseAppendAction[tuple[str, ...]],
        tyro.conf.arg(metavar="KEY=VALUE", help_behavior_hint="(repeatable)"),
    ] = ()
    """A setting of all environments."""
    total_steps: Annotated[
        str | None, tyro.conf.arg(metavar="N", help_behavior_hint="(default: the environment's)")
    ] = None
    """Environment steps per run; 200_000 may be written."""
    max_minutes: Annotated[
        float | None, tyro.conf.arg(metavar="M", help_behavior_hint="(default: no limit)")
    ] = None
    """Stop the training of each run after this time."""
    episodes: Annotated[int, tyro.conf.arg(metavar="N")] = EPISODES
    """Test episodes per run."""
    workers: Annotated[
        int | None, tyro.conf.arg(metavar="N", help_behavior_hint="(default: one per core)")
    ] = None
    """Processes at a time."""
    ppo: PPOConfig = field(default_factory=PPOConfig)


def run(argv: Sequence[str]) -> int:
    """Compare as the words say.

    Returns:
        0 when every run is finished, 1 when one failed, 130 when stopped.

    Raises:
        MaskrlError: It cannot be done as asked; no training was begun then.
    """
    from maskrl.cli.compare_display import CompareDisplay, print_summary, run_names

    options = parse_options(CompareOptions, "compare", argv, default=CompareOptions())
    contenders = [_contender(env_id, argv) for env_id in options.env_ids]
    for name in ("seeds", "episodes", "max_minutes", "workers"):
        require_positive(f"--{name.replace('_', '-')}", getattr(options, name))
    seeds = [Seeds(options.first_seed + i).seed for i in range(options.seeds)]
    for contender in contenders:
        _require_trainable(contender)
    out = options.out or Path("runs") / f"compare-{'-'.join(map(_slug, contenders))}"[:100]
    jobs = plan_jobs(contenders, seeds, out, episodes=options.episodes)
    _plan_layouts(contenders, options.episodes)
    workers = options.workers or available_cores()
    print(
        f"{len(jobs)} runs in {out}, {min(workers, len(jobs))} at a time. Ctrl-C saves all; "
        "the same command goes on."
    )
    with CompareDisplay(run_names(jobs, _labels(contenders, jobs))) as display:
        states = run_jobs(jobs, workers=workers, listen=display)
    summaries = summarize(contenders, jobs)
    paths = write_summary(summaries, contenders, jobs, out)
    print_summary(summaries)
    print("written  " + "  ".join(map(str, paths)))
    if all(state == FINISHED for state in states):
        return 0
    if FAILED in states:
        print("some runs failed; the same command tries them again")
        return 1
    print("stopped and saved; the same command goes on")
    return STOPPED_CODE


def _contender(env_id: str, argv: Sequence[str]) -> Contender:
    """One environment with its presets under what the user wrote."""
    config, steps = preset_of(env_id)
    default = CompareOptions(ppo=config)
    options = parse_options(CompareOptions, "compare", argv, default=default)
    base_id, from_id = parse_env_id(env_id)
    env_kwargs = {**from_id, **env_settings(options.env)}
    ppo = options.ppo
    return Contender(
        label=join_env_id(base_id, env_kwargs),
        env_id=base_id,
        env_kwargs=env_kwargs,
        config=ppo.replace(threads=ppo.threads or 1).to_json(),
        total_steps=steps_from("--total-steps", options.total_steps) or steps,
        max_minutes=options.max_minutes,
    )


def _require_trainable(contender: Contender) -> None:
    """Make the environment once, so that what is wrong is said before processes start."""
    from maskrl.trainers.training_env import open_training_env

    opened = open_training_env(contender.env_id, 1, seed=0, kwargs=contender.env_kwargs)
    opened.venv.close()


def _plan_layouts(contenders: Sequence[Contender], episodes: int) -> None:
    """Compute the planner's returns here, once, instead of in every worker."""
    from maskrl.trainers.validation import Validator, reference_returns

    for contender in contenders:
        config = PPOConfig.from_json(contender.config)
        if find_entry(contender.env_id).reference is None:
            continue
        if config.evaluate_every:
            with planning("validation") as tell:
                Validator(
                    contender.env_id,
                    episodes=config.evaluation_episodes,
                    env_kwargs=contender.env_kwargs,
                ).prepare(tell)
        with planning("test") as tell:
            reference_returns(
                contender.env_id, episodes, env_kwargs=contender.env_kwargs, tell=tell
            )


def _labels(contenders: Sequence[Contender], jobs: Sequence[Job]) -> list[str]:
    count = len(contenders)
    return [contenders[number % count].label for number in range(len(jobs))]


def _slug(contender: Contender) -> str:
    return env_slug(contender.label)
