import json

import pandas as pd
import pytest

from atlas_lib.present.charts import (
    plot_bars,
    plot_changed_flows,
    plot_flows,
    plot_lines,
    plot_stacked,
    plot_timeline,
    plot_waterfall,
)

MONTHS = pd.DataFrame(
    {
        "month": pd.to_datetime(["2026-01-01", "2026-02-01"]),
        "principal_minor": [10050, 20000],
        "interest_minor": [100, 50],
    }
)
LEGEND = {"principal_minor": "Principal", "interest_minor": "Interest"}


def bundle(chart):
    return chart._repr_mimebundle_()["application/vnd.plotly.v1+json"]


def test_amounts_are_drawn_in_units_of_their_currency():
    assert bundle(plot_bars(MONTHS, "month", "principal_minor", title="P", currency="EUR"))["data"][0]["y"] == [
        100.5,
        200.0,
    ]
    assert bundle(plot_bars(MONTHS, "month", "principal_minor", title="P", currency="JPY"))["data"][0]["y"] == [
        10050.0,
        20000.0,
    ]


@pytest.mark.parametrize("draw", [plot_stacked, plot_lines])
def test_series_carry_their_names(draw):
    figure = bundle(draw(MONTHS, "month", LEGEND, title="Months", currency="EUR"))
    assert [t["name"] for t in figure["data"]] == ["Principal", "Interest"]
    assert figure["layout"]["xaxis"]["type"] == "date"


def test_a_timeline_bar_lasts_from_start_to_end():
    frame = pd.DataFrame({"batch": ["B1"], "start": ["2026-10-30"], "end": ["2026-10-31"], "status": ["Completed"]})
    trace = bundle(plot_timeline(frame, "batch", "start", "end", "status", title="Schedule"))["data"][0]
    assert (trace["base"], trace["x"]) == (["2026-10-30"], [86_400_000.0])


def test_a_waterfall_starts_at_the_first_amount():
    steps = pd.DataFrame(
        {
            "label": ["Receivable", "Margin", "Payable"],
            "amount_minor": [1000, -300, 700],
            "is_total": [True, False, True],
        }
    )
    assert bundle(plot_waterfall(steps, title="Payout", currency="EUR"))["data"][0]["measure"] == [
        "absolute",
        "relative",
        "total",
    ]


def test_every_chart_has_a_text_alternative_and_no_upload_button():
    figure = bundle(plot_stacked(MONTHS, "month", LEGEND, title="Months", currency="EUR"))
    assert "Principal" in figure["layout"]["meta"]["alt"]
    assert "sendChartToCloud" in figure["layout"]["modebar"]["remove"]


def test_nothing_to_draw_is_said_and_not_an_error():
    chart = plot_bars(MONTHS.head(0), "month", "principal_minor", title="P", currency="EUR")
    assert "nothing to draw" in chart.text


def test_a_chart_is_small_plain_json():
    text = json.dumps(bundle(plot_stacked(MONTHS, "month", LEGEND, title="Months", currency="EUR")))
    assert len(text) < 3000


def test_flows_go_from_the_payers_on_the_left_to_the_payees_on_the_right():
    debts = pd.DataFrame(
        {"payer": ["A", "B", "A"], "payee": ["B", "A", "C"], "turns_minor": [500, 500, 0], "rest_minor": [100, 0, 1]}
    )
    drawn = plot_flows(
        debts, "payer", "payee", {"turns_minor": "Set off", "rest_minor": "Remains"}, title="F", currency="EUR", limit=2
    )
    (trace, *key) = bundle(drawn)["data"]
    assert trace["node"]["label"] == ["A", "B", "A", "B"]
    assert list(zip(trace["link"]["source"], trace["link"]["target"], trace["link"]["value"], strict=True)) == [
        (0, 3, 5.0),
        (1, 2, 5.0),
        (0, 3, 1.0),
    ]
    assert [k["name"] for k in key] == ["Set off", "Remains"]
    assert "1 smaller ones left out" in drawn.text


def test_flows_before_and_after_stand_side_by_side_under_their_names():
    before = pd.DataFrame({"payer": ["A", "B"], "payee": ["B", "A"], "rest_minor": [500, 300]})
    after = pd.DataFrame({"payer": ["A"], "payee": ["B"], "rest_minor": [200]})
    drawn = plot_changed_flows(
        {"Before": before, "After": after}, "payer", "payee", {"rest_minor": "Moves"}, title="F", currency="EUR"
    )
    data, layout = bundle(drawn)["data"], bundle(drawn)["layout"]
    assert [t["link"]["value"] for t in data[:2]] == [[5.0, 3.0], [2.0]]
    assert data[0]["domain"]["x"][1] <= data[1]["domain"]["x"][0]
    assert [note["text"] for note in layout["annotations"]] == ["Before", "After"]
    assert drawn.text == "F: Before 2 pairs of accounts; After 1 pairs of accounts; Moves."


def test_flows_of_nothing_say_so():
    empty = pd.DataFrame({"payer": [], "payee": [], "rest_minor": []})
    assert "Nothing to draw" in str(bundle(plot_flows(empty, "payer", "payee", {"rest_minor": "Moves"}, title="F")))
