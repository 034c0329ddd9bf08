"""`maskrl envs`: every environment and every form of an id."""

from __future__ import annotations

from maskrl.cli import main
from maskrl.envs.registry import ID_FORMS, env_ids


def test_everything_is_listed(capsys):
    assert main(["envs"]) == 0
    out = capsys.readouterr().out
    for env_id in env_ids():
        assert f"  {env_id} " in out
    for form in ID_FORMS:
        assert form in out
