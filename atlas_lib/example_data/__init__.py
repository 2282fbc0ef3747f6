"""Invented, consistent input data of any size, with planted cases and the truth about them."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import numpy as np
import pandas as pd

from atlas_lib.core.errors import AtlasError
from atlas_lib.example_data import (
    bank,
    book,
    conditions,
    incidents,
    payments,
    payouts,
    plants,
    processor_payouts,
    submissions,
    truth,
    workbook,
    writing,
)
from atlas_lib.example_data.parties import Parties, draw_parties

AS_OF = date(2026, 10, 30)
LEAST_ROWS = 400
PARQUET_ROWS = 100_000


def generate(rows: int, seed: int, out: Path) -> None:
    """Write an input folder whose transactions file has `rows` rows; the same rows and seed give the same bytes.

    From 100,000 rows on, transactions and statement lines are Parquet instead of CSV and XML.
    Raises AtlasError for fewer than 400 rows (the planted cases need room) or a folder that holds other files.
    """
    if rows < LEAST_ROWS:
        raise AtlasError("Too few rows for the planted cases", expected=f"{LEAST_ROWS} or more", found=str(rows))
    writing.clear_folder(out)
    of_parties, of_book, of_payments, of_bank, of_rest, of_obligors = (
        np.random.default_rng(part) for part in np.random.SeedSequence([seed, rows]).spawn(6)
    )
    who = draw_parties(rows, of_parties)
    contracts = book.draw_obligors(book.draw_contracts(rows, who.merchants, AS_OF, of_book), of_obligors)
    merchants = who.merchants.assign(credit_limit=book.set_limits(who.merchants, contracts, of_book))
    contract_cases = workbook.write_contracts(out / "Merchant_Data.xlsx", contracts, merchants)
    paid = _draw_payments(rows, who, of_payments)
    booked = bank.book_payments(paid, who, AS_OF, of_bank)
    fx_rates = conditions.draw_fx_rates(AS_OF, of_rest)
    planted = plants.plant_breaks(paid, booked, fx_rates, rows, AS_OF, of_bank)
    paid, planted = processor_payouts.pay_out(paid, planted, who)
    lines = bank.number_lines(planted, of_bank)
    submitted = submissions.submit(paid, rows, of_rest)
    user = conditions.choose_blacklisted_user(paid, who)
    sheets = {
        "merchants": merchants[workbook.MERCHANT_COLUMNS],
        "counterparties": conditions.set_counterparty_limits(who.counterparties, paid),
        "policies": conditions.list_policies(user),
        "liquidity": conditions.set_liquidity(paid, AS_OF),
    }
    workbook.write_reference(out / "reference.xlsx", sheets)
    writing.write_csv(conditions.draw_fraud_signals(paid, of_rest), out / "fraud_signals.csv")
    writing.write_csv(fx_rates, out / "fx_rates.csv")
    writing.write_text(conditions.write_settings(AS_OF), out / "settings.yaml")
    writing.write_moves(submitted, lines, bank.make_balances(lines, AS_OF), out, in_parquet=rows >= PARQUET_ROWS)
    pairs = truth.find_pairs(paid, lines)
    pieces = [
        contract_cases,
        truth.of_submissions(submitted),
        truth.of_payments(paid, user),
        truth.of_missing(paid, booked, pairs),
        truth.of_lines(paid, lines),
        truth.of_reference(who.merchants),
    ]
    writing.write_truth(truth.join_planted(pieces), truth.name_pairs(paid, pairs), truth.DESCRIPTION, out / "_truth")


def _draw_payments(rows: int, who: Parties, rng: np.random.Generator) -> pd.DataFrame:
    """Ordinary payments and those that only exist as a planted case, numbered in order of time."""
    planted = incidents.draw_incidents(rows, who, AS_OF, rng)
    ordinary = rows - len(planted) - sum(submissions.extra_counts(rows).values())
    drawn = payments.draw_payments(ordinary, who, AS_OF, rng)
    every = payouts.fit_payouts(pd.concat([drawn, planted], ignore_index=True), who)
    return payments.number_payments(every, who)
