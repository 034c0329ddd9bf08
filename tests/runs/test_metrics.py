"""The curves: digits kept, headers that grow, rows cut off at a resume."""

from __future__ import annotations

import math

import numpy as np
import pytest

from maskrl.errors import ConfigError, RunFolderError
from maskrl.runs.metrics import MetricsWriter, read_metrics
from maskrl.runs.run_dir import RunDir


@pytest.fixture
def run(tmp_path):
    return RunDir.create(tmp_path / "run")


def quiet(run, **kwargs):
    return MetricsWriter(run, tensorboard=False, **kwargs)


def test_numbers_read_back_to_the_digit_and_times_lie_apart(run):
    values = {"loss": 0.1 + 0.2, "tiny": 1e-300, "count": 3.0, "nan": math.nan, "inf": -math.inf}
    with quiet(run) as writer:
        writer.write(10, values, {"seconds": 0.5})
    assert run.metrics_path.read_text() == (
        "step,loss,tiny,count,nan,inf\n10,0.30000000000000004,1e-300,3,nan,-inf\n"
    )
    read = read_metrics(run.metrics_path)
    assert list(read) == ["step", *values]
    np.testing.assert_array_equal([read[k][0] for k in values], list(values.values()))
    assert read_metrics(run.timings_path)["seconds"].tolist() == [0.5]


def test_the_header_grows_and_gaps_are_nan(run):
    writer = quiet(run)
    writer.write(1, {"a": 1})
    writer.write(2, {"b": 2, "a": 3})
    writer.write(3, {"a": 4})
    assert run.metrics_path.read_text() == "step,a,b\n1,1,\n2,3,2\n3,4,\n"
    np.testing.assert_array_equal(read_metrics(run.metrics_path)["b"], [np.nan, 2, np.nan])


def test_the_same_step_again_adds_to_its_row(run):
    writer = quiet(run)
    writer.write(1, {"a": 1})
    writer.write(1, {"score": 0.5})
    writer.write(2, {"a": 2})
    assert run.metrics_path.read_text() == "step,a,score\n1,1,0.5\n2,2,\n"


def test_steps_must_not_fall(run):
    writer = quiet(run)
    writer.write(2, {"a": 1})
    with pytest.raises(ConfigError, match="step 1 comes after step 2"):
        writer.write(1, {"a": 1})


def test_a_resumed_run_ends_up_with_the_file_of_an_uninterrupted_one(run, tmp_path):
    straight = RunDir.create(tmp_path / "straight")
    writer = quiet(straight)
    for step in (1, 2, 3, 4):
        writer.write(step, {"a": step / 3})
    writer = quiet(run)
    for step in (1, 2, 3):
        writer.write(step, {"a": step / 3 if step < 3 else 99.0})
    with open(run.metrics_path, "a") as file:
        file.write("4,0.3")  # cut short by a kill
    writer = quiet(run, resume_step=2)
    for step in (3, 4):
        writer.write(step, {"a": step / 3})
    assert run.metrics_path.read_bytes() == straight.metrics_path.read_bytes()


def test_beginning_anew_drops_old_rows(run):
    quiet(run).write(5, {"a": 1})
    quiet(run).write(1, {"b": 1})
    assert run.metrics_path.read_text() == "step,b\n1,1\n"


def test_no_file_is_no_column(run):
    assert read_metrics(run.metrics_path) == {}


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("a,b\n1,2\n", "line 1 is no header"),
        ("step,a\n1,2\n2,x\n", "damaged at line 3: could not convert"),
        ("step,a\n1,2,3\n", "damaged at line 2: 3 cells for 2 names"),
        ("step,a\n,2\n", "damaged at line 2"),
    ],
)
def test_damage_names_its_line(run, text, complaint):
    run.metrics_path.write_text(text)
    with pytest.raises(RunFolderError, match=complaint):
        read_metrics(run.metrics_path)


@pytest.mark.parametrize(("resume", "purged"), [(10, 11), (0, 1), (None, 1)])
def test_tensorboard_forgets_what_is_learned_again(run, resume, purged):
    """Also where a run begins anew, because it was killed before it had learned anything."""
    from tensorboard.backend.event_processing.event_file_loader import EventFileLoader

    with MetricsWriter(run) as first:
        first.write(10, {"a": 1.0})
        first.write(20, {"a": 1.0})
    (old,) = run.tensorboard_path.iterdir()
    with MetricsWriter(run, resume_step=resume) as second:
        second.write(30, {"a": 2.0})
    (new,) = set(run.tensorboard_path.iterdir()) - {old}
    starts = [e.step for e in EventFileLoader(str(new)).Load() if e.HasField("session_log")]
    assert starts == [purged]


def test_tensorboard_gets_the_same_numbers(run):
    from tensorboard.backend.event_processing.event_file_loader import EventFileLoader

    with MetricsWriter(run) as writer:
        writer.write(1, {"a": 0.5, "nan": math.nan}, {"steps_per_second": 7.0})
        writer.write(2, {"a": 0.25})
    (path,) = run.tensorboard_path.iterdir()
    seen = []
    for event in EventFileLoader(str(path)).Load():
        for value in event.summary.value:
            number = value.tensor.float_val[0] if value.HasField("tensor") else value.simple_value
            seen.append((event.step, value.tag, number))
    assert sorted(seen) == [(1, "a", 0.5), (1, "steps_per_second", 7.0), (2, "a", 0.25)]
