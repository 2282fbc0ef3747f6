from __future__ import annotations

from atlas_lib.core.tables import declared
from atlas_lib.reserves_credit.exports import SHEETS


def test_the_sheets_of_the_workbook_add_up_columns_that_exist() -> None:
    for name, (totals, ratios) in SHEETS.items():
        known = {*declared(name).column_names, "partner_rr_minor"}
        assert known.issuperset(totals.split()), name
        assert set(totals.split()).issuperset(c for pair in ratios.values() for c in pair), name
