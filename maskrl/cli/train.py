"""`maskrl train`: from an environment's id to a trained agent, its test and its report.

Settings come in layers: the algorithm's defaults, over them the environment's presets for
it, over them what the user wrote. Everything is checked before a folder is made; a stopped
run goes on with `--resume`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro

from maskrl.cli.algorithm_options import DEFAULT, Name, algorithm_in, options_with
from maskrl.cli.arguments import env_settings, parse_options, word_after
from maskrl.cli.numbers import steps_from
from maskrl.cli.outcome import conclude, planning
from maskrl.cli.settings import (
    preset_env,
    preset_of,
    print_settings,
    require_positive,
    versions,
)
from maskrl.envs.registry import find_entry, parse_env_id
from maskrl.errors import ConfigError, MaskDtypeError, MaskShapeError, NoAllowedActionError
from maskrl.runs.checkpoint import checkpoint_exists
from maskrl.runs.run_dir import RunDir, env_slug
from maskrl.runs.run_lock import hold_run
from maskrl.runs.seeding import Seeds
from maskrl.trainers.algorithms import ALGORITHMS, load_trainer

if TYPE_CHECKING:
    from maskrl.trainers.validation import Validator


@dataclass(frozen=True)
class TrainOptions:
    """Train a masked agent, test it on episodes that it has not seen, write its report.

    The environment says what is possible: an action mask, or which entities are there and
    who sees whom. maskrl's policies never do what the mask forbids; at the end the number of
    illegal actions executed is printed, 0 for them. Press Ctrl-C at any time: what was
    learned is saved, and --resume goes on from there, to the digit.

    Three algorithms: ppo learns a policy from what it has just done and serves every kind of
    action and teams; dqn learns what actions are worth from a memory of all that was done,
    and takes the best allowed one; sac learns both, and stays as undecided as it is told to.
    dqn and sac are for one choice among numbered actions; neither learns from the value of an
    action that the next state disallows.

    Everything lands in one folder: config.json, metrics.csv, TensorBoard curves,
    checkpoints (last and best), evaluation.json and report.html.

    Examples:
      maskrl train panda                          about 6 minutes
      maskrl train panda --max-minutes 2 --seed 1
      maskrl train panda --env sight=full         a setting of the environment
      maskrl train gymnasium:Taxi-v4 --ppo.learning-rate 1e-3
      maskrl train gymnasium:Taxi-v4 --algorithm dqn
      maskrl train --algorithm dqn --help         the settings of dqn, each explained
      maskrl train mypackage.envs:MyEnv --total-steps 200_000 --out runs/mine
      maskrl train pandas                         a team: one policy for all its agents
      maskrl train microrts:maps/8x8/basesWorkers8x8.xml
      maskrl train pettingzoo:knights_archers_zombies_v11
      maskrl train pettingzoo:connect_four_v3     against past selves
      maskrl train --resume runs/panda-0-1        go on with a stopped run
    """

    env_id: Annotated[
        tyro.conf.Positional[str | None], tyro.conf.arg(metavar="ENV", help_behavior_hint="")
    ] = None
    """What to train on, in any form that `maskrl envs` shows: panda, gymnasium:Taxi-v4,
    mypackage.envs:MyEnv, ... Settings may follow as in panda?sight=full."""
    env: Annotated[
        tyro.conf.UseAppendAction[tuple[str, ...]],
        tyro.conf.arg(metavar="KEY=VALUE", help_behavior_hint="(repeatable)"),
    ] = ()
    """A setting of the environment, e.g. --env sight=full or --env.sight full."""
    algorithm: Annotated[Name, tyro.conf.arg(help_behavior_hint="(default: ppo)")] = "ppo"
    """What trains: ppo, dqn or sac. Its settings follow below; for those of another one:
    `maskrl train --algorithm dqn --help`."""
    preset: Annotated[
        str | None, tyro.conf.arg(metavar="NAME", help_behavior_hint="(default: the usual one)")
    ] = None
    """Which of the environment's presets to begin with, where it has several; `maskrl envs ENV`
    shows them."""
    seed: int = 0
    """Where all randomness comes from. Equal seeds give equal runs, to the digit."""
    total_steps: Annotated[
        str | None, tyro.conf.arg(metavar="N", help_behavior_hint="(default: the environment's)")
    ] = None
    """Environment steps to train for, over all parallel environments; 200_000 may be written."""
    max_minutes: Annotated[
        float | None, tyro.conf.arg(metavar="M", help_behavior_hint="(default: no limit)")
    ] = None
    """Stop training after this time, even if steps are left."""
    out: Annotated[
        Path | None,
        tyro.conf.arg(metavar="DIR", help_behavior_hint="(default: runs/ENV-SEED-1, -2, ...)"),
    ] = None
    """The run's folder. It must not hold a run already."""
    resume: Annotated[
        Path | None, tyro.conf.arg(metavar="RUN", help_behavior_hint="(default: a new run)")
    ] = None
    """Go on with the run in this folder, with its own settings; only --total-steps,
    --max-minutes, --episodes and --report can be changed."""
    episodes: Annotated[
        int | None,
        tyro.conf.arg(
            metavar="N", help_behavior_hint="(default: 500 with a reference, else 200; mining: 50)"
        ),
    ] = None
    """Test episodes after training."""
    report: bool = True
    """Write report.html after training."""

    @property
    def config(self) -> Any:
        """The settings of the algorithm, which the parsed class has under its name."""
        return getattr(self, self.algorithm)


def run(argv: Sequence[str]) -> int:
    """Train as the words say.

    Raises:
        MaskrlError: It cannot be done as asked; nothing was written then.
    """
    run = word_after("--resume", argv)
    if run is not None and not {"-h", "--help"} & set(argv):
        return _resume(Path(run), argv)
    # The defaults of the settings are the environment's presets for the algorithm, so both come
    # first.
    algorithm = algorithm_in(argv, verb="train")
    guess = argv[0] if argv and not argv[0].startswith("-") else None
    options = _parse(argv, guess, algorithm)
    if options.env_id is None:
        raise ConfigError(
            "train: which environment? As in: maskrl train panda. `maskrl envs` lists them; "
            "--resume RUN goes on with a stopped run."
        )
    if guess is None:
        options = _parse(argv, options.env_id, algorithm)
    return _train(options)


def _parse(argv: Sequence[str], env_id: str | None, algorithm: str) -> TrainOptions:
    default = _defaults(env_id, algorithm, word_after("--preset", argv))
    return parse_options(type(default), "train", argv, default=default)


def _defaults(env_id: str | None, algorithm: str = DEFAULT, preset: str | None = None) -> Any:
    """Options with what an environment is trained with by an algorithm."""
    known = ALGORITHMS[algorithm]
    config = known.config() if env_id is None else preset_of(env_id, algorithm, preset)[0]
    kind: Any = options_with(TrainOptions, algorithm)
    return kind(algorithm=algorithm, **{algorithm: config})


def _train(options: TrainOptions) -> int:
    env_id = str(options.env_id)
    base_id, from_id = parse_env_id(env_id)
    preset = (env_id, options.algorithm, options.preset)
    env_kwargs = {**preset_env(*preset), **from_id, **env_settings(options.env)}
    entry = find_entry(base_id)
    steps = preset_of(*preset)[1]
    total_steps = steps_from("--total-steps", options.total_steps) or steps
    require_positive("--max-minutes", options.max_minutes)
    require_positive("--episodes", options.episodes)
    Seeds(options.seed)
    if options.out is not None:
        RunDir.require_free(options.out)

    algorithm = ALGORITHMS[options.algorithm]
    trainer = algorithm.trainer(entry.id, options.config, seed=options.seed, env_kwargs=env_kwargs)
    trainer.collector.begin()  # a mask that cannot be used shows at the first reset
    validator = _validator(trainer)
    if options.out is None:
        folder = RunDir.next_free(f"{env_slug(env_id)}-{options.seed}")
    else:
        folder = RunDir.create(options.out)
    conclusion = {"episodes": options.episodes, "report": options.report}
    folder.write_config({"env": entry.id, "versions": versions(), "conclusion": conclusion})
    try:
        return _learn(trainer, validator, folder, total_steps, options.max_minutes, options)
    except Exception as error:
        unsaved = trainer.last_checkpoint == 0
        if trainer.updates == 0 or (unsaved and isinstance(error, _MASK_IS_WRONG)):
            folder.discard()  # so that the same command works once the cause is mended
        raise


_MASK_IS_WRONG = (MaskShapeError, MaskDtypeError, NoAllowedActionError)


def _resume(run: Path, argv: Sequence[str]) -> int:
    """Go on with a run, by the algorithm that it was begun with."""
    folder = RunDir.open(run)
    config = folder.read_config()
    _require_no_settings(argv, folder)
    options = parse_options(TrainOptions, "train", argv)
    if options.env_id is not None:
        raise ConfigError(
            f"--resume {folder.path} knows its environment: leave out {options.env_id!r}"
        )
    require_positive("--max-minutes", options.max_minutes)
    require_positive("--episodes", options.episodes)
    if not checkpoint_exists(folder.last_checkpoint):
        raise ConfigError(
            f"{folder.path} has no checkpoint: the run was stopped before its first one. "
            f"Begin anew: maskrl train {config.get('env') or 'ENV'} --out DIR"
        )
    trainer = load_trainer(folder)
    total_steps = steps_from("--total-steps", options.total_steps) or int(config["total_steps"])
    max_minutes = options.max_minutes or config.get("max_minutes")
    trained_out = trainer.steps >= total_steps or (
        max_minutes is not None and trainer.elapsed >= 60 * max_minutes
    )
    if trained_out and folder.read_evaluation() is not None:
        raise ConfigError(
            f"{folder.path} is complete: {trainer.steps:,} steps in "
            f"{trainer.elapsed / 60:.1f} minutes, and evaluated. To train it further, give a "
            "larger --total-steps (or --max-minutes); to look at it: "
            f"maskrl report {folder.path}"
        )
    print(f"going on with {folder.path} after {trainer.steps:,} steps")
    conclusion = config.get("conclusion", {})
    if options.episodes is None:
        options = replace(options, episodes=conclusion.get("episodes"))
    if "--report" not in argv and not conclusion.get("report", True):
        options = replace(options, report=False)
    return _learn(trainer, _validator(trainer), folder, total_steps, max_minutes, options)


def _validator(trainer: Any) -> Validator | None:
    """The evaluations during training, their layouts planned; None if there are to be none."""
    from maskrl.trainers.validation import Validator

    config = trainer.config
    if not config.evaluate_every:
        return None
    validator = Validator(
        trainer.env_id,
        episodes=config.evaluation_episodes,
        env_kwargs=trainer.env_kwargs,
        seed=trainer.seeds.seed,
    )
    with planning("validation") as tell:
        validator.prepare(tell)
    return validator


def _learn(
    trainer: Any,
    validator: Validator | None,
    folder: RunDir,
    total_steps: int,
    max_minutes: float | None,
    options: TrainOptions,
) -> int:
    from maskrl.trainers.evaluation import PLANNER
    from maskrl.trainers.progress import ProgressDisplay

    env_id, seed = trainer.env_id, trainer.seeds.seed
    print_settings(
        env_id,
        trainer.env_kwargs,
        seed,
        total_steps,
        max_minutes,
        trainer.algorithm,
        trainer.config,
        folder.path,
    )
    display = ProgressDisplay(
        f"{env_id}, seed {seed}",
        place=str(folder.path),
        planner=validator.planner if validator else None,
        random=validator.random if validator else None,
        reference_name=validator.reference_name if validator else PLANNER,
    )
    with hold_run(folder):
        trainer.learn(
            total_steps,
            run_dir=folder,
            progress=display,
            max_minutes=max_minutes,
            evaluator=validator,
        )
        conclude(folder, episodes=options.episodes, report=options.report)
    return 0


_OWN = ("--total-steps", "--max-minutes", "--resume", "--episodes", "--report", "--no-report")


def _require_no_settings(argv: Sequence[str], folder: RunDir) -> None:
    """Refuse what `--resume` would have to ignore."""
    for word in argv:
        name = word.split("=", 1)[0].replace("_", "-")
        if word.startswith("--") and name not in _OWN:
            raise ConfigError(
                f"{name} cannot be changed when a run is resumed: it goes on with the settings "
                f"in {folder.config_path}. Leave it out, or begin a new run."
            )
