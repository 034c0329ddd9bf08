"""One reset tells where the mask is; two masks that disagree are never chosen between."""

from __future__ import annotations

import logging

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces
from gymnasium.vector import SyncVectorEnv

from maskrl.envs.adapters import detect
from maskrl.envs.adapters.detect import MaskConvention, announce, find_convention
from maskrl.envs.adapters.gymnasium_info import MaskFromInfo, adapt
from maskrl.envs.registry import make_vec
from maskrl.errors import ConfigError, NoMaskError

ROW = [0, 1, 0, 1]
FLAGS = spaces.Box(0, 1, (4,), np.int8)


class Asked(gymnasium.Env):
    """Four actions; masks where `observed`, `told` and further attributes put them."""

    action_space = spaces.Discrete(4)

    def __init__(self, *, observed=None, told=None, **attributes):
        self.observed = observed or {}
        self.told = told or {}
        self.observation_space = spaces.Discrete(9)
        if self.observed:
            entries = dict.fromkeys(self.observed, FLAGS)
            self.observation_space = spaces.Dict({"x": spaces.Discrete(9), **entries})
        for name, value in attributes.items():
            setattr(self, name, value)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        return ({"x": 1, **self.observed} if self.observed else 1), dict(self.told)


def observed(row):
    return np.array(row, np.int8)


CONVENTIONS = {
    "observation": (
        Asked(observed={"action_mask": observed(ROW)}),
        ("observation", "action_mask", "int8", "mask"),
    ),
    "observation, another name": (
        Asked(observed={"legal_actions": observed(ROW)}),
        ("observation", "legal_actions", "int8", "mask"),
    ),
    "info": (Asked(told={"action_mask": ROW}), ("info", "action_mask", "list of int", "mask")),
    "info, ids": (
        Asked(told={"legal_actions": [3, 1]}),
        ("info", "legal_actions", "list of int", "ids"),
    ),
    "info, by number": (
        Asked(told={"action_mask": dict(enumerate(ROW))}),
        ("info", "action_mask", "dict of int", "dict"),
    ),
    "method": (
        Asked(action_masks=lambda: [bool(flag) for flag in ROW]),
        ("method", "action_masks", "list of bool", "mask"),
    ),
    "method, ids": (
        Asked(legal_actions=lambda: {3, 1}),
        ("method", "legal_actions", "set of int", "ids"),
    ),
    "method, of the state": (
        Asked(s=5, get_valid_actions=lambda state: [state - 4, state - 2]),
        ("method", "get_valid_actions", "list of int", "ids"),
    ),
    "attribute": (
        Asked(action_mask=np.array(ROW, np.float64)),
        ("attribute", "action_mask", "float64", "mask"),
    ),
    "attribute, ids": (
        Asked(legal_moves=np.array([3, 1], np.int32)),
        ("attribute", "legal_moves", "int32", "ids"),
    ),
}


@pytest.mark.parametrize("case", CONVENTIONS)
def test_conventions_are_found(case):
    env, expected = CONVENTIONS[case]
    found = find_convention(env)
    assert (found.source, found.name, found.dtype, found.form) == expected
    assert found.allowed == 1 and found.batch is None and found.note == ""
    adapted = adapt(env)
    assert adapted.reset()[0]["action_mask"].tolist() == [bool(flag) for flag in ROW]
    assert find_convention(adapted) == found, "an adapted environment tells the same"


def test_arguments_of_a_method_are_told():
    found = find_convention(CONVENTIONS["method, of the state"][0])
    assert found.arguments == ("env.s",) and found.where == "get_valid_actions(env.s)"


def test_sources_that_agree_are_told_and_the_nearest_is_taken():
    env = Asked(
        observed={"action_mask": observed(ROW)},
        told={"action_mask": ROW, "legal_actions": [1, 3]},
        action_masks=lambda: ROW,
    )
    found = find_convention(env)
    assert (found.source, found.name) == ("observation", "action_mask")
    assert found.note == (
        "info['action_mask'] and info['legal_actions'] and action_masks() say the same"
    )


def test_sources_that_disagree_are_an_error_that_says_how_to_choose():
    env = Asked(told={"action_mask": ROW}, legal_actions=lambda: [0, 1, 3])
    with pytest.raises(ConfigError) as raised:
        adapt(env, name="mine:Env")
    for part in (
        "'mine:Env'",
        "info['action_mask'] allows 2 of 4 actions (1, 3)",
        "legal_actions() allows 3 of 4 actions (0, 1, 3)",
        "mask_source=info&mask_key=action_mask",
        "mask_source=method&mask_key=legal_actions",
    ):
        assert part in str(raised.value)
    chosen = adapt(env, mask_source="method", mask_key="legal_actions")
    assert chosen.reset()[0]["action_mask"].tolist() == [True, True, False, True]
    assert adapt(env, mask_source="info").reset()[0]["action_mask"].sum() == 2


def test_sources_of_opposite_polarity_are_told_apart():
    env = Asked(told={"action_mask": ROW}, action_masks=lambda: [1 - flag for flag in ROW])
    with pytest.raises(ConfigError, match="One is the other turned round: 1 means forbidden"):
        find_convention(env)


def test_a_promised_mask_that_cannot_be_read_is_not_replaced_by_another():
    env = Asked(told={"action_mask": [0, 2, -1, 4]}, legal_actions=lambda: [1])
    with pytest.raises(ConfigError, match=r"info\['action_mask'\] cannot be read.*holds 2"):
        adapt(env)


def test_a_promised_mask_that_cannot_be_read_is_an_error_of_the_first_reset():
    env = adapt(Asked(told={"action_mask": [0.0, 2.0, -1.0, 4.0]}))
    with pytest.raises(ValueError, match=r"episode 1, step 0, info.*holds 2 at index \(1,\)"):
        env.reset()


def test_other_names_that_cannot_be_read_are_passed_over_or_pointed_out():
    env = Asked(told={"action_mask": ROW}, legal_actions=lambda: "north")
    found = find_convention(env)
    assert (found.name, found.note) == ("action_mask", "legal_actions() could not be read")
    with pytest.raises(NoMaskError, match=r"in legal_actions\(\), and none can be read.*mask_fn="):
        find_convention(Asked(legal_actions=lambda: "north"))


def test_settings_of_polarity_and_form():
    blocked = [1 - flag for flag in ROW]
    env = adapt(Asked(told={"blocked": blocked}), mask_key="blocked", mask_allowed=0)
    assert env.reset()[0]["action_mask"].tolist() == [bool(flag) for flag in ROW]
    env = adapt(
        Asked(told={"blocked": [0, 2]}), mask_key="blocked", mask_allowed=0, mask_form="ids"
    )
    assert env.reset()[0]["action_mask"].tolist() == [bool(flag) for flag in ROW]
    assert "ids of forbidden actions" in env.mask_convention.describe()
    with pytest.raises(ConfigError, match="flags for too few of the 4"):
        adapt(Asked(told={"options": [1, 0]}), mask_key="options")


def test_a_name_of_doubtful_polarity_is_never_taken():
    with pytest.raises(NoMaskError) as raised:
        find_convention(Asked(told={"invalid_action_mask": ROW}))
    assert "mask_key=invalid_action_mask with mask_allowed=0" in str(raised.value)


def test_none_is_everything_only_where_it_is_said():
    env = Asked(told={"action_mask": None})
    with pytest.raises(NoMaskError, match="mask_missing='all'"):
        adapt(env).reset()
    adapted = adapt(env, mask_missing="all")
    assert adapted.reset()[0]["action_mask"].all()
    assert find_convention(env, mask_missing="all").form == "none_all"
    assert find_convention(adapted).form == "none_all"
    env.told = {"action_mask": ROW}
    assert adapted.reset()[0]["action_mask"].tolist() == [bool(flag) for flag in ROW]


def test_none_or_ids_where_both_are_said():
    env = Asked(told={"legal_actions": None})
    adapted = adapt(env, mask_missing="all", mask_form="ids")
    assert adapted.reset()[0]["action_mask"].all()
    env.told = {"legal_actions": [3, 1]}
    assert adapted.reset()[0]["action_mask"].tolist() == [bool(flag) for flag in ROW]


def test_a_mask_that_only_comes_later_has_to_be_named():
    with pytest.raises(NoMaskError, match="offers no mask"):
        find_convention(Asked(), mask_missing="all")
    found = find_convention(Asked(), mask_missing="all", mask_key="legal")
    assert (found.source, found.name, found.form) == ("info", "legal", "none_all")
    assert found.missing == "all"


def test_an_entity_mask_alone():
    class Scene(Asked):
        def __init__(self):
            super().__init__(observed={"entity_mask": observed(ROW)})

    found = find_convention(Scene())
    assert (found.source, found.name, found.note) == (
        "observation",
        "entity_mask",
        "no action mask",
    )
    assert not found.gives_action_mask


def test_a_team_has_its_masks_in_its_observation(corridor):
    class Team(gymnasium.Env):
        observation_space = spaces.Dict(
            {
                "x": spaces.Box(-1, 1, (2, 3)),
                "agent_mask": spaces.MultiBinary(2),
                "action_mask": spaces.MultiBinary((2, 4)),
            }
        )
        action_space = spaces.MultiDiscrete([4, 4])

    found = find_convention(Team())
    assert (found.source, found.name, found.note) == ("observation", "action_mask", "of a team")
    for said in ({"mask_key": "x"}, {"mask_form": "ids"}, {"mask_missing": "all"}):
        with pytest.raises(ConfigError, match="it is a team.*only mask_allowed"):
            find_convention(Team(), **said)


def test_a_wrapper_made_by_hand_tells_its_convention(corridor):
    env = MaskFromInfo(corridor(), allowed=1)
    assert find_convention(env) == MaskConvention("info", "action_mask", "")
    env.reset()
    assert find_convention(env) == MaskConvention("info", "action_mask", "int8")


def test_vector_environments_are_asked_too(corridor):
    def wrapped():
        return gymnasium.wrappers.TimeLimit(adapt(corridor()), 3)

    raw = SyncVectorEnv([corridor] * 3, autoreset_mode="SameStep")
    expected = MaskConvention("info", "action_mask", "int8", batch=3)
    assert find_convention(raw) == expected
    assert find_convention(SyncVectorEnv([wrapped] * 3)) == expected
    assert find_convention(make_vec("panda", 2)).source == "observation"


@pytest.mark.parametrize(
    ("convention", "line"),
    [
        (
            MaskConvention("info", "action_mask", "int8"),
            "action mask from info['action_mask'], int8, 1 = allowed",
        ),
        (
            MaskConvention("method", "legal", "list of int", 1, "ids", arguments=("env.s",)),
            "action mask from legal(env.s), list of int, ids of allowed actions",
        ),
        (
            MaskConvention("attribute", "m", "bool", 0, batch=3, note="slow", missing="all"),
            "action mask from m, bool, 0 = allowed, none = all allowed, 3 environments (slow)",
        ),
        (
            MaskConvention("observation", "entity_mask", "bool"),
            "mask from observation['entity_mask'], bool, 1 = allowed",
        ),
        (
            MaskConvention("callable", "f", "None", 1, "none_all", arguments=("env",)),
            "action mask from f(env), None, None = all allowed",
        ),
        (
            MaskConvention("info", "bits", "int8", binary_convention="gymnasium"),
            "action mask from info['bits'], int8, 0 = must be 0, 1 = must be 1, 2 = free",
        ),
    ],
)
def test_a_convention_in_one_line(convention, line):
    assert convention.describe() == line


@pytest.fixture
def nothing_announced(monkeypatch):
    monkeypatch.setattr(detect, "_announced", set())


def test_it_is_logged_once_for_each_environment(nothing_announced, caplog, corridor):
    with caplog.at_level(logging.INFO, "maskrl"):
        for name in ("one", "one", "two"):
            adapt(corridor(), name=name)
    assert [record.message for record in caplog.records] == [
        f"environment '{name}': action mask from info['action_mask'], int8, 1 = allowed"
        for name in ("one", "two")
    ]


def test_it_is_printed_where_nobody_listens_to_the_log(nothing_announced, monkeypatch, capsys):
    monkeypatch.setattr(logging.Logger, "hasHandlers", lambda self: False)
    found = MaskConvention("info", "m", "int8")
    announce("mine", found)
    announce("mine", found)
    out = capsys.readouterr()
    assert out.out == ""
    assert out.err == "maskrl: environment 'mine': action mask from info['m'], int8, 1 = allowed\n"
    monkeypatch.setattr(detect.logger, "level", logging.ERROR)
    announce("other", found)
    assert capsys.readouterr().err == "", "whoever sets a level is obeyed"


def test_a_process_of_a_vector_environment_is_silent(nothing_announced, monkeypatch, caplog):
    monkeypatch.setattr(detect.multiprocessing, "parent_process", lambda: "the parent")
    with caplog.at_level(logging.INFO, "maskrl"):
        announce("mine", MaskConvention("info", "m", "int8"))
    assert not caplog.records


@pytest.mark.parametrize(
    ("answer", "got"),
    [
        (np.zeros(2, np.float32), "ndarray"),
        (([0, 1], None), "a tuple of list, NoneType"),
        ((1, {}, {}), "a tuple of int, dict, dict"),
    ],
)
def test_a_reset_of_an_older_interface_is_refused(answer, got):
    env = Asked(told={"action_mask": ROW})
    env.reset = lambda **given: answer
    with pytest.raises(ConfigError, match=f"'Asked': its reset.. gave {got}; expected .obse"):
        find_convention(env)
