"""Masking for deep reinforcement learning, in PyTorch: every mask, in one vocabulary.

True means allowed, present, visible, alive, everywhere. This file is the index
of the public names; each loads its module on first use (PEP 562), so importing
maskrl costs nothing and `maskrl.envs` never loads torch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

_INDEX = {
    # Masks: conversion and bits
    "as_mask": "maskrl.masks.convert",
    "PackedMask": "maskrl.masks.packed",
    "pack_mask": "maskrl.masks.packed",
    "ActionTree": "maskrl.masks.tree",
    "Head": "maskrl.masks.tree",
    # Masked tensor maths: softmax family, reductions, selection
    "masked_softmax": "maskrl.functional.softmax",
    "masked_log_softmax": "maskrl.functional.softmax",
    "masked_logsumexp": "maskrl.functional.softmax",
    "masked_entropy": "maskrl.functional.softmax",
    "masked_sum": "maskrl.functional.reduce",
    "masked_mean": "maskrl.functional.reduce",
    "masked_max": "maskrl.functional.reduce",
    "masked_var": "maskrl.functional.reduce",
    "masked_argmax": "maskrl.functional.select",
    "masked_sample": "maskrl.functional.select",
    "masked_attention": "maskrl.functional.attention",
    # What computes them
    "set_backend": "maskrl.kernels.dispatch",
    # Distributions over allowed actions
    "MaskedCategorical": "maskrl.distributions.masked_categorical",
    "MaskedMultiCategorical": "maskrl.distributions.masked_multi_categorical",
    "MaskedBernoulli": "maskrl.distributions.masked_bernoulli",
    "ConditionalCategorical": "maskrl.distributions.conditional_categorical",
    "PointerCategorical": "maskrl.distributions.pointer_categorical",
    "GridwiseCategorical": "maskrl.distributions.gridwise_categorical",
    # Attention between the entities of a scene
    "EntityAttention": "maskrl.attention.entity_attention",
    "EntityEncoder": "maskrl.attention.entity_encoder",
    "AttentionPool": "maskrl.attention.pooling",
    "record_attention": "maskrl.attention.record",
    # Environments with masks
    "make": "maskrl.envs.registry",
    "make_vec": "maskrl.envs.registry",
    "register": "maskrl.envs.registry",
    "EnvEntry": "maskrl.envs.registry",
    "env_ids": "maskrl.envs.registry",
    "MaskFromInfo": "maskrl.envs.adapters.gymnasium_info",
    "MaskFromObservation": "maskrl.envs.adapters.gymnasium_info",
    "MaskFromMethod": "maskrl.envs.adapters.gymnasium_info",
    "MaskFromCallable": "maskrl.envs.adapters.gymnasium_info",
    # Policies
    "NetworkConfig": "maskrl.networks.encoders",
    "RecurrentCore": "maskrl.networks.recurrent",
    "ActorCritic": "maskrl.policies.actor_critic",
    "QPolicy": "maskrl.policies.q_policy",
    "SoftActorCritic": "maskrl.policies.soft_actor_critic",
    "Policy": "maskrl.policies.protocol",
    "RecurrentPolicy": "maskrl.policies.protocol",
    "load_policy": "maskrl.policies.load",
    "record_episode": "maskrl.policies.episode",
    # Training and evaluation
    "PPO": "maskrl.trainers.ppo",
    "PPOConfig": "maskrl.trainers.ppo_config",
    "DQN": "maskrl.trainers.dqn",
    "DQNConfig": "maskrl.trainers.dqn_config",
    "DiscreteSAC": "maskrl.trainers.sac",
    "SACConfig": "maskrl.trainers.sac_config",
    "Callback": "maskrl.trainers.callbacks",
    "evaluate": "maskrl.trainers.evaluate",
    "evaluate_random": "maskrl.trainers.evaluate",
    "Evaluation": "maskrl.trainers.evaluate",
    # Runs and reports
    "RunDir": "maskrl.runs.run_dir",
    "seed_everything": "maskrl.runs.seeding",
    "write_report": "maskrl.reports",
    # The base of all errors; the others are in maskrl.errors
    "MaskrlError": "maskrl.errors",
}

_PACKAGES = frozenset(
    {
        "attention",
        "audit",
        "bench",
        "buffers",
        "caches",
        "distributions",
        "envs",
        "errors",
        "figures",
        "functional",
        "geometry",
        "kernels",
        "masks",
        "networks",
        "objectives",
        "policies",
        "reports",
        "runs",
        "trainers",
    }
)

__all__ = [*_INDEX, *sorted(_PACKAGES)]


def __getattr__(name: str) -> Any:
    """Load a public name, or a package of maskrl, on first use."""
    if name in _INDEX:
        value = getattr(importlib.import_module(_INDEX[name]), name)
        globals()[name] = value
        return value
    if name in _PACKAGES:
        return importlib.import_module(f"maskrl.{name}")
    raise AttributeError(f"module 'maskrl' has no attribute {name!r}")


def __dir__() -> list[str]:
    """List every public name, loaded or not."""
    return sorted([*__all__, "__version__"])


# The index once more, for type checkers and editors, which do not run it.
if TYPE_CHECKING:
    from maskrl.attention.entity_attention import EntityAttention as EntityAttention
    from maskrl.attention.entity_encoder import EntityEncoder as EntityEncoder
    from maskrl.attention.pooling import AttentionPool as AttentionPool
    from maskrl.attention.record import record_attention as record_attention
    from maskrl.distributions.conditional_categorical import (
        ConditionalCategorical as ConditionalCategorical,
    )
    from maskrl.distributions.gridwise_categorical import (
        GridwiseCategorical as GridwiseCategorical,
    )
    from maskrl.distributions.masked_bernoulli import MaskedBernoulli as MaskedBernoulli
    from maskrl.distributions.masked_categorical import MaskedCategorical as MaskedCategorical
    from maskrl.distributions.masked_multi_categorical import (
        MaskedMultiCategorical as MaskedMultiCategorical,
    )
    from maskrl.distributions.pointer_categorical import PointerCategorical as PointerCategorical
    from maskrl.envs.adapters.gymnasium_info import MaskFromCallable as MaskFromCallable
    from maskrl.envs.adapters.gymnasium_info import MaskFromInfo as MaskFromInfo
    from maskrl.envs.adapters.gymnasium_info import MaskFromMethod as MaskFromMethod
    from maskrl.envs.adapters.gymnasium_info import MaskFromObservation as MaskFromObservation
    from maskrl.envs.registry import EnvEntry as EnvEntry
    from maskrl.envs.registry import env_ids as env_ids
    from maskrl.envs.registry import make as make
    from maskrl.envs.registry import make_vec as make_vec
    from maskrl.envs.registry import register as register
    from maskrl.errors import MaskrlError as MaskrlError
    from maskrl.functional.attention import masked_attention as masked_attention
    from maskrl.functional.reduce import masked_max as masked_max
    from maskrl.functional.reduce import masked_mean as masked_mean
    from maskrl.functional.reduce import masked_sum as masked_sum
    from maskrl.functional.reduce import masked_var as masked_var
    from maskrl.functional.select import masked_argmax as masked_argmax
    from maskrl.functional.select import masked_sample as masked_sample
    from maskrl.functional.softmax import masked_entropy as masked_entropy
    from maskrl.functional.softmax import masked_log_softmax as masked_log_softmax
    from maskrl.functional.softmax import masked_logsumexp as masked_logsumexp
    from maskrl.functional.softmax import masked_softmax as masked_softmax
    from maskrl.kernels.dispatch import set_backend as set_backend
    from maskrl.masks.convert import as_mask as as_mask
    from maskrl.masks.packed import PackedMask as PackedMask
    from maskrl.masks.packed import pack_mask as pack_mask
    from maskrl.masks.tree import ActionTree as ActionTree
    from maskrl.masks.tree import Head as Head
    from maskrl.networks.encoders import NetworkConfig as NetworkConfig
    from maskrl.networks.recurrent import RecurrentCore as RecurrentCore
    from maskrl.policies.actor_critic import ActorCritic as ActorCritic
    from maskrl.policies.episode import record_episode as record_episode
    from maskrl.policies.load import load_policy as load_policy
    from maskrl.policies.protocol import Policy as Policy
    from maskrl.policies.protocol import RecurrentPolicy as RecurrentPolicy
    from maskrl.policies.q_policy import QPolicy as QPolicy
    from maskrl.policies.soft_actor_critic import SoftActorCritic as SoftActorCritic
    from maskrl.reports import write_report as write_report
    from maskrl.runs.run_dir import RunDir as RunDir
    from maskrl.runs.seeding import seed_everything as seed_everything
    from maskrl.trainers.callbacks import Callback as Callback
    from maskrl.trainers.dqn import DQN as DQN
    from maskrl.trainers.dqn_config import DQNConfig as DQNConfig
    from maskrl.trainers.evaluate import Evaluation as Evaluation
    from maskrl.trainers.evaluate import evaluate as evaluate
    from maskrl.trainers.evaluate import evaluate_random as evaluate_random
    from maskrl.trainers.ppo import PPO as PPO
    from maskrl.trainers.ppo_config import PPOConfig as PPOConfig
    from maskrl.trainers.sac import DiscreteSAC as DiscreteSAC
    from maskrl.trainers.sac_config import SACConfig as SACConfig
