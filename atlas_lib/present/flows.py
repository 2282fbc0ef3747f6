"""Sankey views: who pays whom, alone or as it was beside how it is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from atlas_lib.present import theme
from atlas_lib.present.charts import Chart, labels_of, nothing_to_draw, units_of


def plot_flows(
    frames: Mapping[str, pd.DataFrame],
    source: str,
    target: str,
    ys: Mapping[str, str],
    *,
    title: str,
    currency: str = "",
    limit: int = 40,
) -> Chart:
    """Sankey views side by side, each under its name: who pays (left) whom (right), one band per column of `ys` (column to legend text).

    Of each view the largest rows are drawn, as many as `limit` says; the text says how many are left out. A single view
    needs no name.
    """
    totals = {name: frame[list(ys)].sum(axis=1) for name, frame in frames.items()}
    moving = {name: frame.assign(_all=totals[name])[totals[name] > 0] for name, frame in frames.items()}
    moving = {name: f.sort_values("_all", ascending=False, kind="stable") for name, f in moving.items() if len(f)}
    if not moving:
        return nothing_to_draw(title)
    shown = {name: f.head(limit) for name, f in moving.items()}
    drawn = [
        _sankey(f, source, target, ys, currency, [i / len(shown) + 0.03 * (i > 0), (i + 1) / len(shown)])
        for i, f in enumerate(shown.values())
    ]
    key = [
        {"type": "scatter", "x": [None], "y": [None], "mode": "markers", "name": text, "marker": {"color": colour}}
        for text, colour in zip(ys.values(), theme.SERIES, strict=False)
    ]
    heads = [
        {"text": ", ".join(filter(None, (name, currency))), "showarrow": False, "xref": "paper", "yref": "paper", "x": trace["domain"]["x"][0], "y": -0.02, "yanchor": "top",
         "xanchor": "left", "font": {"color": theme.MUTED}}
        for name, trace in zip(shown, drawn, strict=True) if name
    ]  # fmt: skip
    tallest = max(max(f[source].nunique(), f[target].nunique()) for f in shown.values())
    hidden = {"visible": False}
    layout = {
        "title": {"text": title}, "height": max(300, 120 + 28 * tallest), "xaxis": hidden, "yaxis": hidden,
        "annotations": heads,
    }  # fmt: skip
    told = (_flows_told(name, len(moving[name]), len(shown[name])) for name in shown)
    return Chart([*drawn, *key], layout, f"{title}: {'; '.join(told)}; {', '.join(ys.values())}.")


def _flows_told(name: str, count: int, shown: int) -> str:
    more = f", {count - shown} smaller ones left out" if count > shown else ""
    return f"{name + ' ' if name else ''}{shown} pairs of accounts{more}"


def _sankey(
    frame: pd.DataFrame, source: str, target: str, ys: Mapping[str, str], currency: str, across: list[float]
) -> dict[str, Any]:
    left, right = (sorted(set(labels_of(frame[side]))) for side in (source, target))
    place = {("left", name): i for i, name in enumerate(left)}
    place |= {("right", name): len(left) + i for i, name in enumerate(right)}
    ends = list(zip(labels_of(frame[source]), labels_of(frame[target]), strict=True))
    rows = [
        (a, b, v, text, colour)
        for (column, text), colour in zip(ys.items(), theme.SERIES, strict=False)
        for (a, b), v in zip(ends, units_of(frame, column, currency), strict=True)
        if v
    ]
    link = {
        "source": [place["left", a] for a, *_ in rows], "target": [place["right", b] for _, b, *_ in rows],
        "value": [r[2] for r in rows], "label": [r[3] for r in rows], "color": [f"{r[4]}80" for r in rows],
    }  # fmt: skip
    node = {"label": left + right, "color": theme.MUTED, "pad": 18, "thickness": 12}
    return {"type": "sankey", "node": node, "link": link, "valuesuffix": f" {currency}", "domain": {"x": across}}
