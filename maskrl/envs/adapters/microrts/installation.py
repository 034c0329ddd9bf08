"""Where the engine is, and what to do where it is not.

gym-microrts 0.6.0 carries the engine and its maps, but declares an old Python and an old
Gym, so no extra of this package can list it: `make microrts` installs it, and every message
that misses it says so. Of the package only its folder is used: none of its Python is run.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
from pathlib import Path
from typing import Final

from maskrl.errors import UsageError

VERSION: Final = "0.6.0"
BRIDGE_VERSION: Final = "1.7.1"

RECIPE: Final = f"""\
  make microrts
or, in an environment of your own:
  pip install JPype1=={BRIDGE_VERSION} Pillow
  pip install --no-deps --ignore-requires-python gym-microrts=={VERSION}
and Java 17 or newer, on Debian or Ubuntu:
  apt-get install --no-install-recommends openjdk-17-jre-headless"""


class MicrortsMissingError(UsageError, ImportError):
    """Something that microRTS needs is not installed; the message says how to get it."""


def engine_folder() -> Path:
    """The folder with the engine's jar, its opponents and its maps.

    Raises:
        MicrortsMissingError: gym-microrts is not installed, or is another version.
    """
    found = importlib.util.find_spec("gym_microrts")
    if found is None or not found.submodule_search_locations:
        raise MicrortsMissingError(
            f"microrts: the package gym-microrts is not installed. Install it with\n{RECIPE}"
        )
    version = importlib.metadata.version("gym-microrts")
    folder = Path(next(iter(found.submodule_search_locations))) / "microrts"
    if version != VERSION or not (folder / "microrts.jar").is_file():
        raise MicrortsMissingError(
            f"microrts: gym-microrts {version} in {folder.parent} is not {VERSION} with its "
            f"engine. A plain `pip install gym-microrts` picks an older one. Install it with\n"
            f"{RECIPE}"
        )
    return folder


def is_installed() -> bool:
    """Whether gym-microrts is there in the right version; Java is another matter."""
    try:
        engine_folder()
    except MicrortsMissingError:
        return False
    return True
