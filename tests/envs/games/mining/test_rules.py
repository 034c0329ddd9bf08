"""The rules on hand-made boards: each order, each refusal, each wait, each conflict."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from maskrl.envs.games.mining.settings import B_HIT_POINTS, B_LEFT, C_STOCK

Games = Callable[..., Any]


@pytest.mark.parametrize(
    ("direction", "after"),
    [
        ("up", ". W .\n. . .\n. . 9"),
        ("right", ". . .\n. . W\n. . 9"),
        ("down", ". . .\n. . .\n. W 9"),
        ("left", ". . .\nW . .\n. . 9"),
    ],
)
def test_a_worker_moves_in_the_step_that_tells_it_to(
    game: Games, direction: str, after: str
) -> None:
    here = game(". . .\n. W .\n. . 9")
    assert here.tell((1, 1), "move", direction) == "carried out"
    assert here.text() == after
    assert here.board[B_LEFT].max() == 0


def test_nobody_moves_off_the_board_or_into_what_stands_there(game: Games) -> None:
    here = game("W 9 .\nb . .\n. . .")
    for direction in ("up", "left", "right", "down"):
        assert here.tell((0, 0), "move", direction) == "impossible"
    assert here.text() == "W 9 .\nb . .\n. . ."
    edge = game(". . 9\n. . W\nW . .")  # (2, 1) and (0, 2) are neighbours in memory alone
    assert edge.tell((2, 1), "move", "right") == "impossible"
    assert edge.tell((0, 2), "move", "left") == "impossible"


def test_buildings_do_not_move_and_wait_as_long_as_if_they_could(game: Games) -> None:
    here = game("B . .\n. K .\n. . 9")
    assert here.tell((0, 0), "move", "right") == "impossible"
    assert here.tell((1, 1), "move", "down") == "impossible"
    assert here.board[B_LEFT].max() == 0  # ten ticks are over


def test_a_heavy_moves_in_two_steps_and_holds_the_cell_meanwhile(game: Games) -> None:
    here = game("H . W\n. . .\n. . 9")
    assert here.tell((0, 0), "move", "right") == "carried out"
    assert (here.text(), here.left((0, 0))) == ("H . W\n. . .\n. . 9", 2)
    assert here.tell((0, 0), "move", "down") == "busy"
    assert here.text() == ". H W\n. . .\n. . 9"
    assert here.left((1, 0)) == 0


def test_the_cell_that_a_heavy_moves_to_is_taken(game: Games) -> None:
    here = game("H . W\n. . .\n. . 9")
    here.tell((0, 0), "move", "right")
    # Free still, and wanted: the worker may not, is not made to wait, and can go elsewhere.
    assert here.tell((2, 0), "move", "left") == "in conflict"
    assert here.left((2, 0)) == 0
    assert here.tell((2, 0), "move", "down") == "carried out"


def test_harvesting_takes_one_and_handing_in_fills_the_store(game: Games) -> None:
    here = game("2 W B\n. . .\n. . 9")
    assert here.tell((1, 0), "harvest", "left") == "carried out"
    assert here.text() == "1 W* B\n. . .\n. . 9"
    assert here.tell((1, 0), "harvest", "left") == "impossible"  # it carries one
    assert here.tell((1, 0), "return", "right") == "carried out"
    assert (here.text(), here.counts[C_STOCK]) == ("1 W B\n. . .\n. . 9", 6)
    assert here.tell((1, 0), "return", "right") == "impossible"  # it carries none
    assert here.tell((1, 0), "harvest", "left") == "carried out"
    assert here.text() == ". W* B\n. . .\n. . 9"  # an empty mine is gone
    assert here.mines_left


def test_the_last_unit_leaves_no_mine(game: Games) -> None:
    here = game("1 W .\n. . .\n. . .")
    assert here.mines_left
    here.tell((1, 0), "harvest", "left")
    assert not here.mines_left


def test_only_own_bases_take_loads_and_only_mines_are_harvested(game: Games) -> None:
    here = game("b W* K\n. B .\n. . 9")
    assert here.tell((1, 0), "return", "left") == "impossible"
    assert here.tell((1, 0), "return", "right") == "impossible"
    assert here.tell((1, 0), "harvest", "left") == "impossible"
    assert here.tell((1, 0), "return", "down") == "carried out"
    fighters = game("9 L .\nH . .\n. . .")
    assert fighters.tell((1, 0), "harvest", "left") == "impossible"
    assert fighters.tell((0, 1), "harvest", "up") == "impossible"


@pytest.mark.parametrize(
    ("who", "product", "cost", "steps"),
    [
        ("B", "worker", 1, 5),
        ("W", "base", 10, 25),
        ("W", "barracks", 5, 20),
        ("K", "light", 2, 8),
        ("K", "heavy", 2, 12),
        ("K", "ranged", 2, 10),
    ],
)
def test_a_product_takes_its_time_and_is_paid_when_it_is_done(
    game: Games, who: str, product: str, cost: int, steps: int
) -> None:
    letter = {"barracks": "K"}.get(product, product[0].upper())
    here = game(f". . .\n. {who} .\n. . 9", stock=cost)
    assert here.tell((1, 1), "produce", product, "up") == "carried out"
    here.wait(steps - 2)
    assert here.text() == f". . .\n. {who} .\n. . 9"
    assert (here.counts[C_STOCK], here.left((1, 1))) == (cost, 10)
    here.wait(1)
    assert here.text() == f". {letter} .\n. {who} .\n. . 9"
    assert (here.counts[C_STOCK], here.left((1, 1))) == (0, 0)
    poor = game(f". . .\n. {who} .\n. . 9", stock=cost - 1)
    assert poor.tell((1, 1), "produce", product, "up") == "impossible"


@pytest.mark.parametrize(
    ("who", "product", "ticks"),
    [
        ("W", "mine", 10),
        ("B", "base", 250),
        ("L", "barracks", 200),
        ("W", "worker", 50),
        ("W", "light", 80),
        ("B", "heavy", 120),
        ("H", "ranged", 100),
    ],
)
def test_an_impossible_production_keeps_a_unit_waiting_as_long_as_the_real_one(
    game: Games, who: str, product: str, ticks: int
) -> None:
    here = game(f". . .\n. {who} .\n. . 9", stock=50)
    assert here.tell((1, 1), "produce", product, "up") == "impossible"
    assert here.left((1, 1)) == ticks - 10
    if ticks > 10:
        spare = game(f". . .\n. {who} W\n. . 9", stock=50)
        spare.tell((1, 1), "produce", product, "up")
        assert spare.tell((1, 1), "none") == "busy"
    here.wait(ticks // 10 - 1)
    assert here.tell((1, 1), "none") == "carried out"
    assert here.text() == f". . .\n. {who} .\n. . 9"


@pytest.mark.parametrize(("who", "left"), [("W", 0), ("L", 0), ("H", 2), ("R", 0), ("B", 0)])
def test_an_impossible_move_or_return_takes_the_units_time(
    game: Games, who: str, left: int
) -> None:
    for what in ("move", "return"):
        here = game(f"{who} 9 .\n. . .\n. . .")
        assert here.tell((0, 0), what, "up") == "impossible"
        assert here.left((0, 0)) == left


def test_a_cell_in_which_something_is_made_is_taken(game: Games) -> None:
    here = game("B . W\n. . .\n. . 9")
    here.tell((0, 0), "produce", "worker", "right")
    assert here.tell((2, 0), "move", "left") == "in conflict"
    assert here.tell((2, 0), "produce", "barracks", "left") == "in conflict"
    here.wait(2)
    assert here.text() == "B W W\n. . .\n. . 9"


def test_the_store_must_pay_a_product_and_any_one_in_the_making(game: Games) -> None:
    # Barracks (5) are being made; a worker (1) would make 6 of 5 in store.
    here = game("B . W\n. . .\n. . 9", stock=5)
    assert here.tell((2, 0), "produce", "barracks", "down") == "carried out"
    assert here.tell((0, 0), "produce", "worker", "right") == "in conflict"
    assert here.left((0, 0)) == 0  # dropped: it need not wait
    rich = game("B . W\n. . .\n. . 9", stock=6)
    rich.tell((2, 0), "produce", "barracks", "down")
    assert rich.tell((0, 0), "produce", "worker", "right") == "carried out"


def test_products_are_compared_with_one_at_a_time_so_that_a_store_can_be_overdrawn(
    game: Games,
) -> None:
    # In store 3: a heavy (2) and a worker (1) in the making, and 1 + 2 <= 3, 1 + 1 <= 3.
    here = game("K . . .\n. B . B\n. . . .\n. . . 9", stock=3)
    assert here.tell((0, 0), "produce", "heavy", "right") == "carried out"
    assert here.tell((1, 1), "produce", "worker", "right") == "carried out"
    assert here.tell((3, 1), "produce", "worker", "up") == "carried out"
    here.wait(12)
    assert here.counts[C_STOCK] == -1
    assert here.text() == "K H . W\n. B W B\n. . . .\n. . . 9"
    assert here.tell((1, 1), "produce", "worker", "left") == "impossible"


def test_an_attack_takes_hit_points_until_the_enemy_is_gone(game: Games) -> None:
    here = game("W b .\n. . w\n. . 9")
    for points in range(9, 0, -1):
        assert here.tell((0, 0), "attack", (1, 0)) == "carried out"
        assert here.board[B_HIT_POINTS, 1] == points
    here.tell((0, 0), "attack", (1, 0))
    assert here.text() == "W . .\n. . w\n. . 9"
    assert here.tell((0, 0), "attack", (1, 0)) == "impossible"
    assert not here.board[:, 1].any()


def test_neither_own_units_nor_mines_nor_what_is_out_of_reach_are_attacked(game: Games) -> None:
    here = game("W W 9\n. w .\n. . .")
    for target in ((1, 0), (0, 1), (1, 1), (2, 0), (0, 0)):
        assert here.tell((0, 0), "attack", target) == "impossible"
    assert here.tell((1, 0), "attack", (2, 0)) == "impossible"
    assert here.tell((1, 0), "attack", (1, 1)) == "carried out"
    assert here.text() == "W W 9\n. . .\n. . ."


def test_a_ranged_unit_reaches_three_cells_far_and_past_others(game: Games) -> None:
    board = "R W . w\n. . w .\n. w . w\nw . . 9"
    reached = {(3, 0): True, (2, 1): True, (1, 2): True, (0, 3): True, (3, 2): False}
    for target, is_reached in reached.items():  # (3, 2): 9 + 4 > 9
        here = game(board)
        assert here.tell((0, 0), "attack", target) == (
            "carried out" if is_reached else "impossible"
        )


def test_orders_to_nobody_to_others_and_to_busy_units_are_lost(game: Games) -> None:
    here = game("W . b\n. . .\nK . 9", stock=5)
    assert here.tell((1, 1), "move", "up") == "no unit"
    assert here.tell((2, 0), "move", "down") == "not own"
    assert here.tell((2, 2), "none") == "not own"
    assert here.tell((0, 2), "produce", "light", "right") == "carried out"
    assert here.tell((0, 2), "none") == "busy"
    assert here.tell((0, 2), "produce", "ranged", "up") == "busy"
    assert here.left((0, 2)) == 50
    assert here.text() == "W . b\n. . .\nK . 9"


def test_nobody_free_is_nobodys_mistake(game: Games) -> None:
    here = game("B . .\n. . .\n. . 9")
    here.tell((0, 0), "produce", "worker", "right")
    assert here.tell((0, 0), "move", "up") == "idle"
    assert here.tell((2, 2), "none") == "idle"


def test_parts_that_do_not_count_are_not_read(game: Games) -> None:
    after = []
    for product, target in ((0, 0), (6, 8), (3, 4)):
        here = game(". . .\n. W .\n. . 9")
        action = here.action((1, 1), "move", "up")
        action[3:6], action[6], action[7] = 2, product, target
        from maskrl.envs.games.mining.rules import give_order

        give_order(here.board, here.counts, action, 3, np.zeros(9, np.bool_))
        here.wait(1)
        after.append(here.text())
    assert after == [". W .\n. . .\n. . 9"] * 3
