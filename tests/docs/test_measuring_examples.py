"""The examples that measure something run as they say, here in their smallest size."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[2] / "examples"


def _main(name: str):
    spec = importlib.util.spec_from_file_location(name, EXAMPLES / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_panda_speed_prints_both_ways(monkeypatch, capsys) -> None:
    monkeypatch.setattr("sys.argv", ["panda_speed.py", "--num-envs", "4", "--rounds", "1"])
    _main("panda_speed").main()
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(":")[0] for line in lines] == ["copies", "read-only views"]
    assert all("million environment steps a second" in line for line in lines)


def test_attention_paths_prints_a_line_per_size(monkeypatch, capsys) -> None:
    module = _main("attention_paths")
    monkeypatch.setattr(module, "QUERIES", 64)
    monkeypatch.setattr("sys.argv", ["attention_paths.py", "--repeats", "1"])
    module.main()
    lines = capsys.readouterr().out.splitlines()
    assert [int(line.split()[0]) for line in lines[1:]] == [4, 8, 12, 16, 24, 32, 64, 128]


def test_profile_ppo_tells_every_part_of_an_iteration(monkeypatch, capsys) -> None:
    module = _main("profile_ppo")
    small = [c.replace(num_envs=4, rollout_steps=8, minibatch_size=16) for c in module.SETTINGS]
    monkeypatch.setattr(module, "SETTINGS", small)
    monkeypatch.setattr("sys.argv", ["profile_ppo.py", "--minibatch", "16", "--iterations", "2"])
    before = module.Towers.forward, module.ppo_update.ppo_loss
    module.main()
    assert (module.Towers.forward, module.ppo_update.ppo_loss) == before
    first, *parts, last = capsys.readouterr().out.splitlines()
    assert "4 environments, 8 steps" in first and len(parts) == 11
    shares = [float(line.split()[-1].rstrip("%")) for line in parts]
    assert sum(shares) == pytest.approx(100, abs=1) and min(shares) > 0
    own = [s for s, line in zip(shares, parts, strict=True) if line.startswith(module.ARITHMETIC)]
    told = float(last.split("together ")[1].split("%")[0])
    assert told == pytest.approx(sum(own), abs=0.3)


MEASURING = [
    "panda_speed",
    "mining_speed",
    "attention_paths",
    "taxi_all_starts",
    "profile_ppo",
    "replay_memory",
]


@pytest.mark.parametrize("name", MEASURING)
def test_the_introduction_gives_the_command(name: str) -> None:
    assert f"python examples/{name}.py" in (EXAMPLES / f"{name}.py").read_text()


def test_pandas_speed_prints_both_forms(monkeypatch, capsys) -> None:
    arguments = ["pandas_speed.py", "--num-envs", "2", "--rounds", "1", "--pandas", "3"]
    monkeypatch.setattr("sys.argv", arguments)
    _main("pandas_speed").main()
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(":")[0] for line in lines] == ["scene", "grid"]
    assert all("thousand environment steps a second" in line for line in lines)


def test_mining_speed_prints_every_strength_of_masks(monkeypatch, capsys) -> None:
    arguments = ["mining_speed.py", "--num-envs", "2", "--rounds", "1", "--boards", "4x4", "10x10"]
    monkeypatch.setattr("sys.argv", arguments)
    _main("mining_speed").main()
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(":")[0] for line in lines] == [
        f"{board} {masks}"
        for board in ("4x4", "10x10")
        for masks in ("published", "heads", "conditional")
    ]


def test_the_worth_of_the_script_is_a_share_of_the_best(monkeypatch, capsys) -> None:
    monkeypatch.setattr("sys.argv", ["pandas_script_worth.py", "--layouts", "1"])
    _main("pandas_script_worth").main()
    first, second = capsys.readouterr().out.splitlines()
    best, script, chance = (float(part.split()[-1]) for part in first.split(","))
    assert best >= script > chance
    assert float(second.split()[4]) == pytest.approx((script - chance) / (best - chance), abs=2e-3)


def test_replay_memory_prints_what_masks_cost(monkeypatch, capsys, tmp_path) -> None:
    """Bits of both masks, final ones included: two float32 masks take 58 times as much."""
    arguments = ["replay_memory.py", "--transitions", "6400", "--folder", str(tmp_path)]
    monkeypatch.setattr("sys.argv", arguments)
    _main("replay_memory").main()
    first, second, memory, *drawing, ratio = capsys.readouterr().out.splitlines()
    assert first.startswith("6,400 transitions without") and second.startswith("6,400 transitions")
    gigabytes, dense, times = (float(memory.split()[k]) for k in (2, 12, 14))
    assert (gigabytes, dense) == (0.0, 0.2) and 50 < times < 64
    one, two = (float(line.split()[-2]) for line in drawing)
    assert float(ratio.split()[5]) == pytest.approx(two / one, abs=0.02)
