"""Games of PettingZoo's whose agents take turns, driven by their own protocol."""

from __future__ import annotations

import numpy as np
import pytest
from gymnasium import spaces
from pettingzoo import AECEnv

from maskrl.envs.adapters.pettingzoo_aec import AECGames
from maskrl.errors import ConfigError, MaskDtypeError, MaskShapeError, NoMaskError


class Hints(AECEnv):
    """Three agents in turn; each is paid one move late, and agent b leaves after `leaves` moves.

    The game is seeded: a number drawn at the reset is what everybody sees. One and the same
    mask array is handed out every time and changed in place. Whoever waits has a mask too.
    """

    metadata = {"name": "hints_v0", "render_modes": []}

    def __init__(self, leaves=99, mask="observation", dtype=np.int8, n=3):
        super().__init__()
        self.possible_agents = ["a", "b", "c"]
        self.leaves, self.where, self.render_mode = leaves, mask, None
        entries = {"secret": spaces.Box(0, 99, (1,), np.float32)}
        if mask == "observation":
            entries["action_mask"] = spaces.Box(0, 1, (n,), dtype)
        self.seen = spaces.Dict(entries)
        self.mask = np.ones(n, dtype)

    def observation_space(self, agent):
        return self.seen

    def action_space(self, agent):
        return spaces.Discrete(3)

    def reset(self, seed=None, options=None):
        self.agents = self.possible_agents[:]
        self.secret = float(np.random.default_rng(seed).integers(99))
        self.moves = 0
        self.rewards = dict.fromkeys(self.agents, 0.0)
        self._cumulative_rewards = dict.fromkeys(self.agents, 0.0)
        self.terminations = dict.fromkeys(self.agents, False)
        self.truncations = dict.fromkeys(self.agents, False)
        self.infos = {agent: {"legal": self.mask} for agent in self.agents}
        self.agent_selection = "a"
        self.mask[:] = 1

    def observe(self, agent):
        seen = {"secret": np.array([self.secret], np.float32)}
        return {**seen, "action_mask": self.mask} if self.where == "observation" else seen

    def step(self, action):
        agent = self.agent_selection
        if self.terminations[agent] or self.truncations[agent]:
            self._was_dead_step(action)
            return
        self._cumulative_rewards[agent] = 0.0
        self.moves += 1
        self.rewards = {other: 0.1 * (action + 1) * (other != agent) for other in self.agents}
        if self.moves == self.leaves:
            self.truncations["b"] = True
        if self.moves == 8:
            self.terminations = dict.fromkeys(self.agents, True)
        self._accumulate_rewards()
        order = self.agents
        self.agent_selection = order[(order.index(agent) + 1) % len(order)]
        self.mask[:] = 1
        self.mask[self.moves % len(self.mask)] = 0
        self._deads_step_first()


def games(count=1, name="hints", **settings):
    taken = {k: settings.pop(k) for k in ("mask_key", "mask_allowed") if k in settings}
    return AECGames(lambda: Hints(**settings), count, name=name, **taken)


ONE = np.array([0])


def test_turns_rewards_and_endings_are_those_of_the_protocol():
    ours = games()
    ours.begin(ONE, np.array([5]))
    env = Hints()
    env.reset(seed=5)
    told = dict.fromkeys(env.possible_agents, 0.0)
    for move, agent in enumerate(env.agent_iter()):
        observation, reward, terminated, truncated, _ = env.last()
        told[agent] += reward
        seat = env.possible_agents.index(agent)
        if terminated or truncated:
            env.step(None)
            continue
        assert ours.to_move[0] == seat
        seen = ours.observe(ONE, np.array([seat]))
        assert seen["secret"][0, 0] == observation["secret"][0]
        np.testing.assert_array_equal(seen["action_mask"][0], observation["action_mask"] == 1)
        assert ours.rewards[0, seat] == pytest.approx(told[agent])
        env.step(move % 3)
        ours.play(ONE, np.array([move % 3]))
    assert ours.to_move[0] == -1 and ours.terminated.all() and not ours.truncated.any()
    assert ours.rewards[0].tolist() == pytest.approx(list(told.values()))
    assert sum(told.values()) == pytest.approx(2 * 0.1 * (1 + 2 + 3) * 2 + 2 * 0.1 * 3)


def test_an_agent_that_leaves_is_over_while_others_go_on():
    ours = games(leaves=3)
    ours.begin(ONE, ONE)
    for _ in range(3):
        ours.play(ONE, ONE)
    assert ours.truncated[0].tolist() == [False, True, False] and ours.to_move[0] == 0
    assert ours.observe(ONE, np.array([1]))["secret"].shape == (1, 1)  # what it saw last
    ours.play(ONE, ONE)
    assert ours.to_move[0] == 2  # b is not asked any more


def test_what_is_seen_is_copied():
    ours = games()
    ours.begin(ONE, ONE)
    first = ours.observe(ONE, ONE)["action_mask"]
    assert first.all()
    ours.play(ONE, ONE)  # the environment writes into the mask that it handed out
    assert first.all() and ours.observe(ONE, ONE)["action_mask"].all()
    assert not ours.observe(ONE, np.array([1]))["action_mask"].all()


def test_a_state_is_seed_and_moves():
    ours, other = games(3), games(3)
    ours.begin(np.arange(3), np.array([4, 5, 6]))
    ours.play(np.array([0, 2]), np.array([2, 1]))
    ours.play(np.array([2]), np.array([0]))
    state = ours.get_state()
    assert state["lengths"].tolist() == [1, 0, 2] and state["moves"].tolist() == [2, 1, 0]
    other.set_state(state)
    for name in ("to_move", "rewards", "terminated", "truncated"):
        np.testing.assert_array_equal(getattr(ours, name), getattr(other, name))
    seats = ours.to_move
    for key, value in ours.observe(np.arange(3), seats).items():
        np.testing.assert_array_equal(value, other.observe(np.arange(3), seats)[key])
    with pytest.raises(ConfigError, match="the state is of 3 games of hints, here are 2"):
        games(2).set_state(state)
    with pytest.raises(ConfigError, match="game 0 of hints is over before its saved moves"):
        games(1).set_state({"seeds": ONE, "lengths": np.array([9]), "moves": np.zeros(9, int)})


class Forgetful(Hints):
    """Has numbers of its own, whatever seed it is given."""

    numbers = iter(range(1, 99))
    forgets = "secret"

    def reset(self, seed=None, options=None):
        super().reset(seed, options)
        number = next(Forgetful.numbers)
        if self.forgets == "secret":
            self.secret = float(number)
        elif self.forgets == "mask":
            self.mask[number % 3] = 0
        elif self.forgets == "turn":
            self.agent_selection = self.agents[number % 3]

    def step(self, action):
        super().step(action)
        if self.forgets == "rewards" and self.moves == 1:
            self._cumulative_rewards["b"] += next(Forgetful.numbers)
        if self.forgets == "moves" and action == 2 and next(Forgetful.numbers) > 50:
            raise AssertionError("illegal")


@pytest.mark.parametrize(
    ("forgets", "message"),
    [
        ("secret", r"game 0 of hints is another one .*seen.secret\[0, 0\] was 1.0 and is 3.0"),
        ("mask", r"game 0 .*: seen.action_mask\[0, 0\] was True and is False; it does not repeat"),
        ("turn", "game 0 .*: to_move was 2 and is 1"),
        ("rewards", r"rewards\[1\] was 3.1 and is 92.1"),
        ("moves", r"does not take its saved move 2 \(AssertionError: illegal\): it does not rep"),
    ],
)
def test_a_game_that_does_not_repeat_itself_is_found_out(forgets, message, monkeypatch):
    monkeypatch.setattr(Forgetful, "forgets", forgets)
    monkeypatch.setattr(Forgetful, "numbers", iter([*range(1, 5), *range(90, 99)]))
    ours = AECGames(Forgetful, 2, name="hints")
    both = np.arange(2)
    ours.begin(both, both)
    ours.play(both, np.array([0, 2]))
    with pytest.raises(ConfigError, match=message):
        ours.set_state(ours.get_state())


def test_states_that_do_not_tell_what_was_seen_are_gone_on_with():
    ours = AECGames(Forgetful, 1, name="hints")
    ours.set_state(ours.get_state())  # of games that have not begun
    state = ours.get_state()
    ours.set_state({key: state[key] for key in ("seeds", "lengths", "moves")})
    with pytest.raises(ConfigError, match=r"seen.action_mask has shape \(1, 3, 5\), expected"):
        ours.set_state({**state, "shown.seen.action_mask": np.ones((1, 3, 5), np.bool_)})


def test_masks_from_infos_and_inverted_ones():
    ours = games(mask="info", mask_key="legal", mask_allowed=0)
    assert list(ours.observation_space.spaces) == ["action_mask", "secret"]
    ours.begin(ONE, ONE)
    assert not ours.observe(ONE, ONE)["action_mask"].any()
    ours.play(ONE, ONE)
    assert ours.observe(ONE, np.array([1]))["action_mask"][0].tolist() == [False, True, False]


def test_what_cannot_be_played():
    with pytest.raises(NoMaskError, match="hints: a has no 'action_mask'.*which have .'legal'"):
        games(mask="info").begin(ONE, ONE)
    with pytest.raises(MaskShapeError, match=r"hints, a: action_mask has shape \(2,\), expected"):
        games(n=2).begin(ONE, ONE)
    strange = Hints()
    strange.reset = lambda seed=None, options=None: (Hints.reset(strange), strange.mask.fill(2))
    with pytest.raises(MaskDtypeError, match="hints, a: .*holds 2 at index"):
        AECGames(lambda: strange, 1, name="hints").begin(ONE, ONE)
    unlike = Hints()
    unlike.action_space = lambda agent: spaces.Discrete(3 + (agent == "c"))
    with pytest.raises(ConfigError, match=r"hints: c has the action_space Discrete\(4\), a has"):
        AECGames(lambda: unlike, 1, name="hints")
    unlike.action_space = lambda agent: spaces.Box(0, 1, (2,))
    with pytest.raises(ConfigError, match="its action space is Box.*expected Discrete"):
        AECGames(lambda: unlike, 1, name="hints")


def test_nobody_wins_where_all_play_together():
    assert games().is_competitive
    together = Hints()
    together.metadata = {"name": "hanabi_v5"}
    assert not AECGames(lambda: together, 1, name="hanabi").is_competitive


class Ending(Hints):
    """Tells masks in infos, of whoever's turn it is, and nothing at all at the end."""

    def __init__(self, at_end=None, clears=False):
        super().__init__(mask="info")
        self.at_end, self.clears = at_end, clears

    def step(self, action):
        super().step(action)
        if self.moves == 8:
            self.infos = {agent: dict(self.at_end or {}) for agent in self.agents}
            if self.clears:
                self.agents = []

    def observe(self, agent):
        return None if self.moves == 8 else super().observe(agent)


@pytest.mark.parametrize("at_end", [{}, {"legal": None}, {"legal": np.zeros(0, np.int8)}])
def test_nothing_needs_to_be_told_at_the_end(at_end):
    ours = AECGames(lambda: Ending(at_end), 1, name="ending", mask_key="legal")
    ours.begin(ONE, ONE)
    for _ in range(8):
        ours.play(ONE, ours.observe(ONE, ours.to_move)["action_mask"].argmax(1))
    assert ours.to_move[0] == -1 and ours.terminated.all()
    for seat in range(3):
        last = ours.observe(ONE, np.array([seat]))
        assert not last["action_mask"].any() and not last["secret"].any()
    with pytest.raises(NoMaskError, match="ending: a has no 'other'"):
        AECGames(Ending, 1, name="ending", mask_key="other").begin(ONE, ONE)


def test_a_game_whose_agents_are_gone_before_their_last_step_is_refused():
    ours = AECGames(lambda: Ending(clears=True), 1, name="ending", mask_key="legal")
    ours.begin(ONE, ONE)
    with pytest.raises(ConfigError, match="the game is over, and a was never told"):
        for _ in range(8):
            ours.play(ONE, ONE)
