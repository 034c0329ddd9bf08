"""Regimes in plain words: short where nothing is lost, never the same for two."""

from __future__ import annotations

from maskrl.reports.comparison.naming import meanings, with_plain_names
from maskrl.runs.comparison import read_comparison


def named(tmp_path, write_comparison, *variants):
    asked = [
        {"label": f"w, {k}", "env": "w", "regime": regime, "varied": varied, "tests": [None]}
        for k, (regime, varied) in enumerate(variants)
    ]
    folder = write_comparison(tmp_path / "a", asked, seeds=(0,))
    return with_plain_names(read_comparison(folder))


def names(*given):
    return [variant.name for variant in named(*given).variants]


def test_native_is_left_out_where_all_penalties_are(tmp_path, write_comparison):
    regimes = ("masked", "naive", "penalty:0.1:native", "penalty:1:native", "penalty:0:native")
    comparison = named(tmp_path, write_comparison, *((regime, {}) for regime in regimes))
    found = [variant.name for variant in comparison.variants]
    assert found == ["masked", "naive", "penalty 0.1", "penalty 1", "no mask"]
    # What it is stays what it was.
    assert [variant.regime for variant in comparison.variants] == list(regimes)
    told = meanings(comparison.variants)
    assert [meaning.names for meaning in told] == [
        (("masked", 0),),
        (("naive", 1),),
        (("penalty 0.1", 2), ("penalty 1", 3)),
        (("no mask", 4),),
    ]
    assert told[2].text.endswith("costs that much, and the environment answers it")
    assert told[3].text.endswith("costs nothing, and the environment answers it")


def test_it_stays_where_some_are_withheld(tmp_path, write_comparison):
    variants = (("penalty:1", {}), ("penalty:1:native", {}), ("none", {}))
    assert names(tmp_path, write_comparison, *variants) == [
        "penalty 1",
        "penalty 1, native",
        "no mask",
    ]


def test_a_regime_that_all_share_is_not_repeated(tmp_path, write_comparison):
    variants = (("masked", {"ratio": "joint"}), ("masked", {"ratio": "agent"}))
    assert names(tmp_path, write_comparison, *variants) == ["ratio=joint", "ratio=agent"]


def test_two_of_one_name_keep_their_own(tmp_path, write_comparison):
    variants = (("none", {}), ("penalty:0", {}))
    assert names(tmp_path, write_comparison, *variants) == ["none", "penalty:0"]
    assert names(tmp_path / "b", write_comparison, ("masked", {})) == ["masked"]


def test_settings_of_the_environment_go_by_their_names(tmp_path, write_comparison):
    variants = (("masked", {"env.size": "5"}), ("masked", {"env.size": "7"}))
    assert names(tmp_path, write_comparison, *variants) == ["size=5", "size=7"]
    both = (("masked", {"env.size": "5"}), ("masked", {"size": "5"}))
    assert names(tmp_path / "b", write_comparison, *both) == [
        "masked, env.size=5",
        "masked, size=5",
    ]
