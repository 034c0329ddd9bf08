"""The algorithm is found among the words, and options have its settings alone."""

from __future__ import annotations

from dataclasses import fields

import pytest

from maskrl.cli.algorithm_options import Name, algorithm_in, options_with
from maskrl.cli.train import TrainOptions, _defaults
from maskrl.errors import ConfigError
from maskrl.trainers.algorithms import ALGORITHMS


def test_the_parser_knows_every_algorithm():
    assert set(Name.__args__) == set(ALGORITHMS)


@pytest.mark.parametrize("name", ["ppo", "dqn", "sac"])
def test_options_have_the_settings_of_the_algorithm_alone(name):
    kind = options_with(TrainOptions, name)
    own = {field.name for field in fields(kind)} - {field.name for field in fields(TrainOptions)}
    assert own == {name}
    options = _defaults(None, name)
    assert isinstance(options.config, ALGORITHMS[name].config) and options.algorithm == name


def test_the_algorithm_is_found_wherever_it_stands():
    assert algorithm_in(["panda"], verb="train") == "ppo"
    assert algorithm_in(["panda", "--algorithm=sac"], verb="train") == "sac"
    assert algorithm_in(["--algorithm", "dqn", "panda", "--dqn.gamma=1"], verb="train") == "dqn"
    with pytest.raises(ConfigError, match=r"add --algorithm sac, or leave it out"):
        algorithm_in(["panda", "--algorithm=dqn", "--sac.gamma", "1"], verb="train")
