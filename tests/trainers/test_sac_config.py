"""Settings of discrete SAC: checked when made, and back from JSON."""

from __future__ import annotations

import json

import pytest

from maskrl.errors import ConfigError
from maskrl.trainers.sac_config import SACConfig


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"entropy_share": 1.5}, "entropy_share: expected a number at least 0 and at most 1"),
        ({"entropy_share_final": -0.1}, "entropy_share_final: expected a number at least 0"),
        ({"entropy_fraction": 0.0}, "entropy_fraction: expected a number above 0 and at most 1"),
        ({"temperature": 20.0}, r"temperature: expected .* between temperature_min \(0.0001\)"),
        ({"temperature": 0.0}, "temperature: expected a number above 0"),
        ({"temperature_min": 0.2}, "temperature: expected a number between temperature_min"),
        ({"temperature_rate": -1.0}, "temperature_rate: expected a number at least 0"),
        ({"target_rate": 0.0}, "target_rate: expected a number above 0 and at most 1"),
        ({"target_every": 0}, "target_every: expected a positive whole number"),
        ({"huber": 0.0}, "huber: expected a number above 0"),
        ({"shared_critics": 1}, "shared_critics: expected a bool"),
        ({"gamma": 1.1}, "gamma: expected"),
        ({"learning_starts": 300_000}, "learning_starts: 300000 steps are more than the memory"),
    ],
)
def test_what_cannot_be_is_named(settings, message):
    with pytest.raises(ConfigError, match=message):
        SACConfig(**settings)


def test_settings_come_back_from_json():
    config = SACConfig(entropy_share_final=None, huber=None, network={"hidden": [8]})
    again = SACConfig.from_json(json.loads(json.dumps(config.to_json())))
    assert again == config and again.network.hidden == (8,)
    with pytest.raises(ConfigError, match=r"unknown SAC setting 'entropy_shar'.*entropy_share"):
        SACConfig.from_json({"entropy_shar": 0.1})


def test_every_field_is_explained():
    import ast
    import inspect

    body = ast.parse(inspect.getsource(SACConfig)).body[0].body
    for field, after in zip(body, body[1:], strict=False):
        if isinstance(field, ast.AnnAssign):
            explained = isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant)
            assert explained, ast.unparse(field)
