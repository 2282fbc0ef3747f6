"""Account debtors: limits, concentration, cross-ageing and contra by obligor; without obligors nothing is passed."""

from __future__ import annotations

from typing import Any

import pandas as pd

from atlas_lib.core.tables import declared
from atlas_lib.reserves_credit.eligibility import measure_eligibility
from atlas_lib.reserves_credit.exposure import measure_exposure
from atlas_lib.reserves_credit.obligors import NOT_EVALUATED, measure_obligors
from atlas_lib.reserves_credit.reserves import hold_contracts
from tests.reserves_credit.reserves_credit_frames import contracts, merchants, settings

_OLD = {"start_date": "2023-01-31", "term_months": 12, "premium_minor": 10_00}


def line(receivable: int, **more: Any) -> dict[str, Any]:
    price = receivable * 8 // 10
    return {
        "receivable_minor": receivable, "merchant_reserve_minor": 0, "merchant_payout_minor": price,
        "partner_margin_minor": receivable - price,
    } | more  # fmt: skip


def measured(*rows: dict[str, Any], **policy: Any) -> dict[str, pd.DataFrame]:
    book, chosen = contracts(*rows), settings("2023-11-30", **policy)
    known = merchants({"merchant_id": "M1"}, {"merchant_id": "M2"})
    exposed = measure_exposure(
        book, known, declared("fx_rates").empty(), hold_contracts(book, chosen.as_of), chosen
    )  # fmt: skip
    flows = [declared(n).empty() for n in ("reserve_flows", "reserve_claims")]
    lent = measure_eligibility(book, exposed["exposures"], *flows, chosen)
    return exposed | lent | measure_obligors(book, exposed["exposures"], chosen)


def verdicts(tables: dict[str, pd.DataFrame]) -> dict[str, str]:
    return tables["obligor_checks"].set_index("check")["verdict"].to_dict()


def test_a_debtor_of_two_merchants_is_one_exposure_against_its_limit():
    rows = [
        line(600_00, obligor_id="D1"),
        line(350_00, obligor_id="D1", merchant_id="M2"),
        line(50_00, obligor_id="D2"),
    ]
    tables = measured(*rows, other_limits="obligor D1 EUR 900; obligor * EUR 100")
    own = tables["exposures"].query("scope == 'obligor'").set_index("subject_id")
    assert own["level"].to_dict() == {"D1": "breach", "D2": "ok"}
    assert own.loc["D1", "headroom_minor"] == -50_00
    assert verdicts(tables)["Obligor limits"] == "attention"
    assert tables["obligors"][["obligor_id", "merchant_count", "rank"]].to_numpy().tolist() == [
        ["D1", 2, 1],
        ["D2", 1, 2],
    ]


def test_shares_and_hhi_of_debtors_and_the_excess_over_the_cap():
    """Shares 60, 30, 10 %: HHI 3,600 + 900 + 100; above a cap of 40 % are 20 of 100."""
    tables = measured(
        *(line(a, obligor_id=d) for a, d in ((60_00, "A"), (30_00, "B"), (10_00, "C"))), concentration_cap_rate=0.4
    )
    found = tables["obligors"]
    assert (round(found["hhi_points"].sum(), 6), found["excess_minor"].tolist()) == (4_600.0, [20_00, 0, 0])
    assert verdicts(tables)["Obligor concentration"] == "attention"


def test_one_old_receivable_makes_all_of_a_debtor_ineligible_whoever_sold_it():
    rows = [
        line(120_00, obligor_id="D1", customer_payment_minor=30_00, **_OLD),
        line(100_00, obligor_id="D1", merchant_id="M2"), line(100_00, obligor_id="D2", merchant_id="M2"),
    ]  # fmt: skip
    tables = measured(*rows)
    found = tables["obligors"].set_index("obligor_id")
    assert found.loc["D1", ["old_minor", "cross_aged_minor", "eligible_minor"]].tolist() == [90_00, 100_00, 0]
    assert found.loc["D2", "eligible_minor"] == 100_00
    assert verdicts(tables)["Cross-ageing by obligor"] == "attention"


def test_what_the_merchant_owes_the_debtor_is_not_lent_against():
    rows = [line(100_00, obligor_id="D1", contra_minor=30_00), line(50_00, obligor_id="D2", contra_minor=80_00)]
    tables = measured(*rows, concentration_cap_rate=1.0)
    assert tables["obligors"]["eligible_minor"].tolist() == [70_00, 0]
    assert tables["eligibility"][["contra_minor", "eligible_minor"]].to_numpy().tolist() == [[80_00, 70_00]]
    assert verdicts(tables)["Contra accounts"] == "attention"


def test_without_obligors_no_check_is_passed():
    tables = measured(line(100_00), other_limits="obligor * EUR 1000")
    assert set(verdicts(tables).values()) == {NOT_EVALUATED}
    assert tables["obligor_checks"]["detail"].str.contains("no obligors given|no contra").all()
    assert tables["obligors"].empty
    assert "obligor" not in set(tables["exposures"]["scope"])


def test_a_book_that_names_some_obligors_is_not_passed_for_the_others():
    tables = measured(
        *(line(100_00, obligor_id=f"D{n}") for n in range(9)), line(100_00), other_limits="obligor * EUR 1000"
    )
    assert verdicts(tables)["Obligor limits"] == "attention"
    assert (
        tables["obligor_checks"]
        .set_index("check")
        .loc["Obligor limits", "detail"]
        .endswith("1 of 10 contracts name no obligor")
    )


def test_no_contracts_have_nothing_to_check():
    tables = measured()
    assert (len(tables["obligors"]), len(tables["obligor_checks"])) == (0, 0)
