"""Rows taken out of the infos of vector environments, and put together."""

from __future__ import annotations

import numpy as np
import pytest
from gymnasium.vector import VectorEnv

from maskrl.envs.vector_infos import (
    joined_infos,
    merged_infos,
    names_of,
    row_of,
    rows_of_infos,
    told_by,
)


def infos_of(*rows):
    """As Gymnasium stacks what environments tell; None for one that tells nothing."""
    venv = VectorEnv()
    venv.num_envs = len(rows)
    infos = {}
    for i, row in enumerate(rows):
        infos = venv._add_info(infos, row or {}, i)
    return infos


ROWS = (
    {"n": 1, "mask": np.array([1, 0]), "deep": {"m": 2.5, 0: True}, "word": "a", "_private": 3},
    {"mask": np.array([0, 1]), "deep": {"m": 3.5}},
    None,
    {"n": 4, "word": "d", "_private": 5},
)


def same(one, two):
    assert one.keys() == two.keys()
    for key, value in one.items():
        if isinstance(value, dict):
            same(value, two[key])
        else:
            np.testing.assert_array_equal(value, two[key])


def test_names_are_those_of_what_is_told():
    infos = infos_of(*ROWS)
    assert names_of(infos) == ["n", "mask", "deep", "word", "_private"]
    assert names_of(infos["deep"]) == ["m", 0]
    assert told_by(infos, "n", 4).tolist() == [True, False, False, True]
    assert told_by({"x": 1}, "x", 2).all() and not told_by({}, "x", 2).any()


@pytest.mark.parametrize("keep", [[0], [1, 2], [0, 3], [2], [0, 1, 2, 3], []])
def test_rows_are_what_the_others_never_told(keep):
    rows = np.isin(np.arange(4), keep)
    kept = rows_of_infos(infos_of(*ROWS), rows)
    same(kept, infos_of(*[row if i in keep else None for i, row in enumerate(ROWS)]))


def test_what_is_kept_is_a_copy():
    infos = infos_of(*ROWS)
    kept = rows_of_infos(infos, np.ones(4, bool))
    infos["mask"][:] = 9
    infos["deep"]["m"][:] = 9
    assert kept["mask"].max() == 1 and kept["deep"]["m"].max() == 3.5


@pytest.mark.parametrize("first", [[0], [1, 2], [0, 3], [2]])
def test_two_parts_make_the_whole(first):
    infos = infos_of(*ROWS)
    rows = np.isin(np.arange(4), first)
    merged = merged_infos(rows_of_infos(infos, rows), rows_of_infos(infos, ~rows), 4)
    same({key: merged[key] for key in infos}, infos)


def test_where_both_tell_the_second_holds():
    merged = merged_infos(infos_of({"n": 1}, {"n": 2}), infos_of(None, {"n": 7}), 2)
    assert merged["n"].tolist() == [1, 7] and merged["_n"].all()


def test_what_does_not_stack_is_kept_as_it_came():
    one, two = infos_of({"ids": np.arange(2)}, None), infos_of(None, {"ids": np.arange(3)})
    ids = merged_infos(one, two, 2)["ids"]
    assert ids.dtype == object and [len(row) for row in ids] == [2, 3]
    two = infos_of(None, {"ids": {"a": 5}})
    assert merged_infos(one, two, 2)["ids"][1] == {"a": 5}


def test_a_row_of_flags_by_action():
    deep = infos_of({"m": {0: True, 1: False}}, {"m": {0: False}})["m"]
    assert row_of(deep, 0) == {0: True, 1: False} and row_of(deep, 1) == {0: False}


def test_what_is_of_all_stays():
    """A batched environment tells arrays with a row each, or one thing of all."""
    kept = rows_of_infos({"n": np.arange(3), "time": 2.0}, np.array([True, False, True]))
    assert kept["n"].tolist() == [0, 0, 2] and kept["_n"].tolist() == [True, False, True]
    assert kept["time"] == 2.0


@pytest.mark.parametrize("cut", [1, 2, 3])
def test_parts_stand_one_behind_the_other(cut):
    parts = [infos_of(*ROWS[:cut]), infos_of(*ROWS[cut:])]
    joined = joined_infos(parts, [cut, 4 - cut])
    whole = infos_of(*ROWS)
    same({key: joined[key] for key in whole}, whole)
    assert joined.keys() == whole.keys()


def test_parts_of_several_kinds_are_kept_as_they_came():
    joined = joined_infos(
        [infos_of({"ids": np.arange(2)}), infos_of({"ids": np.arange(3)})], [1, 1]
    )
    assert [len(row) for row in joined["ids"]] == [2, 3] and joined["_ids"].all()
    joined = joined_infos([infos_of({"x": {"a": 1}}), infos_of({"x": 4})], [1, 1])
    assert joined["x"].tolist() == [{"a": 1}, 4]


def test_infos_of_batched_environments_are_joined():
    """Without arrays of whose they are; what is of all is taken from the first."""
    parts = [{"n": np.arange(2), "time": 1.0}, {"n": np.arange(3), "time": 2.0}]
    joined = joined_infos(parts, [2, 3])
    assert joined["n"].tolist() == [0, 1, 0, 1, 2] and joined["time"] == 1.0
    assert set(joined) == {"n", "time"}
    late = joined_infos([{}, {"n": np.arange(3)}], [2, 3])
    assert late["n"].tolist() == [0, 0, 0, 1, 2]
    assert late["_n"].tolist() == [False, False, True, True, True]
