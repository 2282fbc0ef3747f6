from __future__ import annotations

import pandas as pd

from atlas_lib.core.tables import declared
from atlas_lib.reserves_credit.exports import SHEETS, name_merchants
from tests.reserves_credit.reserves_credit_frames import merchants, payouts


def test_the_sheets_of_the_workbook_add_up_columns_that_exist() -> None:
    for name, (totals, ratios) in SHEETS.items():
        known = {*declared(name).column_names, "partner_rr_minor"}
        assert known.issuperset(totals.split()), name
        assert set(totals.split()).issuperset(c for pair in ratios.values() for c in pair), name


def test_a_person_reads_names_beside_ids_and_payouts_by_merchant() -> None:
    known = merchants({"merchant_id": "M1"}, {"merchant_id": "M2", "merchant_name": "Merchant Two"})
    made = payouts(
        {"merchant_id": "M2", "payout_id": "PO-1"}, {"payout_id": "PO-2"}, {"merchant_id": "M9", "payout_id": "PO-3"}
    )
    gates = pd.DataFrame({"currency": ["EUR"], "merchant_id": ["M2"], "code": ["X"]})
    found = name_merchants(
        {"payouts": made, "payout_gates": gates, "merchants": known, "totals": gates[["code"]]}, known
    )
    assert found["payouts"]["merchant_id"].tolist() == ["M1", "M2", "M9"]
    assert found["payouts"]["merchant_name"].tolist()[:2] == ["Merchant One", "Merchant Two"]
    assert found["payouts"]["merchant_name"].isna().tolist() == [False, False, True]
    assert list(found["payout_gates"]) == ["currency", "merchant_id", "merchant_name", "code"]
    assert found["merchants"] is known
    assert list(found["totals"]) == ["code"]
