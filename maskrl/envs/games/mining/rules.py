"""The rules of mining: which orders can be given, and what they do, as compiled functions.

A board is one row of layers (`settings.B_KIND` and so on). Environment, masks and script
call the functions below, so that they cannot disagree.

- An order goes to a free own unit; to anything else it is lost.
- A unit moves to a free cell of the four next to it. An empty-handed worker harvests a mine
  next to it, a loaded one hands in at a base next to it. Bases make workers, workers bases
  and barracks, barracks fighters, each on a free cell next to it and paid when it is done. A
  fighter or worker hits an enemy in reach.
- An impossible order makes the unit wait as long as the order would have taken, which shows
  nowhere. One that is possible by itself, and in conflict with what another unit is doing
  (both want one cell, or the stock does not pay both), is dropped at once.
"""

from __future__ import annotations

from numba import njit

from maskrl.envs.games.mining.settings import (
    ATTACK,
    ATTACK_TICKS,
    B_DIRECTION,
    B_HIT_POINTS,
    B_KIND,
    B_LEFT,
    B_LOAD,
    B_ORDER,
    B_OWNER,
    B_PRODUCT,
    BASE,
    BUSY,
    C_STOCK,
    CARRIED_OUT,
    COST,
    DAMAGE,
    ENEMY,
    FIGHTS,
    HARVEST,
    HARVEST_TICKS,
    HIT_POINTS,
    IDLE,
    IMPOSSIBLE,
    IN_CONFLICT,
    LAYERS,
    MINE,
    MOVE,
    MOVE_TICKS,
    MOVES,
    NO_UNIT,
    NONE,
    NOT_OWN,
    OWN,
    PRODUCE,
    PRODUCE_TICKS,
    PRODUCES,
    REACH,
    RETURN,
    STEP_X,
    STEP_Y,
    TICKS,
    WORKER,
)

OFF_BOARD = -1


@njit(cache=True, inline="always")
def next_cell(cell, direction, size):
    """The cell one step away, or OFF_BOARD."""
    x = cell % size + STEP_X[direction]
    y = cell // size + STEP_Y[direction]
    if x < 0 or y < 0 or x >= size or y >= size:
        return OFF_BOARD
    return y * size + x


@njit(cache=True, inline="always")
def is_free_unit(board, cell):
    """Whether an own unit stands there that carries out no order and waits for none to pass."""
    return board[B_OWNER, cell] == OWN and board[B_LEFT, cell] == 0


@njit(cache=True, inline="always")
def is_empty(board, cell):
    """Whether a cell is on the board and nothing stands there."""
    return cell != OFF_BOARD and board[B_KIND, cell] == 0


@njit(cache=True, inline="always")
def can_harvest(board, cell, direction, size):
    """Whether the unit is an empty-handed worker with a mine in this direction."""
    if board[B_KIND, cell] != 1 + WORKER or board[B_LOAD, cell] != 0:
        return False
    ahead = next_cell(cell, direction, size)
    return ahead != OFF_BOARD and board[B_KIND, ahead] == 1 + MINE


@njit(cache=True, inline="always")
def can_return(board, cell, direction, size):
    """Whether the unit is a loaded worker with an own base in this direction."""
    if board[B_KIND, cell] != 1 + WORKER or board[B_LOAD, cell] == 0:
        return False
    ahead = next_cell(cell, direction, size)
    return ahead != OFF_BOARD and board[B_KIND, ahead] == 1 + BASE and board[B_OWNER, ahead] == OWN


@njit(cache=True, inline="always")
def can_attack(board, cell, target, size):
    """Whether the unit fights and an enemy stands on the target, within its reach."""
    kind = board[B_KIND, cell] - 1
    if not FIGHTS[kind] or board[B_OWNER, target] != ENEMY:
        return False
    x, y = target % size - cell % size, target // size - cell // size
    return x * x + y * y <= REACH[kind] * REACH[kind]


@njit(cache=True)
def is_possible(board, stock, cell, order, size):
    """Whether an order is possible for the unit on a cell, whatever other units are doing.

    Args:
        board: int16 [LAYERS, cells].
        stock: Units in store.
        cell: Of an own unit.
        order: type, direction, product, target.
        size: Cells along one side.
    """
    kind = board[B_KIND, cell] - 1
    what, direction, product, target = order
    if what == MOVE:
        return MOVES[kind] and is_empty(board, next_cell(cell, direction, size))
    if what == HARVEST:
        return can_harvest(board, cell, direction, size)
    if what == RETURN:
        return can_return(board, cell, direction, size)
    if what == PRODUCE:
        affordable = PRODUCES[kind, product] and COST[product] <= stock
        return affordable and is_empty(board, next_cell(cell, direction, size))
    if what == ATTACK:
        return can_attack(board, cell, target, size)
    return True


@njit(cache=True)
def note_running(board, size, wanted):
    """Mark the cells that running moves and productions will fill.

    Args:
        board: int16 [LAYERS, cells].
        size: Cells along one side.
        wanted: bool [cells], overwritten.

    Returns:
        The largest cost of a running production, 0 without one, and how many own units are
        free.
    """
    wanted[:] = False
    dearest = 0
    free = 0
    for cell in range(wanted.shape[0]):
        if board[B_OWNER, cell] != OWN:
            continue
        if board[B_LEFT, cell] == 0:
            free += 1
            continue
        what = board[B_ORDER, cell]
        if what in (MOVE, PRODUCE):
            wanted[next_cell(cell, board[B_DIRECTION, cell], size)] = True
        if what == PRODUCE:
            dearest = max(dearest, COST[board[B_PRODUCT, cell]])
    return dearest, free


@njit(cache=True, inline="always")
def is_paid(stock, product, dearest):
    """Whether the stock pays a product, and it together with any one that is in the making."""
    return COST[product] <= stock and (dearest == 0 or COST[product] + dearest <= stock)


@njit(cache=True)
def is_in_conflict(stock, cell, order, size, wanted, dearest):
    """Whether a possible order is in conflict with what other units are doing.

    Args:
        stock: Units in store.
        cell: Of the unit.
        order: type, direction, product, target.
        size: Cells along one side.
        wanted: bool [cells], as `note_running` marked it.
        dearest: As `note_running` gave it.
    """
    what, direction, product, _ = order
    if what not in (MOVE, PRODUCE):
        return False
    if wanted[next_cell(cell, direction, size)]:
        return True
    return what == PRODUCE and not is_paid(stock, product, dearest)


@njit(cache=True)
def ticks_of(kind, what, product):
    """How long an order takes a unit of a kind."""
    if what == HARVEST:
        return HARVEST_TICKS
    if what == PRODUCE:
        return PRODUCE_TICKS[product]
    if what == ATTACK:
        return ATTACK_TICKS[kind]
    return MOVE_TICKS[kind]


@njit(cache=True)
def give_order(board, counts, action, size, wanted):
    """Give one order; nothing moves yet.

    Args:
        board: int16 [LAYERS, cells], changed.
        counts: int64 [2]: stock and step.
        action: int64 [8], every part within its head.
        size: Cells along one side.
        wanted: bool [cells], for use here.

    Returns:
        What became of it (`settings.FATES`).
    """
    cell, what = action[0], action[1]
    dearest, free = note_running(board, size, wanted)
    if free == 0:
        return IDLE
    if board[B_KIND, cell] == 0:
        return NO_UNIT
    if board[B_OWNER, cell] != OWN:
        return NOT_OWN
    if board[B_LEFT, cell] > 0:
        return BUSY
    if what == NONE:
        return CARRIED_OUT
    direction = action[1 + what] if what <= PRODUCE else 0
    order = (what, direction, action[6], action[7])
    kind = board[B_KIND, cell] - 1
    if not is_possible(board, counts[C_STOCK], cell, order, size):
        board[B_LEFT, cell] = ticks_of(kind, what, action[6])
        return IMPOSSIBLE
    if is_in_conflict(counts[C_STOCK], cell, order, size, wanted, dearest):
        return IN_CONFLICT
    board[B_ORDER, cell] = what
    board[B_LEFT, cell] = ticks_of(kind, what, action[6])
    board[B_DIRECTION, cell] = direction
    if what == PRODUCE:
        board[B_PRODUCT, cell] = action[6]
    if what == ATTACK:  # which ends in this step: the target need not be remembered
        hit(board, action[7], DAMAGE[kind])
    return CARRIED_OUT


@njit(cache=True)
def hit(board, target, damage):
    """Take hit points off a unit, which vanishes when none are left."""
    board[B_HIT_POINTS, target] -= damage
    if board[B_HIT_POINTS, target] <= 0:
        board[:, target] = 0


@njit(cache=True)
def finish(board, counts, cell, size):
    """Carry out the order of the unit on a cell, whose time has come.

    Args:
        board: int16 [LAYERS, cells], changed.
        counts: int64 [2]: stock and step, changed.
        cell: Of the unit.
        size: Cells along one side.
    """
    what = board[B_ORDER, cell]
    ahead = next_cell(cell, board[B_DIRECTION, cell], size)
    product = board[B_PRODUCT, cell]
    board[B_ORDER, cell] = NONE
    board[B_LEFT, cell] = 0
    board[B_DIRECTION, cell] = 0
    board[B_PRODUCT, cell] = 0
    if what == MOVE:
        for layer in range(LAYERS):
            board[layer, ahead] = board[layer, cell]
            board[layer, cell] = 0
    elif what == HARVEST:
        board[B_LOAD, cell] = 1
        board[B_LOAD, ahead] -= 1
        if board[B_LOAD, ahead] <= 0:
            board[:, ahead] = 0
    elif what == RETURN:
        counts[C_STOCK] += board[B_LOAD, cell]
        board[B_LOAD, cell] = 0
    elif what == PRODUCE:
        board[B_KIND, ahead] = 1 + product
        board[B_OWNER, ahead] = OWN
        board[B_HIT_POINTS, ahead] = HIT_POINTS[product]
        counts[C_STOCK] -= COST[product]


@njit(cache=True)
def pass_time(board, counts, size):
    """Let one step of ten ticks pass: orders whose time has come are carried out.

    Which of them comes first does not matter: no two that run together meet.

    Returns:
        Whether a mine has anything left.
    """
    left = False
    for cell in range(board.shape[1]):
        if board[B_LEFT, cell] > 0:
            board[B_LEFT, cell] -= TICKS
            if board[B_LEFT, cell] <= 0:
                finish(board, counts, cell, size)
    for cell in range(board.shape[1]):
        left |= board[B_KIND, cell] == 1 + MINE and board[B_LOAD, cell] > 0
    return left
