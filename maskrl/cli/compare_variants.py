"""What `maskrl compare` trains: every environment under every regime and every varied setting.

Settings come in layers: an algorithm's defaults, over them the environment's preset, over
it what the user wrote, over that the regime, and over that the value that is varied. Each
variant is tried before any process starts, so that what is wrong is said at once.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from maskrl.cli.arguments import env_settings, join_env_id
from maskrl.cli.settings import preset_env, preset_is_native, preset_of
from maskrl.envs.adapters.mask_regime import MASK_REGIME, MASKED, MaskRegime
from maskrl.envs.registry import parse_env_id
from maskrl.errors import ConfigError, MaskrlError
from maskrl.runs.seeding import Seeds
from maskrl.trainers.algorithms import ALGORITHMS
from maskrl.trainers.compare import Contender

NAIVE = "naive"
REMOVALS = ("auto", "withheld", "native", "off")
"""Ways to test without the mask: what is disallowed is withheld, or the environment answers."""

_NAIVE_SETTING = {"ppo": "masked_scores", "dqn": "masked_targets", "sac": "masked_targets"}
_ROLLOUTS = "mask_removed_rollouts"
_PRESET, _ENV = "preset", "env."


@dataclass(frozen=True)
class Axis:
    """One setting that is varied.

    Attributes:
        key: A setting of the algorithm ("ratio", "network.hidden"), "env.NAME" of the environment,
            or "preset".
        values: What it takes, in the order written.
        words: The same as written, for names.
    """

    key: str
    values: tuple[Any, ...]
    words: tuple[str, ...]


@dataclass(frozen=True)
class Asked:
    """What the user asked for, beside the environments.

    Attributes:
        algorithm: Out of `ALGORITHMS`.
        regimes: In the order written.
        axes: What is varied.
        preset: The name of the preset that is not varied, or None.
        env: `key=value` words for all environments.
        total_steps: Per run, or None for the preset's.
        max_minutes: Of training per run, or None.
        removal: Out of `REMOVALS`.
        settings: From a preset to the algorithm's settings with what the user wrote over it.
    """

    algorithm: str
    regimes: tuple[str, ...]
    axes: tuple[Axis, ...]
    preset: str | None
    env: tuple[str, ...]
    total_steps: int | None
    max_minutes: float | None
    removal: str
    settings: Callable[[Any], Any]


def axis_from(word: str) -> Axis:
    """Read `--vary KEY=VALUE,VALUE`; commas inside brackets part nothing.

    Raises:
        ConfigError: It is not of that form, or a value is given twice.

    >>> axis_from("network.hidden=[64],[64,64]").values
    ([64], [64, 64])
    """
    key, equals, rest = word.partition("=")
    words = tuple(part.strip() for part in _parted(rest))
    if not equals or not key or not all(words):
        raise ConfigError(
            f"--vary {word}: expected key=value,value, as in --vary ratio=joint,head or --vary "
            "env.sight=full,trees"
        )
    twice = [one for one in words if words.count(one) > 1]
    if twice:
        raise ConfigError(f"--vary {word}: the value {twice[0]} is given more than once")
    values = tuple(env_settings([f"value={one}"])["value"] for one in words)
    return Axis(key.replace("-", "_"), values, words)


def variants_of(env_ids: Sequence[str], asked: Asked) -> list[Contender]:
    """Every environment under every regime and every combination of varied values.

    Raises:
        ConfigError: A setting, regime, preset or value cannot be used; says which.
        UnknownEnvError, NoMaskError: An environment cannot.
    """
    keys = [axis.key for axis in asked.axes]
    for key in keys:
        if keys.count(key) > 1:
            raise ConfigError(f"--vary {key}: is given more than once; put its values in one list")
    if asked.preset is not None and _PRESET in keys:
        raise ConfigError("--preset: is varied by --vary preset=... already; leave one of them out")
    if asked.removal not in REMOVALS:
        raise ConfigError(
            f"--removed: expected one of {', '.join(REMOVALS)}, got {asked.removal!r}"
        )
    choices = [list(zip(axis.values, axis.words, strict=True)) for axis in asked.axes]
    found = []
    for env_id in env_ids:
        for combination in itertools.product(*choices):
            varied = dict(zip(keys, combination, strict=True))
            found += [_contender(env_id, regime, varied, asked) for regime in asked.regimes]
    return [replace(one, removed=_removed(one, asked)) for one in found]


def require_trainable(contender: Contender) -> None:
    """Build the trainer once, so that what is wrong is said before processes start.

    Raises:
        MaskrlError: As of the trainer, and what was being tried.
    """
    known = ALGORITHMS[contender.algorithm]
    try:
        config = known.config.from_json(contender.config)
        trainer = known.trainer(
            contender.env_id, config, seed=0, env_kwargs=dict(contender.env_kwargs)
        )
    except MaskrlError as error:
        raise type(error)(f"{contender.label}: {error}") from error
    trainer.env.close()


def _contender(
    env_id: str, regime: str, varied: Mapping[str, tuple[Any, str]], asked: Asked
) -> Contender:
    """One environment under a regime and varied values."""
    name = varied[_PRESET][1] if _PRESET in varied else asked.preset
    preset, steps = preset_of(env_id, asked.algorithm, name)
    settings = asked.settings(preset)
    if preset_is_native(env_id, asked.algorithm, name):
        regime = _native(regime)
    changes = {key: value for key, (value, _) in varied.items() if key != _PRESET}
    of_env = {key.removeprefix(_ENV): changes[key] for key in changes if key.startswith(_ENV)}
    for key, value in changes.items():
        if not key.startswith(_ENV):
            settings = _with(settings, key, value)
    settings = settings.replace(threads=settings.threads or 1)
    base_id, from_id = parse_env_id(env_id)
    env_kwargs = {
        **preset_env(env_id, asked.algorithm, name),
        **from_id,
        **env_settings(asked.env),
        **of_env,
    }
    if hasattr(settings, "measure_kl"):
        settings = _measuring(settings, base_id, env_kwargs)
    own = {**from_id, **env_settings(asked.env)}
    env = join_env_id(base_id, own)
    if regime == NAIVE:
        settings = settings.replace(**{_NAIVE_SETTING[asked.algorithm]: False})
    elif MaskRegime.parse(regime).penalty is not None:
        env_kwargs[MASK_REGIME] = regime
    if regime != MASKED and getattr(settings, _ROLLOUTS, None) is not None:
        settings = settings.replace(**{_ROLLOUTS: None})  # there is no mask to take away
    words = {key: word for key, (_, word) in varied.items()}
    parts = [f"{key}={word}" for key, word in words.items()]
    return Contender(
        label=", ".join([env, *([] if regime == MASKED else [regime]), *parts]),
        env_id=base_id,
        env_kwargs=env_kwargs,
        config=settings.to_json(),
        total_steps=asked.total_steps or steps,
        max_minutes=asked.max_minutes,
        algorithm=asked.algorithm,
        env=env,
        regime=regime,
        varied=words,
    )


def _native(regime: str) -> str:
    """A regime that leaves the answer to what is disallowed to the environment.

    >>> _native("none"), _native("penalty:0.1"), _native("naive")
    ('penalty:0:native', 'penalty:0.1:native', 'naive')
    """
    if regime == "none":
        return "penalty:0:native"
    is_plain = regime.startswith("penalty:") and not regime.endswith(":native")
    return f"{regime}:native" if is_plain else regime


def _with(settings: Any, key: str, value: Any) -> Any:
    """The settings with one of them changed, by its dotted name."""
    current: Any = settings
    for part in key.split("."):
        current = getattr(current, part, None)
    if isinstance(current, tuple):  # a list of sizes may be one number
        value = tuple(value) if isinstance(value, list | tuple) else (value,)
    changed: Any = value
    for part in reversed(key.split(".")):
        changed = {part: changed}
    return type(settings).from_json(changed, base=settings)


def _measuring(settings: Any, env_id: str, env_kwargs: Mapping[str, Any]) -> Any:
    """The settings of PPO with the divergences that comparisons show, where one agent acts."""
    from maskrl.envs.contract import describe_env
    from maskrl.envs.registry import make_vec

    venv = make_vec(env_id, 1, **env_kwargs)
    try:
        team = describe_env(venv).team
    finally:
        venv.close()
    return settings if team is not None else settings.replace(measure_kl=True)


def _removed(contender: Contender, asked: Asked) -> dict[str, Any] | None:
    """How the mask is taken away from agents that were trained under it, if it can be."""
    if asked.removal == "off" or contender.regime != MASKED:
        return None
    native = {MASK_REGIME: "penalty:0:native"}
    withheld = {MASK_REGIME: "none"}
    if asked.removal == "auto":
        native_preset = preset_is_native(
            contender.env, asked.algorithm, contender.varied.get(_PRESET, asked.preset)
        )
        answers = native_preset or any(regime.endswith(":native") for regime in asked.regimes)
        ways = [native] if answers else [withheld, native]
    else:
        ways = [native if asked.removal == "native" else withheld]
    for way in ways:
        try:
            _require_env(contender, way)
        except MaskrlError as error:
            if asked.removal != "auto":
                raise ConfigError(f"--removed {asked.removal}: {error}") from error
        else:
            return way
    return None  # a team acts, or there is no action mask to take away


def _require_env(contender: Contender, more: Mapping[str, Any]) -> None:
    from maskrl.envs.registry import make_vec

    make_vec(contender.env_id, 1, seed=Seeds(0).seed, **{**contender.env_kwargs, **more}).close()


def _parted(text: str) -> list[str]:
    """Split at commas outside brackets.

    >>> _parted("[1,2],x")
    ['[1,2]', 'x']
    """
    parts, depth = [""], 0
    for character in text:
        depth += (character in "([{") - (character in ")]}")
        if character == "," and depth == 0:
            parts.append("")
        else:
            parts[-1] += character
    return parts
