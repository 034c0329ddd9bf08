"""Settings and their explanations, read from the class that declares them."""

from __future__ import annotations

from dataclasses import dataclass, make_dataclass

from maskrl.envs.setting_list import Setting, setting_list


@dataclass(frozen=True)
class Weather:
    """Not a setting."""

    place: str
    rain: float = 0.5
    """Share of rainy steps."""
    wind: str = "west"
    snow: bool = False
    """Whether it snows,
    in two lines."""


def test_names_defaults_and_texts_in_order() -> None:
    assert setting_list(Weather) == (
        Setting("rain", 0.5, "Share of rainy steps."),
        Setting("wind", "west", ""),
        Setting("snow", False, "Whether it snows,\nin two lines."),
    )


def test_without_source_names_and_defaults_remain() -> None:
    made = make_dataclass("Made", [("size", int, 3)])
    assert setting_list(made) == (Setting("size", 3, ""),)


def test_every_setting_of_the_panda_is_explained() -> None:
    from maskrl.envs.games.panda.settings import PandaSettings

    listed = setting_list(PandaSettings)
    assert {setting.name for setting in listed} == set(PandaSettings.__dataclass_fields__)
    assert all(setting.text for setting in listed)
