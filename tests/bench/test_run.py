"""A whole comparison in small: who takes part, what is chosen, and what cannot be asked for."""

from __future__ import annotations

import pytest
import torch
from torch.distributions import Distribution

from maskrl.bench.run import BY_DEFAULT, GROUPS, BenchSettings, choose_contenders, run_bench
from maskrl.errors import ConfigError


def run(contenders, *only, **settings):
    return run_bench(
        BenchSettings(only=only, quick=True, threads=1, **settings), contenders=contenders
    )


def test_contenders_are_checked_timed_and_missed(exact, wrong, missing):
    heard = []
    results = run_bench(
        BenchSettings(only=("rows", "heads"), quick=True, threads=1),
        contenders=[exact, wrong, missing],
        tell=lambda group, task: heard.append((group, task)),
    )
    assert [p.missing is None for p in results.participants] == [True, True, False]
    assert "No module named 'absent'" in results.participants[2].missing
    assert [(c.group, c.case, c.workload) for c in results.cells] == [
        ("rows", "1x6", "acting"),
        ("rows", "1x6", "learning"),
        ("rows", "64x6", "acting"),
        ("rows", "64x6", "learning"),
        ("heads", "16x[7 heads]", "acting"),
        ("heads", "16x[7 heads]", "learning"),
    ]
    assert heard[0] == ("rows", "1x6, 30 % allowed, acting") and len(heard) == 6
    for cell in results.cells:
        assert cell.timing("maskrl").wrong is None
        assert cell.timing("maskrl").median > 0 and cell.timing("maskrl").repeats == 3
        theirs = cell.timing("wrong")
        assert (theirs is None) == (cell.group == "heads")
        assert theirs is None or theirs.wrong is not None
    assert results.goals == []  # quick figures say nothing


def test_every_cell_is_kept_at_once(exact):
    counts = []
    run_bench(
        BenchSettings(only=("greedy",), quick=True, threads=1),
        contenders=[exact],
        keep=lambda results: counts.append(len(results.cells)),
    )
    assert counts == [1, 2]


def test_the_process_is_left_as_it_was(exact):
    torch.manual_seed(3)
    before = torch.get_num_threads(), Distribution._validate_args, torch.random.get_rng_state()
    run([exact], "greedy")
    assert (torch.get_num_threads(), Distribution._validate_args) == before[:2]
    assert torch.equal(torch.random.get_rng_state(), before[2])


def test_words_choose_groups_and_cases(exact):
    settings = BenchSettings(only=("64x6", "learning"))
    assert settings.groups == BY_DEFAULT and settings.cases == ("64x6", "learning")
    assert BenchSettings(only=("training", "rows")).groups == ("rows", "training")
    assert "training" not in BenchSettings().groups and set(BY_DEFAULT) < set(GROUPS)
    cells = run([exact], "rows", "64x6").cells
    assert [c.case for c in cells] == ["64x6", "64x6"]


def test_what_matches_nothing_is_refused(exact):
    with pytest.raises(ConfigError, match="--only rows 5x5: nothing matches"):
        run([exact], "rows", "5x5")


def test_against_whom(exact, wrong, missing):
    everybody = [exact, wrong, missing]
    assert choose_contenders(everybody, ()) == everybody
    assert choose_contenders(everybody, ("wro",)) == [exact, wrong]
    with pytest.raises(ConfigError, match="--against nobody: .* maskrl, wrong, absent"):
        choose_contenders(everybody, ("nobody",))


@pytest.mark.parametrize("name", ["repeats", "threads"])
def test_numbers_must_be_positive(name):
    with pytest.raises(ConfigError, match=f"--{name}: expected a positive whole number, got 0"):
        BenchSettings(**{name: 0})
