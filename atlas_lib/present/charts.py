"""Charts of finished tables: one function per kind of picture, each with a text alternative.

Amounts arrive in minor units and are drawn in units of their currency. A chart is kept as plotly
JSON and needs no script of its own; who shows it (JupyterLab, Voilà, the report) draws it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from atlas_lib.core.money import exponent
from atlas_lib.present import theme

_MIME = "application/vnd.plotly.v1+json"


class Chart:
    """A plotly figure as plain data, with the sentence that says what it shows."""

    def __init__(self, traces: Sequence[Mapping[str, Any]], layout: Mapping[str, Any], text: str) -> None:
        self.figure: dict[str, Any] = {
            "data": [dict(t) for t in traces],
            "layout": theme.plotly_layout() | {"meta": {"alt": text}},
        }
        self.text = text
        for key, value in layout.items():
            base = self.figure["layout"].get(key)
            self.figure["layout"][key] = base | value if isinstance(base, dict) and isinstance(value, dict) else value

    def _repr_mimebundle_(self, **_: object) -> dict[str, Any]:
        config = {"displaylogo": False, "responsive": True}
        return {_MIME: self.figure | {"config": config}, "text/plain": self.text}


def plot_bars(
    frame: pd.DataFrame,
    x: str,
    y: str,
    *,
    title: str,
    currency: str = "",
    horizontal: bool = False,
    colours: Sequence[str] | None = None,
) -> Chart:
    """One bar per row; amounts (`*_minor`) in units of the currency."""
    if frame.empty:
        return _nothing(title)
    values, labels = _values(frame, y, currency), _labels(frame[x])
    trace: dict[str, Any] = {"type": "bar", "marker": {"color": list(colours) if colours else theme.PRIMARY}}
    trace |= {"x": values, "y": labels, "orientation": "h"} if horizontal else {"x": labels, "y": values}
    value_axis, label_axis = ("xaxis", "yaxis") if horizontal else ("yaxis", "xaxis")
    layout: dict[str, Any] = {
        "title": {"text": title},
        value_axis: _axis(y, currency),
        label_axis: {"type": "category"},
    }
    if horizontal:
        layout |= {"yaxis": {"type": "category", "autorange": "reversed"}, "height": max(240, 120 + 26 * len(frame))}
    return Chart([trace], layout, f"{title}: {len(frame)} bars, largest {labels[values.index(max(values))]}.")


def plot_stacked(
    frame: pd.DataFrame, x: str, ys: Mapping[str, str], *, title: str, currency: str = "", unit: str = ""
) -> Chart:
    """Stacked bars: `ys` maps column to legend text; `unit` names the value axis where the columns do not."""
    if frame.empty:
        return _nothing(title)
    traces = [
        {"type": "bar", "name": text, "x": _labels(frame[x]), "y": _values(frame, column, currency)}
        for column, text in ys.items()
    ]
    layout = {
        "title": {"text": title},
        "barmode": "relative",
        "yaxis": _axis(next(iter(ys)), currency) | ({"title": {"text": unit}} if unit else {}),
        "xaxis": _label_axis(frame[x]),
    }
    return Chart(traces, layout, f"{title}: {', '.join(ys.values())} over {len(frame)} {x.replace('_', ' ')} values.")


def plot_lines(frame: pd.DataFrame, x: str, ys: Mapping[str, str], *, title: str, currency: str = "") -> Chart:
    """One line per column of `ys` (column to legend text)."""
    if frame.empty:
        return _nothing(title)
    traces = [
        {
            "type": "scatter",
            "mode": "lines",
            "name": text,
            "x": _labels(frame[x]),
            "y": _values(frame, column, currency),
            "line": {"width": 2.5},
        }
        for column, text in ys.items()
    ]
    layout = {
        "title": {"text": title},
        "yaxis": _axis(next(iter(ys)), currency),
        "xaxis": _label_axis(frame[x]),
        "hovermode": "x unified",
    }
    return Chart(traces, layout, f"{title}: {', '.join(ys.values())} over {len(frame)} {x.replace('_', ' ')} values.")


def plot_timeline(frame: pd.DataFrame, row: str, start: str, end: str, status: str, *, title: str) -> Chart:
    """A Gantt view: one bar per row from start to end (dates), coloured by status."""
    if frame.empty:
        return _nothing(title)
    traces = []
    for word, part in frame.groupby(status, sort=True):
        first, last = pd.to_datetime(part[start]), pd.to_datetime(part[end])
        length = (last - first).dt.total_seconds() * 1000
        colour = theme.STATUS_COLOURS[theme.status_tone(str(word))]
        traces.append(
            {
                "type": "bar",
                "orientation": "h",
                "name": str(word),
                "y": _labels(part[row]),
                "base": _labels(first),
                "x": length.tolist(),
                "marker": {"color": colour},
            }
        )
    layout = {"title": {"text": title}, "barmode": "overlay", "xaxis": _day_axis(frame, start, end), "yaxis": {"type": "category", "autorange": "reversed"}, "height": max(260, 130 + 24 * frame[row].nunique())}  # fmt: skip
    return Chart(traces, layout, f"{title}: {len(frame)} bars by {status}.")


def plot_waterfall(steps: pd.DataFrame, *, title: str, currency: str) -> Chart:
    """How an amount comes about; columns label, amount_minor, is_total."""
    if steps.empty:
        return _nothing(title)
    measure = ["absolute" if i == 0 else "total" if t else "relative" for i, t in enumerate(steps["is_total"])]
    trace = {
        "type": "waterfall", "x": _labels(steps["label"]), "y": _values(steps, "amount_minor", currency), "measure": measure,
        "increasing": {"marker": {"color": theme.ACCENT}}, "decreasing": {"marker": {"color": theme.SERIES[1]}},
        "totals": {"marker": {"color": theme.PRIMARY}}, "connector": {"line": {"color": theme.LINE}},
    }  # fmt: skip
    return Chart(
        [trace],
        {"title": {"text": title}, "yaxis": _axis("amount_minor", currency), "showlegend": False},
        f"{title}: {len(steps)} steps.",
    )


def plot_flows(
    frame: pd.DataFrame,
    source: str,
    target: str,
    ys: Mapping[str, str],
    *,
    title: str,
    currency: str = "",
    limit: int = 40,
) -> Chart:
    """A Sankey view: who pays (left) whom (right), one band per column of `ys` (column to legend text).

    The largest rows are drawn, as many as `limit` says; the text says how many are left out.
    """
    return plot_changed_flows({"": frame}, source, target, ys, title=title, currency=currency, limit=limit)


def plot_changed_flows(
    frames: Mapping[str, pd.DataFrame],
    source: str,
    target: str,
    ys: Mapping[str, str],
    *,
    title: str,
    currency: str = "",
    limit: int = 40,
) -> Chart:
    """Sankey views side by side, each under its name, as before and after netting; otherwise as `plot_flows`."""
    totals = {name: frame[list(ys)].sum(axis=1) for name, frame in frames.items()}
    moving = {name: frame.assign(_all=totals[name])[totals[name] > 0] for name, frame in frames.items()}
    moving = {name: f.sort_values("_all", ascending=False, kind="stable") for name, f in moving.items() if len(f)}
    if not moving:
        return _nothing(title)
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
        {"text": name, "showarrow": False, "xref": "paper", "yref": "paper", "x": trace["domain"]["x"][0], "y": -0.02, "yanchor": "top",
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
    left, right = (sorted(set(_labels(frame[side]))) for side in (source, target))
    place = {("left", name): i for i, name in enumerate(left)}
    place |= {("right", name): len(left) + i for i, name in enumerate(right)}
    ends = list(zip(_labels(frame[source]), _labels(frame[target]), strict=True))
    rows = [
        (a, b, v, text, colour)
        for (column, text), colour in zip(ys.items(), theme.SERIES, strict=False)
        for (a, b), v in zip(ends, _values(frame, column, currency), strict=True)
        if v
    ]
    link = {
        "source": [place["left", a] for a, *_ in rows], "target": [place["right", b] for _, b, *_ in rows],
        "value": [r[2] for r in rows], "label": [r[3] for r in rows], "color": [f"{r[4]}80" for r in rows],
    }  # fmt: skip
    node = {"label": left + right, "color": theme.MUTED, "pad": 8, "thickness": 12}
    return {"type": "sankey", "node": node, "link": link, "valuesuffix": f" {currency}", "domain": {"x": across}}


def _values(frame: pd.DataFrame, column: str, currency: str) -> list[float]:
    digits = exponent(currency) if column.endswith("_minor") else 0
    numbers = frame[column].astype("float64") / 10**digits
    return [float(v) for v in (numbers * (100 if column.endswith(("_rate", "_ratio")) else 1)).round(4)]


def _labels(column: pd.Series) -> list[str]:
    if pd.api.types.is_datetime64_any_dtype(column):
        return [str(v) for v in column.dt.strftime("%Y-%m-%d")]
    return [str(v) for v in column]


def _axis(column: str, currency: str) -> dict[str, Any]:
    if column.endswith(("_rate", "_ratio")):
        return {"title": {"text": "%"}, "tickformat": ",.4~g"}
    unit = currency if column.endswith("_minor") else column.removesuffix("_count").replace("_", " ")
    return {"title": {"text": unit}, "tickformat": ",.6~g"}


def _label_axis(column: pd.Series) -> dict[str, Any]:
    return {"type": "date"} if pd.api.types.is_datetime64_any_dtype(column) else {}


def _day_axis(frame: pd.DataFrame, start: str, end: str) -> dict[str, Any]:
    """Days under each other over two weeks or less, plotly's own choice over longer spans."""
    span = pd.to_datetime(frame[end]).max() - pd.to_datetime(frame[start]).min()
    daily = {"dtick": 86_400_000} if span <= pd.Timedelta(days=14) else {}
    return {"type": "date", "tickformat": "%d %b"} | daily


def _nothing(title: str) -> Chart:
    note = {
        "text": "Nothing to draw: this input has no such rows.",
        "showarrow": False,
        "xref": "paper",
        "yref": "paper",
        "x": 0.5,
        "y": 0.5,
    }
    hidden = {"visible": False}
    return Chart(
        [],
        {"title": {"text": title}, "annotations": [note], "xaxis": hidden, "yaxis": hidden, "height": 160},
        f"{title}: nothing to draw.",
    )
