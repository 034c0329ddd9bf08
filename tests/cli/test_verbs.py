"""The door of the command line: verbs, versions, and errors as one message."""

from __future__ import annotations

import subprocess
import sys

import pytest

from maskrl.cli import verbs
from maskrl.cli.verbs import VERBS, as_message, main
from maskrl.errors import ConfigError


@pytest.fixture
def verb(monkeypatch):
    """Makes `maskrl envs` do what a test wants."""
    import maskrl.cli.envs as module

    def install(function):
        monkeypatch.setattr(module, "run", function, raising=False)

    return install


def test_every_verb_has_its_module_and_line(capsys):
    for words in ([], ["--help"], ["-h"], ["help"]):
        assert main(words) == 0
        out = capsys.readouterr().out
        assert out.startswith("usage: maskrl VERB")
        for name, summary in VERBS.items():
            assert f"  {name}" in out and summary in out
    for name in VERBS:
        module = __import__(f"maskrl.cli.{name}", fromlist=["x"])
        assert hasattr(module, "run") or callable(getattr(module, name))


def test_a_result_is_the_exit_code(verb):
    verb(lambda argv: 7 if list(argv) == ["a", "--b"] else 0)
    assert main(["envs", "a", "--b"]) == 7
    verb(lambda argv: None)
    assert main(["envs"]) == 0


def test_an_error_of_ours_is_one_message(verb, capsys):
    def fail(argv):
        raise ConfigError("the size is 0. " + "Make it larger. " * 20)

    verb(fail)
    assert main(["envs"]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("error: the size is 0. Make it larger.")
    assert "Traceback" not in captured.err
    assert main(["envs", "--traceback"]) == 2
    assert "Traceback" in capsys.readouterr().err


def test_other_errors_are_not_hidden(verb):
    def fail(argv):
        raise RuntimeError("a bug")

    verb(fail)
    with pytest.raises(RuntimeError, match="a bug"):
        main(["envs"])


def test_an_interruption_says_how_to_go_on(verb, capsys):
    def stop(argv):
        raise KeyboardInterrupt("saved; go on with --resume")

    verb(stop)
    assert main(["envs"]) == 130
    assert "saved; go on with --resume" in capsys.readouterr().err


def test_an_unknown_verb_offers_the_nearest(capsys):
    assert main(["trian"]) == 2
    assert "no verb 'trian'. Did you mean train?" in capsys.readouterr().err


def test_version(capsys):
    assert main(["--version"]) == 0
    assert capsys.readouterr().out.startswith("maskrl ")


def test_messages_are_wrapped_and_keep_their_lines():
    text = as_message(ConfigError("word " * 60 + "\n  a list item\n  another"))
    lines = text.splitlines()
    assert all(len(line) <= 100 for line in lines)
    assert lines[-2:] == ["  a list item", "  another"]
    long_path = "/a" * 80
    assert long_path in as_message(ConfigError(f"see {long_path}"))


def test_a_closed_pipe_is_no_error():
    command = f"{sys.executable} -m maskrl envs | head -1; echo ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == ["environments:", "0"]
    assert done.stderr == ""


@pytest.mark.parametrize("name", VERBS)
def test_the_help_of_every_verb_reads_as_meant(name, capsys):
    with pytest.raises(SystemExit) as left:
        main([name, "--help"])
    out = capsys.readouterr().out
    assert left.value.code == 0
    assert out.startswith(f"usage: maskrl {name} ")
    assert "%%" not in out


@pytest.mark.parametrize("words", [["--help"], ["envs"], ["envs", "--help"], ["trian"]])
def test_light_verbs_load_no_torch(words):
    program = (
        "import sys, contextlib, io\n"
        "from maskrl.cli import main\n"
        "with contextlib.redirect_stdout(io.StringIO()), contextlib.suppress(SystemExit):\n"
        f"    main({words!r})\n"
        "print([m for m in ('torch', 'numba', 'plotly', 'scipy') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.stdout.strip() == "[]", done.stderr


def test_help_is_printed_by_the_module(capsys):
    assert verbs.overview() in (main([]), capsys.readouterr().out)
