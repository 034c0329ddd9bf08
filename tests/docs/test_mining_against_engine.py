"""The mining worlds are what their engine is: traces recorded there, played again here.

The traces hold seven episodes of 174 to 200 steps. They are made by the commands of
docs/mining.md; one with more debts than can be paid, one in which all is gathered before the
time is up, one of a mask that lets units wait for orders that were impossible, one that begins
with enough in store for every kind of unit.
"""

from __future__ import annotations

import importlib
from pathlib import Path

import numpy as np
import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
TRACES = sorted(Path(__file__).with_name("mining_traces").glob("*.npz"))


@pytest.fixture(scope="module")
def against():
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(REPOSITORY / "examples"))
        yield importlib.import_module("mining_against_engine")


@pytest.mark.parametrize("path", TRACES, ids=lambda path: path.stem)
def test_nothing_differs_from_the_engine(against, path):
    trace = against.read_trace(path)
    differences, frames = against.compare(trace)
    assert differences == []
    assert frames == int(trace["lengths"].sum()) + len(trace["lengths"]) >= 175


def test_the_traces_hold_what_is_rare(against):
    traces = {path.stem: against.read_trace(path) for path in TRACES}
    assert {path.stem.partition("-")[0] for path in TRACES} == {"4x4", "10x10", "16x16", "24x24"}
    assert traces["4x4-debtors"]["stock"].min() == -1
    assert traces["4x4-settlers"]["terminated"].sum() == 1
    assert traces["4x4-settlers"]["lengths"].tolist() == [174]
    _, _, owner, kind, _, _, order, left = traces["4x4-masked"]["units"].T
    assert ((owner == 0) & (order == 0) & (left > 0)).sum() > 100  # they wait, and look idle
    _, _, owner, kind, _, _, order, left = traces["16x16-army"]["units"].T
    assert ((kind == 5) & (order == 1) & (left == 2)).sum() > 5  # heavy units between two steps
    assert {4, 5, 6} <= set(kind[owner == 0].tolist())
    assert traces["10x10-rich"]["stock"][0] == 45
    _, _, owner, kind, *_ = traces["10x10-rich"]["units"].T
    assert {1, 2, 3, 4, 5, 6} == set(kind[owner == 0].tolist())
    refused = np.concatenate([trace["refused"] for trace in traces.values()])
    assert {1, 4} == set(refused[:, 2].tolist())


CHANGES = {
    "reward": lambda trace: trace["rewards"].__setitem__(40, 1 - trace["rewards"][40]),
    "terminated": lambda trace: trace["terminated"].__setitem__(40, True),
    "truncated": lambda trace: trace["truncated"].__setitem__(-1, False),
    "planes": lambda trace: trace["planes"].__setitem__((40, 3), trace["planes"][40, 3] ^ 1),
    "masks published": lambda trace: trace["masks"].__setitem__((40, 0), 255),
    "masks conditional": lambda trace: trace["refused"].__setitem__((10, 3), 2),
    "units": lambda trace: trace["units"].__setitem__((200, 4), 7),
    "invalid": lambda trace: trace["invalid"].__setitem__((40, 0), 1),
    "stock": lambda trace: trace["stock"].__setitem__(40, 9),
}


@pytest.mark.parametrize("name", CHANGES)
def test_a_difference_is_found_and_named(against, name):
    trace = against.read_trace(TRACES[0].with_name("4x4-debtors.npz"))
    CHANGES[name](trace)
    differences, _ = against.compare(trace)
    assert name in [difference[0] for difference in differences]


def test_idleness_shows_everywhere(against):
    trace = against.read_trace(TRACES[0].with_name("4x4-settlers.npz"))
    trace["actions"][20:] = 0
    differences, _ = against.compare(trace)
    names = {difference[0] for difference in differences}
    assert {"reward", "planes", "units", "stock", "masks heads", "terminated"} <= names
    assert min(difference[2] for difference in differences) > 20


def test_the_command_tells_what_it_found(against, tmp_path, monkeypatch, capsys):
    trace = against.read_trace(TRACES[0].with_name("4x4-settlers.npz"))
    trace["stock"][100] += 1
    changed = tmp_path / "changed.npz"
    np.savez_compressed(changed, **trace)
    whole = TRACES[0].with_name("4x4-settlers.npz")
    monkeypatch.setattr("sys.argv", ["mining", "compare", str(whole), str(changed)])
    assert against.main() == 1
    told = capsys.readouterr().out.splitlines()
    assert told[:2] == ["4x4-settlers.npz: 175 frames of 4x4, settlers", "  no difference"]
    assert told[3].startswith("  stock first differs in episode 0 at step 100: the engine has")
