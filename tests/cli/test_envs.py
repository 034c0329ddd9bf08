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
    settings, *presets = capsys.readouterr().out.split("over the defaults:")
    rows = rows_of(settings)
    assert rows["preset"][0] == "'trees'"
    assert rows["step_limit"][:2] == ["40", "Steps"]
    rows = rows_of(presets[0])  # ppo's come first, those of other algorithms below
    assert rows["num_envs"] == ["256"] and rows["total_steps"] == ["500000"]


def test_presets_by_name_are_told_with_the_option_that_chooses_them(capsys):
    assert main(["envs", "mining-4x4"]) == 0
    out = capsys.readouterr().out
    _, usual, published, corrected = out.split("over the defaults:")
    assert usual.strip().endswith("what ppo is trained with by --preset as_published,")
    assert published.strip().endswith("what ppo is trained with by --preset corrected,")
    assert rows_of(published)["env.masks"] == ["published"]
    assert rows_of(published)["ratio"] == ["head"] and rows_of(corrected)["ratio"] == ["joint"]
    assert rows_of(published)["network.padding"] == ["none"]


def rows_of(text):
    lines = [line.split() for line in text.splitlines()]
    return {line[0]: line[1:] for line in lines if line}


def test_a_foreign_environment_tells_where_its_mask_is_found(capsys):
    assert main(["envs", "gymnasium:Taxi-v4"]) == 0
    out = capsys.readouterr().out
    assert "mask_key" in out and "mask_allowed" in out and "entropy_coef_final" in out


def test_an_unknown_environment_is_one_message(capsys):
    assert main(["envs", "pnada"]) == 2
    assert "Did you mean panda" in capsys.readouterr().err
