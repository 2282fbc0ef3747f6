"""Charts of finished tables: one function per kind of picture, each with a text alternative.

Amounts arrive in minor units and are drawn in units of their currency. A chart is kept as plotly
JSON and needs no script of its own; who shows it (JupyterLab, Voilà, the report) draws it.
"""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from atlas_lib.core.money import exponent
from atlas_lib.present import theme
from atlas_lib.present.tables import format_value

_MIME = "application/vnd.plotly.v1+json"
_MOST_LABELLED = 16  # bars that carry their value in words; more would not be legible
_MOST_SPLIT = 6  # stacks whose parts are told as well
_USUAL_WIDTH, _LETTER_WIDTH, _LEGEND_MARK, _LEGEND_ROW = 960, 7, 55, 22  # pixels


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
        self._leave_room_for_legend()

    def _leave_room_for_legend(self) -> None:
        """A legend of several lines must not cover the title; there all its entries are as wide as the widest."""
        names = [str(t["name"]) for t in self.figure["data"] if t.get("name") and t.get("showlegend", True)]
        widths = [len(name) * _LETTER_WIDTH + _LEGEND_MARK for name in names]
        if sum(widths) > _USUAL_WIDTH:
            more = _LEGEND_ROW * (-(-len(widths) // max(_USUAL_WIDTH // max(widths), 1)) - 1)
            layout = self.figure["layout"]
            layout["height"] += more
            layout["margin"] = layout["margin"] | {"t": layout["margin"]["t"] + more}

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
    """One bar per row with its value beside it; amounts (`*_minor`) in units of the currency."""
    if frame.empty:
        return nothing_to_draw(title)
    values, labels = units_of(frame, y, currency), labels_of(frame[x])
    trace: dict[str, Any] = {"type": "bar", "marker": {"color": list(colours) if colours else theme.PRIMARY}}
    trace |= {"x": values, "y": labels, "orientation": "h"} if horizontal else {"x": labels, "y": values}
    trace |= _told(frame, y, currency)
    value_axis, label_axis = ("xaxis", "yaxis") if horizontal else ("yaxis", "xaxis")
    layout: dict[str, Any] = {
        "title": {"text": title},
        value_axis: _axis(y, currency),
        label_axis: {"autorange": "reversed"} if horizontal else _label_axis(frame[x]),
    }
    layout[label_axis] |= {"type": "category"}
    if horizontal:
        layout |= {"height": max(240, 120 + 26 * len(frame)), "margin": {"r": 80}}
    return Chart([trace], layout, f"{title}: {len(frame)} bars, largest {labels[values.index(max(values))]}.")


def plot_stacked(
    frame: pd.DataFrame, x: str, ys: Mapping[str, str], *, title: str, currency: str = "", unit: str = ""
) -> Chart:
    """Stacked bars: `ys` maps column to legend text; `unit` names the value axis where the columns do not.

    Where there are few, each stack carries its sum, and below it its parts in the order of the legend.
    """
    if frame.empty:
        return nothing_to_draw(title)
    traces = [
        {"type": "bar", "name": text, "x": labels_of(frame[x]), "y": units_of(frame, column, currency)}
        for column, text in ys.items()
    ]
    layout = {
        "title": {"text": title},
        "barmode": "relative",
        "yaxis": _axis(next(iter(ys)), currency) | ({"title": {"text": unit}} if unit else {}),
        "xaxis": _label_axis(frame[x]),
        "annotations": _sums_told(frame, x, list(ys), currency),
    }
    return Chart(traces, layout, f"{title}: {', '.join(ys.values())}; {len(frame)} bars.")


def plot_lines(frame: pd.DataFrame, x: str, ys: Mapping[str, str], *, title: str, currency: str = "") -> Chart:
    """One line per column of `ys` (column to legend text); few points are marked."""
    if frame.empty:
        return nothing_to_draw(title)
    traces = [
        {
            "type": "scatter",
            "mode": "lines+markers" if len(frame) <= _MOST_LABELLED else "lines",
            "name": text,
            "x": labels_of(frame[x]),
            "y": units_of(frame, column, currency),
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
    return Chart(traces, layout, f"{title}: {', '.join(ys.values())}; {len(frame)} points each.")


def plot_timeline(frame: pd.DataFrame, row: str, start: str, end: str, status: str, *, title: str) -> Chart:
    """A Gantt view: one bar per row from start to end (dates), coloured by status; what falls together lies side by side."""
    if frame.empty:
        return nothing_to_draw(title)
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
                "y": labels_of(part[row]),
                "base": labels_of(first),
                "x": length.tolist(),
                "marker": {"color": colour},
            }
        )
    layout = {"title": {"text": title}, "barmode": "group", "bargap": 0.25, "xaxis": _day_axis(frame, start, end), "yaxis": {"type": "category", "autorange": "reversed", "categoryorder": "category ascending"}, "height": max(260, 130 + (16 + 8 * len(traces)) * frame[row].nunique())}  # fmt: skip
    return Chart(traces, layout, f"{title}: {len(frame)} bars by {status}.")


def plot_waterfall(steps: pd.DataFrame, *, title: str, currency: str) -> Chart:
    """How an amount comes about, each step with its amount; columns label, amount_minor, is_total."""
    if steps.empty:
        return nothing_to_draw(title)
    measure = ["absolute" if i == 0 else "total" if t else "relative" for i, t in enumerate(steps["is_total"])]
    trace = {
        "type": "waterfall", "x": labels_of(steps["label"]), "y": units_of(steps, "amount_minor", currency), "measure": measure,
        "increasing": {"marker": {"color": theme.ACCENT}}, "decreasing": {"marker": {"color": theme.SERIES[1]}},
        "totals": {"marker": {"color": theme.PRIMARY}}, "connector": {"line": {"color": theme.LINE}},
    } | _told(steps, "amount_minor", currency)  # fmt: skip
    layout = {"title": {"text": title}, "yaxis": _axis("amount_minor", currency), "showlegend": False}
    told = ", ".join(f"{r.label} {format_value('amount_minor', r.amount_minor, currency)}" for r in steps.itertuples())
    return Chart([trace], layout | {"xaxis": _label_axis(steps["label"])}, f"{title}, {currency}: {told}.")


def units_of(frame: pd.DataFrame, column: str, currency: str) -> list[float]:
    digits = exponent(currency) if column.endswith("_minor") else 0
    numbers = frame[column].astype("float64") / 10**digits
    return [float(v) for v in (numbers * (100 if column.endswith(("_rate", "_ratio")) else 1)).round(4)]


def labels_of(column: pd.Series) -> list[str]:
    if pd.api.types.is_datetime64_any_dtype(column):
        return [str(v) for v in column.dt.strftime("%Y-%m-%d")]
    return [str(v) for v in column]


def _axis(column: str, currency: str) -> dict[str, Any]:
    if column.endswith(("_rate", "_ratio")):
        return {"title": {"text": "%"}, "tickformat": ",.4~g"}
    unit = currency if column.endswith("_minor") else column.removesuffix("_count").replace("_", " ")
    return {"title": {"text": unit}, "tickformat": ",.6~g"}


def _label_axis(column: pd.Series) -> dict[str, Any]:
    """Days and months as dates, few months each with its name; words in lines short enough to stand upright."""
    if pd.api.types.is_datetime64_any_dtype(column):
        is_monthly = column.dt.is_month_start.all() or column.dt.is_month_end.all()
        named = {"tickmode": "array", "tickvals": labels_of(column), "tickformat": "%b %Y"}
        return {"type": "date"} | (named if is_monthly and len(column) <= _MOST_LABELLED else {})
    words = labels_of(column)
    lines = [_in_lines(word, max(10, 120 // len(words))) for word in words]
    named = {"tickmode": "array", "tickvals": words, "ticktext": lines} if lines != words else {}
    return {"type": "category"} | named  # plotly takes `2026-09` for a date, and leaves out what is none beside it


def _in_lines(text: str, width: int) -> str:
    """Broken at blanks and underscores: `CURRENCY_<br>MISMATCH`."""
    broken = textwrap.wrap(text.replace("_", "_ "), width, break_long_words=False, break_on_hyphens=False)
    return "<br>".join(line.replace("_ ", "_") for line in broken)


def _told(frame: pd.DataFrame, column: str, currency: str) -> dict[str, Any]:
    """Each bar's value in words, so that one too small to be seen can be read."""
    if len(frame) > _MOST_LABELLED:
        return {}
    words = [format_value(column, v, currency) for v in frame[column].tolist()]
    return {"text": words, "textposition": "outside", "textangle": 0, "cliponaxis": False}


def _sums_told(frame: pd.DataFrame, x: str, columns: Sequence[str], currency: str) -> list[dict[str, Any]]:
    if len(frame) > _MOST_LABELLED:
        return []
    parts = frame[list(columns)]
    tops = units_of(parts.clip(lower=0).sum(axis=1).to_frame(columns[0]), columns[0], currency)
    notes = []
    for label, top, row in zip(labels_of(frame[x]), tops, parts.to_numpy().tolist(), strict=True):
        text = format_value(columns[0], sum(row), currency)
        if len(frame) <= _MOST_SPLIT and sum(v != 0 for v in row) > 1:
            told = " + ".join(format_value(columns[0], v, currency) for v in row)
            text = f"<b>{text}</b><br><span style='font-size:11px'>{told.replace('+ -', '- ')}</span>"
        notes.append({"x": label, "y": top, "text": text, "showarrow": False, "yanchor": "bottom"})
    return notes


def _day_axis(frame: pd.DataFrame, start: str, end: str) -> dict[str, Any]:
    """Days under each other over two weeks or less, plotly's own choice over longer spans."""
    span = pd.to_datetime(frame[end]).max() - pd.to_datetime(frame[start]).min()
    daily = {"dtick": 86_400_000} if span <= pd.Timedelta(days=14) else {}
    return {"type": "date", "tickformat": "%d %b"} | daily


def nothing_to_draw(title: str) -> Chart:
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
