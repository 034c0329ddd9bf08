"""Large whole numbers, as people write them."""

from __future__ import annotations

import pytest

from maskrl.cli.numbers import steps_from
from maskrl.errors import ConfigError


@pytest.mark.parametrize("text", ["200000", "200_000", "200,000", "2e5", "0.2e6"])
def test_they_mean_the_same(text):
    assert steps_from("--total-steps", text) == 200_000


def test_nothing_is_nothing():
    assert steps_from("--total-steps", None) is None


@pytest.mark.parametrize("text", ["0", "-3", "1.5", "many", "", "inf", "nan", "1e99"])
def test_others_are_refused_by_name(text):
    with pytest.raises(ConfigError, match=r"--total-steps: expected a positive whole number"):
        steps_from("--total-steps", text)
