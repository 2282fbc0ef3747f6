"""Colours, type and the one plotly template: calm, printable, readable by colour-blind people.

Series colours are checked for 3:1 contrast on white and for separation under deuteranopia (blue,
orange, green, violet, grey after Okabe and Ito, "Color Universal Design", 2008, darkened).
"""

from __future__ import annotations

from typing import Any

INK, MUTED, LINE, PAPER, PANEL = "#16232f", "#5b6b7a", "#d9e0e6", "#ffffff", "#f5f7f9"
PRIMARY, ACCENT = "#1f5c99", "#0f7b6c"
SERIES = ("#1f5c99", "#c45a00", "#0f7b6c", "#8a4f9e", "#6b7785", "#a8324a")
STATUS_COLOURS = {
    "good": "#1a7f4b",
    "attention": "#b45f06",
    "bad": "#b3261e",
    "neutral": "#5b6b7a",
}
_STATUS_WORDS = {
    "good": "ready balanced passed settled completed matched confirmed accepted ok complete reconciled none clear",
    "attention": "alert watch warn warning attention delayed partial deferred duplicate suggested medium review",
    "bad": "blocked residual breach failed unmatched error rejected conflict high refused incomplete breaks stop",
}
# What each colour of a chart becomes on the dark paper; a test holds both to the same contrast.
DARK_COLOURS = {
    INK: "#e8eef3", MUTED: "#a3b2bf", LINE: "#33424f", PAPER: "#16202a", PANEL: "#0f1820",
    "#1f5c99": "#6aabec", "#c45a00": "#f08a3c", "#0f7b6c": "#3fbfa9", "#8a4f9e": "#c594d6", "#6b7785": "#9aa8b5",
    "#a8324a": "#f07f93", "#1a7f4b": "#4fc18a", "#b45f06": "#f0a44a", "#b3261e": "#f5867e",
}  # fmt: skip
FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, sans-serif"


def status_tone(word: str) -> str:
    """good, attention, bad or neutral: the tone a status word is shown in."""
    folded = word.strip().lower()
    return next((tone for tone, words in _STATUS_WORDS.items() if folded in words.split()), "neutral")


def plotly_layout() -> dict[str, Any]:
    """The layout every figure starts from; small, because it is stored with each figure."""
    axis = {"gridcolor": LINE, "linecolor": LINE, "zerolinecolor": MUTED, "automargin": True, "title": {"standoff": 12}}
    return {
        "font": {"family": FONT, "size": 13, "color": INK},
        "title": {"x": 0, "xref": "paper", "xanchor": "left", "font": {"size": 16}, "yref": "container", "y": 0.97, "yanchor": "top"},
        "paper_bgcolor": PAPER,
        "plot_bgcolor": PAPER,
        "colorway": list(SERIES),
        "margin": {"l": 60, "r": 24, "t": 64, "b": 48},
        "height": 380,
        "legend": {"orientation": "h", "y": 1.0, "yanchor": "bottom", "x": 0, "xanchor": "left"},
        "hoverlabel": {"bgcolor": INK, "font": {"color": PAPER, "family": FONT}},
        "modebar": {"bgcolor": "rgba(0,0,0,0)", "color": MUTED, "activecolor": PRIMARY, "remove": ["sendChartToCloud", "logo", "lasso2d", "select2d"]},
        "separators": ".,",
        "xaxis": axis,
        "yaxis": axis,
        "template": {},
    }  # fmt: skip
