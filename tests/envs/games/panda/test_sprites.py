"""Every sprite is a proper picture at every size, and ghosts are paler."""

from __future__ import annotations

import numpy as np
import pytest

from maskrl.envs.games.panda.sprites import PAINTERS, sprite

MOODS = {"panda": ("calm", "happy", "dizzy"), "tree": ("0", "1", "2"), "turf": tuple("01234567")}


@pytest.mark.parametrize("name", PAINTERS)
@pytest.mark.parametrize("size", [5, 24])
def test_colours_are_premultiplied_and_in_range(name, size):
    for mood in MOODS.get(name, ("calm",)):
        picture = sprite(name, size, mood)
        assert picture.shape == (size, size, 4) and picture.dtype == np.float32
        assert np.isfinite(picture).all()
        alpha = picture[..., 3:]
        assert alpha.min() >= 0 and alpha.max() <= 1 + 1e-5
        assert (picture[..., :3] <= 255 * alpha + 0.01).all()


@pytest.mark.parametrize("name", ["panda", "watermelon", "scorpion", "dragon", "banana", "tree"])
def test_a_size_is_the_same_picture_only_finer(name):
    mood = "0" if name == "tree" else "calm"
    coarse = sprite(name, 16, mood)
    fine = sprite(name, 48, mood).reshape(16, 3, 16, 3, 4).mean(axis=(1, 3))
    assert np.abs(coarse[..., 3] - fine[..., 3]).mean() < 0.02
    assert np.abs(coarse[..., :3] - fine[..., :3]).mean() < 4
    assert 0.15 < coarse[..., 3].mean() < 0.75


def test_moods_differ():
    assert not np.array_equal(sprite("panda", 24, "calm"), sprite("panda", 24, "happy"))
    assert not np.array_equal(sprite("dragon", 24, "calm"), sprite("dragon", 24, "dizzy"))


@pytest.mark.parametrize("name", ["watermelon", "scorpion", "dragon", "banana"])
def test_ghosts_are_paler_and_let_the_grass_through(name):
    seen, ghost = sprite(name, 24), sprite(name, 24, ghost=True)
    assert ghost[..., 3].sum() < 0.85 * seen[..., 3].sum()
    assert ((ghost[..., 3] > 0) == (seen[..., 3] > 0)).all()


def test_sprites_are_kept_and_cannot_be_spoiled():
    picture = sprite("panda", 24)
    assert sprite("panda", 24) is picture
    with pytest.raises(ValueError, match="read-only"):
        picture[0] = 0
