"""Every text and every mark can be read on its ground, in both themes (WCAG 2.2, 1.4.3 and 1.4.11)."""

from __future__ import annotations

import re

import pytest

from atlas_lib.present import theme
from atlas_lib.present.report import style

TEXT, MARK = 4.5, 3.0
TEXT_PAIRS = [
    ("ink", "paper"), ("ink", "panel"), ("muted", "paper"), ("muted", "panel"), ("primary", "paper"), ("primary", "panel"),
    ("on-band", "band"), ("on-band-quiet", "band"), ("on-band", "nav"), ("on-band-quiet", "nav"), ("ink", "neutral-bg"),
    *[(tone, f"{tone}-bg") for tone in ("good", "attention", "bad")], *[("ink", f"{t}-bg") for t in ("good", "attention", "bad")],
]  # fmt: skip
MARK_PAIRS = [("field", "paper"), ("focus", "paper"), ("focus", "panel"), ("mark", "nav"), ("mark", "band")]


def colours(selector: str) -> dict[str, str]:
    block = style().split(selector, 1)[1].split("}", 1)[0]
    return dict(re.findall(r"--([a-z-]+): (#[0-9a-f]{6});", block))


def luminance(colour: str) -> float:
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    r, g, b = (p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts)
    return 0.2126 * r + 0.7152 * g + 0.0722 * b


def contrast(one: str, other: str) -> float:
    high, low = sorted((luminance(one), luminance(other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


def test_black_on_white_is_twenty_one_to_one():
    assert contrast("#000000", "#ffffff") == pytest.approx(21.0)


@pytest.mark.parametrize("selector", [":root {", ":root[data-theme=dark] {"], ids=["light", "dark"])
def test_text_and_marks_of_the_pages_have_contrast(selector):
    own = colours(selector)
    thin = {p: contrast(own[p[0]], own[p[1]]) for p in TEXT_PAIRS if contrast(own[p[0]], own[p[1]]) < TEXT}
    thin |= {p: contrast(own[p[0]], own[p[1]]) for p in MARK_PAIRS if contrast(own[p[0]], own[p[1]]) < MARK}
    assert thin == {}


def test_both_themes_name_the_same_colours():
    assert colours(":root {").keys() == colours(":root[data-theme=dark] {").keys()


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_series_of_charts_have_contrast_and_words_on_charts_can_be_read(dark):
    def shown(colour: str) -> str:
        return theme.DARK_COLOURS[colour] if dark else colour

    marks = [*theme.SERIES, *theme.STATUS_COLOURS.values(), theme.PRIMARY, theme.ACCENT]
    assert [c for c in marks if contrast(shown(c), shown(theme.PAPER)) < MARK] == []
    assert [c for c in (theme.INK, theme.MUTED) if contrast(shown(c), shown(theme.PAPER)) < TEXT] == []
