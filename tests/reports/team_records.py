"""Made-up episodes of teams for the tests of reports; nothing here plays."""

from __future__ import annotations

import numpy as np
from gymnasium import spaces

from maskrl.envs.contract import mask_space
from maskrl.envs.teams import describe_team
from maskrl.masks.tree import ActionTree, Head
from maskrl.policies.head_view import HeadLabels
from maskrl.policies.team_episode import TeamEpisode, TeamStep

MOVES = ("stay", "up", "down", "left", "right")
TREE = ActionTree(
    Head("type", 3, choices=("wait", "move", "attack")),
    Head("move", 4, relevant={"type": (1,)}, choices=("up", "right", "down", "left")),
    Head("attack", 9, relevant={"type": (2,)}, choices=("+0,-1",) * 9),
)


def scene_step(agents: int, acting: int, waiting: int, t: int, entities: int) -> TeamStep:
    rng = np.random.default_rng(1000 * t + acting)
    keep = rng.random((acting, 5)) < 0.7
    keep[:, 0] = True
    weights = np.where(keep, rng.random((acting, 5)) + 0.01, 0)
    probs = weights / weights.sum(1, keepdims=True)
    sees = rng.random((acting, entities)) < 0.5
    sees[np.arange(acting), np.arange(acting)] = True
    attention = np.where(sees, rng.random((acting, entities)) + 0.01, 0)
    attention /= np.maximum(attention.sum(1, keepdims=True), 1e-9)
    side = max(4, int(np.ceil(np.sqrt(entities))))
    places = [((k % side + 0.5) / side, (k // side + 0.5) / side) for k in range(entities)]
    slots = np.arange(acting)
    frame = np.full((40, 40, 3), 200 + t % 50, np.uint8)
    return TeamStep(
        frame=frame,
        text=None,
        agent_mask=np.arange(agents) < acting,
        alive=np.arange(agents) < acting + waiting,
        slot=slots,
        place=slots,
        at=np.array(places[:acting], np.float32).reshape(-1, 2),
        waiting=np.arange(acting, acting + waiting),
        waiting_at=np.array(places[acting : acting + waiting], np.float32).reshape(-1, 2),
        actions=probs.argmax(1)[:, None] if acting else np.zeros((0, 1), np.int64),
        action_mask=keep,
        logits=rng.normal(size=(acting, 5)).astype(np.float32),
        probs=probs.astype(np.float32),
        entropy=np.ones(acting, np.float32),
        undecided=rng.random(acting).astype(np.float32),
        value=rng.random(agents),
        reward=0.5,
        agent_rewards=rng.random(agents),
        illegal=np.zeros(acting, np.bool_),
        entity_names=tuple(
            f"panda {k + 1}" if k < agents else f"tree {k}" for k in range(entities)
        ),
        entity_mask=np.ones(entities, np.bool_),
        entity_places=tuple(places),
        sees=sees,
        attention=attention[None].astype(np.float16),
    )


def scene_episode(agents: int = 4, counts=((4, 0), (2, 1), (0, 0)), entities: int = 7):
    """A scene in which so many act and wait at each step; the rest is dead."""
    team = describe_team(
        spaces.Dict(
            {
                "entities": spaces.Box(0, 1, (entities, 2)),
                "entity_mask": mask_space(entities),
                "visibility": mask_space(entities, entities),
                "agent_mask": mask_space(agents),
                "alive": mask_space(agents),
                "action_mask": mask_space(agents, 5),
            }
        ),
        spaces.MultiDiscrete([5] * agents),
    )
    steps = tuple(
        scene_step(agents, acting, waiting, t, entities)
        for t, (acting, waiting) in enumerate(counts)
    )
    return TeamEpisode(
        env="pandas",
        env_kwargs={},
        seed=0,
        team=team,
        steps=steps,
        final_frame=np.zeros((40, 40, 3), np.uint8),
        final_text=None,
        final_alive=np.zeros(agents, np.bool_),
        terminated=True,
        truncated=False,
        heads=(HeadLabels("", MOVES),),
        agent_names=tuple(f"panda {k + 1}" for k in range(agents)),
        critic="agent",
        layout_id=3,
    )


def units_episode(cells=((1, 6), ()), *, picture: bool = False):
    """Units of a map 3 x 4 without identity, with the heads of a tree; they move, then attack."""
    team = describe_team(
        spaces.Dict(
            {
                "grid": spaces.Box(0, 1, (2, 3, 4)),
                "agent_mask": mask_space(3, 4),
                "action_mask": mask_space(16, 3, 4),
            }
        ),
        spaces.MultiDiscrete(np.tile(np.array([3, 4, 9])[:, None, None], (1, 3, 4))),
        TREE,
    )
    steps = []
    for here in cells:
        place = np.array(here, np.int64)
        count = len(place)
        actions = np.zeros((count, 3), np.int64)
        actions[:, 0] = 1 + np.arange(count) % 2
        actions[:, 1] = 1
        keep = np.ones((count, 16), np.bool_)
        keep[:, 3] = False  # nobody moves up
        probs = np.zeros((count, 16), np.float32)
        probs[:, :3] = (0.2, 0.5, 0.3)
        probs[:, 4] = 1.0
        probs[:, 7] = 1.0
        mask = np.zeros(12, np.bool_)
        mask[place] = True
        steps.append(
            TeamStep(
                frame=np.zeros((30, 40, 3), np.uint8) if picture else None,
                text=None,
                agent_mask=mask.reshape(3, 4),
                alive=None,
                slot=np.full(count, -1),
                place=place,
                at=np.stack([(place % 4 + 0.5) / 4, (place // 4 + 0.5) / 4], 1).astype(np.float32),
                waiting=np.zeros(0, np.int64),
                waiting_at=np.zeros((0, 2), np.float32),
                actions=actions,
                action_mask=keep,
                logits=np.zeros((count, 16), np.float32),
                probs=probs,
                entropy=np.ones(count, np.float32),
                undecided=np.full(count, 0.5, np.float32),
                value=2.5,
                reward=1.0,
                relevant=np.stack(
                    [np.ones(count, bool), actions[:, 0] == 1, actions[:, 0] == 2], axis=1
                ).reshape(count, 3),
                illegal=np.zeros(count, np.bool_),
            )
        )
    heads = tuple(HeadLabels(head.name, head.choices) for head in TREE.heads)
    return TeamEpisode(
        env="microrts:a",
        env_kwargs={},
        seed=0,
        team=team,
        steps=tuple(steps),
        final_frame=np.zeros((30, 40, 3), np.uint8) if picture else None,
        final_text=None,
        final_alive=None,
        terminated=True,
        truncated=False,
        heads=heads,
        agent_names=(),
        critic="team",
        outcome=1.0,
    )
