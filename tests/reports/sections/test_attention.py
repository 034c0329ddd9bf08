"""Attention maps on the page: both scenes, both masks, every layer and head."""

from __future__ import annotations

from maskrl.reports.sections.attention import attention_section


def test_two_scenes_with_and_without_mask(panda_live):
    section = attention_section(panda_live.scenes)
    assert list(section.figures) == [
        "map-open-without",
        "map-open-with",
        "map-trees-without",
        "map-trees-with",
    ]
    assert section.data == {"maps": list(section.figures)}
    # 2 layers x (mean and 4 heads), for two masks where there is one
    assert len(section.figures["map-trees-without"].data) == 10
    under = section.figures["map-trees-with"].data
    assert [trace.meta["mask"] for trace in under] == ["sight"] * 10 + ["observer"] * 10
    for figure in section.figures.values():
        assert [trace.visible for trace in figure.data].count(True) == 1


def test_captions_state_what_the_mask_changes(panda_live):
    html = attention_section(panda_live.scenes).html
    assert "the maps are exactly equal" in html
    assert "the scorpion is hidden from the panda" in html


def test_without_scenes_there_is_no_section():
    assert attention_section(()) is None
