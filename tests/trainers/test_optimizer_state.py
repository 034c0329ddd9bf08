"""Optimisers through checkpoints."""

from __future__ import annotations

import copy

import numpy as np
import torch
from torch import nn

from maskrl.trainers.clipped_adam import ClippedAdam
from maskrl.trainers.optimizer_state import optimizer_tensors, restore_optimizer


def step(network, optimizer):
    optimizer.zero_grad()
    network(torch.ones(2, 3)).square().sum().backward()
    optimizer.clipped_step(1.0)


def test_a_restored_optimizer_takes_the_same_step():
    torch.manual_seed(0)
    first = nn.Linear(3, 2)
    optimizer = ClippedAdam(first.parameters(), lr=0.1, eps=1e-5)
    for _ in range(3):
        step(first, optimizer)
    tensors = optimizer_tensors(optimizer, prefix="critic.")
    assert sorted(tensors)[0] == "critic.0.exp_avg" and len(tensors) == 6

    second = copy.deepcopy(first)
    other = ClippedAdam(second.parameters(), lr=0.1, eps=1e-5)
    saved = {name: x.clone() for name, x in tensors.items()} | {"critics.0.exp_avg": np.zeros(3)}
    restore_optimizer(other, saved, prefix="critic.")
    for _ in range(2):
        step(first, optimizer)
        step(second, other)
    assert torch.equal(first.weight, second.weight) and torch.equal(first.bias, second.bias)


def test_a_fresh_optimizer_has_nothing_to_save():
    network = nn.Linear(3, 2)
    optimizer = ClippedAdam(network.parameters(), lr=0.1, eps=1e-5)
    assert optimizer_tensors(optimizer) == {}
    restore_optimizer(optimizer, {})
    step(network, optimizer)
