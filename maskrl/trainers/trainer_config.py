"""What every algorithm's settings have in common: checked when made, to JSON and back.

A configuration is a frozen dataclass whose fields are explained by the line beneath each.
Sizes that are not positive, words that are not known and settings that contradict each
other never reach training; a name that does not exist is answered with the nearest ones.
"""

from __future__ import annotations

import dataclasses
import difflib
import math
from collections.abc import Mapping
from typing import Any, ClassVar, Literal, TypeVar

from maskrl.errors import ConfigError
from maskrl.networks.encoders import NetworkConfig

C = TypeVar("C", bound="TrainerConfig")


class TrainerConfig:
    """The base of `PPOConfig` and its kin, which are frozen dataclasses.

    Attributes:
        label: What messages call the algorithm.

    What is declared here is what trainers and displays read of any algorithm; the dataclasses say
    what it means to them.
    """

    label: ClassVar[str] = "training"

    num_envs: int
    network: NetworkConfig
    learning_rate: float
    gamma: float
    normalize_observations: bool
    empty: Literal["raise", "idle"]
    idle_action: int
    device: str
    threads: int | None
    workers: int | None
    evaluate_every: int
    evaluation_episodes: int
    checkpoint_every: int

    def replace(self: C, **changes: Any) -> C:
        """The configuration with some fields changed, and checked again."""
        return dataclasses.replace(self, **changes)  # type: ignore[type-var]

    def to_json(self) -> dict[str, Any]:
        """All settings as plain nested dicts."""
        return dataclasses.asdict(self)  # type: ignore[call-overload]

    @classmethod
    def from_json(cls: type[C], settings: Mapping[str, Any], *, base: C | None = None) -> C:
        """A configuration from plain settings, the rest taken from `base`.

        Args:
            settings: Fields by name; `network` may be a mapping of some of its fields.
            base: What is not named; the defaults without it.

        Raises:
            ConfigError: A name is unknown (the nearest are offered), or a value impossible.
        """
        base = base or cls()
        given = dict(settings)
        _known(f"{cls.label} setting", cls, given)
        if isinstance(given.get("network"), Mapping):
            given["network"] = _network(given["network"], base.network)
        return dataclasses.replace(base, **given)  # type: ignore[type-var]

    def _build_network(self) -> None:
        """Make a network's settings of a mapping of some of them."""
        network: Any = self.network
        if isinstance(network, Mapping):
            object.__setattr__(self, "network", _network(network, NetworkConfig()))

    def _whole(self, name: str, *, at_least: int) -> None:
        value = getattr(self, name)
        if isinstance(value, bool) or not isinstance(value, int) or value < at_least:
            kind = "a positive whole number" if at_least else "a whole number, 0 or more"
            if at_least > 1:
                kind = f"a whole number of at least {at_least}"
            raise ConfigError(f"{name}: expected {kind}, got {value!r}")

    def _number(
        self, name: str, *, low: float, high: float = math.inf, above: bool = False
    ) -> None:
        value = getattr(self, name)
        fine = isinstance(value, (int, float)) and not isinstance(value, bool)
        if (
            not fine
            or not math.isfinite(value)
            or not low <= value <= high
            or (above and value == low)
        ):
            upper = "" if high == math.inf else f" and at most {high:g}"
            least = f"above {low:g}" if above else f"at least {low:g}"
            bounds = "that is finite" if low == -math.inf else f"{least}{upper}"
            raise ConfigError(f"{name}: expected a number {bounds}, got {value!r}")

    def _yes_or_no(self, name: str) -> None:
        if not isinstance(getattr(self, name), bool):
            raise ConfigError(f"{name}: expected a bool, got {getattr(self, name)!r}")

    def _one_of(self, name: str, choices: tuple[str | None, ...]) -> None:
        if getattr(self, name) not in choices:
            some = [repr(choice) for choice in choices]
            expected = f"{', '.join(some[:-1])} or {some[-1]}"
            raise ConfigError(f"{name}: expected {expected}, got {getattr(self, name)!r}")


def _network(settings: Mapping[str, Any], base: NetworkConfig) -> NetworkConfig:
    _known("network setting", NetworkConfig, settings)
    return dataclasses.replace(base, **settings)


def _known(what: str, cls: type[Any], settings: Mapping[str, Any]) -> None:
    names = [f.name for f in dataclasses.fields(cls)]
    for name in settings:
        if name not in names:
            near = difflib.get_close_matches(name, names, n=3, cutoff=0.5)
            advice = f" Did you mean {' or '.join(near)}?" if near else ""
            raise ConfigError(f"unknown {what} {name!r}.{advice}")
