"""Charts of what may come: bands of confidence around a line, and the distribution of a loss with its tail."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from atlas_lib.core.money import exponent, format_minor
from atlas_lib.present import theme
from atlas_lib.present.charts import Chart, plot_lines

_SHADES = ("rgba(31,92,153,0.14)", "rgba(31,92,153,0.22)", "rgba(31,92,153,0.34)")
_MINIMUM = theme.STATUS_COLOURS["bad"]


def plot_liquidity(
    forecast: pd.DataFrame, outlook: pd.DataFrame, *, title: str, currency: str, levels: Sequence[int] = (95, 90, 80)
) -> Chart:
    """Position with its bands above, known flows as bars below, the minimum balance as a line.

    `forecast` is liquidity_forecast and `outlook` liquidity_outlook, of one currency. Without intervals the line
    alone is drawn and the chart says why.
    """
    if forecast.empty:
        return plot_lines(forecast, "flow_date", {}, title=title, currency=currency)
    day = [str(d) for d in forecast["flow_date"].dt.strftime("%d %b %Y")]
    banded = [n for n in levels if forecast[f"position_low{n}_minor"].notna().all()]
    traces = [t for n, shade in zip(banded, _SHADES, strict=False) for t in _band(forecast, day, n, shade, currency)]
    flow = _units(forecast["known_minor"], currency)
    colour = [theme.ACCENT if v >= 0 else theme.SERIES[1] for v in flow]
    if banded:
        traces.append(_line(day, _units(forecast["position_minor"], currency), "Expected cash", theme.PRIMARY, "solid"))
    traces += [
        _line(day, _units(forecast["known_position_minor"], currency), "Known flows alone", theme.INK, "dot"),
        {"type": "bar", "name": "Known flow of the day", "x": day, "y": flow, "yaxis": "y2", "showlegend": False, "marker": {"color": colour},
         "text": [format_minor(v, currency) if v and len(day) <= 14 else "" for v in forecast["known_minor"]], "textposition": "outside", "cliponaxis": False},
    ]  # fmt: skip
    minimum = outlook["minimum_balance_minor"].dropna()
    if len(minimum):
        traces.append(_line(day, [_units(minimum, currency)[0]] * len(day), "Minimum balance", _MINIMUM, "dash"))
    lack = "" if banded else f"No forecast and no interval: {outlook['remark'].iloc[0]}"
    layout = {
        "title": {"text": title}, "height": 520, "hovermode": "x unified", "bargap": 0.5, "legend": {"traceorder": "normal"},
        "xaxis": {"type": "category", "anchor": "y2", "tickangle": -40},
        "yaxis": {"domain": [0.34, 1], "title": {"text": f"cash, {currency}"}, "tickformat": ",.6~g"},
        "yaxis2": {"domain": [0, 0.24], "title": {"text": f"known flow, {currency}"}, "gridcolor": theme.LINE, "zerolinecolor": theme.MUTED, "tickformat": ",.4~s", "automargin": True},
        "annotations": [_note(lack, 0.5, 0.66, "center")] if lack else [],
    }  # fmt: skip
    bands = f", bands at {', '.join(f'{n} %' for n in banded)}" if banded else f". {lack}"
    return Chart(traces, layout, f"{title}: cash over {len(day)} open days{bands}.")


def plot_scenarios(frame: pd.DataFrame, x: str, names: Mapping[str, str], *, title: str, currency: str) -> Chart:
    """One line per scenario, the space between the first and the last shaded."""
    chart = plot_lines(frame, x, names, title=title, currency=currency)
    if frame.empty or len(names) < 2:
        return chart
    first, last = chart.figure["data"][0], chart.figure["data"][-1]
    edges = [
        {"type": "scatter", "mode": "lines", "x": t["x"], "y": t["y"], "line": {"width": 0}, "hoverinfo": "skip", "showlegend": False}
        for t in (first, last)
    ]  # fmt: skip
    chart.figure["data"] = [edges[0], edges[1] | {"fill": "tonexty", "fillcolor": _SHADES[0]}, *chart.figure["data"]]
    for trace, colour in zip(chart.figure["data"][2:], theme.SERIES, strict=False):
        trace["line"] = trace["line"] | {"color": colour}
    chart.figure["layout"]["legend"] = chart.figure["layout"]["legend"] | {"traceorder": "normal"}
    return chart


def plot_losses(bars: pd.DataFrame, measures: pd.DataFrame, *, title: str, currency: str) -> Chart:
    """Share of draws by size of the loss, with the mean, value at risk and CVaR as lines.

    `bars` is loss_distribution and `measures` loss_measures, of one currency. The bar of no loss at all is told in
    words, so that the others can be seen.
    """
    shown = bars[bars["step"] > 0]
    if shown.empty:
        return plot_lines(shown, "from_minor", {}, title=title, currency=currency)
    low, high = _units(shown["from_minor"], currency), _units(shown["to_minor"], currency)
    share = [float(v) for v in (shown["share_rate"] * 100).round(3)]
    none = float(bars.loc[bars["step"] == 0, "share_rate"].sum())
    worst = measures.sort_values("level_rate").iloc[-1]
    marks = [("mean", worst["mean_loss_minor"], theme.INK)]
    marks += [
        (f"CVaR {row['level_rate'] * 100:g} %", row["cvar_minor"], colour)
        for (_, row), colour in zip(
            measures.sort_values("level_rate").iterrows(), (theme.ACCENT, theme.SERIES[1], _MINIMUM), strict=False
        )
    ]
    top = max(share)
    traces = [
        {"type": "bar", "name": "Share of simulated years", "x": [(a + b) / 2 for a, b in zip(low, high, strict=True)], "y": share,
         "width": [b - a for a, b in zip(low, high, strict=True)], "marker": {"color": theme.PRIMARY, "line": {"color": theme.PAPER, "width": 1}}},
        *({"type": "scatter", "mode": "lines", "name": f"{name}: {value:,.0f} {currency}", "x": [value, value], "y": [0, 1.05 * top], "line": {"color": colour, "width": 2, "dash": "dash"}}
          for name, minor, colour in marks for value in _units(pd.Series([minor]), currency)),
    ]  # fmt: skip
    layout = {
        "title": {"text": title}, "bargap": 0, "yaxis": {"title": {"text": "% of simulated years"}, "tickformat": ",.4~g", "range": [0, 1.08 * top]},
        "xaxis": {"title": {"text": f"loss of a year, {currency}"}, "tickformat": ",.6~g"},
        "annotations": [_note(f"No loss at all: {none * 100:.1f} % of the years", 0.98, 0.9, "right")] if none >= 0.0005 else [],
    }  # fmt: skip
    return Chart(traces, layout, f"{title}: {len(shown)} bars; " + ", ".join(str(t["name"]) for t in traces[1:]) + ".")


def _band(forecast: pd.DataFrame, day: list[str], level: int, shade: str, currency: str) -> list[dict[str, Any]]:
    edge = {"type": "scatter", "mode": "lines", "x": day, "line": {"width": 0}, "hoverinfo": "skip"}
    low, high = (_units(forecast[f"position_{side}{level}_minor"], currency) for side in ("low", "high"))
    return [
        edge | {"y": low, "showlegend": False},
        edge | {"y": high, "fill": "tonexty", "fillcolor": shade, "name": f"{level} % interval"},
    ]


def _line(x: list[str], y: list[float], name: str, colour: str, dash: str) -> dict[str, Any]:
    return {
        "type": "scatter",
        "mode": "lines",
        "name": name,
        "x": x,
        "y": y,
        "line": {"color": colour, "width": 2.5, "dash": dash},
    }


def _note(text: str, x: float, y: float, anchor: str = "left") -> dict[str, Any]:
    return {"text": text, "showarrow": False, "xref": "paper", "yref": "paper", "x": x, "y": y, "xanchor": anchor, "font": {"color": theme.MUTED}}  # fmt: skip


def _units(minor: pd.Series, currency: str) -> list[float]:
    return [float(v) for v in (minor.astype("float64") / 10 ** exponent(currency)).round(4)]
