"""Breaks: what does not tie out, each with type, reason, age, severity and a stable id.

| what is seen | break type |
|---|---|
| due, no line, older than the grace period | MISSING_AT_BANK |
| ... and it repeats another payment that the bank has (amount, parties, reference and day), more often than the bank | DUPLICATE |
| line names the payment, less or more was booked | AMOUNT_MISMATCH |
| ... a large part is missing, or several parts do not add up | SPLIT_INCOMPLETE |
| ... the same amount in the other direction | WRONG_SIGN |
| ... the currency due, without a rate of the day | FX_DIFFERENCE |
| ... another currency: converted amount differs / figure carried over, or a currency nobody asked for | FX_DIFFERENCE / CURRENCY_MISMATCH |
| another line for a payment that is matched already | DUPLICATE |
| a refund at the bank without a refund of ours | ORPHAN_REFUND |
| any other line that is not ours | MISSING_IN_LEDGER |
| matched, but the bank kept another fee than agreed | FEE_VARIANCE (open, to be claimed) |
| matched, but booked late | LATE_POSTING (noted) |

A payment within the grace period is pending; one that no statement covers is uncovered; neither is a break.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd

from atlas_lib.core.bulk import loaded
from atlas_lib.core.engine import Engine, Input, open_engine
from atlas_lib.core.money import exponent
from atlas_lib.core.settings import ReconciliationSettings
from atlas_lib.core.tables import declared
from atlas_lib.reconciliation.break_types import TYPED
from atlas_lib.reconciliation.carrying import Carried, known_before
from atlas_lib.reconciliation.open_rows import SIDES
from atlas_lib.reconciliation.outcomes import OUTCOMES


def break_steps() -> list[tuple[str, str]]:
    """The statements from matches and links to breaks, items and batch index."""
    return [*SIDES, *TYPED, *OUTCOMES]


def find_breaks(
    transactions: Input,
    statement_lines: Input,
    statement_balances: Input,
    matches: Input,
    links: Input,
    suggestions: Input,
    payout_parts: Input,
    settings: ReconciliationSettings,
    carried: Carried | None = None,
    engine: Engine | None = None,
) -> dict[str, Any]:
    """breaks, reconciliation_items (every row of both sides once) and batch_index (every transaction once).

    `carried`: what of the sides was carried over from the run before, and from when on statements cover (`carrying`).
    With transactions in a Parquet file the tables of every row are files too, in the folder of the engine given.
    """
    names = ("breaks", "reconciliation_items", "batch_index")
    currencies = sorted(_currencies(transactions) | _currencies(statement_lines))
    if not currencies:
        return {name: declared(name).empty() for name in names}
    inputs = {
        "transactions": transactions,
        "statement_lines": statement_lines,
        "statement_balances": statement_balances,
        "matches": matches,
        "links": links,
        "suggestions": suggestions,
        "payout_parts": payout_parts,
        "severity_limits": _severity_limits(currencies, settings),
    }
    inputs |= known_before(carried)
    parameters = {
        "as_of": settings.as_of,
        "days_before": settings.days_before,
        "days_after": settings.days_after,
        "fx_ppm": round(settings.fx_tolerance_bps * 100),
        "tolerance": settings.amount_tolerance_minor,
        "part_bps": round(settings.part_payment_rate * 10_000),
        "late_after_days": settings.late_after_days,
        "fee_ppm": round(settings.agreed_fee_bps * 100),
    }
    engine = engine or open_engine(settings.engine)
    if not isinstance(transactions, Path):
        tables = engine.run(break_steps(), inputs, names, parameters)
        return {name: declared(name).shaped(frame) for name, frame in tables.items()}
    steps = [*break_steps(), ("breaks_found", "SELECT * FROM breaks")]
    schemas = {"breaks_found": declared("breaks").arrow_schema} | {
        name: declared(name).arrow_schema for name in names[1:]
    }
    files: dict[str, Any] = engine.write(steps, inputs, schemas, parameters)
    return {"breaks": declared("breaks").shaped(loaded(files.pop("breaks_found")))} | files


def _currencies(side: Input) -> set[str]:
    return set(loaded(side, ["currency"])["currency"].unique())


def _severity_limits(currencies: list[str], settings: ReconciliationSettings) -> pd.DataFrame:
    """The break amounts of the settings in minor units of every currency in use."""
    limits = [
        (
            c,
            round(settings.medium_break_amount * 10 ** exponent(c)),
            round(settings.high_break_amount * 10 ** exponent(c)),
        )
        for c in currencies
    ]
    return pd.DataFrame(limits, columns=["currency", "medium_minor", "high_minor"])
