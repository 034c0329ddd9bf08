"""Parts of a policy that are somebody's own are asked what they must say."""

from __future__ import annotations

import pytest
from torch import nn

from maskrl.errors import ConfigError
from maskrl.policies.own_parts import require_own_methods, width_of


class Base(nn.Module):
    def logits(self): ...
    def value(self): ...
    def logits_and_value(self): ...
    def distribution(self): ...
    def forward(self): ...
    def act(self): ...
    def unroll(self): ...


class Whole(Base):
    def value(self): ...
    def act(self): ...
    def unroll(self): ...


class Half(Base):
    def value(self): ...
    def act(self): ...


class Other(Base):
    def predict(self): ...


def test_methods_that_would_be_passed_by_are_refused():
    for kind in (Base, Whole, Other):
        require_own_methods(kind, Base)
    with pytest.raises(ConfigError, match=r"Half has a method value of its own.*act and unroll"):
        require_own_methods(Half, Base)


def test_an_encoder_says_how_wide_it_is():
    encoder = nn.Linear(2, 3)
    assert width_of(encoder) == 3
    with pytest.raises(ConfigError, match="Identity has no attribute out_features"):
        width_of(nn.Identity())
    encoder.out_features = "wide"
    with pytest.raises(ConfigError, match="whole number"):
        width_of(encoder)
