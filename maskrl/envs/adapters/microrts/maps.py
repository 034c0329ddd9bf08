"""Maps: finding one by its name, and reading from its file what must be known before play.

A map is one of the engine's own ("maps/8x8/basesWorkers8x8.xml") or a file of one's own in
the same format. Its size, its walls and how many units there can ever be are read here,
in Python, so that a wrong name or a broken file is told before Java is started.
"""

from __future__ import annotations

import difflib
import xml.etree.ElementTree as ElementTree
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from maskrl.envs.adapters.microrts.installation import engine_folder
from maskrl.errors import ConfigError, UnknownEnvError

CHEAPEST_UNIT = 1
"""What the cheapest unit, a worker, costs: a bound on how many can be made."""


@dataclass(frozen=True)
class GameMap:
    """One map.

    Attributes:
        name: As it was asked for.
        path: Of its file, absolute.
        height: Rows.
        width: Columns.
        walls: bool [H, W], where nothing can ever stand.
        max_agents: How many own units there can be at most: those of the beginning and all
            that the stock and the map's resources pay for, or all free cells if fewer.
    """

    name: str
    path: Path
    height: int
    width: int
    walls: npt.NDArray[np.bool_]
    max_agents: int


def map_names() -> tuple[str, ...]:
    """Names of the engine's own maps, in order.

    Raises:
        MicrortsMissingError: The engine is not installed.
    """
    folder = engine_folder()
    return tuple(sorted(str(path.relative_to(folder)) for path in (folder / "maps").rglob("*.xml")))


def find_map(name: str) -> GameMap:
    """The map of this name.

    Args:
        name: One of `map_names()`, or the path of a file.

    Raises:
        UnknownEnvError: There is none; the message offers the nearest names.
        ConfigError: The file is no map, or one without two players.
        MicrortsMissingError: The engine is not installed.
    """
    own = engine_folder() / name
    path = own if name and own.is_file() else Path(name).expanduser()
    if not path.is_file():
        raise UnknownEnvError(_no_such_map(name))
    return _read(name, path.resolve())


def _no_such_map(name: str) -> str:
    names = map_names()
    by_stem = {Path(known).stem.lower(): known for known in names}
    wanted = Path(name).stem.lower()
    near = [by_stem[s] for s in difflib.get_close_matches(wanted, by_stem, n=3, cutoff=0.5)]
    near += difflib.get_close_matches(name, names, n=2, cutoff=0.6)
    advice = " or ".join(f"microrts:{known}" for known in dict.fromkeys(near))
    return (
        f"microrts: there is no map {name!r}"
        + (f". Did you mean {advice}?" if advice else ".")
        + f" The engine has {len(names)} maps, such as microrts:maps/8x8/basesWorkers8x8.xml; the "
        "path of a map file of your own is good as well."
    )


def _read(name: str, path: Path) -> GameMap:
    try:
        root = ElementTree.parse(path).getroot()
        height, width = int(root.get("height", "")), int(root.get("width", ""))
        terrain = "".join((root.findtext("terrain") or "").split())
        players = root.findall("players/*")
        units = root.findall("units/*")
        stock = next(int(p.get("resources", "0")) for p in players if p.get("ID") == "0")
        next(p for p in players if p.get("ID") == "1")
        own = sum(unit.get("player") == "0" for unit in units)
        lying = sum(int(u.get("resources", "0")) for u in units if u.get("type") == "Resource")
        if len(terrain) != height * width or set(terrain) - {"0", "1"} or not own:
            raise ValueError("terrain or units are not those of a map")
    except (ElementTree.ParseError, ValueError, StopIteration, OSError) as error:
        raise ConfigError(
            f"microrts: {path} is no map of the engine: expected <rts.PhysicalGameState> with "
            "width, height, terrain of as many digits 0 and 1, players 0 and 1, and units of "
            f"player 0; {type(error).__name__}: {error}"
        ) from error
    walls = (np.array(list(terrain)) == "1").reshape(height, width)
    payable = own + (stock + lying) // CHEAPEST_UNIT
    return GameMap(name, path, height, width, walls, min(payable, int((~walls).sum())))
