"""What settings of all algorithms can do."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest

from maskrl.errors import ConfigError
from maskrl.networks.encoders import NetworkConfig
from maskrl.trainers.trainer_config import TrainerConfig


@dataclass(frozen=True)
class Settings(TrainerConfig):
    label = "toy"

    size: int = 3
    share: float = 0.5
    word: str = "a"
    flag: bool = True
    network: NetworkConfig = field(default_factory=NetworkConfig)

    def __post_init__(self):
        self._build_network()
        self._whole("size", at_least=2)
        self._number("share", low=0.0, high=1.0, above=True)
        self._one_of("word", ("a", "b", None))
        self._yes_or_no("flag")


def test_changes_are_checked_again():
    assert Settings().replace(size=5).size == 5
    for changes, words in (
        ({"size": 1}, "size: expected a whole number of at least 2, got 1"),
        ({"share": 0.0}, "share: expected a number above 0 and at most 1, got 0.0"),
        ({"share": float("nan")}, "share"),
        ({"word": "c"}, "word: expected 'a', 'b' or None, got 'c'"),
        ({"flag": 1}, "flag: expected a bool, got 1"),
        ({"network": {"width": 3}}, "unknown network setting 'width'"),
    ):
        with pytest.raises(ConfigError, match=words):
            Settings().replace(**changes)


def test_plain_data_and_back():
    settings = Settings(size=7, network={"hidden": [2]})
    assert settings.network.hidden == (2,)
    plain = settings.to_json()
    assert plain["network"]["hidden"] == (2,) and Settings.from_json(plain) == settings
    partly = Settings.from_json({"network": {"shared": True}}, base=settings)
    assert partly.network == NetworkConfig(hidden=(2,), shared=True) and partly.size == 7
    with pytest.raises(ConfigError, match="unknown toy setting 'sise'. Did you mean size"):
        Settings.from_json({"sise": 3})
