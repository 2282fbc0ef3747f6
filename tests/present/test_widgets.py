"""Widgets pass on what a person chose, say how it went, and never fall silent."""

from __future__ import annotations

import datetime
from typing import Any

import pandas as pd
import pytest

from atlas_lib.core.errors import Refused
from atlas_lib.present import work_lists
from atlas_lib.present.widgets import explore_trial
from atlas_lib.present.work_lists import WorkList, explore_work


class Desk:
    """Rows that an action changes."""

    def __init__(self) -> None:
        self.rows = pd.DataFrame({"id": ["a", "b"], "amount_minor": [100, 250], "currency": "EUR", "status": "Ready"})
        self.asked: list[tuple[list[str], str]] = []

    def read(self) -> pd.DataFrame:
        return self.rows

    def pay(self, rows: pd.DataFrame, said: str) -> str:
        self.asked.append((rows["id"].tolist(), said))
        self.rows = self.rows.assign(status=self.rows["status"].where(~self.rows["id"].isin(rows["id"]), "Paid"))
        return "paid <once>"

    def refuse(self, rows: pd.DataFrame, said: str) -> str:
        raise Refused("You may not", found=f"{len(rows)} rows, {said}")

    def fail(self, rows: pd.DataFrame, said: str) -> str:
        raise RuntimeError(f"secret path {len(rows)} {said}")


def parts(box: Any, kind: str) -> list[Any]:
    own = [box] if type(box).__name__ == kind else []
    return own + [found for child in getattr(box, "children", ()) for found in parts(child, kind)]


@pytest.fixture
def desk() -> Desk:
    return Desk()


def page(desk: Desk) -> Any:
    actions = {"Pay": desk.pay, "Refuse": desk.refuse, "Fail": desk.fail}
    return explore_work([WorkList("Payouts", desk.read, "id", ["status"], ["id", "amount_minor", "status"], actions)])


def click(box: Any, label: str) -> str:
    (button,) = [b for b in parts(box, "Button") if b.description == label]
    button.click()
    assert not button.disabled
    return parts(box, "HTML")[-1].value


def test_an_action_gets_the_chosen_rows_and_the_reason_and_its_effect_is_shown(desk):
    box = page(desk)
    (chosen,), (reason,) = parts(box, "SelectMultiple"), parts(box, "Text")
    assert [label for label, _ in chosen.options] == ["a · 1.00 · Ready", "b · 2.50 · Ready"]
    chosen.value, reason.value = ("b",), "because"
    question = click(box, "Pay")
    assert "Pay? 1 line, 2.50 EUR: b · 2.50 · Ready" in question
    assert desk.asked == []
    assert 'role="status"' in click(box, "Confirm")
    assert desk.asked == [(["b"], "because")]
    assert [label for label, _ in chosen.options] == ["a · 1.00 · Ready", "b · 2.50 · Paid"]


def test_what_is_confirmed_is_what_was_asked_and_only_once(desk):
    """Whatever is chosen, or changed by another person, between the question and the answer."""
    box = page(desk)
    (chosen,), (reason,) = parts(box, "SelectMultiple"), parts(box, "Text")
    chosen.value = ("a", "b")
    assert "2 lines, 3.50 EUR" in click(box, "Pay")
    assert "Nothing was done" in click(box, "Cancel")
    click(box, "Pay")
    chosen.value, reason.value = ("b",), "too late"
    click(box, "Confirm")
    assert desk.asked == [(["a", "b"], "")]
    assert "Nothing is asked" in click(box, "Confirm")
    assert len(desk.asked) == 1


def test_after_a_refusal_the_same_line_is_still_chosen_and_can_be_acted_on(desk):
    box = page(desk)
    (chosen,) = parts(box, "SelectMultiple")
    chosen.value = ("b",)
    click(box, "Refuse")
    assert "You may not" in click(box, "Confirm")
    assert chosen.value == ("b",)
    assert "Pay? 1 line, 2.50 EUR" in click(box, "Pay")
    assert "paid" in click(box, "Confirm")
    assert desk.asked == [(["b"], "")]


def test_a_list_read_again_says_what_other_people_did_and_keeps_what_is_unchanged_chosen(desk):
    box = page(desk)
    (chosen,) = parts(box, "SelectMultiple")
    chosen.value = ("a", "b")
    assert "Nothing has changed" in click(box, "Refresh")
    assert chosen.value == ("a", "b")
    desk.pay(desk.rows.tail(1), "")
    new = pd.DataFrame({"id": ["c"], "amount_minor": [700], "currency": "EUR", "status": "Ready"})
    desk.rows = pd.concat([desk.rows, new], ignore_index=True)
    said = click(box, "Refresh")
    assert "New: c · 7.00 · Ready. Changed: b · 2.50 · Paid." in said
    assert chosen.value == ("a",)
    assert [key for _, key in chosen.options] == ["a", "b", "c"]
    desk.rows = desk.rows.tail(2)
    assert "Gone: a · 1.00 · Ready." in click(box, "Refresh")


def test_nothing_is_asked_about_a_line_that_somebody_else_has_changed(desk):
    box = page(desk)
    (chosen,) = parts(box, "SelectMultiple")
    chosen.value = ("a",)
    click(box, "Pay")
    desk.rows = desk.rows.assign(amount_minor=[900, 250])
    said = click(box, "Pay")
    assert 'role="alert"' in said
    assert "Changed: a · 9.00 · Ready" in said
    assert "Nothing is asked" in click(box, "Confirm")
    assert desk.asked == []
    chosen.value = ("a",)
    assert "Pay? 1 line, 9.00 EUR" in click(box, "Pay")


def test_the_question_is_shown_only_while_it_is_asked(desk):
    box = page(desk)
    (row,) = [
        b
        for b in parts(box, "HBox")
        if [c.description for c in b.children if hasattr(c, "description")] == ["Confirm", "Cancel"]
    ]
    assert row.layout.display == "none"
    parts(box, "SelectMultiple")[0].value = ("a",)
    click(box, "Pay")
    assert row.layout.display is None
    click(box, "Confirm")
    assert row.layout.display == "none"


def test_what_an_action_says_is_text_and_never_markup(desk):
    assert "paid &lt;once&gt;" in click(page(desk), "Pay")


def test_a_refusal_is_an_alert_with_its_reason_and_a_failure_one_without_details(desk):
    box = page(desk)
    assert 'role="alert"' in click(box, "Refuse")
    assert "You may not" in click(box, "Refuse")
    failed = click(box, "Fail")
    assert 'role="alert"' in failed
    assert "secret path" not in failed


def test_only_what_the_filter_shows_can_be_chosen(desk):
    box = page(desk)
    desk.pay(desk.rows.tail(1), "")
    click(box, "Refuse")
    (status,) = parts(box, "Dropdown")
    status.value = "Paid"
    assert [key for _, key in parts(box, "SelectMultiple")[0].options] == ["b"]


def test_an_empty_list_says_so(desk):
    desk.rows = desk.rows.head(0)
    assert "Nothing to decide" in str(parts(page(desk), "Output")[0].outputs)


_AMOUNTS = [100, 250, 7, 12, 34, None]


@pytest.mark.parametrize(
    ("frame", "said"),
    [
        ({"amount_minor": _AMOUNTS, "currency": ["EUR", "EUR", "JPY", None, "", "EUR"]},
         "6 lines, 3.50 EUR, 7 JPY, 0.12 without a currency, 0.34 without a currency, 1 without an amount"),
        ({"amount_minor": [100_00, 50]}, "2 lines, 100.00 without a currency, 0.50 without a currency"),
        ({"amount_minor": [100_00], "currency": ["EUR"]}, "1 line, 100.00 EUR"),
        ({"name": ["a", "b"]}, "2 lines"),
    ],
)  # fmt: skip
def test_no_amount_is_missing_from_what_a_person_is_asked_to_confirm(frame, said):
    assert work_lists._come_to(pd.DataFrame(frame)) == said


def test_the_question_itself_names_an_amount_that_has_no_currency():
    rows = pd.DataFrame({"id": ["a", "b"], "amount_minor": [12_00, 5_00], "currency": [None, "EUR"]})
    work = work_lists.WorkList(
        "W", lambda: rows, "id", [], ["id", "amount_minor", "currency"], {"Do": lambda *_: "done"}
    )
    panel = work_lists._WorkPanel(work)
    panel._chosen.value = ["a", "b"]
    asked = panel._asking("Do", work.actions["Do"])()
    assert asked.startswith("Do? 2 lines, 5.00 EUR, 12.00 without a currency: ")


def test_a_trial_compares_the_values_typed_and_applies_them_with_a_reason():
    applied: list[Any] = []

    def compare(values: Any) -> pd.DataFrame:
        return pd.DataFrame({"percent": [values["percent"]]})

    def apply(values: Any, said: str) -> str:
        applied.append((dict(values), said))
        return "decided"

    fields = {
        "account": ["M1 EUR"],
        "percent": (0.0, 100.0, 10.0),
        "days": (3, 180, 90),
        "first": datetime.date(2026, 11, 2),
    }
    box = explore_trial(fields, compare, apply)
    parts(box, "BoundedFloatText")[0].value = 12.5
    assert "nothing is decided" in click(box, "Compare")
    assert "12.50" in str(parts(box, "Output")[0].outputs)
    assert applied == []
    parts(box, "Text")[0].value = "returns rise"
    assert "decided" in click(box, "Apply")
    values = {"account": "M1 EUR", "percent": 12.5, "days": 90, "first": datetime.date(2026, 11, 2)}
    assert applied == [(values, "returns rise")]
