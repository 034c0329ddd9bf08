"""Settings of teams: what "auto" stands for, and what is refused with its reason."""

from __future__ import annotations

import pytest
from torch import nn

from maskrl.errors import ConfigError
from maskrl.networks.encoders import NetworkConfig
from maskrl.networks.team_normalize import TeamNormalizer
from maskrl.policies.team_actor_critic import TeamActorCritic
from maskrl.trainers.ppo import PPO
from maskrl.trainers.ppo_config import PPOConfig
from maskrl.trainers.team_policy import trusted_team

SMALL = PPOConfig(
    num_envs=2, rollout_steps=4, minibatch_size=4, threads=1, network=NetworkConfig(hidden=(4,))
)


def test_death_has_to_be_chosen(shifts):
    with pytest.raises(ConfigError) as told:
        PPO(shifts(2), SMALL)
    message = str(told.value)
    assert message.startswith("death: ShiftsVectorEnv is a team environment")
    for part in ("'terminal' ends what is credited", "each agent's own", "--ppo.death"):
        assert part in message
    for part in ("'posthumous' credits it with what its team gets", "rewards of the team"):
        assert part in message


@pytest.mark.parametrize(
    ("death", "own_rewards", "critic"),
    [
        ("terminal", True, "agent"),
        ("terminal", False, "team"),
        ("posthumous", True, "team"),
        ("posthumous", False, "team"),
    ],
)
def test_what_auto_stands_for(shifts, death, own_rewards, critic):
    trainer = PPO(shifts(2, own_rewards=own_rewards), SMALL.replace(death=death))
    assert (trainer.config.critic, trainer.config.ratio) == (critic, "agent")
    assert trainer.policy.critic == critic == trainer.buffer.critic
    assert len(trainer.buffer.agent_rewards) == (4 if critic == "agent" else 0)
    assert trainer.update.config == trainer.config


REFUSED = {
    "death: 'posthumous' needs critic='team'": {"death": "posthumous", "critic": "agent"},
    "ratio: 'joint' is one ratio .* critic='team'": {
        "death": "terminal",
        "critic": "agent",
        "ratio": "joint",
    },
    "death: 'terminal' is not possible with ratio='joint'": {
        "death": "terminal",
        "critic": "team",
        "ratio": "joint",
    },
    "waiting_discount: False has no effect with ratio='joint'": {
        "death": "posthumous",
        "ratio": "joint",
        "waiting_discount": False,
    },
    "network.memory": {"death": "terminal", "network": NetworkConfig(memory="gru")},
}


@pytest.mark.parametrize("message", REFUSED)
def test_contradictions(shifts, message):
    with pytest.raises(ConfigError, match=message):
        PPO(shifts(2), SMALL.replace(**REFUSED[message]))


def test_a_joint_ratio_with_auto_critic_and_own_rewards_needs_the_team(shifts):
    config = SMALL.replace(death="terminal", ratio="joint")
    with pytest.raises(ConfigError, match="critic='team'"):
        PPO(shifts(2), config)
    trainer = PPO(shifts(2), config.replace(death="posthumous"))
    assert trainer.buffer.joint and trainer.config.critic == "team"


def test_agents_without_identity(shifts):
    env = shifts(2, form="grid", identity=False, own_rewards=False)
    with pytest.raises(ConfigError, match="death: 'terminal' is not possible .* no agent_cells"):
        PPO(env, SMALL.replace(death="terminal"))
    with pytest.raises(ConfigError, match="critic: 'agent' is not possible .* use 'team'"):
        PPO(env, SMALL.replace(death="terminal", critic="agent"))
    with pytest.raises(ConfigError, match="waiting_discount: False has no effect in .* without"):
        PPO(env, SMALL.replace(death="posthumous", waiting_discount=False))
    trainer = PPO(env, SMALL.replace(death="posthumous"))
    assert trainer.config.critic == "team" and not trainer.buffer.team.has_identity


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("death", "terminal"),
        ("critic", "team"),
        ("weight", "env_step"),
        ("waiting_discount", False),
    ],
)
def test_one_agent_takes_no_settings_of_teams(corridor, setting, value):
    with pytest.raises(ConfigError, match=f"{setting}: .* has no effect on CorridorVectorEnv"):
        PPO(corridor(2), SMALL.replace(**{setting: value}))


def test_an_existing_policy_must_fit(shifts):
    config = SMALL.replace(death="terminal", network=NetworkConfig())

    def policy(env, **settings):
        return TeamActorCritic(env.single_observation_space, env.single_action_space, **settings)

    env = shifts(2)
    own = policy(env, critic="team")
    # What a policy has decides where the settings leave it open.
    assert PPO(env, config, policy=own).config.critic == "team"
    with pytest.raises(ConfigError, match="critic: 'agent' is set .* has the critic 'team'"):
        PPO(env, config.replace(critic="agent"), policy=own)
    with pytest.raises(ConfigError, match="made for a team with agents=5.* has agents=3"):
        PPO(env, config, policy=policy(shifts(2, agents=5)))
    other = policy(shifts(2, shape=(2, 6)))
    assert PPO(env, config, policy=other).policy is other  # the same numbers of everything
    with pytest.raises(ConfigError, match="its observation space .* is not that"):
        PPO(env, config, policy=policy(shifts(2, shape=(2, 5))))
    with pytest.raises(ConfigError, match="network: these settings have no effect on a policy bu"):
        PPO(env, config.replace(network=NetworkConfig(hidden=(3,))), policy=own)
    with pytest.raises(ConfigError, match="empty: 'idle' is set for the training"):
        PPO(env, config.replace(empty="idle"), policy=own)
    normalizing = policy(env, normalize_observations=True)
    with pytest.raises(ConfigError, match="normalizer without statistics"):
        PPO(env, config, policy=normalizing)
    with pytest.raises(ConfigError, match="attribute normalizer of type"):
        PPO(env, config.replace(normalize_observations=True), policy=own)
    trainer = PPO(env, config.replace(normalize_observations=True), policy=normalizing)
    assert isinstance(trainer.policy.normalizer, TeamNormalizer)


def test_a_policy_with_memory_is_refused(shifts):
    class Remembering(nn.Linear):
        state_size = 3

    with pytest.raises(ConfigError, match="a team's policy must not: agents come and go"):
        PPO(shifts(2), SMALL.replace(death="terminal"), policy=Remembering(1, 1))


def test_a_policy_that_lacks_a_method_is_refused(shifts):
    with pytest.raises(ConfigError, match="Linear has no method distribution"):
        PPO(shifts(2), SMALL.replace(death="terminal"), policy=nn.Linear(1, 1))


def test_trust_ends_with_the_block(shifts):
    policy = PPO(shifts(2), SMALL.replace(death="terminal")).policy
    with pytest.raises(KeyError), trusted_team(policy):
        assert policy._trusted
        raise KeyError
    assert not policy._trusted
    with trusted_team(nn.Linear(1, 1)):
        pass
