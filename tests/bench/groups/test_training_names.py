"""The names of rows are told apart."""

from __future__ import annotations

from maskrl.bench.groups import training_names as names
from maskrl.bench.groups.training import WORLDS


def test_names_are_distinct():
    rows = [names.MASKABLE_PPO, names.BARE_LOOP, names.ENV_ALONE, names.CEILING]
    assert len({*rows, names.NETWORK_ALONE}) == 5
    assert list(WORLDS) == [names.NATIVE, names.PYTHON]
