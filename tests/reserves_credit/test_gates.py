from __future__ import annotations

from typing import Any

import pandas as pd
import pytest

from atlas_lib.core.engine import Engine
from atlas_lib.core.tables import declared
from atlas_lib.reserves_credit import gates
from atlas_lib.reserves_credit.exposure import measure_exposure
from atlas_lib.reserves_credit.gates import _REVIEWED, check_contracts, count_codes
from atlas_lib.reserves_credit.payouts import summarise_payouts
from atlas_lib.reserves_credit.reserves import hold_reserves
from tests.reserves_credit.reserves_credit_frames import contracts, fresh_positions, merchants, settings, transactions

_LINE = {"receivable_minor": 1_000_00, "merchant_payout_minor": 720_00, "merchant_reserve_minor": 80_00, "partner_margin_minor": 200_00}  # fmt: skip
_GOOD_IBAN = "DE89370400440532013000"  # ISO 13616 registry, the example for Germany


def _gated(
    lines: list[dict[str, Any]], known: pd.DataFrame, sales: pd.DataFrame | None = None, **more: Any
) -> dict[str, str]:
    """Reasons per merchant."""
    chosen = settings(**more.pop("policy", {}))
    book = contracts(*lines)
    tables = {n: declared(n).empty() for n in ("streaming_index", "rejects", "screening_findings", "fx_rates")} | more
    paid = sales if sales is not None else transactions()
    reserves = hold_reserves(book, known, paid, chosen)
    exposure = measure_exposure(book, known, tables["fx_rates"], reserves["reserve_tranches"], chosen)
    summary = summarise_payouts(
        book, known, paid, tables["streaming_index"], exposure["exposures"], reserves["reserve_coverage"],
        tables["rejects"], tables["screening_findings"], **fresh_positions(book), settings=chosen,
    )["payout_summary"]  # fmt: skip
    assert ((summary["reasons"] == "") == (summary["status"] == "Ready")).all()
    return dict(summary[["merchant_id", "reasons"]].to_numpy())


def _two(**second: Any) -> pd.DataFrame:
    return merchants({"merchant_id": "M1"}, {"merchant_id": "M2"} | second)


_PAIR = [_LINE, _LINE | {"merchant_id": "M2"}]


def test_a_workbook_without_bank_details_kyc_and_limits_stays_ready_and_says_what_it_lacks() -> None:
    book, known, chosen = contracts(_LINE), merchants({"merchant_id": "M1"}), settings()
    reserves = hold_reserves(book, known, transactions(), chosen)
    empty = {n: declared(n).empty() for n in ("streaming_index", "rejects", "screening_findings", "fx_rates")}
    exposures = measure_exposure(book, known, empty["fx_rates"], reserves["reserve_tranches"], chosen)["exposures"]
    tables = summarise_payouts(
        book, known, transactions(), empty["streaming_index"], exposures, reserves["reserve_coverage"],
        empty["rejects"], empty["screening_findings"], **fresh_positions(book), settings=chosen,
    )  # fmt: skip
    row = tables["payout_summary"].iloc[0]
    assert (row["status"], row["remarks"]) == ("Ready", "DEFAULT_LIMIT; KYC_UNKNOWN; NO_BANK_DETAILS")
    assert not tables["payout_gates"]["is_blocking"].any()


def test_an_iban_missing_blocks_once_another_merchant_has_one() -> None:
    assert _gated(_PAIR, _two(iban=_GOOD_IBAN)) == {"M1": "INVALID_IBAN", "M2": ""}


def test_an_iban_with_wrong_check_digits_blocks() -> None:
    assert _gated([_LINE], merchants({"merchant_id": "M1", "iban": "DE88370400440532013000"})) == {"M1": "INVALID_IBAN"}


@pytest.mark.parametrize("status", ["PENDING", "EXPIRED"])
def test_kyc_that_is_open_blocks_and_kyc_unknown_blocks_beside_known_ones(status: str) -> None:
    assert _gated(_PAIR, _two(kyc_status=status)) == {"M1": "KYC_INCOMPLETE", "M2": "KYC_INCOMPLETE"}
    assert _gated(_PAIR, _two(kyc_status="COMPLETE")) == {"M1": "KYC_INCOMPLETE", "M2": ""}


def test_a_limit_exceeded_a_person_and_nothing_to_pay_block() -> None:
    known = merchants(
        {"merchant_id": "M1", "credit_limit_minor": 999_99},
        {"merchant_id": "M2", "is_blocked": True},
        {"merchant_id": "M3"},
    )
    free = {
        "receivable_minor": 200_00,
        "merchant_payout_minor": 0,
        "merchant_reserve_minor": 0,
        "partner_margin_minor": 200_00,
    }
    assert _gated([*_PAIR, free | {"merchant_id": "M3"}], known) == {
        "M1": "LIMIT_BREACH", "M2": "MERCHANT_BLOCKED", "M3": "NON_POSITIVE_PAYOUT"
    }  # fmt: skip


def test_a_contract_whose_parts_do_not_add_up_blocks_but_line_rounding_does_not() -> None:
    rounded = _LINE | {"receivable_minor": 1_000_02}
    broken = _LINE | {"receivable_minor": 1_000_03, "merchant_id": "M2"}
    assert _gated([rounded, broken], _two()) == {"M1": "", "M2": "IDENTITY_BREAK"}


def test_a_contract_number_given_twice_blocks_its_merchant() -> None:
    refused = {
        "source_file": "book.xlsx", "source_sheet": "Sheet1", "source_row": 9, "table": "contracts", "column": "contract_id",
        "value": "C2", "rule": "duplicate", "severity": "error", "message": "",
    }  # fmt: skip
    reasons = _gated(_PAIR, _two(), rejects=pd.DataFrame([refused]))
    assert reasons == {"M1": "", "M2": "DUPLICATE_CONTRACT"}


@pytest.mark.parametrize(
    ("count", "said"),
    [
        (1, "1 contract number given twice"),
        (2, "2 contract numbers given twice"),
        (1_200, "1,200 contract numbers given twice"),
    ],
)
def test_what_was_seen_is_said_in_singular_or_plural(count: int, said: str) -> None:
    facts, counts = pd.DataFrame({"merchant_id": ["M1", "M2"]}), pd.Series({"M1": count})
    words = ("contract number given twice", "contract numbers given twice")
    _, is_hit, detail = gates._named_gate(facts, "DUPLICATE_CONTRACT", counts, *words)
    assert detail[is_hit].tolist() == [said]


def test_a_name_on_a_sanctions_list_blocks() -> None:
    finding = {"finding_id": "F1", "transaction_id": None, "merchant_id": "M2", "user_id": None, "rule": "SANCTIONS_MATCH", "severity": "high", "detail": ""}  # fmt: skip
    findings = declared("screening_findings").checked(pd.DataFrame([finding]))
    assert _gated(_PAIR, _two(), screening_findings=findings) == {"M1": "", "M2": "SANCTIONS_MATCH"}


def test_many_sales_under_review_block_and_a_few_do_not() -> None:
    day = "2023-11-29T10:00"
    sales = transactions(*({"amount_minor": 10_00, "created_at": day, "merchant_id": m} for m in ["M1", "M2"] * 10))
    score = [0.9 if i in (1, 3, 0) else 0.1 for i in range(20)]  # two of M2's ten, one of M1's
    index = pd.DataFrame({"transaction_id": sales["transaction_id"].sort_values(), "fraud_score": 0.1})
    index["fraud_score"] = index["transaction_id"].map({f"T{i + 1}": s for i, s in enumerate(score)})
    assert _gated(_PAIR, _two(), sales, streaming_index=index) == {"M1": "", "M2": "FRAUD_REVIEW"}


def test_claims_the_reserve_could_not_pay_block_only_above_the_payout() -> None:
    day = "2023-11-29T10:00"
    claims = transactions(
        {"amount_minor": 720_00, "created_at": day, "type": "CHARGEBACK"},
        {"amount_minor": 720_01, "created_at": day, "type": "CHARGEBACK", "merchant_id": "M2"},
    )
    assert _gated(_PAIR, _two(), claims) == {"M1": "", "M2": "RESERVE_SHORTFALL"}


def test_an_input_whose_newest_record_is_old_blocks_everything() -> None:
    assert _gated([_LINE], _two(), policy={"as_of": "2023-12-30"}) == {"M1": ""}
    assert _gated([_LINE], _two(), policy={"as_of": "2023-12-31"}) == {"M1": "STALE_INPUT"}


@pytest.mark.slow
def test_reviewed_sales_are_the_same_on_both_engines(duckdb_engine: Engine, spark_engine: Engine) -> None:
    sales = transactions(
        *({"amount_minor": i, "created_at": "2023-11-29T10:00", "merchant_id": f"M{i % 2}"} for i in range(1, 6))
    )
    index = pd.DataFrame({"transaction_id": ["T1", "T2", "T3"], "fraud_score": [0.7, 0.6999, 0.95]})
    inputs = {"transactions": sales, "streaming_index": index}
    both = [
        engine.run(_REVIEWED, inputs, ["reviewed_sales"], {"review_score": 0.7})["reviewed_sales"].sort_values("merchant_id", ignore_index=True)
        for engine in (duckdb_engine, spark_engine)
    ]  # fmt: skip
    pd.testing.assert_frame_equal(*both)
    assert both[0]["review_count"].tolist() == [0, 2]


def test_codes_are_counted_with_the_blocking_ones_first() -> None:
    rows = [("M1", "DEFAULT_LIMIT", False), ("M2", "DEFAULT_LIMIT", False), ("M2", "LIMIT_BREACH", True)]
    frame = pd.DataFrame(rows, columns=["merchant_id", "code", "is_blocking"]).assign(currency="EUR", detail="seen")
    counted = count_codes(frame)
    assert counted[["code", "payouts_count", "first_merchants"]].to_numpy().tolist() == [
        ["LIMIT_BREACH", 1, "M2"],
        ["DEFAULT_LIMIT", 2, "M1, M2"],
    ]
    assert count_codes(declared("payout_gates").empty()).empty


def test_only_a_contract_without_merchant_stops_the_run() -> None:
    broken = contracts(_LINE | {"receivable_minor": 1}, _LINE | {"merchant_id": "M9", "purchase_price_minor": 5})
    checks = check_contracts(broken, merchants({"merchant_id": "M1"}))
    assert checks["passed"].tolist() == [False, False, False]
    assert checks["is_blocking"].tolist() == [True, False, False]
    assert checks["detail"].tolist()[0] == "1 of 2 contracts breaks it"
