import re

import pandas as pd
import pytest

from atlas_lib.present.tables import (
    ACCOUNTS_VARIABLE,
    _hides_accounts,
    format_value,
    lab_style,
    label_of,
    show_figures,
    show_note,
    show_table,
)

SUMMARY = pd.DataFrame(
    {
        "merchant_id": ["1", "2"],
        "payout_minor": [123456, -50],
        "limit_rate": [0.3058, None],
        "status": ["Ready", "Blocked"],
        "currency": ["EUR", "JPY"],
    }
)


def test_amounts_take_the_digits_of_their_row_currency():
    html = show_table(SUMMARY).html
    assert "1,234.56" in html
    assert ">-50<" in html
    assert "30.58 %" in html


@pytest.mark.parametrize(("status", "tone"), [("Ready", "good"), ("Blocked", "bad")])
def test_a_status_is_a_word_and_a_colour(status, tone):
    assert f'<span class="atlas-status {tone}">{status}</span>' in show_table(SUMMARY).html


def test_text_from_the_input_cannot_become_markup():
    html = show_table(pd.DataFrame({"name": ["<script>alert(1)</script>"]})).html
    assert "<script>" not in html
    assert "&lt;script&gt;" in html
    assert "<b>" not in show_note("<b>x</b>").html
    assert "<i>" not in show_figures(pd.DataFrame({"label": ["<i>"], "value": ["<i>"]})).html


def test_a_table_brings_its_style_into_a_notebook_and_leaves_it_out_of_a_page():
    view = show_table(SUMMARY)
    assert view._repr_html_() == lab_style() + view.html
    assert lab_style().startswith("<style>:is(.jp-LabShell")
    assert "<style" not in view.html


@pytest.mark.parametrize(
    ("told", "shown"), [("shown", "DE89370400440532013000"), ("hidden", "DE** **** 3000"), ("", "DE** **** 3000")]
)
def test_a_kernel_of_the_dashboard_shows_account_numbers_only_to_whom_it_is_told(monkeypatch, told, shown):
    monkeypatch.setenv("ATLAS_VIEW_ONLY", "1")
    monkeypatch.setenv(ACCOUNTS_VARIABLE, told)
    _hides_accounts.cache_clear()
    try:
        assert format_value("account", "DE89370400440532013000") == shown
    finally:
        _hides_accounts.cache_clear()


def test_an_empty_table_says_so_in_words():
    assert "No transactions" in show_table(SUMMARY.head(0), empty="No transactions in this input.").html


def test_what_is_left_out_is_counted():
    assert "First 1 of 2 rows" in show_table(SUMMARY, limit=1).html


def test_a_total_row_is_formatted_like_its_column():
    html = show_table(
        SUMMARY.head(1), ["merchant_id", "payout_minor"], total={"merchant_id": "Total", "payout_minor": 123456}
    ).html
    assert html.count("1,234.56") == 2
    assert "<tfoot>" in html


@pytest.mark.parametrize(
    ("column", "label"),
    [
        ("client_rr_minor", "Client RR"),
        ("merchant_id", "Merchant ID"),
        ("fx_cost_minor", "FX cost"),
        ("due_date", "Due date"),
        ("contract_count", "Contracts"),
        ("not_due_count", "Not due"),
        ("is_blocking", "Blocking"),
        ("dso_days", "DSO days"),
        ("cvar_rate", "CVaR rate"),
        ("content_sha256", "Content SHA-256"),
    ],
)
def test_headings_are_words(column, label):
    assert label_of(column) == label


def test_a_count_of_what_is_open_or_waiting_has_no_plural():
    assert [label_of("open_count"), label_of("waiting_count")] == ["Open", "Waiting"]


@pytest.mark.parametrize(
    ("column", "value", "text"),
    [
        ("created_at", pd.Timestamp("2026-10-30 12:00", tz="UTC"), "2026-10-30 12:00"),
        ("due_date", pd.Timestamp("2026-10-30"), "2026-10-30"),
        ("row_count", 1234, "1,234"),
        ("passed", True, "yes"),
        ("x_minor", pd.NA, ""),
    ],
)
def test_cells_are_written_by_the_unit_in_the_name(column, value, text):
    assert format_value(column, value, "EUR") == text


def test_an_id_stays_on_one_line_and_a_hash_breaks_anywhere():
    words = pd.DataFrame(
        {"name": ["PO-825b1d962de8ff3fdcfa8bb7", "a" * 64, "Gasthof Zum Löwen Betriebs GmbH", "Möbelwerk"]}
    )
    html = show_table(words).html
    assert re.findall(r'<td class="([^"]+)">', html) == ["text short", "text long", "text", "text short"]
