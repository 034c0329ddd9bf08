"""A made-up comparison that several sections of its page tell of; nothing here trains."""

from __future__ import annotations

import pytest

from maskrl.runs.comparison import read_comparison


@pytest.fixture
def comparison(tmp_path, write_comparison):
    """Masked, punished for half of the steps, and naive, of which a run is not finished."""
    env, removed = "mining-4x4", {"greedy": {"mean": 3.0}}
    variants = [
        {
            "label": env,
            "env": env,
            "tests": [
                {"mean": mean, "allowed_from": 0.9, "mask_removed": removed}
                for mean in (39.0, 40.0)
            ],
        },
        {
            "label": f"{env}, penalty:0.01:native",
            "env": env,
            "regime": "penalty:0.01:native",
            "tests": [{"mean": mean, "training_illegal_actions": 50_000} for mean in (0.2, 39.0)],
        },
        {"label": f"{env}, naive", "env": env, "regime": "naive", "tests": [{"mean": 9.0}, None]},
    ]
    folder = write_comparison(tmp_path / "<a>", variants, seeds=(0, 1), total=100_000)
    return read_comparison(folder)
