"""Episodes on disk: exact numbers, cut off where a run goes on, whole rows alone."""

from __future__ import annotations

import pytest

from maskrl.errors import RunFolderError
from maskrl.runs.episode_log import EpisodeLog, read_episodes

ROWS = [(8, 0.1, 4, 0.0), (16, -3.0, 4, 0.25), (16, 1 / 3, 2, 0.0)]


def test_what_is_written_is_read_back(tmp_path):
    path = tmp_path / "episodes.csv"
    assert len(read_episodes(path)) == 0
    log = EpisodeLog(path)
    log.write(ROWS[:1])
    log.write([])
    log.write(ROWS[1:])
    found = read_episodes(path)
    rows = zip(found.step, found.returned, found.length, found.charged, strict=True)
    assert [tuple(row) for row in rows] == ROWS
    assert path.read_text().splitlines()[:3] == [
        "step,return,length,charged",
        "8,0.1,4,0",
        "16,-3,4,0.25",
    ]


def test_a_resumed_run_forgets_what_lies_past_its_step(tmp_path):
    path = tmp_path / "episodes.csv"
    EpisodeLog(path).write(ROWS)
    whole = path.read_bytes()
    with path.open("a") as file:
        file.write("24,9.0,4,0\n32,7.")  # a kill cut this row short
    assert len(read_episodes(path)) == 4
    EpisodeLog(path, resume_step=16)
    assert path.read_bytes() == whole
    EpisodeLog(path, resume_step=0)
    assert len(read_episodes(path)) == 0


def test_damage_is_named(tmp_path):
    path = tmp_path / "episodes.csv"
    path.write_text("step,return\n1,2\n")
    with pytest.raises(RunFolderError, match="line 1 is 'step,return"):
        read_episodes(path)
    path.write_text("step,return,length,charged\n1,x,3,4\n")
    with pytest.raises(RunFolderError, match="damaged at line 2"):
        read_episodes(path)
    with pytest.raises(RunFolderError, match="cannot be read"):
        read_episodes(tmp_path)
    with pytest.raises(RunFolderError, match="cannot write"):
        log = EpisodeLog(tmp_path / "a.csv")
        (tmp_path / "a.csv").unlink()
        (tmp_path / "a.csv").mkdir()
        log.write(ROWS)
