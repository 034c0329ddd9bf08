"""Maps are found by name or path, read before play, and wrong ones are told."""

from __future__ import annotations

from pathlib import Path

import pytest

from maskrl.envs.adapters.microrts.installation import engine_folder
from maskrl.envs.adapters.microrts.maps import find_map, map_names
from maskrl.errors import ConfigError, UnknownEnvError

SMALL = """<rts.PhysicalGameState width="3" height="2">
  <terrain>010000</terrain>
  <players>
    <rts.Player ID="0" resources="1"></rts.Player>
    <rts.Player ID="1" resources="9"></rts.Player>
  </players>
  <units>
    <rts.units.Unit type="Resource" ID="0" player="-1" x="2" y="0" resources="1" hitpoints="1"/>
    <rts.units.Unit type="Worker" ID="1" player="0" x="0" y="0" resources="0" hitpoints="1"/>
    <rts.units.Unit type="Worker" ID="2" player="1" x="2" y="1" resources="0" hitpoints="1"/>
  </units>
</rts.PhysicalGameState>
"""


def test_the_engines_maps_have_sizes_walls_and_bounds(engine):
    small = find_map("maps/8x8/basesWorkers8x8.xml")
    assert (small.height, small.width, small.walls.any()) == (8, 8, False)
    assert small.max_agents == 2 + 5 + 2 * 20  # base and worker, stock, two resources
    full = find_map("maps/4x4/baseTwoWorkersMaxResources4x4.xml")
    assert full.max_agents == 16  # more could be paid for than there are cells
    walled = find_map("maps/8x8/basesWorkers8x8Obstacle.xml")
    assert walled.walls.any()


def test_every_map_of_the_engine_that_has_own_units_can_be_read(engine):
    names = map_names()
    assert "maps/16x16/basesWorkers16x16.xml" in names and len(names) > 60
    for name in names:
        found = find_map(name)
        assert found.walls.shape == (found.height, found.width)
        assert 1 <= found.max_agents <= found.walls.size


def test_a_file_of_ones_own(engine, tmp_path, monkeypatch):
    (tmp_path / "mine.xml").write_text(SMALL)
    found = find_map(str(tmp_path / "mine.xml"))
    assert found.walls.tolist() == [[False, True, False], [False, False, False]]
    assert found.max_agents == 3  # a worker, one in stock, one in the ground; five cells
    monkeypatch.chdir(tmp_path)
    assert find_map("mine.xml").path == (tmp_path / "mine.xml").resolve()


def test_unknown_maps_come_with_the_nearest(engine):
    with pytest.raises(UnknownEnvError, match="Did you mean microrts:maps/8x8/basesWorkers8x8.xml"):
        find_map("basesWorker8x8.xml")
    with pytest.raises(UnknownEnvError, match=r"no map 'zzz'\. The engine has \d+ maps"):
        find_map("zzz")
    with pytest.raises(UnknownEnvError):
        find_map("")


@pytest.mark.parametrize(
    "broken",
    [
        "no xml at all",
        SMALL.replace('width="3"', 'width="4"'),
        SMALL.replace('width="3"', ""),
        SMALL.replace('ID="1" resources="9"', 'ID="7" resources="9"'),
        SMALL.replace('player="0"', 'player="1"'),
        SMALL.replace("010000", "0A0000"),
        SMALL.replace('resources="1" hitpoints', 'resources="many" hitpoints'),
    ],
)
def test_broken_files_are_told_by_path(engine, tmp_path, broken):
    path = Path(tmp_path) / "broken.xml"
    path.write_text(broken)
    with pytest.raises(ConfigError, match=r"broken\.xml is no map of the engine"):
        find_map(str(path))


def test_maps_lie_where_the_engine_is(engine):
    assert find_map("maps/8x8/basesWorkers8x8.xml").path.is_relative_to(engine_folder().resolve())
