"""Two updates of PPO for teams, against the same written slowly: agent by agent, in plain Python.

A world is recorded while the trainer plays in it. From what was recorded, the weights at the
start and the order of the minibatches, the weights after two updates are computed again, with
torch's own Adam and a walk along every agent's decisions, and compared.
"""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch
from gymnasium import spaces
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space
from torch import nn

from maskrl.distributions import GridwiseCategorical
from maskrl.envs.entries import mask_space
from maskrl.envs.teams import describe_team
from maskrl.networks.team_normalize import TeamNormalizer
from maskrl.trainers.ppo import PPO
from maskrl.trainers.ppo_config import PPOConfig

B, N, F, T = 3, 3, 4, 14
NVEC = (3, 2)
EDGES = (0, 3, 5)


class World(VectorEnv):
    """Agents act, wait, die and come back; episodes end in both ways; heads may have no choice.

    The team's reward is not the sum of the agents', and what stands for the dead is NaN.
    """

    metadata = {"autoreset_mode": AutoresetMode.SAME_STEP}

    def __init__(self, *, own_rewards, tells_alive=True, seed=0):
        self.num_envs, self.gives_agent_rewards = B, own_rewards
        self.rng = np.random.default_rng(seed)
        entries = {
            "observation": spaces.Box(-np.inf, np.inf, (N, F), np.float32),
            "agent_mask": mask_space(N),
            "action_mask": mask_space(N, sum(NVEC)),
        }
        if tells_alive:
            entries["alive"] = mask_space(N)
        self.single_observation_space = spaces.Dict(entries)
        self.single_action_space = spaces.MultiDiscrete(np.tile(NVEC, (N, 1)))
        self.observation_space = batch_space(self.single_observation_space, B)
        self.action_space = batch_space(self.single_action_space, B)
        self.seen, self.steps = [], []

    def draw(self, alive):
        acts = alive & (self.rng.random((B, N)) < 0.7)
        observation = self.rng.normal(1.0, 2.0, (B, N, F)).astype(np.float32)
        mask = self.rng.random((B, N, sum(NVEC))) < 0.6
        obs = {
            "observation": np.where(alive[..., None], observation, np.nan).astype(np.float32),
            "agent_mask": acts,
            "action_mask": mask & acts[..., None],
            "alive": alive,
        }
        return {key: obs[key].copy() for key in self.single_observation_space.spaces}

    def reset(self, *, seed=None, options=None):
        self.alive = np.ones((B, N), np.bool_)
        self.now = self.draw(self.alive)
        return self.now, {}

    def step(self, actions):
        before, rng = self.now, self.rng
        died, back = rng.random((B, N)) < 0.15, rng.random((B, N)) < 0.4
        self.alive = np.where(self.alive, ~died, back) & (rng.random((B, 1)) < 0.92)
        terminated, truncated = rng.random(B) < 0.06, rng.random(B) < 0.12
        own = rng.normal(size=(B, N)) + actions[..., 0] - 0.5 * actions[..., 1]
        reward = own.sum(1) * 0.5 + rng.normal(size=B)
        infos = {"agent_rewards": own} if self.gives_agent_rewards else {}
        last = self.draw(self.alive)
        ended = terminated | truncated
        if ended.any():
            infos["final_obs"] = {key: x.copy() for key, x in last.items()}
            self.alive = self.alive | ended[:, None]
            fresh = self.draw(self.alive)
            self.now = {
                key: np.where(ended.reshape(B, *[1] * (x.ndim - 1)), fresh[key], x)
                for key, x in last.items()
            }
        else:
            self.now = last
        self.steps.append(
            {
                "obs": {key: x.copy() for key, x in before.items()},
                "action": actions.copy(),
                "reward": reward.astype(np.float32),
                "own": own.astype(np.float32),
                "terminated": terminated,
                "truncated": truncated,
                "final": {key: x.copy() for key, x in last.items()},
                "next": {key: x.copy() for key, x in self.now.items()},
            }
        )
        return self.now, reward, terminated, truncated, infos


class Small(nn.Module):
    """A hidden layer for logits and a linear value, of an agent or of the living's mean."""

    def __init__(self, env, critic, *, normalize):
        super().__init__()
        self.critic = critic
        space = env.single_observation_space
        self.team = describe_team(space, env.single_action_space)
        if normalize:
            self.normalizer = TeamNormalizer(space, self.team)
        generator = torch.Generator().manual_seed(5)
        for name, shape in (("w1", (F, 6)), ("w2", (6, 5)), ("v1", (F, 6)), ("v2", (6,))):
            weight = torch.randn(shape, generator=generator, dtype=torch.float64) * 0.5
            setattr(self, name, nn.Parameter(weight))
        self.bias = nn.Parameter(torch.zeros((), dtype=torch.float64))

    def read(self, obs):
        x = obs["observation"].double()
        if hasattr(self, "normalizer"):
            x = self.normalizer({"observation": obs["observation"]})["observation"].double()
        return x

    def distribution(self, obs, acting=None):
        x = self.read(obs)[acting.row, acting.slot]
        return GridwiseCategorical.from_packed(
            torch.tanh(x @ self.w1) @ self.w2,
            acting.offsets,
            acting.action_mask,
            nvec=NVEC,
            empty="idle",
        )

    def value(self, obs):
        alive = obs.get("alive", obs["agent_mask"])
        x = torch.where(alive[..., None], self.read(obs), 0.0)
        each = torch.tanh(x @ self.v1) @ self.v2
        if self.critic == "agent":
            return each + self.bias
        return torch.where(alive, each, 0.0).sum(-1) / alive.sum(-1).clamp(min=1) + self.bias


class Slow:
    """The learner again: one agent, one step, one number at a time."""

    def __init__(self, config, policy, shuffle, *, own_rewards):
        self.config = config
        self.critic = policy.critic
        self.own = own_rewards and self.critic == "agent"
        self.weights = [p.detach().clone().requires_grad_() for p in policy.parameters()]
        self.adam = torch.optim.Adam(self.weights, lr=config.learning_rate, eps=config.adam_eps)
        self.shuffle = shuffle
        self.samples, self.mean, self.scale = [], 0.0, 1.0
        self.returns = []
        self.running = np.zeros((B, N if self.own else 1))
        self.deviation = None
        self.clipped = self.stopped = 0

    # What the policy says.

    def features(self, obs, b, n):
        x = torch.tensor(obs["observation"][b, n], dtype=torch.float64)
        return ((x - self.mean) * self.scale).clamp(-10, 10) if self.samples else x

    @staticmethod
    def is_alive(obs, b, n):
        return bool(obs["alive" if "alive" in obs else "agent_mask"][b, n])

    def heads(self, obs, b, n):
        """Log-probabilities of each head's allowed choices, by choice; empty of an idle head."""
        w1, w2 = self.weights[:2]
        logits = torch.tanh(self.features(obs, b, n) @ w1) @ w2
        out = []
        for start, stop in itertools.pairwise(EDGES):
            allowed = [i for i in range(start, stop) if obs["action_mask"][b, n, i]]
            total = torch.logsumexp(logits[allowed], 0) if allowed else None
            out.append({i - start: logits[i] - total for i in allowed})
        return out

    def value(self, obs, b, n=None):
        _, _, v1, v2, bias = self.weights
        if n is not None:
            return torch.tanh(self.features(obs, b, n) @ v1) @ v2 + bias
        living = [n for n in range(N) if self.is_alive(obs, b, n)]
        if not living:
            return bias * 1.0
        each = [torch.tanh(self.features(obs, b, n) @ v1) @ v2 for n in living]
        return sum(each) / len(living) + bias

    # What it was worth.

    def reward(self, step, b, n):
        r = float(step["own"][b, n]) if self.own else float(step["reward"][b])
        return r if self.deviation is None else min(max(r / self.deviation, -10.0), 10.0)

    def of_agent(self, rollout, t, b, n, found):
        """Advantage of what agent n begins at step t, walked forward from there."""
        if (t, b, n) in found:
            return found[t, b, n]
        config = self.config
        gamma, terminal = config.gamma, config.death == "terminal"
        who = n if self.critic == "agent" else None
        start = float(self.value(rollout[t]["obs"], b, who))
        total, weight = 0.0, 1.0
        for s in range(t, len(rollout)):
            step = rollout[s]
            total += weight * self.reward(step, b, n)
            if config.waiting_discount:
                weight *= gamma
            until = weight if config.waiting_discount else gamma
            over = step["terminated"][b] or step["truncated"][b]
            after = step["final"] if over else step["next"]
            if step["terminated"][b] or (terminal and not self.is_alive(after, b, n)):
                break
            if over or s + 1 == len(rollout):
                total += until * float(self.value(after, b, who))
                break
            if after["agent_mask"][b, n] or not self.is_alive(after, b, n):
                total += until * float(self.value(after, b, who))
                later = self.of_agent(rollout, s + 1, b, n, found)
                total += until * config.gae_lambda * later
                break
        found[t, b, n] = total - start
        return found[t, b, n]

    def of_team(self, rollout, b):
        """Advantages of the team's values, step by step from the last."""
        config, following, out = self.config, 0.0, [0.0] * len(rollout)
        for t in reversed(range(len(rollout))):
            step = rollout[t]
            over = step["terminated"][b] or step["truncated"][b]
            after = step["final"] if over else step["next"]
            future = 0.0 if step["terminated"][b] else float(self.value(after, b))
            delta = self.reward(step, b, 0) + config.gamma * future
            delta -= float(self.value(step["obs"], b))
            following = delta + (0.0 if over else config.gamma * config.gae_lambda * following)
            out[t] = following
        return out

    # Learning.

    @torch.no_grad()
    def judge(self, rollout):
        config = self.config
        acts = [
            (t, b, n)
            for t, b, n in itertools.product(range(len(rollout)), range(B), range(N))
            if rollout[t]["obs"]["agent_mask"][b, n]
        ]
        self.old = {}
        for t, b, n in acts:
            heads = self.heads(rollout[t]["obs"], b, n)
            self.old[t, b, n] = [
                float(head[int(a)]) if head else None
                for head, a in zip(heads, rollout[t]["action"][b, n], strict=True)
            ]
        decided = {k for k, heads in self.old.items() if any(x is not None for x in heads)}
        self.old_values, self.targets = {}, {}
        if self.critic == "team":
            team = {(t, b): a for b in range(B) for t, a in enumerate(self.of_team(rollout, b))}
            for t, b in team:
                self.old_values[t, b] = float(self.value(rollout[t]["obs"], b))
                self.targets[t, b] = team[t, b] + self.old_values[t, b]
        if config.ratio == "joint":
            advantages, counted = team, {(t, b) for t, b, _ in decided}
        else:
            found = {}
            advantages = {k: self.of_agent(rollout, *k, found) for k in acts}
            counted = decided
        if self.critic == "agent":
            for t, b, n in acts:
                self.old_values[t, b, n] = float(self.value(rollout[t]["obs"], b, n))
                self.targets[t, b, n] = advantages[t, b, n] + self.old_values[t, b, n]
        kept = [advantages[k] for k in counted]
        mean = math.fsum(kept) / len(kept)
        spread = math.sqrt(math.fsum((a - mean) ** 2 for a in kept) / (len(kept) - 1))
        self.advantages = {k: (advantages[k] - mean) / spread for k in counted}

    def surrogate(self, moved, advantage):
        ratio, clip = moved.exp(), self.config.clip
        bounded = ratio.clamp(1 - clip, 1 + clip)
        self.clipped += int(abs(float(ratio.detach()) - 1) > clip)
        return torch.minimum(ratio * advantage, bounded * advantage)

    def loss(self, rollout, steps):
        config = self.config
        gain, bonus, errors = torch.zeros(()), torch.zeros(()), []
        agents, with_decision, apart = 0, 0, []
        for t, b in steps:
            obs, moved_together, someone = rollout[t]["obs"], torch.zeros(()), False
            if self.critic == "team":
                errors.append((self.value(obs, b), (t, b)))
            for n in range(N):
                if not obs["agent_mask"][b, n]:
                    continue
                if self.critic == "agent":
                    errors.append((self.value(obs, b, n), (t, b, n)))
                old = self.old[t, b, n]
                if all(x is None for x in old):
                    continue
                someone, agents = True, agents + 1
                moved = []
                heads = self.heads(obs, b, n)
                for head, a, before in zip(heads, rollout[t]["action"][b, n], old, strict=True):
                    moved.append(head[int(a)] - before if head else torch.zeros(()))
                    bonus = bonus - sum((p.exp() * p for p in head.values()), torch.zeros(()))
                moved_together = moved_together + sum(moved)
                if config.ratio == "agent":
                    gain = gain + self.surrogate(sum(moved), self.advantages[t, b, n])
                if config.ratio == "head":
                    for one in moved:
                        gain = gain + self.surrogate(one, self.advantages[t, b, n])
                if config.ratio != "joint":
                    apart.append(float(sum(moved).detach()))
            if someone:
                with_decision += 1
                if config.ratio == "joint":
                    gain = gain + self.surrogate(moved_together, self.advantages[t, b])
                    apart.append(float(moved_together.detach()))
        divisor = max(1, agents if config.weight == "agent_step" else with_decision)
        squares = []
        for value, key in errors:
            square = (value - self.targets[key]) ** 2
            if config.value_clip is not None:
                old, width = self.old_values[key], config.value_clip
                near = old + (value - old).clamp(-width, width)
                square = torch.maximum(square, (near - self.targets[key]) ** 2)
            squares.append(square)
        critic = 0.5 * sum(squares) / len(squares) if squares else torch.zeros(())
        kl = sum(math.expm1(m) - m for m in apart) / max(1, len(apart))
        loss = -(gain + config.entropy_coef * bonus) / divisor + config.value_coef * critic
        return loss, kl

    def update(self, rollout, fraction):
        config = self.config
        self.judge(rollout)
        for group in self.adam.param_groups:
            group["lr"] = config.learning_rate * (1.0 - fraction)
        rows, stepped, stop = T * B, 0, False
        parts = -(-rows // config.minibatch_size)
        for _ in range(config.epochs):
            for part in torch.randperm(rows, generator=self.shuffle).tensor_split(parts):
                loss, kl = self.loss(rollout, [divmod(i, B) for i in part.tolist()])
                if stepped and config.target_kl and kl > 1.5 * config.target_kl:
                    stop = True
                    break
                self.adam.zero_grad()
                loss.backward()
                nn.utils.clip_grad_norm_(self.weights, config.max_grad_norm or math.inf)
                self.adam.step()
                stepped += 1
            if stop:
                self.stopped += 1
                break
        self.count(rollout)

    def count(self, rollout):
        """What the normalisers learn, from all that they have seen."""
        config = self.config
        for step in rollout:
            for b in range(B):
                for n in range(N):
                    alive = self.is_alive(step["obs"], b, n)
                    if alive and config.normalize_observations:
                        self.samples.append(step["obs"]["observation"][b, n])
                    if not self.own and n:
                        continue
                    over = bool(step["terminated"][b] or step["truncated"][b])
                    if self.own:
                        r = float(step["own"][b, n]) if alive else 0.0
                        after = self.is_alive(step["final" if over else "next"], b, n)
                        over = over or not alive or not after
                    else:
                        r = float(step["reward"][b])
                    self.running[b, n] = config.gamma * self.running[b, n] + r
                    if alive or not self.own:
                        self.returns.append(self.running[b, n])
                    self.running[b, n] = 0.0 if over else self.running[b, n]
        if config.normalize_rewards:
            self.deviation = math.sqrt(np.var(self.returns) + 1e-8)
        if config.normalize_observations:
            all_of_them = np.array(self.samples, np.float64)
            self.mean = torch.from_numpy(all_of_them.mean(0).astype(np.float32)).double()
            scale = 1.0 / np.sqrt(all_of_them.var(0) + 1e-8)
            self.scale = torch.from_numpy(scale.astype(np.float32)).double()


CONFIG = PPOConfig(
    num_envs=B,
    rollout_steps=T,
    minibatch_size=5,
    epochs=2,
    gamma=0.9,
    gae_lambda=0.8,
    clip=0.1,
    learning_rate=0.02,
    entropy_coef=0.03,
    empty="idle",
    threads=1,
    evaluate_every=0,
)
CASES = [
    {"ratio": ratio, "weight": weight, "death": death, "critic": critic, "own": own}
    for ratio in ("joint", "agent", "head")
    for weight in ("agent_step", "env_step")
    for death in ("terminal", "posthumous")
    for critic in ("team", "agent")
    for own in (True, False)
    if (critic, death) != ("agent", "posthumous") and (ratio, death) != ("joint", "terminal")
    if (ratio, critic) != ("joint", "agent")
]
MORE = [
    {"normalize_rewards": True, "normalize_observations": True},
    {"value_clip": 0.1, "max_grad_norm": 0.0},
    {"waiting_discount": False},
    {"target_kl": 0.002},
    {"alive": False},
]
CASES += [
    {"death": death, "critic": critic, "own": own, **more}
    for more in MORE
    for death, critic, own in (
        ("terminal", "agent", True),
        ("terminal", "agent", False),
        ("terminal", "team", True),
        ("posthumous", "team", False),
    )
]


def _case(k):
    """Every fourth always, which meets each setting; all of them where there is time."""
    return pytest.param(
        CASES[k],
        id="-".join(map(str, CASES[k].values())),
        marks=[] if k % 4 == 0 else [pytest.mark.slow],
    )


@pytest.mark.parametrize("case", [_case(k) for k in range(len(CASES))])
def test_two_updates_agent_by_agent(case):
    case = dict(case)
    own, alive = case.pop("own"), case.pop("alive", True)
    config = CONFIG.replace(**{"ratio": "agent", **case})
    if not config.max_grad_norm:
        config = config.replace(learning_rate=0.005)
    env = World(own_rewards=own, tells_alive=alive)
    policy = Small(env, config.critic, normalize=config.normalize_observations)
    trainer = PPO(env, config, policy=policy, seed=3)
    shuffle = torch.Generator()
    shuffle.set_state(trainer.update.shuffle.get_state())
    slow = Slow(config, policy, shuffle, own_rewards=own)
    start = [weight.detach().clone() for weight in slow.weights]
    trainer.learn(2 * config.batch_size)
    assert len(env.steps) == 2 * T
    for k in range(2):
        slow.update(env.steps[k * T : (k + 1) * T], fraction=0.5 * k)
    names = [name for name, _ in policy.named_parameters()]
    moved = [float((a - b).detach().abs().max()) for a, b in zip(slow.weights, start, strict=True)]
    assert min(moved) > 0.02 and slow.clipped
    assert slow.stopped or not config.target_kl
    for name, mine, theirs in zip(names, slow.weights, policy.parameters(), strict=True):
        error = float((mine - theirs).detach().abs().max())
        assert error < 2e-4, f"{name}: {error}, of {max(moved)}"
