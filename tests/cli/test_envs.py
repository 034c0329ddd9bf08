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


def test_one_environment_tells_its_settings_and_presets(capsys):
    assert main(["envs", "panda-trees"]) == 0
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    rows = {line[0]: line[1:] for line in lines if line}
    assert rows["preset"][0] == "'trees'"
    assert rows["step_limit"][:2] == ["40", "Steps"]
    assert rows["num_envs"] == ["256"] and rows["total_steps"] == ["500000"]


def test_a_foreign_environment_tells_where_its_mask_is_found(capsys):
    assert main(["envs", "gymnasium:Taxi-v4"]) == 0
    out = capsys.readouterr().out
    assert "mask_key" in out and "mask_allowed" in out and "entropy_coef_final" in out


def test_an_unknown_environment_is_one_message(capsys):
    assert main(["envs", "pnada"]) == 2
    assert "Did you mean panda" in capsys.readouterr().err
