"""Names that the ledger keeps for entries of its own, which stand where the id of a payment stands.

`payout:P-17` or `reserve:310221:EUR` is no payment of the input: what a run books about contracts, reserves, payouts,
alerts, merchants and decisions has such a name. A payment that came with one would be read as such an entry, so the
intake refuses it (`is_own`).
"""

from __future__ import annotations

from typing import Final

import pandas as pd

ALERT: Final = "alert:"  # what stands about an exposure, reserves_credit/alert_log.py
CONTRACT: Final = "contract:"  # a purchase and its versions, reserves_credit/purchases.py
FRAUD: Final = "fraud:"  # verdicts on alerts of the fraud console, reconciliation/views/fraud_console.py
MERCHANT: Final = "merchant:"  # a merchant blocked or freed by a person, reserves_credit/desk.py
PAYOUT: Final = "payout:"  # the life of a payout, reserves_credit/workflow.py
POLICY: Final = "policy:"  # reserve policies, reserves_credit/policies.py
RECONCILIATION: Final = "reconciliation:"  # decisions on matches and breaks, reconciliation/decisions.py
RESERVE: Final = "reserve:"  # movements of a rolling reserve, reserves_credit/books.py
RESERVE_DAYS: Final = "reserve-days:"  # days of sales that are held, reserves_credit/counted_days.py
RESERVE_NAMES: Final = "reserve-names:"  # the payments of such a day, reserves_credit/counted_days.py
RUN: Final = "run:"  # a run opened, ledger/openings.py

OWN = (
    ALERT, CONTRACT, FRAUD, MERCHANT, PAYOUT, POLICY, RECONCILIATION, RESERVE, RESERVE_DAYS, RESERVE_NAMES, RUN,
)  # fmt: skip


def is_own(ids: pd.Series) -> pd.Series:
    """Whether each id begins with a name of the ledger's own, in small or capital letters: `Payout:1` is taken for one."""
    ids = ids.astype("str")
    has_mark = ids.str.contains(":", regex=False).fillna(False).astype(bool)
    if not has_mark.any():
        return has_mark
    return has_mark & ids.where(has_mark, "").str.lower().str.startswith(OWN)
