"""Which verbs there are, how one is started, and how its errors reach the user.

A verb is the module `maskrl.cli.<verb>`, imported only when it is asked for, so that
`maskrl --help` answers at once. It offers `run(argv) -> int`, or a function of the verb's
name whose signature and docstring become options and help. Errors that maskrl raises on
purpose are printed as one message; `--traceback` shows where they came from.
"""

from __future__ import annotations

import difflib
import os
import sys
import textwrap
import traceback
from collections.abc import Sequence
from importlib import import_module

from maskrl.errors import MaskrlError, UsageError

VERBS = {
    "train": "train a masked agent, evaluate it and write its report",
    "evaluate": "play test episodes with a trained agent and compare it with references",
    "report": "write a run's report: one HTML file that opens offline",
    "watch": "watch a trained agent play in the terminal",
    "audit": "try whether an environment's masks are right",
    "envs": "list the environments and the forms of an environment's id",
    "compare": "measure what a mask buys: regimes, settings and seeds, in parallel",
    "bench": "measure maskrl's speed beside other libraries",
}

USAGE_ERROR = 2
INTERRUPTED = 130

_OVERVIEW = """\
usage: maskrl VERB [options]

Masking for deep reinforcement learning: agents that are told which actions are
possible, which entities they can see and who acts, and that obey by construction.

verbs:
{verbs}

examples:
  maskrl train panda                      a panda under an action and a feature mask
  maskrl train gymnasium:Taxi-v4          anything that gymnasium.make takes
  maskrl train gymnasium:Taxi-v4 --algorithm dqn        or sac: learn values
  maskrl train mypackage.envs:MyEnv       an environment of your own
  maskrl audit mypackage.envs:MyEnv       whether its masks are right
  maskrl watch runs/panda-0-1             see what was learned
  maskrl compare panda --regimes masked naive none      with the mask and without

`maskrl VERB --help` explains a verb with all its options.
`--traceback` with any verb shows where an error came from; `maskrl --version`.
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one verb.

    Args:
        argv: The words after `maskrl`; those of the process by default.

    Returns:
        0, 2 for what cannot be done as asked, or 130 after an interruption.
    """
    words = list(sys.argv[1:] if argv is None else argv)
    with_traceback = "--traceback" in words
    words = [word for word in words if word != "--traceback"]
    if not words or words[0] in ("-h", "--help", "help"):
        print(overview(), end="")
        return 0
    if words[0] == "--version":
        print(f"maskrl {version()}")
        return 0
    _open_no_window()
    try:
        return start(words[0], words[1:])
    except MaskrlError as error:
        if with_traceback:
            traceback.print_exc()
        else:
            print(as_message(error), file=sys.stderr)
        return USAGE_ERROR
    except KeyboardInterrupt as interruption:
        print(f"\n{str(interruption) or 'interrupted'}", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:
        # Whoever read our output has closed it (`maskrl envs | head`); that is no error.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


def _open_no_window() -> None:
    """Let environments that draw with SDL draw where there is no screen, without complaints."""
    if not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
        os.environ.setdefault("SDL_VIDEODRIVER", "dummy")
        os.environ.setdefault("SDL_AUDIODRIVER", "dummy")


def start(verb: str, argv: Sequence[str]) -> int:
    """Import a verb's module and run it.

    Raises:
        UsageError: There is no such verb; the nearest is offered.
    """
    if verb not in VERBS:
        near = difflib.get_close_matches(verb, VERBS, n=1)
        advice = f" Did you mean {near[0]}?" if near else ""
        raise UsageError(f"there is no verb {verb!r}.{advice} The verbs: {', '.join(VERBS)}.")
    module = import_module(f"maskrl.cli.{verb}")
    if hasattr(module, "run"):
        return int(module.run(argv) or 0)
    from maskrl.cli.arguments import call_with_options

    return call_with_options(getattr(module, verb), verb, argv)


def overview() -> str:
    """The text of `maskrl --help`."""
    width = max(map(len, VERBS))
    lines = "\n".join(f"  {verb:<{width}}  {summary}" for verb, summary in VERBS.items())
    return _OVERVIEW.format(verbs=lines)


def as_message(error: BaseException) -> str:
    """An error as the user reads it: wrapped to the terminal, lines of its own kept."""
    try:
        width = max(40, min(100, os.get_terminal_size(2).columns))
    except OSError:
        width = 100
    lines = f"error: {error}".splitlines() or ["error"]
    wrapped = []
    for line in lines:
        indent = line[: len(line) - len(line.lstrip())]
        wrapped += textwrap.wrap(
            line,
            width,
            subsequent_indent=indent or "  ",
            break_long_words=False,
            break_on_hyphens=False,
        ) or [""]
    return "\n".join(wrapped)


def version() -> str:
    """The installed version of maskrl."""
    from importlib.metadata import PackageNotFoundError
    from importlib.metadata import version as installed

    try:
        return installed("maskrl")
    except PackageNotFoundError:
        return "(not installed)"
