"""Modules that a user names in an id: imported, also from the current folder.

Environments and functions for their masks are named "package.module:name" on the command
line and in run folders. What goes wrong while importing is said in one message that names
the id, because users meet these lines first.
"""

from __future__ import annotations

import importlib
import os
import sys
import types

from maskrl.errors import ConfigError, UnknownEnvError


def import_module(module_name: str, path: str) -> types.ModuleType:
    """Import a module that an id names, also from the current directory.

    Args:
        module_name: Name of the module.
        path: The whole id, for messages.

    Raises:
        UnknownEnvError: There is no such module.
        ConfigError: Importing it fails.
    """
    here = os.getcwd()
    if here not in sys.path and "" not in sys.path:
        sys.path.insert(0, here)
    try:
        return importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name is None or not (module_name + ".").startswith(error.name + "."):
            raise ConfigError(
                f"environment {path!r}: importing {module_name} fails, because {error}."
            ) from error
        raise UnknownEnvError(
            f"environment {path!r}: there is no module {error.name!r} among the installed "
            f"packages or in the current directory ({here}). Expected package.module:Class."
        ) from error
    except Exception as error:
        raise ConfigError(
            f"environment {path!r}: importing {module_name} fails: {type(error).__name__}: {error}"
        ) from error
