"""`maskrl compare ENV [ENV ...]`: several seeds, in parallel, and one table.

The same command can be given again at any time: finished runs stand, stopped and killed
ones go on from their checkpoints.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro

from maskrl.cli.algorithm_options import Name, algorithm_in, options_with
from maskrl.cli.arguments import parse_options
from maskrl.cli.compare_variants import Asked, axis_from, require_trainable, variants_of
from maskrl.cli.numbers import steps_from
from maskrl.cli.outcome import planning
from maskrl.cli.settings import require_positive
from maskrl.envs.adapters.mask_regime import MASKED
from maskrl.envs.registry import find_entry
from maskrl.runs.comparison import read_comparison
from maskrl.runs.comparison_figures import comparison_figures
from maskrl.runs.comparison_tables import write_tables
from maskrl.runs.run_dir import env_slug
from maskrl.runs.seeding import Seeds
from maskrl.trainers.algorithms import ALGORITHMS
from maskrl.trainers.compare import Contender, plan_jobs, run_jobs
from maskrl.trainers.compare_worker import FAILED, FINISHED, Job
from maskrl.trainers.final_evaluation import EPISODES
from maskrl.trainers.threads import available_cores

STOPPED_CODE = 130


@dataclass(frozen=True)
class CompareOptions:
    """Train several seeds on one or several environments, in parallel, and compare them.

    One process per core, one thread each. Every run is tested like after `maskrl train`; the
    table has every seed, the interquartile mean with its bootstrap interval, and the
    ratio of each environment's mean score to the first's. With the same world with and
    without full sight, that ratio is the price of not seeing.

    --regimes compares ways to tell an agent what is impossible, each on every environment:
    masked, as maskrl does it; naive, which obeys the mask in acting and learns as if there were
    none; penalty:P, which tells no mask, withholds what is disallowed and rewards it with -P
    (penalty:P:native lets the environment answer instead); none, which is penalty:0. Tests do
    not charge the penalty, so that all are judged by the same rewards. Agents that were trained
    under the mask are also tested without it.

    --vary KEY=A,B adds an axis: any setting of the algorithm, env.NAME for one of the
    environment, or preset. Several axes are combined.

    Ctrl-C saves all runs. The same command goes on: finished runs are not repeated,
    stopped and killed ones continue from their checkpoints, and the tables come out the same.
    The comparison's folder holds them: summary.json, summary.csv, curves.csv, speeds.csv.

    Examples:
      maskrl compare panda --seeds 4
      maskrl compare "panda?sight=full" panda --seeds 4 --max-minutes 15
      maskrl compare gymnasium:Taxi-v4 --seeds 3 --out runs/taxi --ppo.learning-rate 1e-3
      maskrl compare panda --regimes masked naive penalty:0.01 penalty:0.1 penalty:1 none
      maskrl compare panda --algorithm dqn --regimes masked naive penalty:0.1 none
      maskrl compare pandas --vary ratio=joint,agent --ppo.death posthumous --steps 200_000
      maskrl compare panda --vary env.sight=full,trees --vary gamma=0.95,0.99
    """

    env_ids: Annotated[
        tyro.conf.Positional[tuple[str, ...]],
        tyro.conf.arg(metavar="ENV", help_behavior_hint="(one or more)"),
    ] = ()
    """What to train on, in any form that `maskrl envs` shows. The first is what the others are
    compared with."""
    algorithm: Annotated[Name, tyro.conf.arg(help_behavior_hint="(default: ppo)")] = "ppo"
    """What trains: ppo, dqn or sac. Its settings follow below; for those of another one:
    `maskrl compare --algorithm dqn --help`."""
    regimes: Annotated[
        tuple[str, ...],
        tyro.conf.arg(metavar="REGIME", help_behavior_hint="(default: masked)"),
    ] = (MASKED,)
    """How what is impossible is told: masked, naive, penalty:P, penalty:P:native or none."""
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
    vary: Annotated[
        tyro.conf.UseAppendAction[tuple[str, ...]],
        tyro.conf.arg(metavar="KEY=A,B", help_behavior_hint="(repeatable)"),
    ] = ()
    """A setting and the values that it takes in turn."""
    preset: Annotated[
        str | None, tyro.conf.arg(metavar="NAME", help_behavior_hint="(default: the usual one)")
    ] = None
    """Which of an environment's presets to begin with, where it has several; `maskrl envs ENV`
    shows them."""
    total_steps: Annotated[
        str | None,
        tyro.conf.arg(
            metavar="N", aliases=["--steps"], help_behavior_hint="(default: the environment's)"
        ),
    ] = None
    """Environment steps per run; 200_000 may be written."""
    max_minutes: Annotated[
        float | None, tyro.conf.arg(metavar="M", help_behavior_hint="(default: no limit)")
    ] = None
    """Stop the training of each run after this time."""
    episodes: Annotated[int, tyro.conf.arg(metavar="N")] = EPISODES
    """Test episodes per run."""
    removed: Annotated[
        Literal["auto", "withheld", "native", "off"],
        tyro.conf.arg(help_behavior_hint="(default: auto)"),
    ] = "auto"
    """How the mask is taken away in the last test of agents trained under it: withheld, as
    penalty:0; native, the environment answers; off, no such test; auto: native if one of the
    regimes is, else withheld."""
    threshold: Annotated[
        float | None,
        tyro.conf.arg(metavar="R", help_behavior_hint="(default: 90% of the way to the best)"),
    ] = None
    """The return of which the table says after how many steps training reached it."""
    window: Annotated[int, tyro.conf.arg(metavar="N")] = 10
    """Training episodes whose mean has to reach it."""
    report: bool = True
    """Write report.html into the comparison's folder at the end."""
    workers: Annotated[
        int | None, tyro.conf.arg(metavar="N", help_behavior_hint="(default: one per core)")
    ] = None
    """Processes at a time."""


def run(argv: Sequence[str]) -> int:
    """Compare as the words say.

    Returns:
        0 when every run is finished, 1 when one failed, 130 when stopped.

    Raises:
        MaskrlError: It cannot be done as asked; no training was begun then.
    """
    from maskrl.cli.compare_display import CompareDisplay, run_names
    from maskrl.cli.compare_tables import print_figures

    algorithm = algorithm_in(argv, verb="compare")
    options = _parse(argv, ALGORITHMS[algorithm].config(), algorithm)
    for name in ("seeds", "episodes", "max_minutes", "workers", "window"):
        require_positive(f"--{name.replace('_', '-')}", getattr(options, name))
    contenders = variants_of(options.env_ids, asked_for(options, argv, algorithm))
    seeds = [Seeds(options.first_seed + i).seed for i in range(options.seeds)]
    for contender in contenders:
        require_trainable(contender)
    out = options.out or Path("runs") / f"compare-{'-'.join(map(_slug, contenders))}"[:100]
    jobs = plan_jobs(
        contenders,
        seeds,
        out,
        episodes=options.episodes,
        threshold=options.threshold,
        window=options.window,
    )
    _plan_layouts(contenders, options.episodes)
    workers = options.workers or available_cores()
    print(
        f"{len(jobs)} runs in {out}, {min(workers, len(jobs))} at a time. Ctrl-C saves all; "
        "the same command goes on."
    )
    with CompareDisplay(run_names(jobs, _labels(contenders, jobs))) as display:
        states = run_jobs(jobs, workers=workers, listen=display)
    comparison = read_comparison(out)
    figures = comparison_figures(comparison)
    paths = write_tables(comparison, figures)
    print_figures(comparison, figures)
    print("written  " + "  ".join(map(str, paths)))
    if options.report and figures:
        from maskrl.reports.comparison import write_comparison_report

        print(f"report   {write_comparison_report(out).resolve()}")
    if all(state == FINISHED for state in states):
        return 0
    if FAILED in states:
        print("some runs failed; the same command tries them again")
        return 1
    print("stopped and saved; the same command goes on")
    return STOPPED_CODE


def asked_for(options: CompareOptions, argv: Sequence[str], algorithm: str) -> Asked:
    """What the words ask for, beside the environments."""

    def settings(preset: Any) -> Any:
        return getattr(_parse(argv, preset, algorithm), algorithm)

    return Asked(
        algorithm=algorithm,
        regimes=options.regimes,
        axes=tuple(map(axis_from, options.vary)),
        preset=options.preset,
        env=options.env,
        total_steps=steps_from("--total-steps", options.total_steps),
        max_minutes=options.max_minutes,
        removal=options.removed,
        settings=settings,
    )


def _parse(argv: Sequence[str], config: Any, algorithm: str) -> Any:
    kind: Any = options_with(CompareOptions, algorithm)
    default = kind(algorithm=algorithm, **{algorithm: config})
    return parse_options(kind, "compare", argv, default=default)


def _plan_layouts(contenders: Sequence[Contender], episodes: int) -> None:
    """Compute the planner's returns here, once, instead of in every worker."""
    from maskrl.trainers.validation import Validator, reference_returns

    for contender in contenders:
        config: Any = ALGORITHMS[contender.algorithm].config.from_json(contender.config)
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
