"""Literal frames of this room's tests: a row is written with what matters, the rest has a plain default."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import pandas as pd

from atlas_lib.core.settings import ReservesCreditSettings
from atlas_lib.core.tables import declared
from atlas_lib.ledger.store import open_ledger
from atlas_lib.reserves_credit.desk import PayoutDesk
from atlas_lib.reserves_credit.positions import read_positions
from atlas_lib.reserves_credit.roles import Actor
from atlas_lib.reserves_credit.workflow import name_payout

_SOURCE = {"source_file": "book.xlsx", "source_sheet": "Sheet1"}
_CONTRACT = {
    "merchant_id": "M1", "merchant_name": "Merchant One", "start_date": "2023-11-15", "term_months": 60, "premium_minor": 0,
    "valuation_sum_minor": None, "purchase_rate": None, "max_purchase_rate": None, "reserve_rate": 0.1,
    "customer_payment_minor": 0, "obligor_id": None, "contra_minor": None, "currency": "EUR",
}  # fmt: skip
_MERCHANT = {
    "merchant_name": "Merchant One", "credit_limit_minor": None, "currency": "EUR", "iban": None, "bic": None, "country": None,
    "town": None, "category": None, "risk_level": "UNRATED", "kyc_status": "UNKNOWN", "onboarding_date": None, "reserve_rate": None,
    "hold_days": None, "delivery_days": None, "is_blocked": False, "counterparty_id": None,
}  # fmt: skip
_TRANSACTION = {
    "merchant_id": "M1", "user_id": "U1", "type": "SALE", "currency": "EUR", "destination_currency": "EUR",
    "source_account": "processor", "destination_account": "merchant", "counterparty_id": "P1", "settlement_window": "T1",
    "status": "APPROVED", "reference": None,
}  # fmt: skip


def settings(as_of: str = "2023-11-30", **values: Any) -> ReservesCreditSettings:
    return ReservesCreditSettings.model_validate({"as_of": as_of, **values})


def contracts(*rows: dict[str, Any]) -> pd.DataFrame:
    """Rows need receivable_minor, merchant_payout_minor, merchant_reserve_minor, partner_margin_minor."""
    full = [_CONTRACT | _SOURCE | {"contract_id": f"C{i}", "source_row": i + 1} | row for i, row in enumerate(rows, 1)]
    for row in full:
        row.setdefault("purchase_price_minor", row["merchant_payout_minor"] + row["merchant_reserve_minor"])
    return _frame("contracts", full)


def merchants(*rows: dict[str, Any]) -> pd.DataFrame:
    return _frame("merchants", [_MERCHANT | _SOURCE | {"source_row": i + 1} | row for i, row in enumerate(rows, 1)])


def transactions(*rows: dict[str, Any]) -> pd.DataFrame:
    """Rows need amount_minor and created_at."""
    keyed = [
        _TRANSACTION | _SOURCE | {"transaction_id": f"T{i}", "idempotency_key": f"K{i}", "source_row": i + 1} | row
        for i, row in enumerate(rows, 1)
    ]
    for row in keyed:
        row["created_at"] = pd.Timestamp(row["created_at"], tz="UTC")
    return _frame("transactions", keyed)


def _frame(name: str, rows: list[dict[str, Any]]) -> pd.DataFrame:
    table = declared(name)
    if not rows:
        return table.empty()
    frame = pd.DataFrame(rows)
    dates = [c.name for c in table.columns if c.type == "date"]
    return table.checked(frame.assign(**{d: pd.to_datetime(frame[d]) for d in dates}))


_PAYOUT = {
    "merchant_id": "M1", "currency": "EUR", "amount_minor": 500_00, "due_date": "2026-10-30", "iban": "DE89370400440532013000",
    "bic": "COBADEFFXXX", "status": "Ready", "reasons": "", "paid_minor": 0, "under_way_minor": 0, "set_off_minor": 0,
}  # fmt: skip
DEBTOR = {
    "debtor_name": "Factoring GmbH", "debtor_iban": "DE02120300000000202051", "debtor_bic": "BYLADEM1001",
    "debtor_town": "Berlin", "debtor_country": "DE",
}  # fmt: skip


def payouts(*rows: dict[str, Any]) -> pd.DataFrame:
    """The first payout of each merchant unless `payout_id` says otherwise."""
    full = [_PAYOUT | row for row in rows]
    for row in full:
        row.setdefault("payout_id", name_payout(row["merchant_id"], row["currency"], 1))
        row.setdefault("payable_minor", row["amount_minor"] + row["set_off_minor"])
    return _frame("payouts", full)


def fresh_positions(book: pd.DataFrame, sales: pd.DataFrame | None = None) -> dict[str, pd.DataFrame]:
    """What a ledger in which nothing has happened yet says of these contracts."""
    with tempfile.TemporaryDirectory() as folder, open_ledger(f"sqlite:///{folder}/ledger.sqlite", "test") as ledger:
        return read_positions(book, transactions() if sales is None else sales, ledger, settings())


class Office:
    """A ledger, a clock that stands still, and a desk per person: what the tests of the workflow play with."""

    def __init__(self, folder: Path, **values: Any) -> None:
        self.folder, self.values = folder, {"as_of": "2026-10-30", **DEBTOR, **values}
        self.now = pd.Timestamp("2026-10-30 10:00", tz="UTC")
        self.ledger = open_ledger(f"sqlite:///{folder / 'ledger.sqlite'}", writer="test", clock_ns=self._clock)
        self.payouts = payouts({}, {"merchant_id": "M2", "amount_minor": 20_000_00})
        self.merchants = merchants({"merchant_id": "M1"}, {"merchant_id": "M2", "merchant_name": "Merchant Two"})

    def desk(self, name: str, role: str) -> PayoutDesk:
        config = settings(**self.values)
        return PayoutDesk(
            self.payouts,
            self.contract_payments(),
            self.merchants,
            config,
            self.ledger,
            self.folder / "payments",
            Actor(name, role),
            self._clock,
        )

    def contract_payments(self) -> pd.DataFrame:
        """One contract per payout, named after its merchant."""
        owed = self.payouts["amount_minor"] + self.payouts["set_off_minor"]
        named = self.payouts[["merchant_id", "currency"]].assign(contract_id="C-" + self.payouts["merchant_id"])
        return declared("contract_payments").checked(
            named.assign(
                merchant_payout_minor=owed, paid_minor=0, under_way_minor=0, open_minor=owed, is_in_input=True, move=""
            )
        )

    def of(self, merchant_id: str) -> str:
        return name_payout(merchant_id, "EUR", 1)

    def status(self) -> dict[str, str]:
        live = self.desk("ada", "auditor").payouts()
        return dict(zip(live["merchant_id"], live["status"], strict=True))

    def order(self, payment_id: str) -> dict[str, Any]:
        orders = self.desk("ada", "auditor").orders()
        return orders[orders["payment_id"] == payment_id].iloc[0].to_dict()

    def requested(self, *merchant_ids: str) -> str:
        """Prepared by olga, approved by carl, requested by olga."""
        olga = self.desk("olga", "settlement_ops")
        (payment_id,) = olga.prepare([self.of(m) for m in merchant_ids])
        self.desk("carl", "credit_manager").approve(payment_id, self.order(payment_id)["sha256"])
        olga.request(payment_id)
        return payment_id

    def _clock(self) -> int:
        return int(self.now.value)
