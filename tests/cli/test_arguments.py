"""From words to options: an environment's settings, ids that survive, help that is kept."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from maskrl.cli.arguments import (
    call_with_options,
    env_settings,
    help_text,
    join_env_id,
    parse_options,
    split_env_options,
)
from maskrl.envs.registry import parse_env_id
from maskrl.errors import ConfigError


@dataclass(frozen=True)
class Options:
    """Do something.

    With one number, explained
    over two lines.

    Examples:
      maskrl do --size 3
      maskrl do --size 4     a larger one

    Reference:
        Never shown in the text.
    """

    size: int = 2
    """How large it is."""


def test_options_have_defaults_from_an_instance():
    assert parse_options(Options, "do", ["--size", "5"]).size == 5
    assert parse_options(Options, "do", [], default=Options(9)).size == 9


def test_help_keeps_paragraphs_and_examples(capsys):
    with pytest.raises(SystemExit) as leaving:
        parse_options(Options, "do", ["--help"])
    assert leaving.value.code == 0
    out = capsys.readouterr().out
    assert "usage: maskrl do" in out
    assert "  Do something.\n" in out
    assert "\n  With one number, explained over two lines.\n" in out
    assert "  Examples:\n    maskrl do --size 3\n    maskrl do --size 4     a larger one\n" in out
    assert "How large it is." in out
    assert "Never shown" not in help_text(Options)


@dataclass(frozen=True)
class Lists:
    """Do something with numbers."""

    empty: tuple[int, ...] = ()
    """Of which there are none."""
    full: tuple[int, ...] = (3, 4)
    """Of which there are some."""


def test_an_empty_list_is_called_none_and_can_be_asked_for(capsys):
    with pytest.raises(SystemExit):
        parse_options(Lists, "do", ["--help"])
    out = " ".join(capsys.readouterr().out.split())
    assert "--empty [INT [INT ...]]" in out
    assert "there are none. (default: none)" in out and "there are some. (default: 3 4)" in out
    assert parse_options(Lists, "do", []) == Lists()
    assert parse_options(Lists, "do", ["--full"]) == Lists(full=())
    assert parse_options(Lists, "do", ["--full", "none", "--empty", "5", "6"]) == Lists((5, 6), ())


def test_what_is_no_list_of_whole_numbers_is_refused(capsys):
    with pytest.raises(SystemExit) as leaving:
        parse_options(Lists, "do", ["--full", "3", "none"])
    assert leaving.value.code == 2
    assert "--full" in capsys.readouterr().err


def test_a_complaint_of_the_parser_exits_with_2(capsys):
    with pytest.raises(SystemExit) as leaving:
        parse_options(Options, "do", ["--sise", "5"])
    assert leaving.value.code == 2
    assert "--size" in capsys.readouterr().err


def test_a_function_is_called_with_its_options():
    def double(number: int = 1) -> int:
        """Double a number."""
        return 2 * number

    assert call_with_options(double, "double", ["--number", "4"]) == 8


def test_settings_of_an_environment_in_three_spellings():
    words = split_env_options(["panda", "--env.max-trees", "3", "--env.sight=full", "--seed", "1"])
    assert words == ["panda", "--env", "max_trees=3", "--env", "sight=full", "--seed", "1"]
    with pytest.raises(ConfigError, match="--env.sight needs a value"):
        split_env_options(["--env.sight"])
    settings = env_settings(["sight=full", "a=1", "b=0.5", "c=true", "d=[1, 2]", "e=x&y", "a=2"])
    assert settings == {
        "sight": "full",
        "a": 2,
        "b": 0.5,
        "c": True,
        "d": [1, 2],
        "e": "x&y",
    }
    for bad in ("sight", "=full", "a b=1"):
        with pytest.raises(ConfigError, match="expected key=value"):
            env_settings([bad])


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"sight": "full", "max_trees": 3},
        {"text": "3", "other": "true", "odd": "a&b=c d", "none": None, "flag": True},
        {"list": [1, 2.5], "name": "Ünïcode"},
    ],
)
def test_an_id_with_settings_is_split_again(settings):
    assert parse_env_id(join_env_id("panda", settings)) == ("panda", settings)
