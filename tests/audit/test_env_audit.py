"""The audit as a whole: planted faults are found by their codes, and right masks pass."""

from __future__ import annotations

import copy
import multiprocessing
import subprocess
import sys

import gymnasium
import numpy as np
import pytest
from gymnasium.vector import AutoresetMode, SyncVectorEnv

from maskrl import audit
from maskrl.errors import ConfigError, UnknownEnvError

FAULTS = {
    # fault: (code, action of the first, what expected and got say), settings
    "inverted": ("inverted", True, "1 = allowed", "1 = forbidden"),
    "stale": ("stale-previous", True, "allowed", "allowed"),
    "reset state": ("stale-reset", True, "allowed", "allowed"),
    "across reset": ("stale-across-reset", False, "new state", "episode before"),
    "short": ("wrong-length", False, "4 flags", "shape (3,)"),
    "lengths": ("length-changes", False, "4 flags", "shape (5,)"),
    "scores": ("not-flags", False, "only 0 and 1", "0.1"),
    "minus one": ("not-flags", False, "only 0 and 1", "-1"),
    "types": ("type-changes", False, "int8", "float32"),
    "floats": ("float-flags", False, "bool", "float32"),
    "allows idling": ("allowed-no-op", True, "an effect", "nothing changed"),
    "too strict": ("forbidden-acts", True, "no effect", "an effect"),
    "nothing": ("nothing-allowed", False, "an allowed action", "none"),
    "no truncation": ("missing-at-truncation", False, "the mask", "none"),
    "no reset": ("missing-at-reset", False, "a mask", "none"),
    "only reset": ("only-at-reset", False, "a mask", "none"),
    "sometimes": ("missing-at-step", False, "a mask", "none"),
    "nowhere": ("no-mask", False, "one at every reset", "none"),
    "episodes": ("differs-on-replay", False, "[", "["),
    "in place": ("changed-in-place", False, "for good", "another content"),
    "copies": ("copies-interfere", False, "[", "["),
}

BUDGETS = {"across reset": {"steps": 160, "trials": 240}}
"""Where more episodes have to begin before a cause is plain."""


def test_a_right_mask_passes_strictly_and_all_was_checked(audit_line):
    report = audit_line("", goal=4, strict=True)
    assert report.passed and report.findings == []
    assert {check.name for check in report.checked} == {
        "form",
        "repetition",
        "rules",
        "copies",
        "vector environments",
        "adapter",
    }
    # what could not be checked is told: no function speaks of masks, and a class is no id
    assert [check.name for check in report.unchecked] == ["time of masks", "make_vec"]


@pytest.mark.parametrize("where", ["info", "observation"])
@pytest.mark.parametrize("answer", ["", "raises", "ends", "penalty"])
def test_a_right_mask_passes_however_the_rules_refuse(audit_line, where, answer):
    report = audit_line("", where=where, answer=answer, strict=True, steps=60, trials=120)
    assert report.failures == []
    assert report.codes == (() if answer in ("", "raises") else ("penalised",))


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("fault", FAULTS)
def test_a_planted_fault_is_found_by_its_code(audit_line, fault, seed):
    code, has_action, expected, got = FAULTS[fault]
    report = audit_line(fault, seed=seed, **BUDGETS.get(fault, {}))
    finding = report.find(code)
    assert finding is not None, report
    assert expected in finding.expected and got in finding.got
    assert (finding.action is not None) == has_action
    assert "step" in finding.where or code == "no-mask"
    assert finding.advice and code in str(finding)
    # the fault comes first among findings of its severity, and fails as its severity says
    assert report.passed == (finding.severity != "error")
    report.strict = True
    assert report.passed == all(f.severity == "note" for f in report.findings)


@pytest.mark.parametrize(
    ("fault", "only"),
    [
        ("inverted", ("inverted",)),
        ("stale", ("stale-previous",)),
        ("reset state", ("stale-reset",)),
        ("across reset", ("stale-across-reset",)),
        ("in place", ("changed-in-place",)),
        ("allows idling", ("allowed-no-op",)),
        ("too strict", ("forbidden-acts",)),
        ("no truncation", ("missing-at-truncation",)),
        ("always", ("allowed-no-op", "forbidden-acts", "never-changes")),
        ("everything", ("allowed-no-op", "forbids-nothing")),
    ],
)
def test_one_cause_is_one_finding(audit_line, fault, only):
    assert audit_line(fault, **BUDGETS.get(fault, {})).codes == only


@pytest.mark.parametrize("seed", range(3))
def test_a_missing_terminal_mask_is_a_doubt(audit_line, seed):
    report = audit_line("no terminal", goal=4, seed=seed)
    assert report.codes == ("missing-at-termination",) and report.passed
    assert not audit_line("no terminal", goal=4, strict=True).passed


@pytest.mark.parametrize(
    ("fault", "answer", "code"),
    [
        ("allows idling", "raises", "allowed-raises"),
        ("allows idling", "ends", "allowed-refused"),
        ("allows idling", "penalty", "allowed-refused"),
        ("inverted", "raises", "inverted"),
        ("inverted", "ends", "inverted"),
        ("inverted", "penalty", "inverted"),
        ("stale", "raises", "stale-previous"),
        ("stale", "ends", "stale-previous"),
        ("reset state", "penalty", "stale-reset"),
    ],
)
def test_faults_are_found_however_the_rules_refuse(audit_line, fault, answer, code):
    report = audit_line(fault, answer=answer)
    errors = [finding.code for finding in report.of("error")]
    assert errors == [code]
    finding = report.find(code)
    assert finding.action is not None and "action" in finding.message
    if code == "allowed-raises":
        assert "ValueError: there is no" in finding.got
    if code == "allowed-refused":
        assert "reward -1" in finding.got


def test_the_right_setting_makes_an_inverted_mask_right(audit_line):
    assert audit_line("inverted", mask_allowed=0, strict=True).passed
    assert audit_line("", mask_allowed=0).codes == ("inverted",)


def test_rows_that_allow_nothing_may_be_meant(audit_line):
    assert "nothing-allowed" not in audit_line("nothing", empty="idle").codes


def test_codes_can_be_ignored(audit_line):
    report = audit_line("too strict", strict=True, ignore=("forbidden-acts",))
    assert report.passed and report.ignored == ("forbidden-acts",)


def test_a_method_asked_twice_must_say_the_same(with_method):
    assert audit.env(with_method, steps=60, strict=True).findings == []
    report = audit.env(with_method, fault="asked", steps=60)
    finding = report.find("differs-when-read-again")
    assert finding is not None and "action_masks()" in finding.message


def test_what_explains_the_rest_is_told_first():
    class Walls(gymnasium.Env):
        """Left and right between two walls; the mask says which of them does nothing."""

        observation_space = gymnasium.spaces.Box(0, 5, (1,), np.float32)
        action_space = gymnasium.spaces.Discrete(2)

        def out(self):
            wrong = np.array([self.cell == 0, self.cell == 5])
            return np.array([self.cell], np.float32), {"action_mask": wrong}

        def reset(self, *, seed=None, options=None):
            super().reset(seed=seed)
            self.cell, self.steps = int(self.np_random.integers(6)), 0
            return self.out()

        def step(self, action):
            self.steps += 1
            self.cell = min(5, max(0, self.cell + 2 * int(action) - 1))
            observation, info = self.out()
            return observation, 0.0, False, self.steps > 9, info

    assert audit.env(Walls, steps=200).codes == ("inverted", "nothing-allowed")


def test_what_lives_in_other_processes_is_not_copied(line):
    class Remote(line):
        def __init__(self, fault=""):
            super().__init__(fault)
            self.pipes = multiprocessing.Pipe()

    env = Remote("inverted")
    report = audit.env(env, steps=60)
    assert report.find("inverted") is not None  # by playing episodes again
    unchecked = {check.name: check.detail for check in report.unchecked}
    assert "it lives in other processes" in unchecked["copies"]
    env.pipes[0].send("still open")
    assert env.pipes[1].recv() == "still open"


def test_two_places_must_agree(line):
    class Both(line):
        def action_masks(self):
            return np.ones(4, bool)

    finding = audit.env(Both, steps=40).find("sources-disagree")
    assert "info['action_mask']" in finding.message and "action_masks()" in finding.message


def test_ids_are_read_and_told(line):
    class Ids(line):
        def __init__(self):
            super().__init__("ids")

        def out(self, over=""):
            observation, info = super().out(over)
            return observation, {"legal_actions": info["action_mask"]}

    report = audit.env(Ids, steps=60)
    assert report.codes == ("ids-for-flags",)
    assert report.measures["where"] == "info['legal_actions']"


def in_words(line, how):
    """The robot in stacks, its mask written in another way, beside nothing that could be one."""

    class Words(line):
        def out(self, over=False):
            observation, info = super().out(over)
            keep = info.pop("action_mask")
            return observation, {
                "ids": {"legal_actions": np.flatnonzero(keep).tolist()},
                "named": {"options": np.flatnonzero(keep).tolist()},
                "flags": {"action_mask": dict(enumerate(keep.tolist()))},
            }[how]

    return lambda: Words(goal=4)


@pytest.mark.parametrize("mode", list(AutoresetMode))
@pytest.mark.parametrize(
    ("how", "settings"),
    [
        ("ids", {}),
        ("named", {"mask_key": "options", "mask_form": "ids"}),
        ("flags", {}),
    ],
)
def test_masks_of_a_stack_are_read_however_they_are_written(line, mode, how, settings):
    venv = SyncVectorEnv([in_words(line, how)] * 2, autoreset_mode=mode)
    report = audit.env(venv, steps=60, **settings)
    assert not report.of("error") and "rules" in [check.name for check in report.checked]
    assert report.find("forbidden-acts") is None and report.find("allowed-no-op") is None


def test_swapped_rows_are_found(rolled):
    finding = audit.env(rolled(), steps=60).find("rows-swapped")
    assert "row 1 has that of row 0" in finding.message
    assert finding.where == "episode 0, step 0, row 0"


@pytest.mark.parametrize("mode", list(AutoresetMode))
def test_a_right_vector_environment_passes_in_every_mode(line, mode):
    venv = SyncVectorEnv([lambda: line(goal=4)] * 3, autoreset_mode=mode)
    report = audit.env(venv, steps=60, strict=True)
    assert report.findings == []
    assert report.measures["kind"] == "vector environment"


def test_swapped_agents_of_a_team_are_found():
    class Swapped(gymnasium.ObservationWrapper):
        def observation(self, observation):
            return observation | {"action_mask": np.roll(observation["action_mask"], 1, axis=0)}

    import maskrl

    report = audit.env(lambda: Swapped(maskrl.make("pandas?pandas=3")), steps=60, trials=500)
    assert report.find("rows-swapped") is not None, report
    assert "agent" in report.find("rows-swapped").where


def test_what_cannot_be_copied_is_played_again(line):
    class Stubborn(line):
        def __deepcopy__(self, memo):
            raise TypeError("no copies of me")

    report = audit.env(Stubborn, fault="inverted", steps=60)
    assert report.find("inverted") is not None
    assert next(c for c in report.checked if c.name == "rules").detail.count("replay") == 1
    # handed over as an object there is no second one, and the report says so
    report = audit.env(Stubborn("inverted"), steps=60)
    assert report.find("inverted") is not None
    unchecked = {check.name: check.detail for check in report.unchecked}
    assert "no copies of me" in unchecked["copies"] and "adapter" in unchecked


def test_what_cannot_be_repeated_is_copied(line):
    class Unseeded(line):
        def reset(self, *, seed=None, options=None):
            return super().reset(seed=next(seeds), options=options)

    seeds = iter(range(10_000))
    report = audit.env(Unseeded, fault="inverted", steps=60)
    assert set(report.codes) >= {"inverted", "not-reproducible"}
    assert "copies" in next(c for c in report.checked if c.name == "rules").detail


def test_what_can_neither_be_copied_nor_repeated_is_told(line):
    class Hopeless(line):
        def reset(self, *, seed=None, options=None):
            return super().reset(seed=next(seeds), options=options)

        def __deepcopy__(self, memo):
            raise TypeError("no copies of me")

    seeds = iter(range(10_000))
    report = audit.env(Hopeless, fault="inverted", steps=60)
    rules = next(check for check in report.unchecked if check.name == "rules")
    assert "no copies of me" in rules.detail and "lead elsewhere" in rules.detail
    assert "inverted" not in report.codes


def test_an_environment_that_is_handed_over_stays_as_it_is(line):
    env = line()
    env.reset(seed=3)
    before = copy.deepcopy(vars(env))
    audit.env(env, steps=40)
    after = vars(env)
    assert (before["cell"], before["lamp"], before["steps"]) == (
        after["cell"],
        after["lamp"],
        after["steps"],
    )


def test_the_same_seed_gives_the_same_report(audit_line):
    first, second = (audit_line("too strict", seed=5) for _ in range(2))
    assert [str(finding) for finding in first.findings] == [str(f) for f in second.findings]


def test_settings_that_are_none_are_refused(line):
    for settings, words in (
        ({"steps": 0}, "steps must be a whole number from 1"),
        ({"trials": True}, "trials must be a whole number"),
        ({"seed": -1}, "seed must be a whole number from 0, got -1"),
        ({"empty": "skip"}, "'raise' or 'idle'"),
        ({"ignore": ("stale",)}, "there is no code 'stale'"),
        ({"ignore": "stale-reset"}, "several codes"),
    ):
        with pytest.raises(ConfigError, match=words):
            audit.env(line, **settings)
    with pytest.raises(UnknownEnvError):
        audit.env("pnada")


@pytest.mark.parametrize("env_id", ["panda", "panda-open", "panda-trees", "outpost", "packing"])
def test_our_worlds_pass_strictly(env_id):
    report = audit.env(env_id, steps=60, trials=120, strict=True)
    assert report.passed, report


@pytest.mark.slow
@pytest.mark.parametrize(
    "env_id",
    [
        "gymnasium:Taxi-v4",
        "panda",
        "panda-open",
        "panda-trees",
        "panda-hidden",
        "outpost",
        "packing",
        "pandas",
        "pandas-grid",
        "pettingzoo:tictactoe_v3",
        "pettingzoo:connect_four_v3",
        "pettingzoo:go_v5",
        "pettingzoo:knights_archers_zombies_v11",
        "pettingzoo:maskrl.envs.games.pandas.parallel_env:PandasParallelEnv",
    ],
)
def test_right_environments_pass_strictly_at_full_length(env_id):
    report = audit.env(env_id, strict=True)
    assert report.passed, report


def test_no_torch_is_loaded():
    program = (
        "import sys, maskrl.audit as a; a.env; a.assert_env_masks; print('torch' in sys.modules)"
    )
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert run.stdout.strip() == "False", run.stderr


class Countdown(gymnasium.Env):
    """One, two or three of what is left are taken, and who takes the last has won.

    More than is left is disallowed, and taken for all that is left.
    """

    observation_space = gymnasium.spaces.Box(0, 30, (1,), np.float32)
    action_space = gymnasium.spaces.Discrete(3)

    def seen(self):
        mask = np.array([self.left >= taken for taken in (1, 2, 3)])
        return np.array([self.left], np.float32), {"action_mask": mask}

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.left = int(self.np_random.integers(2, 9))
        return self.seen()

    def step(self, action):
        self.left -= min(int(action) + 1, self.left)
        observation, info = self.seen()
        over = self.left == 0
        return observation, float(over), over, False, info


@pytest.mark.parametrize("seed", range(3))
def test_a_disallowed_move_that_wins_as_the_largest_allowed_one_blames_no_mask(seed):
    report = audit.env(Countdown, steps=60, trials=200, seed=seed, strict=True)
    assert report.codes == ()
