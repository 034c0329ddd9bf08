"""Advantages of many agents that act, wait, die and come back.

Each agent has a recursion of its own, whose steps are its own decisions. Two things
interrupt it and mean different things: an agent that waits (alive, not acting) has made
a decision that takes longer, an option of several steps; an agent that has died either
has no future (`death="terminal"`) or shares its team's (`death="posthumous"`). Pure, and
selecting: numbers of agents that are not there, NaN included, change nothing.
"""

from __future__ import annotations

from typing import Any, Literal, get_args

import torch
from torch import Tensor

from maskrl.errors import ConfigError, MaskError, MaskShapeError
from maskrl.masks.check import check_mask

Death = Literal["terminal", "posthumous"]


def agent_advantages(
    rewards: Tensor,
    values: Tensor,
    next_values: Tensor,
    agent_mask: Tensor,
    alive: Tensor,
    next_alive: Tensor,
    terminated: Tensor,
    truncated: Tensor,
    *,
    death: Death,
    gamma: float,
    gae_lambda: float,
    waiting_discount: bool = True,
) -> tuple[Tensor, Tensor]:
    """Advantages and value targets of every agent's own decisions.

    A decision at `t` whose agent decides again at `t + k` (after waiting, or at once with
    `k = 1`) has

    `delta_t = sum_{j < k} gamma^j r_{t+j} + gamma^k V_{t+k} - V_t`
    `A_t = delta_t + gamma^k * lambda * A_{t+k}`

    and lambda counts decisions. Where an episode is truncated, or the rollout ends, after `j`
    steps, `gamma^j` times the value there takes the place of the future; where it is terminated,
    nothing does.

    Death has two meanings, and none is a default. "terminal": there is no future, the recursion
    ends with the reward of the step the agent died in; for rewards of its own. "posthumous": what
    the team gets afterwards is still owed to what the agent did, the recursion runs on through
    death, step by step, on the value of the team; for rewards of a team. The critic then has to be
    trained on every step, whoever is alive: by `generalized_advantages` of the team's values.

    An agent that comes back begins a new segment under "terminal".

    Args:
        rewards: `[T, B, N]`, each agent's own, or `[T, B]`, the team's.
        values: `[T, B, N]`, of each agent, or `[T, B]`, of the team's state.
        next_values: As `values`, of the state that truly followed each step (see
            `successor_values`).
        agent_mask: bool `[T, B, N]`, True = the agent decides at this step.
        alive: bool `[T, B, N]`, True = it exists at this step; False too for slots never used.
        next_alive: bool `[T, B, N]`, True = it exists in the state that truly followed.
        terminated: bool `[T, B]`.
        truncated: bool `[T, B]`.
        death: What death means.
        gamma: Discount per step.
        gae_lambda: 0 gives differences from decision to decision, 1 the whole return.
        waiting_discount: False counts one gamma for each decision, however long it takes, and
            none within it: for games in which agents take turns.

    Returns:
        Advantages and returns, each `[T, B, N]`: 0 where an agent does not decide.

    Raises:
        ConfigError: `death` is none of the two, or "posthumous" meets values of single agents,
            which say nothing about a state in which the agent is dead.
        MaskDtypeError: A mask is not boolean.
        MaskShapeError: Shapes do not fit each other.
        MaskError: An agent decides that is not alive.

    Empty rows:
        A step at which nobody decides, and a slot that never does, get 0.

    Reference:
        Sutton, Precup and Singh, Between MDPs and semi-MDPs, section 3,
        https://doi.org/10.1016/S0004-3702(99)00052-1 (options of length k); Schulman et al.,
        https://arxiv.org/abs/1506.02438, equation 16; Cohen et al., On the Use and Misuse of
        Absorbing States in Multi-agent Reinforcement Learning, https://arxiv.org/abs/2111.05992
        (posthumous credit).
    """
    _check(rewards, values, next_values, agent_mask, alive, next_alive, terminated, truncated)
    _check_death(death, values)
    shape = agent_mask.shape
    # Numbers of who is not there are replaced before they meet anything.
    rewards = torch.where(_shared(alive, rewards), _per_agent(rewards), 0.0).expand(shape)
    nodes = agent_mask if death == "terminal" else agent_mask | ~alive
    values = torch.where(nodes, _per_agent(values), 0.0)
    cut = terminated | truncated
    dead = alive & ~next_alive if death == "terminal" else torch.zeros_like(alive)
    no_future = terminated.unsqueeze(-1) | dead
    if death == "terminal":
        no_future = no_future | ~alive
    future = torch.where(no_future, 0.0, _per_agent(next_values))

    advantages = torch.zeros(shape, dtype=values.dtype, device=values.device)
    zero, one = advantages.new_zeros(()), advantages.new_ones(())
    # Of the decision that is under way, seen from after step t: rewards to come, discount until
    # the next decision, and value and advantage there.
    income, discount, following, carried = zero, one, zero, zero
    for t in range(shape[0] - 1, -1, -1):
        ended = cut[t].unsqueeze(-1) | dead[t]
        if t + 1 == shape[0]:
            ended = torch.ones_like(ended)
        else:
            node = nodes[t + 1]
            income, discount = torch.where(node, zero, income), torch.where(node, one, discount)
            following = torch.where(node, values[t + 1], following)
            carried = torch.where(node, advantages[t + 1], carried)
        income, discount = torch.where(ended, zero, income), torch.where(ended, one, discount)
        following = torch.where(ended, future[t], following)
        carried = torch.where(ended, zero, carried)
        if waiting_discount:
            income, discount = rewards[t] + gamma * income, gamma * discount
            until = discount
        else:
            income, until = rewards[t] + income, gamma * one
        delta = income + until * following - values[t]
        advantages[t] = torch.where(nodes[t], delta + until * gae_lambda * carried, zero)
    advantages = torch.where(agent_mask, advantages, zero)
    return advantages, torch.where(agent_mask, advantages + values, zero)


def _per_agent(x: Tensor) -> Tensor:
    """`[T, B, N]` or `[T, B, 1]`."""
    return x if x.ndim == 3 else x.unsqueeze(-1)


def _shared(alive: Tensor, rewards: Tensor) -> Tensor:
    """Whose rewards count: of the living, or of everybody where they are the team's."""
    return alive if rewards.ndim == 3 else torch.ones_like(alive)


def _check_death(death: Any, values: Tensor) -> None:
    if death not in get_args(Death):
        raise ConfigError(
            f"agent_advantages: death is {death!r}; expected 'terminal' (no future after death: "
            "rewards of each agent's own) or 'posthumous' (the team's future goes on: rewards of "
            "a team). There is no default, because they are different tasks."
        )
    if death == "posthumous" and values.ndim == 3:
        raise ConfigError(
            f"agent_advantages: death='posthumous' with values of shape {tuple(values.shape)}, one "
            "for each agent; expected [T, B], the value of the team's state. A critic of single "
            "agents has no value for a state in which its agent is dead."
        )


def _check(
    rewards: Tensor,
    values: Tensor,
    next_values: Tensor,
    agent_mask: Any,
    alive: Any,
    next_alive: Any,
    terminated: Any,
    truncated: Any,
) -> None:
    operation = "agent_advantages"
    shape = tuple(getattr(agent_mask, "shape", ()))
    if len(shape) != 3:
        raise MaskShapeError(f"{operation}: agent_mask has shape {shape}; expected [T, B, N].")
    for name, mask in (("agent_mask", agent_mask), ("alive", alive), ("next_alive", next_alive)):
        _same(operation, name, check_mask(operation, name, mask, shape, data="the rollout"), shape)
    for name, mask in (("terminated", terminated), ("truncated", truncated)):
        checked = check_mask(operation, name, mask, shape[:2], data="the rollout")
        _same(operation, name, checked, shape[:2])
    for name, x in (("rewards", rewards), ("values", values), ("next_values", next_values)):
        if tuple(x.shape) not in (shape, shape[:2]):
            raise MaskShapeError(
                f"{operation}: {name} has shape {tuple(x.shape)}; expected {shape}, one for each "
                f"agent, or {shape[:2]}, one for the team."
            )
    if values.shape != next_values.shape:
        raise MaskShapeError(
            f"{operation}: next_values has shape {tuple(next_values.shape)}, values "
            f"{tuple(values.shape)}; expected the same."
        )
    wrong = agent_mask & ~alive
    if wrong.any():
        t, row, agent = wrong.nonzero()[0].tolist()
        raise MaskError(
            f"{operation}: agent {agent} decides at step {t} of environment {row} (agent_mask) and "
            "is not alive there; expected agent_mask <= alive."
        )


def _same(operation: str, name: str, mask: Tensor, shape: tuple[int, ...]) -> None:
    if tuple(mask.shape) != shape:
        raise MaskShapeError(
            f"{operation}: {name} has shape {tuple(mask.shape)}; expected {shape}."
        )
