"""The books as of any time: balances per account, from the running sums or from the transfers themselves."""

from __future__ import annotations

from datetime import date, datetime, timedelta

import numpy as np
import pandas as pd

from atlas_lib.core.errors import LedgerError
from atlas_lib.ledger.database import Database
from atlas_lib.ledger.postings import POSTED_KINDS, trial_balance

AsOf = date | datetime | pd.Timestamp
_NOW = """
  SELECT a.code AS account, a.currency, b.debits_posted AS debit_minor, b.credits_posted AS credit_minor
  FROM balance b JOIN account a ON a.account_no = b.account_no"""
_THEN = f"""
  SELECT a.code AS account, a.currency, sum(side.debit) AS debit_minor, sum(side.credit) AS credit_minor
  FROM (
    SELECT f.debit_account AS account_no, f.amount_minor AS debit, 0 AS credit
    FROM transfer f JOIN event e ON e.position = f.position WHERE f.kind IN {POSTED_KINDS} AND e.ts_us < ?
    UNION ALL SELECT f.credit_account, 0, f.amount_minor
    FROM transfer f JOIN event e ON e.position = f.position WHERE f.kind IN {POSTED_KINDS} AND e.ts_us < ?) AS side
  JOIN account a ON a.account_no = side.account_no GROUP BY a.account_no, a.code, a.currency"""  # noqa: S608


def read_balances(database: Database, as_of: AsOf | None) -> pd.DataFrame:
    """account, currency, debit_minor, credit_minor, balance_minor, posted transfers only; key account, currency."""
    end = None if as_of is None else _end_us(as_of)
    found = database.frame(_NOW) if end is None else database.frame(_THEN, (end, end))
    whole = found.astype({"account": "str", "currency": "str", "debit_minor": "int64", "credit_minor": "int64"})
    return trial_balance(whole)


def _end_us(as_of: AsOf) -> int:
    """The first microsecond that no longer counts."""
    if not isinstance(as_of, datetime):
        return int(np.datetime64(as_of + timedelta(days=1), "us").astype("int64"))
    if as_of.tzinfo is None:
        raise LedgerError("The time has no time zone", found=str(as_of), expected="a day, or an instant with its zone")
    return pd.Timestamp(as_of).value // 1000 + 1
