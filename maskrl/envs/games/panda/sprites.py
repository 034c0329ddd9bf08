"""The inhabitants of the panda's world, painted from shapes at any size.

Each painter draws one inhabitant on a transparent canvas that spans [-1, 1]; the
numbers in it are a drawing and nothing else. `sprite` gives the finished picture,
painted once per name and size and kept. Hidden creatures are ghosts: pale,
hatched and translucent. Stunned ones have crosses for eyes and stars above them.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from maskrl.envs.games.shapes import (
    Canvas,
    Colour,
    Distance,
    Point,
    circle,
    common,
    ellipse,
    melt,
    path,
    polygon,
    ring,
    smooth,
    star,
    stroke,
    union,
    without,
)

INK: Colour = (46, 38, 52)
WHITE: Colour = (255, 255, 255)
SHADOW: Colour = (24, 48, 24)


def _shadow(c: Canvas, centre: Point = (0.0, 0.84), radii: Point = (0.62, 0.16)) -> None:
    """A soft shadow on the grass."""
    c.soften(ellipse(c.x, c.y, centre, radii), SHADOW, opacity=0.34, reach=0.16)


def _cross(c: Canvas, centre: Point, size: float, colour: Colour) -> None:
    """A cross, as dizzy eyes have it."""
    x, y = centre
    for sign in (-1, 1):
        bar = stroke(c.x, c.y, (x - size, y - sign * size), (x + size, y + sign * size), size * 0.4)
        c.fill(bar, colour)


def _smile(c: Canvas, centre: Point, radius: float, width: float, colour: Colour) -> None:
    """The lower part of a circle's edge."""
    arc = ring(circle(c.x, c.y, centre, radius), width)
    c.fill(common(arc, centre[1] + radius * 0.25 - c.y), colour)


def panda(c: Canvas, mood: str = "calm") -> None:
    """The panda: a big head on a small sitting body; mood is calm, happy or dizzy."""
    black, shade = (43, 40, 48), (226, 226, 234)
    _shadow(c, (0, 0.9), (0.66, 0.13))
    ears = union(*(circle(c.x, c.y, (s * 0.52, -0.66), 0.235) for s in (-1, 1)))
    head = ellipse(c.x, c.y, (0, -0.2), (0.7, 0.575))
    body = ellipse(c.x, c.y, (0, 0.6), (0.45, 0.34))
    arms = union(*(stroke(c.x, c.y, (s * 0.4, 0.4), (s * 0.5, 0.6), 0.14) for s in (-1, 1)))
    feet = union(*(ellipse(c.x, c.y, (s * 0.32, 0.81), (0.22, 0.15), s * -12) for s in (-1, 1)))
    c.figure(
        [(ears, black), (body, WHITE), (arms, black), (feet, black), (head, shade)],
        INK,
    )
    c.fill(common(head, ellipse(c.x, c.y, (0, -0.27), (0.72, 0.56))), WHITE)
    for s in (-1, 1):
        c.fill(circle(c.x, c.y, (s * 0.52, -0.67), 0.11), (82, 76, 88))
        c.fill(ellipse(c.x, c.y, (s * 0.32, 0.82), (0.1, 0.07), s * -12), (196, 150, 160))
    for s in (-1, 1):
        patch = ellipse(c.x, c.y, (s * 0.29, -0.17), (0.155, 0.21), s * 28)
        c.fill(patch, black)
        c.soften(circle(c.x, c.y, (s * 0.47, 0.06), 0.1), (255, 140, 150), 0.55, 0.12)
        eye = (s * 0.265, -0.18)
        if mood == "dizzy":
            _cross(c, eye, 0.075, WHITE)
        elif mood == "happy":
            lid = ring(circle(c.x, c.y, (eye[0], eye[1] + 0.05), 0.09), 0.055)
            c.fill(common(lid, c.y - eye[1] - 0.04), WHITE)
        else:
            c.fill(circle(c.x, c.y, eye, 0.095), WHITE)
            c.fill(circle(c.x, c.y, (eye[0] - s * 0.012, eye[1] + 0.012), 0.078), (66, 40, 30))
            c.fill(circle(c.x, c.y, (eye[0] - s * 0.012, eye[1] + 0.012), 0.05), (18, 14, 18))
            c.fill(circle(c.x, c.y, (eye[0] + 0.02, eye[1] - 0.026), 0.034), WHITE)
    c.fill(ellipse(c.x, c.y, (0, 0.035), (0.1, 0.065)), INK)
    if mood == "dizzy":
        c.fill(ring(ellipse(c.x, c.y, (0, 0.19), (0.07, 0.05)), 0.04), INK)
    elif mood == "happy":
        mouth = common(ellipse(c.x, c.y, (0, 0.11), (0.16, 0.17)), 0.125 - c.y)
        c.fill(mouth, (150, 52, 66))
    else:
        for s in (-1, 1):
            _smile(c, (s * 0.075, 0.11), 0.08, 0.04, INK)


def watermelon(c: Canvas, mood: str = "calm") -> None:
    """A slice of watermelon, lying on its round side."""
    _shadow(c, (0, 0.74), (0.6, 0.14))
    x, y = c.turned(-14)
    flat = -0.32 - y
    half = [common(circle(x, y, (0, -0.32), radius), flat) for radius in (0.92, 0.83, 0.76, 0.7)]
    c.figure([(half[0], (34, 120, 58))], INK, 0.055)
    stripes = np.sin(np.arctan2(y + 0.32, x) * 18) * 0.06
    c.fill(common(half[0], -half[1] - 0.005, stripes.astype(np.float32)), (22, 92, 44))
    c.fill(half[1], (190, 226, 140))
    c.fill(half[2], (250, 240, 214))
    c.fill(half[3], (240, 72, 84))
    c.soften(common(half[3], circle(x, y, (0, -0.55), 0.6)), (255, 116, 116), 0.8, 0.3)
    seeds = (
        (-0.42, -0.13, 24),
        (-0.16, 0.12, 8),
        (0.16, 0.12, -8),
        (0.42, -0.13, -24),
        (0, -0.16, 0),
    )
    for sx, sy, lean in seeds:
        c.fill(ellipse(x, y, (sx, sy), (0.045, 0.08), lean), (58, 26, 34))


def scorpion(c: Canvas, mood: str = "calm") -> None:
    """The scorpion seen from the front: pincers raised, tail curled over its back."""
    shell, pale, dark = (206, 106, 44), (240, 158, 84), (150, 66, 30)
    _shadow(c, (0, 0.76), (0.74, 0.16))
    bends = smooth([(0.0, 0.2), (0.44, 0.06), (0.5, -0.66), (0.0, -0.88), (-0.2, -0.56)], 3)
    tail = path(c.x, c.y, bends, 0.15, 0.085)
    sting = polygon(c.x, c.y, [(-0.32, -0.62), (-0.06, -0.56), (-0.26, -0.26)]) - 0.02
    legs = []
    for s in (-1, 1):
        for lift, reach in ((0.36, 0.72), (0.52, 0.76), (0.66, 0.62)):
            line = [(s * 0.25, lift), (s * reach, lift - 0.06), (s * (reach + 0.1), lift + 0.18)]
            legs.append(path(c.x, c.y, line, 0.05))
    arms, claws = [], []
    for s in (-1, 1):
        arms.append(path(c.x, c.y, [(s * 0.3, 0.3), (s * 0.6, 0.2), (s * 0.7, 0.04)], 0.075))
        x, y = c.turned(s * 14, (s * 0.74, -0.12))
        bite = polygon(x, y, [(s * 0.66, -0.5), (s * 0.74, -0.08), (s * 0.76, -0.5)])
        claws.append(without(ellipse(x, y, (s * 0.74, -0.12), (0.17, 0.25)), bite - 0.02))
    body = ellipse(c.x, c.y, (0, 0.42), (0.44, 0.36))
    c.figure(
        [
            (tail, shell),
            (sting, dark),
            (union(*legs), dark),
            (union(*arms), shell),
            (union(*claws), shell),
            (body, shell),
        ],
        INK,
    )
    for place in range(2, len(bends) - 2, 3):
        c.fill(common(tail, circle(c.x, c.y, bends[place], 0.05)), pale)
    for s in (-1, 1):
        c.fill(ellipse(c.x, c.y, (s * 0.72, 0.0), (0.07, 0.05)), pale)
    c.fill(common(body, ellipse(c.x, c.y, (0, 0.3), (0.4, 0.26))), pale)
    c.fill(common(body, ellipse(c.x, c.y, (0, 0.36), (0.4, 0.26))), shell)
    for s in (-1, 1):
        if mood == "dizzy":
            _cross(c, (s * 0.17, 0.34), 0.08, INK)
        else:
            c.fill(circle(c.x, c.y, (s * 0.17, 0.34), 0.115), WHITE)
            c.fill(circle(c.x, c.y, (s * 0.15, 0.36), 0.062), INK)
            brow = stroke(c.x, c.y, (s * 0.3, 0.16), (s * 0.06, 0.27), 0.04)
            c.fill(brow, dark)
    _smile(c, (0, 0.5), 0.1, 0.045, INK)


def dragon(c: Canvas, mood: str = "calm") -> None:
    """The dragon: bat wings, two horns, a pale belly and a little smoke."""
    skin, deep, belly = (132, 84, 196), (92, 52, 152), (246, 214, 140)
    _shadow(c, (0, 0.88), (0.62, 0.13))
    wings = []
    for s in (-1, 1):
        edge = [(0.2, 0.2), (0.5, -0.42), (0.91, -0.56), (0.9, 0.12), (0.76, -0.02), (0.67, 0.3)]
        edge += [(0.54, 0.12), (0.4, 0.42)]
        wings.append(polygon(c.x, c.y, [(s * px, py) for px, py in edge]) - 0.02)
    horns = union(
        *(
            path(
                c.x, c.y, smooth([(s * 0.26, -0.6), (s * 0.42, -0.7), (s * 0.4, -0.92)]), 0.1, 0.02
            )
            for s in (-1, 1)
        )
    )
    spikes = star(c.x, c.y, (0, -0.74), 0.17, 3, 0.5)
    tail_line = smooth([(0.2, 0.72), (0.58, 0.86), (0.77, 0.6)])
    tail = path(c.x, c.y, tail_line, 0.13, 0.05)
    tip = polygon(c.x, c.y, [(0.63, 0.62), (0.8, 0.38), (0.91, 0.66)])
    body = ellipse(c.x, c.y, (0, 0.5), (0.42, 0.4))
    feet = union(*(ellipse(c.x, c.y, (s * 0.25, 0.85), (0.19, 0.11)) for s in (-1, 1)))
    head = melt(
        ellipse(c.x, c.y, (0, -0.36), (0.46, 0.36)), ellipse(c.x, c.y, (0, -0.1), (0.38, 0.23)), 0.1
    )
    c.figure(
        [
            (union(*wings), deep),
            (tail, skin),
            (tip, (240, 122, 70)),
            (horns, (252, 232, 190)),
            (spikes, (240, 122, 70)),
            (body, skin),
            (feet, deep),
            (head, skin),
        ],
        INK,
    )
    for s in (-1, 1):
        for end in ((0.9, -0.4), (0.72, 0.16)):
            bone = stroke(c.x, c.y, (s * 0.46, -0.1), (s * end[0], end[1]), 0.02)
            c.fill(common(bone, union(*wings), -head), skin)
    front = common(ellipse(c.x, c.y, (0, 0.58), (0.26, 0.32)), -head - 0.03)
    c.fill(front, belly)
    for level in (0.4, 0.56, 0.72):
        bar = stroke(c.x, c.y, (-0.2, level), (0.2, level), 0.018)
        c.fill(
            common(bar, ellipse(c.x, c.y, (0, 0.58), (0.26, 0.32)), -head - 0.03), (214, 166, 96)
        )
    c.fill(ellipse(c.x, c.y, (0, -0.03), (0.33, 0.14)), (160, 116, 220))
    for s in (-1, 1):
        eye = (s * 0.2, -0.38)
        if mood == "dizzy":
            _cross(c, eye, 0.085, WHITE)
        else:
            c.fill(ellipse(c.x, c.y, eye, (0.115, 0.13)), (255, 222, 74))
            c.fill(ellipse(c.x, c.y, (eye[0], eye[1] + 0.01), (0.038, 0.105)), INK)
            c.fill(stroke(c.x, c.y, (s * 0.34, -0.56), (s * 0.08, -0.45), 0.035), deep)
        c.fill(ellipse(c.x, c.y, (s * 0.11, -0.09), (0.035, 0.045), s * -20), deep)
        fang = polygon(c.x, c.y, [(s * 0.12, 0.05), (s * 0.22, 0.04), (s * 0.17, 0.14)])
        c.fill(fang, WHITE)
    c.fill(path(c.x, c.y, smooth([(-0.24, 0.02), (0, 0.1), (0.24, 0.02)]), 0.02), INK)


def _one_banana(c: Canvas, x: Distance, y: Distance) -> None:
    """One banana, smiling, on the coordinates given."""
    curve = smooth([(-0.7, -0.34), (-0.5, 0.3), (0.1, 0.52), (0.72, 0.16)], 4)
    half = len(curve) // 2
    peel = union(path(x, y, curve[: half + 1], 0.1, 0.235), path(x, y, curve[half:], 0.235, 0.09))
    stem = path(x, y, [(-0.7, -0.34), (-0.72, -0.52)], 0.075)
    end = circle(x, y, (0.76, 0.13), 0.085)
    c.figure([(stem, (122, 92, 34)), (end, (104, 78, 34)), (peel, (255, 214, 56))], INK, 0.06)
    inner = path(x, y, [(px * 0.88 + 0.03, py * 0.86 - 0.04) for px, py in curve[3:-3]], 0.055)
    c.fill(common(inner, peel), (255, 240, 138))
    lower = path(x, y, [(px, py + 0.14) for px, py in curve[5:-4]], 0.05)
    c.fill(common(lower, peel + 0.01), (232, 172, 34))


def banana(c: Canvas, mood: str = "calm") -> None:
    """A banana on the ground."""
    _shadow(c, (0.02, 0.62), (0.56, 0.14))
    _one_banana(c, *c.turned(-8))


def held_banana(c: Canvas, mood: str = "calm") -> None:
    """A banana in the air or in a paw, without a shadow."""
    _one_banana(c, *c.turned(-62))


def tree(c: Canvas, mood: str = "0") -> None:
    """A round tree; mood "0", "1" or "2" is its growth."""
    turn = int(mood)
    _shadow(c, (0.04, 0.84), (0.66, 0.16))
    trunk = polygon(c.x, c.y, [(-0.15, 0.2), (0.15, 0.2), (0.17, 0.84), (-0.17, 0.84)]) - 0.04
    sizes = ((0.0, -0.38, 0.5), (-0.42, -0.05, 0.4), (0.42, -0.06, 0.4), (0.0, 0.14, 0.42))
    sway = (0.0, 0.05, -0.05)[turn]
    crown = union(
        *(circle(c.x, c.y, (cx + sway * (1 - cy), cy + 0.02 * turn), r) for cx, cy, r in sizes)
    )
    c.figure([(trunk, (124, 82, 50)), (crown, (38, 110, 62))], (22, 58, 38), 0.05)
    c.fill(common(trunk, c.x + 0.06, -crown - 0.05), (150, 104, 66))
    light = union(
        *(
            circle(c.x, c.y, (cx * 0.9 - 0.05 + sway * (1 - cy), cy - 0.09), r * 0.8)
            for cx, cy, r in sizes
        )
    )
    c.fill(common(light, crown), (58, 142, 76))
    for cx, cy, r in ((-0.2, -0.52, 0.2), (-0.52, -0.14, 0.14), (0.34, -0.2, 0.14)):
        c.fill(common(circle(c.x, c.y, (cx + sway, cy), r), crown), (98, 178, 96))
    for k, (cx, cy) in enumerate(
        ((0.22, -0.5), (-0.2, 0.06), (0.5, 0.06), (-0.46, 0.14), (0.1, 0.3))
    ):
        if (k + turn) % 3 != 2:
            c.fill(circle(c.x, c.y, (cx + sway, cy), 0.05), (30, 94, 54))


def stars(c: Canvas, mood: str = "calm") -> None:
    """Three stars on a ring, above whoever was hit."""
    orbit = ring(ellipse(c.x, c.y, (0, -0.66), (0.62, 0.2)), 0.05)
    c.fill(orbit, WHITE, 0.75)
    for place, radius in (((-0.6, -0.62), 0.25), ((0.58, -0.7), 0.22), ((0.04, -0.5), 0.29)):
        shape = star(c.x, c.y, place, radius) - 0.02
        c.figure([(shape, (255, 216, 60))], INK, 0.05)


def burst(c: Canvas, mood: str = "calm") -> None:
    """Where a banana came down."""
    c.figure([(star(c.x, c.y, (0, 0), 0.92, 11, 0.62), (255, 236, 150))], (232, 150, 40), 0.05)
    c.fill(star(c.x, c.y, (0, 0), 0.6, 11, 0.62), (255, 252, 226))


def paw(c: Canvas, mood: str = "calm") -> None:
    """Two prints of the panda's feet, pointing up."""
    for s in (-1, 1):
        heel = ellipse(c.x, c.y, (s * 0.3, s * 0.26 + 0.1), (0.13, 0.11))
        toes = [
            circle(c.x, c.y, (s * 0.3 + t * 0.115, s * 0.26 - 0.09 + abs(t) * 0.05), 0.05)
            for t in (-1, 0, 1)
        ]
        c.fill(union(heel, *toes), (40, 84, 40), 0.55)


def turf(c: Canvas, mood: str = "0") -> None:
    """What grows on a tile of grass: blades, and on some tiles flowers or pebbles."""
    kind = int(mood)
    places = np.random.default_rng(kind).uniform(-0.72, 0.72, (9, 2))
    for number, (px, py) in enumerate(places[: (0, 2, 3, 2, 3, 1, 2, 0)[kind]]):
        colour = ((112, 166, 74), (176, 214, 124))[number % 2]
        for lean in (-0.09, 0.0, 0.09):
            tip = (px + lean, py - 0.15 + abs(lean) * 0.5)
            c.fill(stroke(c.x, c.y, (px + lean * 0.3, py), tip, 0.032, 0.015), colour)
    if kind in (3, 6):
        for px, py in places[6:8]:
            petals = [
                circle(c.x, c.y, (px + 0.075 * np.cos(turn), py + 0.075 * np.sin(turn)), 0.055)
                for turn in np.arange(5) * 2 * np.pi / 5
            ]
            c.fill(union(*petals), (255, 252, 240) if kind == 3 else (250, 196, 214))
            c.fill(circle(c.x, c.y, (px, py), 0.045), (246, 196, 66))
    if kind == 5:
        px, py = places[8]
        c.fill(ellipse(c.x, c.y, (px, py), (0.13, 0.09)), (140, 152, 130))
        c.fill(ellipse(c.x, c.y, (px - 0.02, py - 0.025), (0.1, 0.06)), (176, 186, 166))


def dot(c: Canvas, mood: str = "calm") -> None:
    """One spot of the path that a banana flew."""
    c.figure([(circle(c.x, c.y, (0, 0), 0.7), (255, 244, 190))], (150, 104, 30), 0.2)


def heart(c: Canvas, mood: str = "calm") -> None:
    """A heart, for a panda that has its watermelon."""
    bumps = union(*(circle(c.x, c.y, (s * 0.36, -0.2), 0.42) for s in (-1, 1)))
    tip = polygon(c.x, c.y, [(-0.72, 0.02), (0.72, 0.02), (0, 0.78)])
    shape = melt(bumps, tip, 0.1)
    c.figure([(shape, (244, 84, 112))], INK, 0.1)
    c.fill(circle(c.x, c.y, (-0.4, -0.28), 0.13), (255, 180, 192))


def unseen(c: Canvas, mood: str = "calm") -> None:
    """An eye that is crossed out."""
    c.figure([(circle(c.x, c.y, (0, 0), 0.84), (250, 250, 252))], INK, 0.1)
    lid = common(circle(c.x, c.y, (0, 0.42), 0.74), circle(c.x, c.y, (0, -0.42), 0.74))
    c.fill(ring(lid, 0.13), INK)
    c.fill(circle(c.x, c.y, (0, 0), 0.2), INK)
    c.fill(stroke(c.x, c.y, (-0.52, 0.52), (0.52, -0.52), 0.17), (250, 250, 252))
    c.fill(stroke(c.x, c.y, (-0.52, 0.52), (0.52, -0.52), 0.09), (206, 48, 62))


def gaze(c: Canvas, mood: str = "calm") -> None:
    """A small arrow head at the upper edge: who stands there looks up."""
    tip = polygon(c.x, c.y, [(-0.24, -0.76), (0, -0.98), (0.24, -0.76)])
    c.figure([(tip, (255, 248, 214))], INK, 0.05)


PAINTERS: dict[str, Callable[[Canvas, str], None]] = {
    "panda": panda,
    "watermelon": watermelon,
    "scorpion": scorpion,
    "dragon": dragon,
    "banana": banana,
    "held_banana": held_banana,
    "tree": tree,
    "stars": stars,
    "burst": burst,
    "paw": paw,
    "turf": turf,
    "dot": dot,
    "heart": heart,
    "unseen": unseen,
    "gaze": gaze,
}


@lru_cache(maxsize=512)
def sprite(name: str, size: int, mood: str = "calm", ghost: bool = False) -> NDArray[np.float32]:
    """The picture of one inhabitant, painted once per combination and then kept.

    Args:
        name: A key of `PAINTERS`.
        size: Pixels along one side.
        mood: How it looks; what it means is up to the painter.
        ghost: Paint it as something that is there but not seen.

    Returns:
        Read-only float32 [size, size, 4]: colours 0..255 times alpha, and alpha 0..1.
    """
    canvas = Canvas(size, supersample=min(6, max(2, 160 // size)))
    PAINTERS[name](canvas, mood)
    picture = _ghost(canvas.finish()) if ghost else canvas.finish()
    picture.setflags(write=False)
    return picture


def _ghost(picture: NDArray[np.float32]) -> NDArray[np.float32]:
    """Pale, hatched and translucent."""
    size = picture.shape[0]
    alpha = picture[..., 3:]
    colour = 0.64 * picture[..., :3] + 0.36 * alpha * np.array([226, 232, 250], np.float32)
    stripe = max(4, round(size / 7))
    across, down = np.meshgrid(np.arange(size), np.arange(size))
    phase = ((across + down) % stripe) / stripe
    hatch = np.where(np.abs(phase - 0.5) < 0.25, 0.92, 0.48).astype(np.float32)
    return np.concatenate((colour, alpha), axis=-1) * hatch[..., None]
