"""Replay beside a list of everything that ever happened."""

from __future__ import annotations

import os

import numpy as np
import pytest
import torch
from gymnasium import spaces

from maskrl.buffers.replay import ReplayBuffer
from maskrl.envs.contract import mask_space
from maskrl.errors import ConfigError, MaskDtypeError
from maskrl.networks.encoders import NetworkConfig
from maskrl.policies.q_policy import QPolicy

A, B = 11, 3
SPACE = spaces.Dict(
    {
        "number": spaces.Box(-np.inf, np.inf, (2,), np.float32),
        "picture": spaces.Box(0, 255, (2, 2), np.uint8),
        "action_mask": mask_space(A),
    }
)
GAMMA = 0.5


class Story:
    """Random episodes of B environments, written into a buffer and remembered whole."""

    def __init__(self, buffer, seed=0, *, tell_terminal=True):
        self.rng = np.random.default_rng(seed)
        self.buffer = buffer
        self.tell_terminal = tell_terminal
        self.seen = [self.observation()]
        self.steps = []
        buffer.begin(self.seen[0])

    def observation(self, rows=B):
        return {
            "number": self.rng.normal(size=(rows, 2)).astype(np.float32),
            "picture": self.rng.integers(0, 256, (rows, 2, 2)).astype(np.uint8),
            "action_mask": self.rng.random((rows, A)) < 0.4,
        }

    def step(self):
        actions, rewards = self.rng.integers(0, A, B), self.rng.normal(size=B).astype(np.float32)
        terminated, truncated = self.rng.random((2, B)) < 0.15
        following, final = self.observation(), self.observation()
        ended = terminated | truncated if self.tell_terminal else truncated & ~terminated
        index = np.flatnonzero(ended)
        some = {key: value[index] for key, value in final.items()}
        self.buffer.add(
            actions, rewards, terminated, truncated, following, final_obs=some, final_index=index
        )
        self.steps.append((actions, rewards, terminated, truncated & ~terminated, final))
        self.seen.append(following)

    def transition(self, t, env, n):
        """Discounted rewards, steps, successor, and ends of one transition."""
        total, k = 0.0, 0
        while True:
            _, rewards, terminated, truncated, final = self.steps[t + k]
            total += GAMMA**k * rewards[env]
            k += 1
            if terminated[env] or truncated[env]:
                known = self.tell_terminal or truncated[env]
                after = {key: x[env] if known else np.zeros_like(x[env])
                         for key, x in final.items()}  # fmt: skip
                return total, k, after, terminated[env], truncated[env]
            if k == n or t + k == len(self.steps):
                after = {key: x[env] for key, x in self.seen[t + k].items()}
                return total, k, after, False, False


def equal(stored, row, entry):
    for key, value in entry.items():
        here = stored[key][row]
        here = here.unpack() if key == "action_mask" else here
        np.testing.assert_array_equal(here.numpy().reshape(-1), value.reshape(-1))


@pytest.mark.parametrize("n", [1, 3])
@pytest.mark.parametrize("tell_terminal", [True, False])
@pytest.mark.parametrize("priority", [0.0, 0.7])
def test_every_transition_is_one_that_happened(n, tell_terminal, priority, tmp_path):
    folder = tmp_path if priority else None
    buffer = ReplayBuffer(SPACE, B, 20, n_step=n, gamma=GAMMA, priority_exponent=priority,
                          folder=folder)  # fmt: skip
    story = Story(buffer, tell_terminal=tell_terminal)
    generator = np.random.default_rng(1)
    met = set()
    for steps in range(1, 40):
        story.step()
        assert len(buffer) == min(steps, 7) * B  # 20 rounded up to 7 rows of 3
        batch = buffer.sample(16, generator)
        for row in range(16):
            slot, env = divmod(int(batch.index[row]), B)
            t = next(t for t in range(steps - 1, -1, -1) if t % buffer.rows == slot)
            assert steps - t <= 7
            met.add(steps - t)
            total, k, after, terminated, truncated = story.transition(t, env, n)
            equal(batch.observations, row, {key: x[env] for key, x in story.seen[t].items()})
            assert batch.actions[row] == story.steps[t][0][env]
            assert batch.rewards[row].item() == pytest.approx(total, abs=1e-6)
            assert batch.discounts[row].item() == GAMMA**k
            assert batch.terminated[row] == terminated
            assert batch.truncated[row] == truncated
            equal(batch.next_observations, row, after)
    assert met == set(range(1, 8))


def test_priorities_decide_how_often():
    """Errors 0, 1, 2, 3 of four transitions, alpha 1: drawn as often, within 6 deviations."""
    buffer = ReplayBuffer(SPACE, 1, 4, priority_exponent=1.0)
    story = Story.__new__(Story)
    story.rng = np.random.default_rng(0)
    buffer.begin(story.observation(1))
    for _ in range(4):
        buffer.add(np.zeros(1, int), np.zeros(1), np.zeros(1, bool), np.zeros(1, bool),
                   story.observation(1))  # fmt: skip
    buffer.update_priorities(torch.arange(4), torch.tensor([0.0, -1.0, 2.0, 3.0]))
    batch = buffer.sample(6000, np.random.default_rng(0), beta=1.0)
    counts = batch.index.bincount(minlength=4)
    assert counts[0] <= 1
    for place, share in ((1, 1 / 6), (2, 2 / 6), (3, 3 / 6)):
        assert abs(counts[place] - 6000 * share) < 6 * (6000 * share * (1 - share)) ** 0.5
    weights = {int(i): w.item() for i, w in zip(batch.index, batch.weights, strict=True)}
    assert weights[1] / weights[3] == pytest.approx(3.0, rel=1e-4)
    with pytest.raises(ConfigError, match=r"errors\[1\] is not finite"):
        buffer.update_priorities(torch.arange(2), torch.tensor([0.0, float("nan")]))


def test_new_transitions_come_at_the_largest_priority():
    buffer = ReplayBuffer(SPACE, B, 30, priority_exponent=1.0)
    story = Story(buffer)
    story.step()
    buffer.update_priorities(torch.arange(B), torch.full((B,), 50.0))
    story.step()
    batch = buffer.sample(3000, np.random.default_rng(0))
    assert 0.4 < (batch.index >= B).double().mean() < 0.6


def test_memory_of_finals_is_used_again():
    buffer = ReplayBuffer(SPACE, B, 30)
    story = Story(buffer)
    for _ in range(400):
        story.step()
    # at most one final observation for each transition, and room doubles
    assert buffer.nbytes_of_masks <= 2 * (11 * B * 2) + 2 * 2 * 64


def test_environments_reset_from_outside_are_cut_off():
    buffer = ReplayBuffer(SPACE, B, 30)
    story = Story(buffer)
    story.step()
    before = story.seen[-1]
    ended = story.steps[-1][2] | story.steps[-1][3]
    buffer.begin(story.observation())
    batch = buffer.sample(200, np.random.default_rng(0))
    assert (batch.terminated | batch.truncated).all()
    for row, env in enumerate(batch.index.tolist()):
        if not ended[env]:
            assert batch.truncated[row]
            equal(batch.next_observations, row, {key: x[env] for key, x in before.items()})


def test_entries_called_like_the_buffer_s_own_arrays_have_files_of_their_own(tmp_path):
    space = spaces.Dict(
        {
            "actions": spaces.Box(-9, 9, (1,), np.float32),
            "a:b": spaces.Box(-9, 9, (1,), np.float32),
            "a-b": spaces.Box(-9, 9, (1,), np.float32),
            "a/b": spaces.Box(-9, 9, (1,), np.float32),
            "rewards": spaces.Box(-9, 9, (1,), np.float32),
            "action_mask": mask_space(A),
        }
    )
    numbers = {key: i for i, key in enumerate(space.spaces, 1) if key != "action_mask"}
    obs = {key: np.full((B, 1), n, np.float32) for key, n in numbers.items()}
    obs["action_mask"] = np.ones((B, A), bool)
    buffer = ReplayBuffer(space, B, 5, folder=tmp_path)
    buffer.begin(obs)
    no = np.zeros(B, bool)
    buffer.add(np.arange(B), np.full(B, 7.0), no, no, obs)
    batch = buffer.sample(8, np.random.default_rng(0))
    for key, n in numbers.items():
        assert (batch.observations[key] == n).all()
    assert torch.equal(batch.actions, batch.index % B)
    assert (batch.rewards == 7).all()


@pytest.mark.skipif(os.name == "nt", reason="files that are in use cannot be replaced there")
def test_a_second_buffer_in_the_same_folder_leaves_the_first_alone(tmp_path):
    first = Story(ReplayBuffer(SPACE, B, 5, folder=tmp_path))
    first.step()
    before = first.buffer.sample(8, np.random.default_rng(0))
    second = Story(ReplayBuffer(SPACE, B, 5, folder=tmp_path), seed=1)
    second.step()
    after = first.buffer.sample(8, np.random.default_rng(0))
    assert torch.equal(before.observations["number"], after.observations["number"])
    assert torch.equal(before.rewards, after.rewards)


@pytest.mark.parametrize("priority", [0.0, 0.7])
def test_a_step_that_raised_has_written_nothing(priority):
    buffer = ReplayBuffer(SPACE, B, 5, priority_exponent=priority)
    story = Story(buffer)
    for _ in range(5):
        story.step()
    before = buffer.sample(50, np.random.default_rng(0))
    no, cut = np.zeros(B, bool), np.array([False, True, False])
    obs, final = story.observation(), story.observation(1)
    bad = {**obs, "action_mask": np.ones((B, A))}
    bad_final = {**final, "action_mask": np.ones((1, A))}
    index = np.array([1])
    for following, last in ((bad, final), (obs, bad_final)):
        with pytest.raises(MaskDtypeError):
            buffer.add(np.ones(B, int), np.ones(B), no, cut, following,
                       final_obs=last, final_index=index)  # fmt: skip
    with pytest.raises(MaskDtypeError):
        buffer.begin(bad)
    after = buffer.sample(50, np.random.default_rng(0))
    for name in ("rewards", "actions", "terminated", "truncated", "discounts", "weights"):
        assert torch.equal(getattr(before, name), getattr(after, name)), name
    for name in ("observations", "next_observations"):
        ours, theirs = getattr(before, name), getattr(after, name)
        assert torch.equal(ours["number"], theirs["number"])
        assert torch.equal(ours["action_mask"].bits, theirs["action_mask"].bits)


def test_masks_that_steer_a_network_come_as_it_reads_them():
    """A scene drawn from a buffer goes straight into a policy."""
    scene = {
        "entities": spaces.Box(-1, 1, (4, 2), np.float32),
        "entity_mask": mask_space(4),
        "visibility": mask_space(4, 4),
        "action_mask": mask_space(3),
    }
    space = spaces.Dict(scene)
    buffer = ReplayBuffer(space, 2, 6)
    rng = np.random.default_rng(0)
    given = {
        "entities": rng.random((2, 4, 2), np.float32),
        "entity_mask": np.ones((2, 4), bool),
        "visibility": rng.random((2, 4, 4)) < 0.5,
        "action_mask": np.ones((2, 3), bool),
    }
    buffer.begin(given)
    no = np.zeros(2, bool)
    buffer.add(np.zeros(2, int), np.zeros(2), no, no, given)
    batch = buffer.sample(5, rng)
    env = batch.index % 2
    for obs in (batch.observations, batch.next_observations):
        assert obs["visibility"].dtype == torch.bool
        assert torch.equal(obs["visibility"], torch.from_numpy(given["visibility"])[env])
        policy = QPolicy(space, spaces.Discrete(3), NetworkConfig(entity_dim=8, entity_heads=2))
        assert policy.values(obs).shape == (5, 3)
        assert policy.value(obs).shape == (5,)


def test_bad_input_is_named():
    with pytest.raises(ConfigError, match="capacity is 0"):
        ReplayBuffer(SPACE, B, 0)
    with pytest.raises(ConfigError, match="priority_exponent"):
        ReplayBuffer(SPACE, B, 5, priority_exponent=2.0)
    buffer = ReplayBuffer(SPACE, B, 5)
    with pytest.raises(ConfigError, match="before the first transition"):
        buffer.sample(1, np.random.default_rng(0))
    no, cut = np.zeros(B, bool), np.array([False, True, False])
    obs = Story(ReplayBuffer(SPACE, B, 5)).observation()
    with pytest.raises(ConfigError, match="before begin"):
        buffer.add(np.zeros(B, int), np.zeros(B), no, no, obs)
    buffer.begin(obs)
    with pytest.raises(ConfigError, match="environment 1 was truncated"):
        buffer.add(np.zeros(B, int), np.zeros(B), no, cut, obs)
    index = np.array([1])
    for one in ({"final_index": index}, {"final_obs": obs}):
        with pytest.raises(ConfigError, match="final_obs together with final_index"):
            buffer.add(np.zeros(B, int), np.zeros(B), no, cut, obs, **one)
    with pytest.raises(MaskDtypeError, match="action_mask"):
        buffer.add(np.zeros(B, int), np.zeros(B), no, no, {**obs, "action_mask": np.ones((B, A))})


def test_arrays_that_are_changed_later_change_nothing_that_was_stored():
    """Some environments, and vector environments with copy=False, hand out the same arrays."""
    rng = np.random.default_rng(0)
    buffer = ReplayBuffer(SPACE, B, 30)
    shared = {
        "number": np.zeros((B, 2), np.float32),
        "picture": np.zeros((B, 2, 2), np.uint8),
        "action_mask": np.zeros((B, A), bool),
    }
    last = {key: value[:1].copy() for key, value in shared.items()}
    seen, ends = [], []

    def change():
        shared["number"][:] = rng.normal(size=(B, 2))
        shared["picture"][:] = rng.integers(0, 256, (B, 2, 2))
        shared["action_mask"][:] = rng.random((B, A)) < 0.5
        seen.append({key: value.copy() for key, value in shared.items()})

    change()
    buffer.begin(shared)
    flags, rewards, actions = np.zeros((2, B), bool), np.zeros(B), np.zeros(B, int)
    index = np.zeros(1, int)
    for t in range(9):
        change()
        rewards[:], actions[:] = t, t % A
        flags[1, 0] = t % 3 == 2
        for key in last:
            last[key][:] = seen[-2][key][:1] if t % 3 == 2 else last[key]
        given = {"final_obs": last, "final_index": index} if t % 3 == 2 else {}
        ends.append({key: value.copy() for key, value in last.items()})
        buffer.add(actions, rewards, *flags, shared, **given)
    for array in (*shared.values(), *last.values(), flags, rewards, actions):
        array[...] = 1
    batch = buffer.sample(200, np.random.default_rng(1))
    for row, place in enumerate(batch.index.tolist()):
        t, env = divmod(place, B)
        equal(batch.observations, row, {key: x[env] for key, x in seen[t].items()})
        cut = env == 0 and t % 3 == 2
        following = {k: x[0] for k, x in ends[t].items()} if cut else (
            {k: x[env] for k, x in seen[t + 1].items()})  # fmt: skip
        equal(batch.next_observations, row, following)
        assert batch.rewards[row] == t and batch.actions[row] == t % A
        assert bool(batch.truncated[row]) == cut and not batch.terminated[row]


def test_what_was_drawn_is_not_changed_by_what_is_written_later():
    buffer = ReplayBuffer(SPACE, B, 6)
    story = Story(buffer)
    for _ in range(3):
        story.step()
    batch = buffer.sample(20, np.random.default_rng(0))
    before = batch.observations["number"].clone(), batch.next_observations["action_mask"].numpy()
    for _ in range(9):
        story.step()
    assert torch.equal(batch.observations["number"], before[0])
    np.testing.assert_array_equal(batch.next_observations["action_mask"].numpy(), before[1])


@pytest.mark.parametrize("n", [1, 4])
def test_begun_again_while_the_ring_wraps(n):
    """Cut from outside at every few steps: no sum of rewards reaches over a cut."""
    buffer = ReplayBuffer(SPACE, B, 12, n_step=n, gamma=1.0)
    rng, no = np.random.default_rng(0), np.zeros(B, bool)
    maker = Story.__new__(Story)
    maker.rng = rng
    for segment, steps in enumerate((3, 1, 0, 2, 5, 1, 1, 4), 1):
        first = maker.observation()
        first["number"][:] = segment
        buffer.begin(first)
        for _ in range(steps):
            following = maker.observation()
            following["number"][:] = segment
            buffer.add(np.zeros(B, int), np.full(B, float(segment)), no, no, following)
            batch = buffer.sample(60, rng)
            here, there = (
                batch.observations["number"][:, 0],
                batch.next_observations["number"][:, 0],
            )
            assert torch.equal(here, there), "what follows is of the same stretch"
            counted = batch.rewards / here
            assert torch.equal(counted, counted.round()) and counted.max() <= n
            last = int(here.max())
            assert (batch.truncated | (here == last) | (counted == n)).all()


def test_an_empty_stretch_cuts_nothing_twice():
    buffer = ReplayBuffer(SPACE, B, 12)
    story = Story(buffer)
    story.step()
    finals = buffer.get_state()[0]["finals.place"].copy()
    for _ in range(3):
        buffer.begin(story.observation())
    again = buffer.get_state()[0]["finals.place"]
    assert (again >= 0).sum() == B and (finals[finals >= 0] == again[finals >= 0]).all()
    assert len(buffer) == B


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"actions": np.zeros((B, 2), int)}, r"actions has shape \(3, 2\), expected \(3,\)"),
        ({"rewards": np.zeros(())}, r"rewards has shape \(\), expected \(3,\)"),
        ({"terminated": np.zeros(1, bool)}, r"terminated has shape \(1,\)"),
        ({"truncated": np.zeros((1, B), bool)}, r"truncated has shape \(1, 3\)"),
        (
            {"number": np.zeros((B, 1), np.float32)},
            r"'number' has shape \(3, 1\), expected \(3, 2\)",
        ),
        ({"index": [1, 1]}, r"final_index is \[1, 1\]; expected each environment whose episode"),
        ({"index": [1, 2]}, r"final_index is \[1, 2\]"),
    ],
)
def test_what_numpy_would_stretch_is_refused(change, message):
    buffer = ReplayBuffer(SPACE, B, 6)
    story = Story(buffer)
    given = {
        "actions": np.zeros(B, int),
        "rewards": np.zeros(B),
        "terminated": np.array([False, True, False]),
        "truncated": np.zeros(B, bool),
    }
    index = np.array(change.get("index", [1]))
    obs = story.observation()
    if "number" in change:
        obs["number"] = change["number"]
    given |= {key: value for key, value in change.items() if key in given}
    before = {key: value.copy() for key, value in buffer.get_state()[0].items()}
    with pytest.raises(ConfigError, match=message):
        buffer.add(*given.values(), obs, final_obs=story.observation(len(index)), final_index=index)
    for key, value in buffer.get_state()[0].items():
        np.testing.assert_array_equal(value, before[key])


@pytest.mark.parametrize("rows", [0, -1, True, 2.0])
def test_as_many_are_drawn_as_somebody_asked_for(rows):
    story = Story(ReplayBuffer(SPACE, B, 6))
    story.step()
    with pytest.raises(ConfigError, match="positive whole number"):
        story.buffer.sample(rows, np.random.default_rng(0))
    assert len(story.buffer.sample(np.int64(3), np.random.default_rng(0)).index) == 3


@pytest.mark.slow
@pytest.mark.parametrize("in_files", [False, True])
def test_a_million_masks_of_4672_actions_fit(in_files, tmp_path):
    """Masks of a game of chess: 0.58 GB as bits, final ones included under 0.7, float32 37 GB.

    The bytes are those that are asked for, and no page of them is touched before it is written.
    """
    actions, envs, capacity = 4672, 64, 1_000_000
    space = spaces.Dict(
        {
            "observation": spaces.Box(0, 255, (8, 8, 20), np.uint8),
            "action_mask": mask_space(actions),
        }
    )
    buffer = ReplayBuffer(space, envs, capacity, folder=tmp_path if in_files else None)
    rng = np.random.default_rng(0)
    masks = rng.random((16, envs, actions)) < 22 / actions
    boards = rng.integers(0, 256, (16, envs, 8, 8, 20)).astype(np.uint8)
    numbers = np.arange(envs)
    steps = buffer.rows - 1 if not in_files else 400

    def observation(t, rows=slice(None)):
        return {"observation": boards[t % 16][rows], "action_mask": masks[t % 16][rows]}

    buffer.begin(observation(0))
    no = np.zeros(envs, bool)
    for t in range(steps):
        over = (t + numbers) % 80 == 79  # games of 80 moves
        index = np.flatnonzero(over)
        buffer.add(numbers, np.full(envs, t), over, no, observation(t + 1),
                   final_obs=observation(t + 5, index), final_index=index)  # fmt: skip
    assert buffer.nbytes_of_masks < 0.7e9
    assert 4 * actions * capacity * 2 / buffer.nbytes_of_masks > 50, "both masks, as float32"
    assert len(buffer) == (1_000_000 if not in_files else 400 * envs)
    batch = buffer.sample(256, rng)
    for row, place in enumerate(batch.index.tolist()):
        t, env = divmod(place, envs)
        t = int(batch.rewards[row])
        after = t + 5 if batch.terminated[row] else t + 1
        for stored, when in ((batch.observations, t), (batch.next_observations, after)):
            assert (stored["observation"][row].numpy() == boards[when % 16, env]).all()
            assert (stored["action_mask"][row].numpy() == masks[when % 16, env]).all()
