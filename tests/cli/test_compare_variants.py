"""Every environment under every regime and varied setting, tried before it is trained."""

from __future__ import annotations

import pytest

from maskrl.cli.algorithm_options import options_with
from maskrl.cli.compare import CompareOptions, asked_for
from maskrl.cli.compare_variants import axis_from, require_trainable, variants_of
from maskrl.envs.registry import EnvEntry, find_entry, register
from maskrl.errors import ConfigError
from maskrl.trainers.algorithms import ALGORITHMS


def asked(words, algorithm="ppo"):
    """What words ask for."""
    from maskrl.cli.compare import _parse

    argv = [*words, f"--algorithm={algorithm}"]
    config = ALGORITHMS[algorithm].config()
    assert options_with(CompareOptions, algorithm)
    options = _parse(argv, config, algorithm)
    return variants_of(options.env_ids, asked_for(options, argv, algorithm))


def test_every_environment_meets_every_regime(here):
    words = ["ownenvs:Steps", "ownenvs:Steps?limit=3", "--dqn.gamma=0.5"]
    words += ["--regimes", "masked", "naive", "penalty:0.5:native"]
    found = asked(words, "dqn")
    assert [one.label for one in found] == [
        "ownenvs:Steps",
        "ownenvs:Steps, naive",
        "ownenvs:Steps, penalty:0.5:native",
        "ownenvs:Steps?limit=3",
        "ownenvs:Steps?limit=3, naive",
        "ownenvs:Steps?limit=3, penalty:0.5:native",
    ]
    masked, naive, native = found[3:]
    assert masked.config["masked_targets"] is True and naive.config["masked_targets"] is False
    assert {**naive.config, "masked_targets": True} == masked.config
    assert masked.env_kwargs == naive.env_kwargs == {"limit": 3}
    assert native.env_kwargs == {"limit": 3, "mask_regime": "penalty:0.5:native"}
    assert native.config == masked.config and native.config["gamma"] == 0.5
    assert {one.algorithm for one in found} == {"dqn"} and masked.env == "ownenvs:Steps?limit=3"
    # What is trained under the mask is tested without it, as the regimes beside it are.
    assert masked.removed == {"mask_regime": "penalty:0:native"}
    assert naive.removed is None and native.removed is None


@pytest.mark.parametrize(
    ("algorithm", "setting"),
    [("ppo", "masked_scores"), ("dqn", "masked_targets"), ("sac", "masked_targets")],
)
def test_every_algorithm_has_the_naive_regime(here, algorithm, setting):
    (naive,) = asked(["ownenvs:Steps", "--regimes", "naive"], algorithm)
    assert naive.config[setting] is False and naive.label == "ownenvs:Steps, naive"
    if algorithm == "ppo":
        assert naive.config["measure_kl"] is True


def test_settings_are_varied_in_all_combinations(here):
    words = ["ownenvs:Steps", "--vary", "network.hidden=16,[8,8]", "--vary", "env.limit=2,3"]
    found = asked([*words, "--ppo.clip=0.3", "--steps=2e3"])
    assert [one.label for one in found] == [
        "ownenvs:Steps, network.hidden=16, env.limit=2",
        "ownenvs:Steps, network.hidden=16, env.limit=3",
        "ownenvs:Steps, network.hidden=[8,8], env.limit=2",
        "ownenvs:Steps, network.hidden=[8,8], env.limit=3",
    ]
    assert [one.config["network"]["hidden"] for one in found] == [(16,), (16,), (8, 8), (8, 8)]
    assert [one.env_kwargs["limit"] for one in found] == [2, 3, 2, 3]
    assert {one.env for one in found} == {"ownenvs:Steps"}
    assert all(one.config["clip"] == 0.3 and one.total_steps == 2000 for one in found)
    assert found[2].varied == {"network.hidden": "[8,8]", "env.limit": "2"}


def test_axes_are_read():
    axis = axis_from("entropy-coef=0.01,None,-1")
    assert (axis.key, axis.values) == ("entropy_coef", (0.01, None, -1))
    assert axis_from("ratio=joint,agent").values == ("joint", "agent")
    assert axis_from("network.hidden=(64,),[64,64]").values == ((64,), [64, 64])
    for wrong in ("ratio", "=1", "ratio=", "ratio=a,,b"):
        with pytest.raises(ConfigError, match="expected key=value,value"):
            axis_from(wrong)


@pytest.fixture(scope="module")
def presets():
    """An environment with presets by name."""
    panda = find_entry("panda-open")
    entry = EnvEntry(
        "presets-test",
        "a copy",
        panda.make,
        panda.make_vec,
        presets={
            "ppo": {"gamma": 0.5, "total_steps": 100},
            "ppo:published": {
                "gamma": 0.6,
                "clip": 0.1,
                "env": {"step_limit": 9},
                "native_penalties": True,
            },
            "ppo:corrected": {"gamma": 0.7, "total_steps": 300},
        },
    )
    register(entry)
    return entry.id


def test_presets_by_name_come_under_what_the_user_wrote(presets):
    (usual,) = asked([presets])
    assert (usual.config["gamma"], usual.total_steps, usual.env_kwargs) == (0.5, 100, {})
    (published,) = asked([presets, "--preset", "published", "--ppo.clip=0.4"])
    assert (published.config["gamma"], published.config["clip"]) == (0.6, 0.4)
    assert published.env_kwargs == {"step_limit": 9} and published.env == presets
    (own,) = asked([presets, "--preset", "published", "--env", "step_limit=5"])
    assert own.env_kwargs == {"step_limit": 5}
    words = [presets, "--regimes", "masked", "naive", "none", "penalty:1"]
    found = asked([*words, "--preset", "published"])
    regimes = ["masked", "naive", "penalty:0:native", "penalty:1:native"]
    assert [one.regime for one in found] == regimes
    assert found[0].removed == {"mask_regime": "penalty:0:native"}
    assert asked(words)[2].regime == "none" and asked(words)[0].removed == {"mask_regime": "none"}
    both = asked([presets, "--vary", "preset=published,corrected"])
    assert [one.config["gamma"] for one in both] == [0.6, 0.7]
    assert [one.label for one in both] == [
        "presets-test, preset=published",
        "presets-test, preset=corrected",
    ]
    with pytest.raises(ConfigError, match="it has published, corrected"):
        asked([presets, "--preset", "best"])
    with pytest.raises(ConfigError, match="leave one of them out"):
        asked([presets, "--preset", "published", "--vary", "preset=corrected"])


def test_how_the_mask_is_taken_away(here):
    panda, steps = asked(["panda-open", "ownenvs:Steps"])
    assert panda.removed == {"mask_regime": "none"}
    # Nobody knows when its episodes end, so nothing can be withheld.
    assert steps.removed == {"mask_regime": "penalty:0:native"}
    assert asked(["panda-open", "--removed", "native"])[0].removed == {
        "mask_regime": "penalty:0:native"
    }
    assert asked(["panda-open", "--removed", "off"])[0].removed is None
    assert asked(["pandas", "--ppo.death=posthumous"])[0].removed is None  # a team


def test_what_cannot_be_trained_is_named_with_its_variant(here):
    (one,) = asked(["ownenvs:Steps", "--vary", "ratio=agent"])
    with pytest.raises(ConfigError, match="ownenvs:Steps, ratio=agent: ratio: 'agent' has no"):
        require_trainable(one)
    (team,) = asked(["pandas", "--regimes", "naive", "--ppo.death=posthumous"])
    with pytest.raises(ConfigError, match="pandas, naive: masked_scores: False is for"):
        require_trainable(team)


@pytest.mark.parametrize("preset", ["as_published", "corrected"])
def test_what_mining_cannot_carry_out_passes_as_its_engine_lets_it(preset):
    words = ["mining-4x4", "--preset", preset, "--regimes", "masked", "penalty:0.1", "none"]
    masked, fined, none = asked(words)
    assert masked.env_kwargs == {"masks": "published"}
    assert fined.env_kwargs == {"masks": "published", "mask_regime": "penalty:0.1:native"}
    assert none.env_kwargs["mask_regime"] == "penalty:0:native"
    assert masked.removed == {"mask_regime": "penalty:0:native"}


def test_an_environment_that_cannot_do_without_a_setting_is_made_with_it(here, monkeypatch):
    import ownenvs

    class Sized(ownenvs.Steps):
        """One that has no size of its own."""

        def __init__(self, *, size, **settings):
            super().__init__(**settings)
            self.size = size

    monkeypatch.setattr(ownenvs, "Sized", Sized, raising=False)
    (one,) = asked(["ownenvs:Sized", "--env", "size=4"])
    assert one.env_kwargs == {"size": 4} and one.config["measure_kl"] is True
    found = asked(["ownenvs:Sized", "--vary", "env.size=3,4"])
    assert [one.env_kwargs for one in found] == [{"size": 3}, {"size": 4}]
