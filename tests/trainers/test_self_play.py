"""Self-play: who is met, what is kept of the past, and that a resumed run repeats it all."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from maskrl.envs import make, make_vec
from maskrl.envs.games.lines.board import TIC_TAC_TOE
from maskrl.envs.games.lines.engine import LineGames
from maskrl.envs.games.lines.players import WinOrBlock
from maskrl.envs.opponents import RandomOpponent
from maskrl.errors import ConfigError, RunFolderError
from maskrl.networks.encoders import NetworkConfig
from maskrl.policies.actor_critic import ActorCritic
from maskrl.trainers.dqn import DQN
from maskrl.trainers.dqn_config import DQNConfig
from maskrl.trainers.evaluate import evaluate
from maskrl.trainers.ppo import PPO, PPOConfig
from maskrl.trainers.self_play import NOW, SelfPlayPool

ENV = "pettingzoo:tictactoe_v3"
GAME = LineGames(TIC_TAC_TOE, 1, name="t")
NETWORK = NetworkConfig(hidden=(16,), channels=())
SMALL = PPOConfig(
    num_envs=8,
    rollout_steps=16,
    minibatch_size=64,
    epochs=2,
    threads=1,
    evaluate_every=0,
    checkpoint_every=0,
    network=NETWORK,
)


class Always(torch.nn.Module):
    """Plays the cell that its one weight says, or the first free one."""

    def __init__(self, cell=0):
        super().__init__()
        self.cell = torch.nn.Parameter(torch.tensor(float(cell)))

    def distribution(self, obs):
        logits = torch.zeros(obs["action_mask"].shape)
        logits[:, int(self.cell)] = 50.0
        return ActorCritic(GAME.observation_space, GAME.action_space, NETWORK).masked(logits, obs)


def pool_of(policy, places=6, size=3, every=100, current=0.5):
    return SelfPlayPool(policy, places, size=size, every=every, current=current)


def empty_boards(count):
    return {
        "observation": np.zeros((count, 3, 3, 2), np.int8),
        "action_mask": np.ones((count, 9), bool),
    }


def test_past_selves_are_taken_at_the_beginning_and_then_regularly():
    policy = Always(0)
    pool = pool_of(policy)
    for cell in range(1, 6):
        pool.count_steps(50)
        policy.cell.data.fill_(cell)
    # taken at 0 (cell 0), and where 100 and 200 steps were reached: in the calls 2 and 4
    assert pool.taken_at == [0, 50, 150] and pool.steps == 250
    assert [int(past.cell) for past in pool._past] == [0, 1, 3]
    assert not any(p.requires_grad for past in pool._past for p in past.parameters())


def test_when_there_are_too_many_first_and_latest_stay():
    policy = Always()
    pool = pool_of(policy, size=4, every=10)
    for _ in range(40):
        pool.count_steps(10)
    assert len(pool) == 4 and pool.taken_at[0] == 0 and pool.taken_at[-1] == 390
    assert pool.taken_at == sorted(pool.taken_at)
    latest = pool_of(policy, size=1, every=10)
    for _ in range(3):
        latest.count_steps(10)
    assert latest.taken_at == [20]


def test_games_go_on_against_whom_they_began():
    policy = Always(0)
    pool = pool_of(policy, places=600, size=3, every=1, current=0.25)
    for cell in range(3):
        policy.cell.data.fill_(cell)
        pool.count_steps(1)
    policy.cell.data.fill_(8)
    rng = np.random.default_rng(0)
    places, starts = np.arange(600), np.ones(600, bool)
    played = pool.act_all(empty_boards(600), places, starts, rng)
    counts = {cell: int((played == cell).sum()) for cell in (0, 1, 2, 8)}
    # a quarter of 600 against what it is now, the rest shared by three: 150 each, within 4.5 sigma
    assert sum(counts.values()) == 600 and all(102 < n < 198 for n in counts.values())
    again = pool.act_all(empty_boards(600), places, ~starts, rng)
    np.testing.assert_array_equal(played, again)
    policy.cell.data.fill_(7)  # who plays against what the learner is now meets what it becomes
    later = pool.act_all(empty_boards(600), places, ~starts, rng)
    np.testing.assert_array_equal(later, np.where(played == 8, 7, played))
    # one past self is dropped: its games go on against the next one, all others as before
    pool.count_steps(1)
    assert pool.taken_at == [0, 2, 3]
    after = pool.act_all(empty_boards(600), places, ~starts, rng)
    np.testing.assert_array_equal(after, np.select([played == 8, played == 1], [7, 2], played))


def test_without_a_past_the_present_plays():
    pool = pool_of(Always(4), current=0.0)
    rng = np.random.default_rng(0)
    played = pool.act_all(empty_boards(6), np.arange(6), np.ones(6, bool), rng)
    assert played.tolist() == [4] * 6 and (pool._who == NOW).all()


def test_a_memory_is_refused():
    config = SMALL.replace(network=NetworkConfig(hidden=(8,), channels=(), memory="gru"))
    with pytest.raises(ConfigError, match="self-play: ActorCritic has a memory"):
        PPO(ENV, config)


def test_trainers_play_against_themselves_unless_told_otherwise():
    trainer = PPO(ENV, SMALL)
    pool = trainer.self_play
    assert trainer.env.opponent is pool and pool.policy is trainer.policy
    assert PPO(ENV, SMALL, env_kwargs={"opponent": "random"}).self_play is None
    venv = make_vec(ENV, 4, opponent="self", pool_size=2, pool_every=7, pool_current=0.1)
    mine = PPO(venv, SMALL).self_play
    assert (mine.size, mine.every, mine.current) == (2, 7, 0.1)
    assert isinstance(make_vec(ENV, 1, opponent="self").opponent, WinOrBlock)


def test_one_game_that_exists_already_is_played_against_oneself_too():
    trainer = PPO(make(ENV, opponent="self", seat=1), SMALL)
    assert trainer.self_play is trainer.env.envs[0].unwrapped.games.opponent
    trainer.learn(64)
    assert trainer.self_play.steps == 64 and len(trainer.self_play) == 1
    assert trainer.self_play._who.shape == (2,)
    assert PPO(make(ENV, opponent="random"), SMALL).self_play is None


def test_taken_away_masks_do_not_change_who_is_met():
    trainer = PPO(ENV, SMALL, env_kwargs={"remove_masks": "action_mask"})
    assert trainer.self_play is not None and trainer.self_play.policy is trainer.policy


@pytest.mark.parametrize("workers", [None, 2])
def test_where_the_learner_cannot_answer_it_is_said(workers):
    # it would have trained against the opponent of evaluations, without a word
    kwargs = {} if workers else {"mask_regime": "penalty:0.5:native"}
    with pytest.raises(ConfigError, match="opponent=self: the learner answers for all games in on"):
        PPO(ENV, SMALL.replace(workers=workers), env_kwargs=kwargs)
    kwargs["opponent"] = "random"
    trainer = PPO(ENV, SMALL.replace(workers=workers), env_kwargs=kwargs)
    assert trainer.self_play is None
    trainer.env.close()


class Says:
    """Plays the cell that it is told, and remembers how often it was asked."""

    def __init__(self, cell):
        self.cell, self.moves = cell, 0

    def act_all(self, obs, places, starts, rng):
        self.moves += len(places)
        return np.full(len(places), self.cell)

    def get_state(self):
        return {"moves": self.moves}

    def set_state(self, state):
        self.moves = state["moves"]


def test_others_have_their_share_of_the_games():
    def build(others):
        return SelfPlayPool(Always(8), 4000, size=2, every=10, current=0.5, others=others)

    others = [(Says(1), 0.2), (Says(2), 0.1)]
    pool = build(others)
    pool.count_steps(1)
    pool.policy.cell.data.fill_(7)
    rng, places = np.random.default_rng(0), np.arange(4000)
    played = pool.act_all(empty_boards(4000), places, np.ones(4000, bool), rng)
    # 800 and 400 against the others, 1400 against each of present and past self; 5 deviations
    for cell, expected, spread in ((1, 800, 25), (2, 400, 19), (7, 1400, 30), (8, 1400, 30)):
        assert abs((played == cell).sum() - expected) < 5 * spread
    never = np.zeros(4000, bool)
    np.testing.assert_array_equal(played, pool.act_all(empty_boards(4000), places, never, rng))
    other = build([(Says(1), 0.2), (Says(2), 0.1)])
    other.set_state(pool.get_state())
    assert [p.moves for p in other.others] == [p.moves for p in pool.others] != [0, 0]
    other.policy.cell.data.fill_(7)
    np.testing.assert_array_equal(played, other.act_all(empty_boards(4000), places, never, rng))
    with pytest.raises(RunFolderError, match="more others than the 1 here; give pool_others"):
        build(others[:1]).set_state(pool.get_state())
    with pytest.raises(ConfigError, match="pool_others: the opponent Says answered 9 in row 0, ex"):
        build([(Says(9), 1.0)]).act_all(empty_boards(4000), places, ~never, rng)
    everywhere = build([(Says(3), 1.0)])
    assert (everywhere.act_all(empty_boards(4000), places, ~never, rng) == 3).all()


def test_others_are_named_by_a_setting():
    env_kwargs = {"pool_others": "win_or_block@0.25+random@0.5"}
    pool = PPO(ENV, SMALL, env_kwargs=env_kwargs).self_play
    assert [type(player) for player in pool.others] == [WinOrBlock, RandomOpponent]
    with pytest.raises(ConfigError, match="no such folder"):
        PPO(ENV, SMALL, env_kwargs={"pool_others": "nobody@0.5"})


def test_other_algorithms_do_so_too():
    config = DQNConfig(num_envs=4, learning_starts=16, threads=1, evaluate_every=0, network=NETWORK)
    trainer = DQN(ENV, config, env_kwargs={"pool_every": 20})
    trainer.learn(64)
    assert len(trainer.self_play) >= 3 and trainer.collector.illegal_actions == 0


def test_a_resumed_run_repeats_opponents_and_all(tmp_path):
    kwargs = {"pool_every": 150, "pool_size": 3, "opening_moves": "0-2"}
    kwargs["pool_others"] = "win_or_block@0.2"
    whole = PPO(ENV, SMALL, seed=5, env_kwargs=kwargs)
    whole.total_steps = 10_000
    for _ in range(5):
        whole.step()
    whole.save(tmp_path / "half")
    expected = [whole.step()[0] for _ in range(4)]
    assert len(whole.self_play) == 3  # one was dropped after the checkpoint or before
    resumed = PPO.load(tmp_path / "half")
    resumed.total_steps = 10_000
    assert resumed.self_play.taken_at[0] == 0 and len(resumed.self_play) >= 3
    for metrics in expected:
        got = resumed.step()[0]
        assert {k: v for k, v in got.items() if v == v} == {
            k: v for k, v in metrics.items() if v == v
        }
    for mine, other in zip(whole.self_play._past, resumed.self_play._past, strict=True):
        for name, tensor in mine.state_dict().items():
            assert torch.equal(tensor, other.state_dict()[name])
    np.testing.assert_array_equal(whole.self_play._who, resumed.self_play._who)


def test_a_pool_of_other_games_or_networks_is_refused():
    pool = pool_of(Always())
    pool.count_steps(1)
    state = pool.get_state()
    with pytest.raises(RunFolderError, match="the saved pool plays 6 seats, here are 4"):
        pool_of(Always(), places=4).set_state(state)
    state["past.0.cell"] = np.zeros(3)
    with pytest.raises(RunFolderError, match=r"the saved pool's past.0.cell is \(3,\)"):
        pool.set_state(state)


def test_it_is_measured_against_opponents_of_known_strength():
    trainer = PPO(ENV, SMALL)
    result = evaluate(trainer.policy, ENV, episodes=40, seed=1)
    assert result.env_kwargs["opponent"] == "win_or_block" and result.outcomes.shape == (40,)
    np.testing.assert_array_equal(result.outcomes, result.returns)  # of 1, 0 and -1
    assert result.illegal_actions == 0


@pytest.mark.learning
def test_it_learns_tic_tac_toe_from_itself_alone():
    """Untrained, greedy, it gets 10 to 25 % of the points against win-or-block; 60 s."""
    config = PPOConfig(
        num_envs=64,
        rollout_steps=32,
        minibatch_size=512,
        epochs=4,
        gamma=1.0,
        gae_lambda=0.9,
        learning_rate=1e-3,
        entropy_coef=0.03,
        threads=1,
        evaluate_every=0,
        network=NetworkConfig(hidden=(128, 128), channels=(), shared=True, activation="relu"),
    )
    trainer = PPO(ENV, config, seed=0, env_kwargs={"pool_every": 50_000, "opening_moves": "0-3"})
    trainer.learn(600_000)
    result = evaluate(trainer.policy, ENV, episodes=400, env_kwargs={"opening_moves": 1})
    assert (result.outcomes.mean() + 1) / 2 > 0.42 and result.illegal_actions == 0
