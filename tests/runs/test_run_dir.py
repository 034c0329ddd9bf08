"""Run folders: never overwritten by accident, never colliding, and opened with care."""

from __future__ import annotations

import pytest

from maskrl.errors import ConfigError, RunFolderError
from maskrl.runs.run_dir import RunDir, env_slug


def test_a_created_folder_opens_with_its_settings(tmp_path):
    run = RunDir.create(tmp_path / "a" / "b")
    run.write_config({"env": "panda", "seed": 3})
    assert RunDir.open(tmp_path / "a" / "b") == run
    assert run.read_config() == {"format": 1, "env": "panda", "seed": 3}
    assert run.read_evaluation() is None
    run.write_evaluation({"score": 0.5})
    assert run.read_evaluation() == {"score": 0.5}


def test_every_path_lies_inside(tmp_path):
    run = RunDir.create(tmp_path / "run")
    names = ["config", "metrics", "timings", "tensorboard", "evaluation", "report"]
    paths = [getattr(run, f"{name}_path") for name in names]
    paths += [run.last_checkpoint, run.best_checkpoint]
    assert len(set(paths)) == 8
    assert all(path.is_relative_to(run.path) for path in paths)


def test_an_existing_run_is_refused_with_the_way_out(tmp_path):
    RunDir.create(tmp_path / "run").write_config({"env": "panda"})
    with pytest.raises(RunFolderError, match=r"holds a run already.*--resume .*run.*--out"):
        RunDir.create(tmp_path / "run")
    assert RunDir.create(tmp_path / "run", overwrite=True)
    assert not (tmp_path / "run" / "config.json").exists()


def test_an_empty_folder_may_become_a_run(tmp_path):
    (tmp_path / "run").mkdir()
    assert RunDir.create(tmp_path / "run").path == tmp_path / "run"


@pytest.mark.parametrize("overwrite", [False, True])
def test_what_is_no_run_is_never_touched(tmp_path, overwrite):
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(RunFolderError, match="is not a run folder"):
        RunDir.create(tmp_path, overwrite=overwrite)
    with pytest.raises(RunFolderError, match=r"is a file; a run needs a folder"):
        RunDir.create(tmp_path / "thesis.txt", overwrite=overwrite)
    assert (tmp_path / "thesis.txt").read_text() == "years of work"


def test_an_unwritable_place_is_one_message(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(RunFolderError, match=r"cannot write the folder .*Choose another --out"):
        RunDir.create(tmp_path / "file" / "run")
    with pytest.raises(RunFolderError, match=r"cannot write the folder"):
        RunDir.next_free("panda-0", parent=tmp_path / "file" / "runs")


def test_free_names_never_collide(tmp_path):
    names = [RunDir.next_free("panda?sight=full-0", parent=tmp_path).path.name for _ in range(3)]
    assert names == ["panda-sight-full-0-1", "panda-sight-full-0-2", "panda-sight-full-0-3"]


@pytest.mark.parametrize(
    ("env_id", "slug"),
    [
        ("panda", "panda"),
        ("panda?sight=full&trees=3", "panda-sight-full-trees-3"),
        ("gymnasium:Taxi-v4", "Taxi-v4"),
        ("mypackage.envs:MyEnv", "mypackage.envs-MyEnv"),
    ],
)
def test_an_environment_id_becomes_a_file_name(env_id, slug):
    assert env_slug(env_id) == slug


def test_an_empty_id_is_refused():
    with pytest.raises(ConfigError, match="cannot be"):
        env_slug("")


def test_opening_nothing_names_runs_nearby(tmp_path):
    RunDir.create(tmp_path / "panda-0-1").write_config({})
    with pytest.raises(RunFolderError, match=r"no run folder .*panda-0-2.*near it: .*panda-0-1"):
        RunDir.open(tmp_path / "panda-0-2")
    with pytest.raises(RunFolderError, match=r"not a run folder: .*panda-0-1"):
        RunDir.open(tmp_path)


def test_a_comparison_is_told_from_a_run(tmp_path):
    RunDir.create(tmp_path / "compare" / "panda" / "seed-0").write_config({})
    (tmp_path / "compare" / "summary.json").write_text("{}")
    with pytest.raises(RunFolderError, match=r"folder of a comparison.*Its runs: .*seed-0"):
        RunDir.open(tmp_path / "compare")


def test_damaged_settings_are_named(tmp_path):
    run = RunDir.create(tmp_path / "run")
    run.config_path.write_text('{"format": 1, ')
    with pytest.raises(RunFolderError, match=r"config\.json is damaged.*line 1"):
        RunDir.open(run.path)
    run.config_path.write_text('{"format": 99}')
    with pytest.raises(RunFolderError, match="run format 99"):
        RunDir.open(run.path)


def test_clearing_leaves_nothing_of_a_run(tmp_path):
    run = RunDir.create(tmp_path / "run")
    run.write_config({})
    run.write_evaluation({})
    run.last_checkpoint.mkdir(parents=True)
    (run.path / "notes.txt").touch()
    run.clear()
    assert [path.name for path in run.path.iterdir()] == ["notes.txt"]


def test_discarding_takes_what_the_run_wrote_and_nothing_else(tmp_path):
    for name, notes in (("a", False), ("b", True)):
        run = RunDir.create(tmp_path / name)
        run.write_config({"env": "x"})
        (run.path / ".lock").touch()
        (run.path / "checkpoints" / "last").mkdir(parents=True)
        if notes:
            (run.path / "notes.txt").touch()
        run.discard()
    assert not (tmp_path / "a").exists()
    assert [path.name for path in (tmp_path / "b").iterdir()] == ["notes.txt"]
