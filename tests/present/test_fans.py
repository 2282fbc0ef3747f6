"""Charts of what may come."""

import pandas as pd

from atlas_lib.present.fans import plot_liquidity, plot_losses, plot_scenarios

DAYS = pd.DataFrame(
    {
        "flow_date": pd.to_datetime(["2026-11-02", "2026-11-03"]), "known_minor": [-500, 200],
        "position_minor": [10_000, 9_000], "known_position_minor": [10_500, 10_700],
    }
)  # fmt: skip
OUTLOOK = pd.DataFrame({"minimum_balance_minor": [2_000], "remark": ["64 open days of statements; 88 are needed"]})


def banded(has_interval):
    value = 100 if has_interval else pd.NA
    bounds = {
        f"position_{s}{n}_minor": pd.array([value] * 2, dtype="Int64") for s in ("low", "high") for n in (80, 90, 95)
    }
    return DAYS.assign(**bounds)


def names(chart):
    return [t.get("name") for t in chart.figure["data"] if t.get("showlegend", True)]


def test_the_liquidity_fan_shows_bands_known_flows_and_the_minimum():
    chart = plot_liquidity(banded(True), OUTLOOK, title="Cash", currency="EUR")
    assert names(chart) == [
        "95 % interval", "90 % interval", "80 % interval", "Expected cash", "Known flows alone", "Minimum balance",
    ]  # fmt: skip
    bars = next(t for t in chart.figure["data"] if t["type"] == "bar")
    assert (bars["y"], bars["yaxis"]) == ([-5.0, 2.0], "y2")
    assert chart.figure["data"][-1]["y"] == [20.0, 20.0]


def test_without_enough_history_the_chart_says_so_and_draws_no_band():
    chart = plot_liquidity(banded(False), OUTLOOK, title="Cash", currency="EUR")
    assert "95 % interval" not in names(chart)
    assert (
        chart.figure["layout"]["annotations"][0]["text"]
        == "No forecast and no interval: 64 open days of statements; 88 are needed"
    )
    assert "No forecast and no interval" in chart.text
    assert names(chart) == ["Known flows alone", "Minimum balance"]


def test_scenarios_are_lines_with_the_space_between_shaded():
    frame = DAYS.assign(base_minor=[3, 2], severe_minor=[3, 1])
    chart = plot_scenarios(
        frame, "flow_date", {"base_minor": "base", "severe_minor": "severe"}, title="S", currency="JPY"
    )
    assert names(chart) == ["base", "severe"]
    assert chart.figure["data"][1]["fill"] == "tonexty"
    assert chart.figure["data"][1]["y"] == [3.0, 1.0]


def test_the_loss_distribution_names_mean_and_cvar_and_tells_how_often_nothing_is_lost():
    bars = pd.DataFrame(
        {"step": [0, 1, 2], "from_minor": [0, 0, 500], "to_minor": [0, 500, 1_000], "share_rate": [0.4, 0.5, 0.1]}
    )
    measures = pd.DataFrame({"level_rate": [0.95, 0.99], "mean_loss_minor": [200] * 2, "cvar_minor": [700, 900]})
    chart = plot_losses(bars, measures, title="Loss", currency="EUR")
    assert names(chart)[1:] == ["mean: 2 EUR", "CVaR 95 %: 7 EUR", "CVaR 99 %: 9 EUR"]
    assert chart.figure["data"][0]["width"] == [5.0, 5.0]
    assert "40.0 %" in chart.figure["layout"]["annotations"][0]["text"]


def test_nothing_to_draw_is_said():
    empty = banded(True).head(0)
    assert "nothing to draw" in plot_liquidity(empty, OUTLOOK, title="Cash", currency="EUR").text
    assert "nothing to draw" in plot_scenarios(empty, "flow_date", {}, title="S", currency="EUR").text
    assert (
        "nothing to draw"
        in plot_losses(pd.DataFrame({"step": [], "from_minor": []}), OUTLOOK, title="L", currency="EUR").text
    )
