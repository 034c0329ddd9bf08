"""The configuration: every setting once, under its dotted name, escaped."""

from __future__ import annotations

import dataclasses

from maskrl.reports.sections.configuration import configuration_section, flatten


def test_names_are_dotted_as_on_the_command_line():
    settings = {"seed": 0, "ppo": {"clip": 0.2, "network": {"hidden": [64, 64], "extra": {}}}}
    assert list(flatten(settings)) == [
        ("seed", 0),
        ("ppo.clip", 0.2),
        ("ppo.network.hidden", [64, 64]),
        ("ppo.network.extra", {}),
    ]


def test_every_setting_is_there_and_folded(make_run):
    html = configuration_section(make_run()).html
    assert html.startswith("<details>")
    for part in ("ppo.network.hidden", "64, 64", "ppo.value_clip", "none", "env_kwargs.sight"):
        assert part in html


def test_values_are_escaped(make_run):
    run = make_run()
    html = configuration_section(
        dataclasses.replace(run, config={"env": "<img src=x>", "<k>": True})
    ).html
    assert "<img" not in html and "<k>" not in html and "yes" in html
