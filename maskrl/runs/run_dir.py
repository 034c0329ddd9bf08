"""The folder of one run: where everything lies, and who may create or open it.

`config.json` holds the resolved settings, `metrics.csv` one row per update with no time
in it (equal runs give equal files), `timings.csv` the times, `tensorboard/` both as
curves, `checkpoints/last` and `checkpoints/best` weights and states, `evaluation.json`
the final evaluation, `report.html` the pictures.
"""

from __future__ import annotations

import contextlib
import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from maskrl.errors import ConfigError, RunFolderError
from maskrl.runs.json_file import read_json, write_json

FORMAT = 1
LOCK = ".lock"
_DAMAGED_CONFIG = (
    "A run folder has its settings there; if another file system copy exists, restore it, "
    "else train anew into another folder (--out DIR)."
)


@dataclass(frozen=True)
class RunDir:
    """One run's folder. Make one with `RunDir.create`, `RunDir.next_free` or `RunDir.open`."""

    path: Path

    @property
    def config_path(self) -> Path:
        """The resolved settings."""
        return self.path / "config.json"

    @property
    def metrics_path(self) -> Path:
        """One row per update, reproducible to the digit."""
        return self.path / "metrics.csv"

    @property
    def timings_path(self) -> Path:
        """Seconds and steps per second of every update."""
        return self.path / "timings.csv"

    @property
    def episodes_path(self) -> Path:
        """One row for each episode of the training, where that was asked for."""
        return self.path / "episodes.csv"

    @property
    def tensorboard_path(self) -> Path:
        """The folder of TensorBoard's event files."""
        return self.path / "tensorboard"

    @property
    def last_checkpoint(self) -> Path:
        """The newest checkpoint: what `--resume` continues."""
        return self.path / "checkpoints" / "last"

    @property
    def best_checkpoint(self) -> Path:
        """The checkpoint with the best validation score."""
        return self.path / "checkpoints" / "best"

    @property
    def evaluation_path(self) -> Path:
        """The final evaluation."""
        return self.path / "evaluation.json"

    @property
    def report_path(self) -> Path:
        """The report, one HTML file."""
        return self.path / "report.html"

    @classmethod
    def create(cls, path: str | Path, *, overwrite: bool = False) -> RunDir:
        """Create a new run folder at `path`, with its parents.

        Args:
            path: a folder that does not exist, or is empty.
            overwrite: delete what is there first. Only a run folder (one with a
                `config.json`) is ever deleted, never another folder.

        Raises:
            RunFolderError: something is there already, or the place cannot be written.
        """
        path = Path(path)
        if overwrite and (path / "config.json").is_file():
            shutil.rmtree(path)
        cls.require_free(path)
        _make_folder(path, exist_ok=True)
        return cls(path)

    @staticmethod
    def require_free(path: str | Path) -> None:
        """Refuse a place where no new run can begin; nothing is touched.

        Raises:
            RunFolderError: It is a file, holds a run, or holds something else.
        """
        path = Path(path)
        if path.exists() and not path.is_dir():
            raise RunFolderError(f"{path} is a file; a run needs a folder. Choose another --out.")
        if not path.is_dir() or not any(path.iterdir()):
            return
        if (path / "config.json").is_file():
            raise RunFolderError(
                f"{path} holds a run already. Go on with it: maskrl train --resume {path}. "
                "Or choose another --out; without --out a free name is found."
            )
        raise RunFolderError(
            f"{path} exists, is not empty and is not a run folder (it has no config.json). "
            "Nothing in it was touched. Choose another --out."
        )

    @classmethod
    def next_free(cls, name: str, *, parent: str | Path = "runs") -> RunDir:
        """Create `parent/name-<n>` for the smallest free n >= 1; two processes never share one.

        Args:
            name: what the run is called; anything but letters, digits, `.`, `_` and `-`
                becomes `-`.
            parent: the folder of runs.

        Raises:
            RunFolderError: the place cannot be written.
        """
        stem = re.sub(r"[^A-Za-z0-9._-]+", "-", name).strip("-.") or "run"
        parent = Path(parent)
        _make_folder(parent, exist_ok=True)
        number = 1
        while True:
            path = parent / f"{stem}-{number}"
            try:
                path.mkdir()
            except FileExistsError:
                number += 1
                continue
            except OSError as error:
                raise _unwritable(path, error) from error
            return cls(path)

    @classmethod
    def open(cls, path: str | Path) -> RunDir:
        """Open an existing run folder.

        Raises:
            RunFolderError: there is no folder, or no readable `config.json` in it.
        """
        path = Path(path)
        if not path.is_dir():
            raise RunFolderError(f"there is no run folder {path}.{_nearby(path)}")
        if not (path / "config.json").is_file():
            inside = sorted(config.parent for config in path.glob("*/*/config.json"))
            if inside and (path / "summary.json").is_file():
                raise RunFolderError(
                    f"{path} is the folder of a comparison, not of a run. Its runs: "
                    + ", ".join(str(run) for run in inside)
                )
            raise RunFolderError(
                f"{path} is not a run folder: it has no config.json.{_nearby(path)}"
            )
        run = cls(path)
        run.read_config()
        return run

    def clear(self) -> None:
        """Delete what earlier training left here: settings, curves, checkpoints, evaluation."""
        for name in ("checkpoints", "tensorboard"):
            shutil.rmtree(self.path / name, ignore_errors=True)
        for path in (
            self.config_path,
            self.metrics_path,
            self.timings_path,
            self.episodes_path,
            self.evaluation_path,
            self.report_path,
        ):
            path.unlink(missing_ok=True)

    def discard(self) -> None:
        """Delete the folder of a run that never began; what others put there stays."""
        self.clear()
        (self.path / LOCK).unlink(missing_ok=True)
        with contextlib.suppress(OSError):
            self.path.rmdir()

    def write_config(self, config: Mapping[str, Any]) -> None:
        """Write the resolved settings, a JSON-able mapping.

        Args:
            config: `env` (id), `env_kwargs`, `seed`, `total_steps`, `threads`, `ppo` (the
                whole PPOConfig as nested dicts); further keys are kept.
        """
        write_json(self.config_path, {"format": FORMAT, **config})

    def read_config(self) -> dict[str, Any]:
        """Return the resolved settings as written.

        Raises:
            RunFolderError: missing, damaged, or written by a newer version.
        """
        config = read_json(self.config_path, advice=_DAMAGED_CONFIG)
        written = config.get("format")
        if written != FORMAT:
            raise RunFolderError(
                f"{self.config_path} has run format {written!r}, this version of maskrl reads "
                f"{FORMAT}. Use the version that wrote it, or train anew."
            )
        return config

    def write_evaluation(self, evaluation: Mapping[str, Any]) -> None:
        """Write the final evaluation, a JSON-able mapping."""
        write_json(self.evaluation_path, dict(evaluation))

    def read_evaluation(self) -> dict[str, Any] | None:
        """Return the final evaluation, or None where none was made yet.

        Raises:
            RunFolderError: the file is damaged.
        """
        if not self.evaluation_path.exists():
            return None
        return read_json(self.evaluation_path, advice=f"Make it anew: maskrl evaluate {self.path}")


def env_slug(env_id: str) -> str:
    """Return an environment id as part of a folder name: `panda?sight=full` -> `panda-sight-full`.

    Raises:
        ConfigError: the id is empty.
    """
    slug = re.sub(r"[^A-Za-z0-9._]+", "-", env_id.removeprefix("gymnasium:")).strip("-.")
    if not slug:
        raise ConfigError(f"an environment id cannot be {env_id!r}")
    return slug


def _make_folder(path: Path, *, exist_ok: bool) -> None:
    try:
        path.mkdir(parents=True, exist_ok=exist_ok)
        probe = path / ".writable"
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise _unwritable(path, error) from error


def _unwritable(path: Path, error: OSError) -> RunFolderError:
    return RunFolderError(
        f"cannot write the folder {path}: {error.strerror or error}. Choose another --out."
    )


def _nearby(path: Path) -> str:
    """Name run folders close to where the user looked, newest first."""
    found: dict[Path, float] = {}
    for parent in (path, path.parent, Path("runs")):
        if parent.is_dir():
            for config in parent.glob("*/config.json"):
                found[config.parent] = config.stat().st_mtime
    newest = sorted(found, key=lambda run: -found[run])[:5]
    if not newest:
        return " No run is near it; maskrl train makes one."
    return " Runs near it: " + ", ".join(str(run) for run in newest)
