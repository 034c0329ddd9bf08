"""`maskrl evaluate RUN`: how good a trained agent is, beside what it should be compared with.

Prints the table and keeps it in the run's `evaluation.json`, unless the environment was
changed for the occasion.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import tyro

from maskrl.cli.arguments import env_settings
from maskrl.runs.comparison import REMOVED
from maskrl.runs.run_dir import RunDir

if TYPE_CHECKING:
    from maskrl.trainers.final_evaluation import FinalEvaluation


def evaluate(
    run: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="RUN")],
    *,
    episodes: Annotated[
        int | None,
        tyro.conf.arg(
            metavar="N", help_behavior_hint="(default: 500 with a reference, else 200; mining: 50)"
        ),
    ] = None,
    which: Literal["best", "last"] = "best",
    seed: Annotated[int, tyro.conf.arg(metavar="N")] = 0,
    env: Annotated[
        tyro.conf.UseAppendAction[tuple[str, ...]],
        tyro.conf.arg(metavar="KEY=VALUE", help_behavior_hint="(repeatable)"),
    ] = (),
) -> int:
    """Play test episodes with a trained agent and compare it.

    Beside the agent stand the same network untrained, an agent that picks uniformly among
    what is allowed, and the environment's reference where there is one: a planner, or a
    script for a team. Where episodes have layouts, each of the first N test layouts is
    played once; no training has seen them. The score is 0 for random valid play and 1 for
    the reference. The result of the usual test is kept in
    evaluation.json; with other episodes, checkpoint, seed or settings it is only printed.
    A run of a comparison that was tested without its mask too is so again.

    Examples:
      maskrl evaluate runs/panda-0-1
      maskrl evaluate runs/panda-0-1 --episodes 500 --which last
      maskrl evaluate runs/panda-0-1 --env sight=full      as it would do with full sight

    Args:
        run: Folder of the run.
        episodes: Test episodes.
        which: The checkpoint that did best in evaluation, or the last one.
        seed: Of the environments and of sampled actions.
        env: A setting that differs from the run's.
    """
    from maskrl.cli.outcome import judge, print_table
    from maskrl.cli.settings import require_positive
    from maskrl.runs.seeding import Seeds

    require_positive("--episodes", episodes)
    Seeds(seed)
    folder = RunDir.open(run)
    changed = env_settings(env)
    result = judge(folder, episodes=episodes, which=which, seed=seed, env_kwargs=changed)
    usual = episodes is None and which == "best" and seed == 0
    before = None if changed else folder.read_evaluation()
    keep = not changed and (usual or before is None)
    if keep:
        folder.write_evaluation({**result.to_json(), **_without_mask(folder, before, result)})
    print_table(result)
    if changed:
        print("not kept: the environment differs from the run's")
    elif not keep:
        print(
            f"not kept: {folder.evaluation_path.name} holds the run's test, which reports and "
            "comparisons read; without --episodes, --which and --seed it is renewed"
        )
    return 0


def _without_mask(
    folder: RunDir, before: Mapping[str, Any] | None, result: FinalEvaluation
) -> dict[str, Any]:
    """The test without the mask made anew, where the evaluation that is replaced has one."""
    from maskrl.trainers.final_evaluation import evaluate_without_mask

    taken = {} if before is None else before.get(REMOVED, {})
    if "env_kwargs" not in taken:
        return {}
    found = evaluate_without_mask(
        folder, env_kwargs=taken["env_kwargs"], episodes=result.greedy.episodes
    )
    print(f"with its mask taken away it returns {found['greedy']['mean']:.3f}; kept too")
    return {REMOVED: found}
