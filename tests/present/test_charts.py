import json

import pandas as pd
import pytest

from atlas_lib.present.charts import (
    plot_bars,
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


def test_every_bar_of_a_few_carries_its_value_and_one_of_many_does_not():
    trace = bundle(plot_bars(MONTHS, "month", "principal_minor", title="P", currency="EUR"))["data"][0]
    assert (trace["text"], trace["textposition"]) == (["100.50", "200.00"], "outside")
    many = pd.concat([MONTHS] * 9, ignore_index=True)
    assert "text" not in bundle(plot_bars(many, "month", "principal_minor", title="P", currency="EUR"))["data"][0]
    shares = pd.DataFrame({"name": ["A"], "used_rate": [0.8371]})
    assert bundle(plot_bars(shares, "name", "used_rate", title="U", horizontal=True))["data"][0]["text"] == ["83.71 %"]


def test_a_step_too_small_to_be_seen_can_be_read():
    steps = pd.DataFrame(
        {"label": ["Opening", "Breaks", "Closing"], "amount_minor": [45_000_000, -3, 44_999_997], "is_total": [True, False, True]}
    )  # fmt: skip
    chart = plot_waterfall(steps, title="Bridge", currency="EUR")
    assert bundle(chart)["data"][0]["text"] == ["450,000.00", "-0.03", "449,999.97"]
    assert chart.text == "Bridge, EUR: Opening 450,000.00, Breaks -0.03, Closing 449,999.97."


def test_a_stack_carries_its_sum_and_its_parts():
    notes = bundle(plot_stacked(MONTHS, "month", LEGEND, title="Months", currency="EUR"))["layout"]["annotations"]
    assert [n["y"] for n in notes] == [101.5, 200.5]
    assert notes[0]["text"].startswith("<b>101.50</b><br>")
    assert "100.50 + 1.00" in notes[0]["text"]
    signed = MONTHS.assign(interest_minor=[-100, 0])
    notes = bundle(plot_stacked(signed, "month", LEGEND, title="Months", currency="EUR"))["layout"]["annotations"]
    assert "100.50 - 1.00" in notes[0]["text"]
    assert (notes[0]["y"], notes[1]["text"]) == (100.5, "200.00")


def test_long_names_stand_in_lines_and_months_are_named():
    breaks = pd.DataFrame({"break_type": [f"CURRENCY_MISMATCH_{i}" for i in range(10)], "open_count": range(10)})
    axis = bundle(plot_bars(breaks, "break_type", "open_count", title="B"))["layout"]["xaxis"]
    assert axis["tickvals"][0] == "CURRENCY_MISMATCH_0"
    assert axis["ticktext"][0] == "CURRENCY_<br>MISMATCH_0"
    axis = bundle(plot_lines(MONTHS, "month", LEGEND, title="Months", currency="EUR"))["layout"]["xaxis"]
    mixed = pd.DataFrame({"month": ["2026-09", "2026-10, under way"], "sales_minor": [1, 2]})
    drawn = bundle(plot_lines(mixed, "month", {"sales_minor": "Sales"}, title="Sales", currency="EUR"))
    assert drawn["layout"]["xaxis"]["type"] == "category"
    assert drawn["data"][0]["x"] == ["2026-09", "2026-10, under way"]
    assert (axis["tickvals"], axis["tickformat"]) == (["2026-01-01", "2026-02-01"], "%b %Y")


def test_a_legend_of_several_lines_gets_room_below_the_title():
    one = bundle(plot_lines(MONTHS, "month", LEGEND, title="M", currency="EUR"))["layout"]
    long = {f"s{i}_minor": f"A merchant with a rather long name {i}" for i in range(5)}
    two = bundle(plot_lines(MONTHS.assign(**dict.fromkeys(long, 1)), "month", long, title="M", currency="EUR"))[
        "layout"
    ]
    assert two["margin"]["t"] > one["margin"]["t"]
    assert two["height"] - one["height"] == two["margin"]["t"] - one["margin"]["t"]


def test_what_falls_on_one_day_of_a_timeline_lies_side_by_side():
    frame = pd.DataFrame({"who": ["M", "M"], "start": ["2026-10-30"] * 2, "end": ["2026-10-31"] * 2, "status": ["Completed", "Delayed"]})  # fmt: skip
    figure = bundle(plot_timeline(frame, "who", "start", "end", "status", title="S"))
    assert [t["name"] for t in figure["data"]] == ["Completed", "Delayed"]
    assert figure["layout"]["barmode"] == "group"
