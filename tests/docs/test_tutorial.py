"""The founding article as a program: it runs, and its numbers are the article's."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest
import torch

from maskrl import MaskedCategorical
from maskrl.distributions import GridwiseCategorical

REPOSITORY = Path(__file__).resolve().parents[2]
PAGE = REPOSITORY / "docs" / "tutorial.md"

LOGITS = torch.tensor([[-1.8222, 1.0769, -0.6567], [-0.6729, 0.1665, -1.7856]])
ALLOWED = torch.tensor([[False, False, True], [True, True, False]])
MAP = torch.tensor(
    [
        [
            [[1.0608, 0.4416], [1.2075, 0.0888]],
            [[0.1279, 0.0160], [-1.0273, 0.5896]],
            [[-0.0016, 0.6164], [0.1350, 0.5542]],
        ]
    ]
)
TAKEN = torch.tensor([[[0, 0], [2, 2]]])
EVERYWHERE = torch.ones(1, 2, 2, dtype=torch.bool)
DIAGONAL = torch.tensor([[[True, False], [False, True]]])


@pytest.fixture
def close():
    """Compares with numbers that are printed with four digits."""

    def compare(got, expected):
        torch.testing.assert_close(got, torch.tensor(expected), atol=1e-4, rtol=0)

    return compare


def test_the_page_runs_and_prints_what_is_shown(program):
    assert program(PAGE).run().statements >= 45


@pytest.mark.parametrize(
    ("mask", "probs", "entropy"),
    [
        (None, [[0.0447, 0.8119, 0.1434], [0.2745, 0.6353, 0.0902]], [0.5867, 0.8601]),
        (ALLOWED, [[0.0, 0.0, 1.0], [0.3017, 0.6983, 0.0]], [0.0, 0.6123]),
    ],
)
def test_the_articles_numbers_for_actions(mask, probs, entropy, close):
    policy = MaskedCategorical(LOGITS, mask)
    close(policy.probs, probs)
    close(policy.entropy(), entropy)


@pytest.mark.parametrize(
    ("agent_mask", "log_prob", "entropy"),
    [(EVERYWHERE, -4.0220, 0.9776), (DIAGONAL, -1.5331, 1.0256)],
)
def test_the_articles_numbers_for_agents(agent_mask, log_prob, entropy, close):
    team = GridwiseCategorical(MAP, agent_mask)
    close(team.log_prob(TAKEN), [log_prob])
    close(team.entropy(reduce="mean"), [entropy])


def test_the_page_uses_the_articles_numbers(program):
    page = program(PAGE)
    code = "".join(fence.content for fence in page.fences if fence.language == "python")
    for tensor in (LOGITS, MAP):
        for number in tensor.flatten().tolist():
            assert f"{number:.4f}" in code
    for number in ("0.5867", "0.8600", "0.6123", "-4.0220", "-1.5331", "0.9776", "1.0256"):
        assert number in code


def test_the_picture_is_drawn_as_the_page_says(tmp_path, monkeypatch, capsys):
    text = PAGE.read_text("utf-8")
    assert "python examples/panda_scenes.py" in text and "(images/panda-scenes.png)" in text
    script = REPOSITORY / "examples" / "panda_scenes.py"
    spec = importlib.util.spec_from_file_location("panda_scenes", script)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    path = tmp_path / "drawn.png"
    monkeypatch.setattr("sys.argv", ["panda_scenes.py", str(path)])
    module.main()
    assert str(path) in capsys.readouterr().out
    shown = REPOSITORY / "docs" / "images" / "panda-scenes.png"
    # Bytes 16 to 24 of a PNG are its width and height.
    assert path.read_bytes()[:24] == shown.read_bytes()[:24]
    assert shown.stat().st_size < 100_000
