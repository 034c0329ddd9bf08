"""`maskrl bench`: how fast maskrl is beside other libraries, as ratios within one run.

Everything that measures lives in `maskrl.bench`; here are the options and what is
printed while it runs and at the end.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import tyro

OUT = Path("runs/bench")
PAGE_WIDTH = 144
"""Of what goes into a file, where no terminal says how wide it is."""


def bench(
    *,
    only: Annotated[
        tyro.conf.UseAppendAction[tuple[str, ...]],
        tyro.conf.arg(metavar="WHAT", help_behavior_hint="(repeatable)"),
    ] = (),
    against: Annotated[
        tyro.conf.UseAppendAction[tuple[str, ...]],
        tyro.conf.arg(metavar="NAME", help_behavior_hint="(repeatable; default: everybody)"),
    ] = (),
    quick: bool = False,
    repeats: Annotated[
        int | None, tyro.conf.arg(metavar="N", help_behavior_hint="(default: 20)")
    ] = None,
    threads: Annotated[
        int | None, tyro.conf.arg(metavar="N", help_behavior_hint="(default: all cores)")
    ] = None,
    out: Annotated[Path, tyro.conf.arg(metavar="DIR")] = OUT,
) -> int:
    """Measure maskrl against sb3-contrib, torchrl, tianshou, plain torch and the founding article.

    Every contender computes the same from the same tensors, in turns, many times; what is
    printed are medians and how many times as long the others took. Each result is compared
    with float64 first. `make bench` sets up an environment with the other libraries at
    pinned versions and runs this there; those that are not installed are listed as missing.

    Groups: rows, heads, greedy, grid, teams, attention, memory, worlds; and training, only
    on request.

    Examples:
      make bench
      maskrl bench --quick
      maskrl bench --only rows --only heads --against sb3-contrib
      maskrl bench --only 4096x78 --repeats 50 --threads 1

    Args:
        only: A group, or part of a case's name, such as 4096x78.
        against: A contender, by the beginning of its name; maskrl always takes part.
        quick: Small shapes and 3 repeats: whether it works, not how fast it is.
        repeats: Turns of every contender.
        threads: Of torch and of the kernels.
        out: Where results.json, ratios.html and ratios.png go.
    """
    from rich.console import Console

    from maskrl.bench import BenchSettings, run_bench
    from maskrl.bench.display import print_results
    from maskrl.bench.picture import ratio_figure, write_picture

    settings = BenchSettings(only, against, quick, repeats, threads)
    written = out / "results.json"
    screen = Console(stderr=True, highlight=False)
    with screen.status("beginning") as status:

        def tell(group: str, task: str) -> None:
            status.update(f"measuring {group}: {task}")
            if not screen.is_terminal:
                screen.print(f"measuring {group}: {task}", markup=False, soft_wrap=True)

        results = run_bench(settings, tell=tell, keep=lambda so_far: so_far.write(written))
    paths = [results.write(written)]
    figure = ratio_figure(results)
    if figure is not None:
        pictures, reason = write_picture(figure, out)
        paths += pictures
        if reason is not None:
            results.notes.append(reason)
    console = Console(highlight=False)
    if not console.is_terminal:
        console = Console(highlight=False, width=PAGE_WIDTH)
    print_results(results, console)
    print("written  " + "  ".join(map(str, paths)))
    return 0
