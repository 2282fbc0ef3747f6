"""The Excel files: the contract sheet in the shape of the client's workbook, and the reference data."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas as pd

HEADERS = (
    "Vertragsnummer Vertrieb_ID Vertrieb_Name Beginn Tilgdauer Prämie Barzahlungspreis Check_BWS BWS Kaufpreissatz "
    "max_Kaufpreissatz Sicherheitensatz Kundenzahlung_Brutto Kaufpreis Marge_CY Sicherheitseinbehalt Broker_Payout"
).split()
MERCHANT_COLUMNS = (
    "merchant_id merchant_name credit_limit currency iban bic country town category risk_level kyc_status onboarding_date "
    "reserve_rate hold_days blocked counterparty_id delivery_days"
).split()
OBLIGOR_HEADERS = ("Debitor_ID", "Gegenforderung")  # behind the column without header
_FORMATS = {3: "mm/dd/yyyy", 9: "0%", 10: "0%", 11: "0%", 16: "0", 17: "0.0%"}
_CREATED = datetime(2026, 10, 30, tzinfo=UTC)


def write_contracts(path: Path, contracts: pd.DataFrame, merchants: pd.DataFrame) -> pd.DataFrame:
    """Sheet1 with German headers, formulas with cached values and an extra column without header.

    The last two columns name the account debtor and what the merchant owes it in turn. Two cells are numbers typed as German text and one date is text: all readable. The last two rows cannot be
    used. Returns those cases: case, table, row_id, file, source_row, expected, detail.
    """
    sheet, cases = _with_bad_rows(_sheet_columns(contracts, merchants))
    book = _open(path)
    page = book.add_worksheet("Sheet1")
    page.set_column(0, 19, 16)
    page.write_row(0, 0, HEADERS)
    page.write_row(0, len(HEADERS) + 1, OBLIGOR_HEADERS)
    for number, values in enumerate(sheet):
        look = book.add_format({"num_format": _FORMATS[number]}) if number in _FORMATS else None
        if number not in (15, 16, 17):
            page.write_column(1, number, values, look)
        else:
            _write_formulas(page, number, values, look)
    book.close()
    return cases.assign(table="contracts", file=path.name)


def write_reference(path: Path, sheets: Mapping[str, pd.DataFrame]) -> None:
    """One sheet per table, canonical column names, dates as dates."""
    book = _open(path)
    day = book.add_format({"num_format": "yyyy-mm-dd"})
    for name, frame in sheets.items():
        page = book.add_worksheet(name)
        page.write_row(0, 0, list(frame.columns))
        page.freeze_panes(1, 0)
        for number, column in enumerate(frame.columns):
            values = frame[column]
            is_date = pd.api.types.is_datetime64_any_dtype(values)
            cells = values.dt.to_pydatetime().tolist() if is_date else values.astype(object).tolist()
            page.write_column(1, number, [None if pd.isna(v) else v for v in cells], day if is_date else None)
            page.set_column(number, number, 18)
    book.close()


def _sheet_columns(contracts: pd.DataFrame, merchants: pd.DataFrame) -> list[list[Any]]:
    merchant = contracts["merchant"].to_numpy()
    units = {name: (contracts[name] / 100).tolist() for name in contracts.columns if name.endswith("_minor")}
    return [
        contracts["contract_id"].tolist(),
        merchants["merchant_id"].astype(int).to_numpy()[merchant].tolist(),
        merchants["merchant_name"].to_numpy(dtype=object)[merchant].tolist(),
        contracts["start_date"].dt.to_pydatetime().tolist(),
        contracts["term_months"].tolist(),
        units["premium_minor"],
        units["receivable_minor"],
        [0] * len(contracts),
        units["valuation_sum_minor"],
        contracts["purchase_rate"].tolist(),
        contracts["max_purchase_rate"].tolist(),
        contracts["reserve_rate"].tolist(),
        units["customer_payment_minor"],
        units["purchase_price_minor"],
        units["partner_margin_minor"],
        units["merchant_reserve_minor"],
        units["merchant_payout_minor"],
        (contracts["purchase_rate"] / contracts["max_purchase_rate"]).tolist(),
        contracts["obligor_id"].tolist(),
        units["contra_minor"],
    ]


def _with_bad_rows(columns: list[list[Any]]) -> tuple[list[list[Any]], pd.DataFrame]:
    """Text cells in rows 4, 7 and 9; then a repeated contract number and a negative premium as last rows."""
    count = len(columns[0])
    columns = [list(values) for values in columns]
    columns[5][2], columns[6][5] = _german(columns[5][2]), _german(columns[6][5])
    columns[3][7] = columns[3][7].strftime("%d.%m.%Y")
    for values, repeated, negative in zip(columns, [v[4] for v in columns], [v[10] for v in columns], strict=True):
        values.extend([repeated, negative])
    columns[0][-1] = f"{columns[0][count - 1]}-N"
    for number in (5, 6):
        columns[number][-1] = -columns[number][-1]
    cases = [
        ("contract_european_decimal", 4, columns[0][2], "accepted", "Prämie typed as German text"),
        ("contract_european_decimal", 7, columns[0][5], "accepted", "Barzahlungspreis typed as German text"),
        ("contract_text_date", 9, columns[0][7], "accepted", "Beginn typed as German text"),
        ("duplicate_contract", count + 2, columns[0][-2], "rejected", "contract number of row 6 again"),
        ("negative_premium", count + 3, columns[0][-1], "rejected", "Prämie and Barzahlungspreis below zero"),
    ]
    return columns, pd.DataFrame(cases, columns=["case", "source_row", "row_id", "expected", "detail"])


def _german(amount: float) -> str:
    """1234.5 as a German typist writes it: 1.234,50."""
    return f"{amount:,.2f}".translate(str.maketrans(",.", ".,"))


def _write_formulas(page: Any, number: int, values: list[float], look: Any) -> None:
    """Reserve = L x N, payout = N - P, the extra column = J / K; as in the client's workbook."""
    formula = {15: "=L{0}*N{0}", 16: "=N{0}-P{0}", 17: "=J{0}/K{0}"}[number]
    for row, value in enumerate(values, start=1):
        page.write_formula(row, number, formula.format(row + 1), look, value)


def _open(path: Path) -> Any:
    """A workbook whose bytes depend on its content only."""
    import xlsxwriter

    book = xlsxwriter.Workbook(str(path))
    book.set_properties({"title": path.stem, "author": "Atlas Settlement example data", "created": _CREATED})
    return book
