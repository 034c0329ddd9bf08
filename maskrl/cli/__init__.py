"""The command line: `maskrl VERB ...`, also as `python -m maskrl`; one file per verb."""

from __future__ import annotations

from maskrl.cli.verbs import main

__all__ = ["main"]
