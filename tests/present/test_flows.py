"""Sankey views of who pays whom."""

import pandas as pd

from atlas_lib.present.flows import plot_flows
from tests.present.test_charts import bundle


def test_flows_go_from_the_payers_on_the_left_to_the_payees_on_the_right():
    debts = pd.DataFrame(
        {"payer": ["A", "B", "A"], "payee": ["B", "A", "C"], "turns_minor": [500, 500, 0], "rest_minor": [100, 0, 1]}
    )
    drawn = plot_flows(
        {"": debts},
        "payer",
        "payee",
        {"turns_minor": "Set off", "rest_minor": "Remains"},
        title="F",
        currency="EUR",
        limit=2,
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
    drawn = plot_flows(
        {"Before": before, "After": after}, "payer", "payee", {"rest_minor": "Moves"}, title="F", currency="EUR"
    )
    data, layout = bundle(drawn)["data"], bundle(drawn)["layout"]
    assert [t["link"]["value"] for t in data[:2]] == [[5.0, 3.0], [2.0]]
    assert data[0]["domain"]["x"][1] <= data[1]["domain"]["x"][0]
    assert [note["text"] for note in layout["annotations"]] == ["Before, EUR", "After, EUR"]
    assert drawn.text == "F: Before 2 pairs of accounts; After 1 pairs of accounts; Moves."


def test_flows_of_nothing_say_so():
    empty = pd.DataFrame({"payer": [], "payee": [], "rest_minor": []})
    assert "Nothing to draw" in str(
        bundle(plot_flows({"": empty}, "payer", "payee", {"rest_minor": "Moves"}, title="F"))
    )
