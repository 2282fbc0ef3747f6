"""The journal for accounting systems: as CSV, and as a beancount file that `bean-check` accepts.

Both hold every posted transfer of the ledger. The beancount file ends with one balance assertion per account and
currency, with no tolerance, so that the program that reads it checks our trial balance itself.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd

from atlas_lib.core import money
from atlas_lib.ledger.chart import kind_of
from atlas_lib.ledger.store import Ledger

CSV_COLUMNS = (
    "entry_id", "transfer_no", "date", "event_type", "transaction_id", "batch_id", "account", "account_name", "debit",
    "credit", "currency",
)  # fmt: skip
_PAGE = 50_000
_COMPONENT = re.compile(r"[A-Z0-9][A-Za-z0-9-]*")


def write_csv(ledger: Ledger, path: Path) -> int:
    """Two lines per posted transfer, debit first; amounts in units of their currency. Returns the lines written."""
    lines = 0
    path.write_text(",".join(CSV_COLUMNS) + "\n", encoding="utf-8")
    for page in ledger.posted_pages(_PAGE):
        rows = _lines(page)
        rows.to_csv(path, mode="a", header=False, index=False, lineterminator="\n")
        lines += len(rows)
    return lines


def _lines(page: pd.DataFrame) -> pd.DataFrame:
    units = _units(page["amount_minor"], page["currency"])
    nothing = pd.Series("", index=page.index)
    common = page.assign(date=page["timestamp"].dt.strftime("%Y-%m-%d"))
    sides = [
        common.assign(account=common["debit_account"], debit=units, credit=nothing, side=0),
        common.assign(account=common["credit_account"], debit=nothing, credit=units, side=1),
    ]
    both = pd.concat(sides, ignore_index=True).sort_values(["transfer_no", "side"], ignore_index=True)
    names = {a: kind.name if (kind := kind_of(a)) else "" for a in both["account"].unique()}
    return both.assign(account_name=both["account"].map(names))[list(CSV_COLUMNS)]


def write_beancount(ledger: Ledger, path: Path) -> int:
    """Accounts, one transaction per posted transfer, and the trial balance as assertions. Returns the transactions."""
    balance = ledger.trial_balance()
    names = {account: beancount_account(account) for account in balance["account"].unique()}
    first, last = ledger.posted_days()
    count = 0
    with path.open("w", encoding="utf-8", newline="\n") as stream:
        stream.writelines(_openings(balance, names, first))
        for page in ledger.posted_pages(_PAGE):
            stream.write(_transactions(page, names))
            count += len(page)
        stream.writelines(_assertions(balance, names, last))
    return count


def _openings(balance: pd.DataFrame, names: dict[str, str], day: pd.Timestamp) -> Iterator[str]:
    yield 'option "title" "Atlas Settlement"\n'
    for currency in sorted(balance["currency"].unique()):
        yield f'option "operating_currency" "{currency}"\n'
    for account, held in balance.groupby("account", sort=True)["currency"]:
        name = names[str(account)]
        yield f"{day:%Y-%m-%d} open {name} {','.join(sorted(held))}\n  code: {_quoted(str(account))}\n"


def _transactions(page: pd.DataFrame, names: dict[str, str]) -> str:
    amount = _units(page["amount_minor"], page["currency"])
    quoted = {c: page[c].map(_quoted, na_action=None) for c in ("event_type", "transaction_id", "batch_id")}
    currency, entry, number = (page[c].astype("str") for c in ("currency", "entry_id", "transfer_no"))
    text = page["timestamp"].dt.strftime("%Y-%m-%d") + " * " + quoted["event_type"] + " " + quoted["transaction_id"]
    text = text + " ^entry-" + entry + "\n  transfer_no: " + number + "\n  batch: " + quoted["batch_id"]
    text = text + "\n  " + page["debit_account"].map(names) + "  " + amount + " " + currency
    text = text + "\n  " + page["credit_account"].map(names) + "  -" + amount + " " + currency
    return "\n\n".join(["", *text.tolist(), ""])


def _assertions(balance: pd.DataFrame, names: dict[str, str], last: pd.Timestamp) -> Iterator[str]:
    day = last + pd.Timedelta(days=1)
    units = _units(balance["balance_minor"].abs(), balance["currency"])
    sign = balance["balance_minor"].lt(0).map({True: "-", False: ""})
    for account, amount, currency in zip(balance["account"], sign + units, balance["currency"], strict=True):
        yield f"{day:%Y-%m-%d} balance {names[account]}  {amount} ~ 0 {currency}\n"


def beancount_account(code: str) -> str:
    """An account code as beancount spells it: `liabilities:client_rr:310110` -> `Liabilities:Client-Rr:310110`.

    What beancount does not allow in a name is replaced, and the digits of a hash keep two such names apart.
    """
    parts = (["equity"] if code.split(":")[0] == "suspense" else []) + code.split(":", 2)
    kind, owner = parts[:2], parts[2:]
    return ":".join([*(_capitals(p) for p in kind), *(_component(o) for o in owner)])


def _capitals(part: str) -> str:
    return "-".join(word.capitalize() for word in part.split("_"))


def _component(owner: str) -> str:
    if _COMPONENT.fullmatch(owner):
        return owner
    return f"X{re.sub(r'[^A-Za-z0-9]+', '-', owner)}-{hashlib.sha256(owner.encode()).hexdigest()[:8]}"


def _units(minor: pd.Series, currency: pd.Series) -> pd.Series:
    """Whole minor units as decimal text in units: 12345 EUR -> 123.45, 500 JPY -> 500; exact."""
    digits = currency.map({c: money.exponent(c) for c in currency.unique()}).astype("int64")
    scale = np.power(10, digits.to_numpy("int64"))
    amounts = minor.to_numpy("int64")
    whole = pd.Series(amounts // scale, index=minor.index).astype("str")
    padded = pd.Series(amounts % scale + scale, index=minor.index).astype("str").str[1:]
    return whole.where(digits == 0, whole + "." + padded)


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
