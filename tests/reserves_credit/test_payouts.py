from __future__ import annotations

from decimal import ROUND_HALF_EVEN, Decimal
from typing import Any

import pandas as pd
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from atlas_lib.core.tables import declared
from atlas_lib.reserves_credit import controls, payouts, waterfall
from atlas_lib.reserves_credit.exposure import measure_exposure
from atlas_lib.reserves_credit.reserves import hold_reserves
from atlas_lib.reserves_credit.workflow import name_payout
from tests.reserves_credit.reserves_credit_frames import contracts, fresh_positions, merchants, settings


def _empty(name: str) -> pd.DataFrame:
    return declared(name).empty()


def summarise(book: pd.DataFrame, known: pd.DataFrame | None = None, **policy: Any) -> dict[str, pd.DataFrame]:
    chosen, parties = settings(**policy), known if known is not None else merchants({"merchant_id": "M1"})
    reserves = hold_reserves(book, parties, _empty("transactions"), chosen)
    exposure = measure_exposure(book, parties, _empty("fx_rates"), reserves["reserve_tranches"], chosen)
    positions = fresh_positions(book)
    return positions | payouts.summarise_payouts(
        book, parties, _empty("transactions"), _empty("streaming_index"), exposure["exposures"],
        reserves["reserve_coverage"], _empty("rejects"), _empty("screening_findings"), **positions, settings=chosen,
    )  # fmt: skip


def _contract(valuation: int, rate: float, receivable: int, reserve_rate: float, **more: Any) -> dict[str, Any]:
    def rounded(amount: Decimal) -> int:
        return int(amount.quantize(Decimal(1), ROUND_HALF_EVEN))

    price = rounded(Decimal(valuation) * Decimal(str(rate)))
    reserve = rounded(Decimal(price) * Decimal(str(reserve_rate)))
    return {
        "valuation_sum_minor": valuation, "purchase_rate": rate, "reserve_rate": reserve_rate, "receivable_minor": receivable,
        "purchase_price_minor": price, "merchant_reserve_minor": reserve, "merchant_payout_minor": price - reserve,
        "partner_margin_minor": receivable - price,
    } | more  # fmt: skip


# CONTRACT-001 of the client's workbook, in cents.
_FIRST = _contract(44_800_00, 0.053, 3_360_00, 0.1)


def test_the_first_contract_of_the_real_workbook() -> None:
    row = summarise(contracts(_FIRST))["payout_summary"].iloc[0]
    assert row["merchant_payout_minor"] == 2_136_96
    assert row["client_rr_minor"] == 237_44
    assert row["partner_payout_minor"] == 985_60
    assert row["partner_rr_minor"] == 98_56
    assert (row["reserve_rate"], round(row["rolling_reserve_rate"], 6)) == (0.1, 0.070667)


def test_partner_rr_is_summed_per_contract_and_not_a_mean_rate_times_a_sum() -> None:
    """1,000 at 10 % and 9,000 at 0 %: the reserve policy asks for 100, a mean rate times the sum for 500."""
    book = contracts(
        {"receivable_minor": 1_000_00, "reserve_rate": 0.1, "merchant_payout_minor": 1_000_00, "merchant_reserve_minor": 0, "partner_margin_minor": 0},
        {"receivable_minor": 9_000_00, "reserve_rate": 0.0, "merchant_payout_minor": 9_000_00, "merchant_reserve_minor": 0, "partner_margin_minor": 0},
    )  # fmt: skip
    assert summarise(book)["payout_summary"]["partner_rr_minor"].tolist() == [100_00]


def test_the_total_row_keeps_merchant_and_partner_payout_in_their_own_columns() -> None:
    """The prototype's Total row swapped the two."""
    book = contracts(_FIRST, _contract(89_600_00, 0.053, 6_720_00, 0.1, merchant_id="M2"))
    total = payouts.total_row(summarise(book)["payout_summary"]).iloc[0]
    assert total["merchant_payout_minor"] == 2_136_96 + 4_273_92
    assert total["partner_payout_minor"] == 985_60 + 1_971_20
    assert total["receivables_minor"] == 10_080_00
    assert (total["merchant_id"], total["contract_count"], total["reasons"]) == ("Total", 2, "all Ready")
    assert round(total["rolling_reserve_rate"], 6) == 0.070667


def test_cents_are_summed_and_not_rounded_euros() -> None:
    """The prototype added amounts already rounded to whole euros: three times 0.40 became 0 instead of 1.20."""
    line = {
        "receivable_minor": 100,
        "merchant_payout_minor": 40,
        "merchant_reserve_minor": 0,
        "partner_margin_minor": 60,
    }
    summary = summarise(contracts(line, line, line))["payout_summary"]
    assert summary["merchant_payout_minor"].tolist() == [1_20]
    assert payouts.total_row(summary)["merchant_payout_minor"].tolist() == [1_20]


def test_currencies_are_never_added_and_each_has_its_own_total() -> None:
    book = contracts(_FIRST, _contract(44_800, 0.053, 3_360, 0.1, currency="JPY"))
    summary = summarise(book)["payout_summary"]
    assert summary["currency"].tolist() == ["EUR", "JPY"]
    assert payouts.total_row(summary)[["currency", "receivables_minor"]].to_numpy().tolist() == [
        ["EUR", 3_360_00],
        ["JPY", 3_360],
    ]


def test_a_payout_keeps_its_id_until_it_is_executed_whatever_it_pays() -> None:
    first = summarise(contracts(_FIRST))["payouts"].iloc[0]
    again = summarise(contracts(_FIRST, _FIRST), as_of="2023-12-24")["payouts"].iloc[0]
    assert first["payout_id"] == again["payout_id"] == name_payout("M1", "EUR", 1)
    assert len(first["payout_id"]) <= 35
    assert again["due_date"] == pd.Timestamp("2023-12-27")


def test_the_waterfall_ends_at_the_payable() -> None:
    found = summarise(contracts(_FIRST))
    steps = waterfall.explain_payouts(found["payout_waterfall"])
    shown = waterfall.waterfall_of(steps, "M1", "EUR")
    assert shown["amount_minor"].tolist() == [3_360_00, -985_60, -237_44, 0, 0, 0, 0, 2_136_96]
    assert steps["amount_minor"].iloc[:-1].sum() == steps["amount_minor"].iloc[-1]


def test_the_drilldown_ends_at_the_source_cell() -> None:
    lines = payouts.trace_contracts(contracts(_FIRST), settings())
    assert lines[["contract_id", "source_file", "source_sheet", "source_row"]].to_numpy().tolist() == [
        ["C1", "book.xlsx", "Sheet1", 2]
    ]


def test_a_book_without_contracts_is_skipped_in_one_friendly_line() -> None:
    tables = summarise(contracts())
    assert all(t.empty for t in tables.values())
    assert payouts.total_row(tables["payout_summary"]).empty
    summary = payouts.summarise_stage(
        tables["payout_summary"], tables["payouts"], _empty("alerts"), _empty("concentration_totals")
    )
    assert (summary.status, len(summary.figures)) == ("skipped", 0)


def test_the_verdict_names_what_is_ready() -> None:
    tables = summarise(contracts(_FIRST))
    summary = payouts.summarise_stage(
        tables["payout_summary"], tables["payouts"], _empty("alerts"), _empty("concentration_totals")
    )
    assert summary.verdict == "2,136.96 EUR ready to be paid in 1 payout; 0 blocked, 0 high alerts."
    assert summary.status == "passed"


_LINES = st.lists(
    st.tuples(
        st.sampled_from(["M1", "M2", "M3"]), st.integers(1, 10**10), st.integers(1, 200), st.integers(1, 10**9),
        st.integers(0, 30), st.sampled_from(["EUR", "JPY"]),
    ),
    min_size=1, max_size=12,
)  # fmt: skip


@given(_LINES)
@hypothesis_settings(max_examples=25)
def test_the_identity_holds_for_every_merchant_and_nothing_is_lost(
    rows: list[tuple[str, int, int, int, int, str]],
) -> None:
    lines = [_contract(v, p / 1000, r, q / 100, merchant_id=m, currency=c) for m, v, p, r, q, c in rows]
    book = contracts(*lines)
    by_line = payouts.contract_lines(book, settings())
    summary = payouts.sum_lines(by_line)
    parts = summary["merchant_payout_minor"] + summary["client_rr_minor"] + summary["partner_payout_minor"]
    assert (summary["receivables_minor"] == parts).all()
    assert summary["contract_count"].sum() == len(book)
    assert summary["merchant_payout_minor"].sum() == book["merchant_payout_minor"].sum()
    by_decimal = sum(
        int((Decimal(r) * Decimal(str(q / 100))).quantize(Decimal(1), ROUND_HALF_EVEN)) for _, _, _, r, q, _ in rows
    ) - int(book["merchant_reserve_minor"].sum())
    assert summary["partner_rr_minor"].sum() == by_decimal
    assert controls.control_rounding(by_line)["passed"].all()
