"""Tiny literal tables of the reconciliation tests."""

from __future__ import annotations

from datetime import date
from typing import Any

import pandas as pd

from atlas_lib.core.settings import ReconciliationSettings
from atlas_lib.core.tables import declared
from atlas_lib.reconciliation import bridge_accounts, find_breaks, match_transactions
from atlas_lib.reconciliation.waterfalls import build_waterfalls

_BLANK = {"string": "", "int": 0, "float": 0.0, "bool": False}


def settings(**values: Any) -> ReconciliationSettings:
    return ReconciliationSettings(**({"as_of": date(2026, 10, 30)} | values))


def frame_of(name: str, rows: list[dict[str, Any]]) -> pd.DataFrame:
    """Rows as the declared table; what a row leaves out is empty."""
    table = declared(name)
    if not rows:
        return table.empty()
    frame = pd.DataFrame(rows).reindex(columns=table.column_names)
    for column in table.columns:
        if not column.nullable and column.type in _BLANK:
            kept = frame[column.name].astype(object)
            frame[column.name] = kept.where(kept.notna(), _BLANK[column.type])
    return table.shaped(frame)


def payment(transaction_id: str, amount_minor: int, day: str, **more: Any) -> dict[str, Any]:
    """An approved sale in EUR at noon unless said otherwise."""
    row = {"type": "SALE", "status": "APPROVED", "currency": "EUR", "merchant_id": "M1", "user_id": "U1"} | more
    row.setdefault("destination_currency", row["currency"])
    created_at = pd.Timestamp(f"{day} {row.pop('time', '12:00')}", tz="UTC")
    return {"transaction_id": transaction_id, "amount_minor": amount_minor, "created_at": created_at} | row


def line(line_id: str, amount_minor: int, day: str, **more: Any) -> dict[str, Any]:
    """A booked credit in EUR unless said otherwise."""
    row = {"currency": "EUR", "credit_debit_indicator": "CRDT", "status": "BOOK", "statement_id": "S1"} | more
    row.setdefault("account", "OUR-" + row["currency"])
    return {"line_id": line_id, "amount_posted_minor": amount_minor, "booking_date": pd.Timestamp(day)} | row


def balances_of(statement_lines: pd.DataFrame, opening_minor: int = 100_000) -> pd.DataFrame:
    """Opening and closing balances that fit the lines, for October 2026."""
    rows = []
    for (account, currency), own in statement_lines.groupby(["account", "currency"]):
        booked = own[own["status"] == "BOOK"]
        signed = booked["amount_posted_minor"].where(
            booked["credit_debit_indicator"] == "CRDT", -booked["amount_posted_minor"]
        )
        closing = opening_minor + int(signed.sum())
        for kind, day, balance in (("OPBD", "2026-10-01", opening_minor), ("CLBD", "2026-10-30", closing)):
            rows.append(
                {"statement_id": f"S-{account}", "account": account, "currency": currency, "balance_type": kind}
                | {"balance_date": pd.Timestamp(day), "balance_minor": balance}
            )
    return frame_of("statement_balances", rows)


def match(
    transactions: pd.DataFrame,
    statement_lines: pd.DataFrame,
    chosen: ReconciliationSettings | None = None,
    **given: Any,
) -> dict[str, pd.DataFrame]:
    """match_transactions with empty merchants, counterparties and rates unless given."""
    reference = [given.get(n, declared(n).empty()) for n in ("merchants", "counterparties", "fx_rates")]
    return match_transactions(transactions, statement_lines, *reference, chosen or settings())


def reconcile(
    transactions: pd.DataFrame,
    statement_lines: pd.DataFrame,
    chosen: ReconciliationSettings | None = None,
    **given: Any,
) -> dict[str, pd.DataFrame]:
    """Everything from matching to bridges, in one mapping; balances fit the lines unless given."""
    chosen = chosen or settings()
    balances = given.pop("balances", None)
    balances = balances_of(statement_lines) if balances is None else balances
    found = match(transactions, statement_lines, chosen, **given)
    passed = {name: frame for name, frame in found.items() if name != "search_limits"}
    broken = find_breaks(transactions, statement_lines, balances, **passed, settings=chosen)
    payouts = build_waterfalls(
        transactions, statement_lines, found["matches"], found["suggestions"], found["payout_parts"], chosen
    )
    bridged = bridge_accounts(transactions, statement_lines, balances, broken["reconciliation_items"])
    return found | broken | payouts | bridged
