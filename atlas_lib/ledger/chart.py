"""The chart of accounts: what an account is called, and the side on which its balance normally stands.

An account code is a kind of this chart, then a colon and whose it is: `liabilities:client_rr:310110`. A transfer to
a code outside the chart is refused, so that a slip of the pen cannot open an account.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd


@dataclass(frozen=True)
class AccountKind:
    """One line of the chart; `side` is where its balance grows (suspense may stand on either)."""

    code: str
    name: str
    side: Literal["debit", "credit", "either"]
    per: Literal["currency", "merchant", "counterparty", ""]


CHART = (
    AccountKind("assets:bank", "Bank", "debit", "currency"),
    AccountKind("assets:factoring_receivable", "Factoring receivable", "debit", "merchant"),
    AccountKind("assets:clearing", "Clearing", "debit", "counterparty"),
    AccountKind("liabilities:settlement_payable", "Client settlement payable", "credit", "merchant"),
    AccountKind("liabilities:payout_payable", "Client payout payable", "credit", "merchant"),
    AccountKind("liabilities:client_rr", "Client_RR", "credit", "merchant"),
    AccountKind("liabilities:rolling_reserve", "Rolling reserve", "credit", "merchant"),
    AccountKind("liabilities:partner_rr", "Partner_RR", "credit", "merchant"),
    AccountKind("liabilities:partner_payable", "Partner payable", "credit", "merchant"),
    AccountKind("expenses:fees", "Fees paid", "debit", ""),
    AccountKind("expenses:write_off", "Written off", "debit", ""),
    AccountKind("income:fees", "Fees earned", "credit", ""),
    AccountKind("equity:fx", "Currency conversion", "either", ""),
    AccountKind("suspense", "Suspense", "either", ""),
)
_KINDS = {kind.code: kind for kind in CHART}


def kind_of(account: str) -> AccountKind | None:
    """The line of the chart that an account belongs to; None when it belongs to none."""
    parts = account.split(":", 2)
    return _KINDS.get(":".join(parts[:2])) or _KINDS.get(parts[0])


def outside_chart(accounts: Iterable[str]) -> list[str]:
    """Accounts that belong to no line of the chart, or lack whose they are, each once."""
    return sorted({a for a in accounts if not _fits(str(a))})


def _fits(account: str) -> bool:
    kind = kind_of(account)
    if kind is None:
        return False
    owner = account[len(kind.code) :]
    return len(owner) > 1 and owner[0] == ":" if kind.per else owner == "" or len(owner) > 1


def accounts_of(merchant_id: str) -> list[str]:
    """Every account code that a merchant may have."""
    return [f"{kind.code}:{merchant_id}" for kind in CHART if kind.per == "merchant"]


def on_normal_side(trial_balance: pd.DataFrame) -> pd.DataFrame:
    """The trial balance as an accountant reads it: name, normal side, and the balance counted on that side.

    normal_balance_minor = debit - credit for a debit account, credit - debit for a credit account, below zero when it
    stands on the other side (`is_unusual`); on either side it is the plain debit - credit.
    """
    kinds = [kind_of(a) for a in trial_balance["account"]]
    side = np.array(["either" if k is None else k.side for k in kinds], dtype=object)
    balance = trial_balance["balance_minor"].to_numpy("int64")
    normal = np.where(side == "credit", -balance, balance)
    return trial_balance.assign(
        name=["" if k is None else k.name for k in kinds],
        normal_side=side,
        normal_balance_minor=normal,
        is_unusual=(normal < 0) & (side != "either"),
    )
