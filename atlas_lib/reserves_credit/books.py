"""The room's bookkeeping: purchases and reserve movements into the ledger, then every account read back from it.

Reserve movements on sales are booked per merchant, currency and day under `reserve:<merchant>:<currency>`:

    hold       debit liabilities:settlement_payable    credit liabilities:rolling_reserve
    release    the other way: free for the merchant
    draw       the other way: it pays for a refund or chargeback that was charged to the merchant's account

Only the difference to what is booked already is booked, up to the as-of day: the same run again books nothing,
yesterday's run does not undo today's, and a late sale becomes a correction dated today.
"""

from __future__ import annotations

import json

import numpy as np
import pandas as pd

from atlas_lib.core.engine import Input
from atlas_lib.core.settings import ReservesCreditSettings
from atlas_lib.ledger.store import Ledger
from atlas_lib.reserves_credit.appending import append_decided
from atlas_lib.reserves_credit.positions import covered_by, payouts_so_far, read_positions
from atlas_lib.reserves_credit.purchases import book_contracts, day_end, read_bookings
from atlas_lib.reserves_credit.subaccounts import read_subaccounts

_ACTOR = "02_reserves_credit"
_KEY = ["merchant_id", "currency"]
_EVENT = {"hold": "RESERVE_HELD", "release": "RESERVE_RELEASED", "draw": "RESERVE_DRAWN"}
_PAYABLE, _RESERVE = "liabilities:settlement_payable:", "liabilities:rolling_reserve:"


def keep_books(
    contracts: pd.DataFrame,
    reserve_movements: pd.DataFrame,
    transactions: Input,
    ledger: Ledger,
    settings: ReservesCreditSettings,
) -> dict[str, pd.DataFrame]:
    """Book what the ledger does not hold yet, then read positions and sub-accounts back from it.

    Gives contract_payments, payout_positions, subaccounts, subaccount_movements.
    """
    book_contracts(contracts, ledger, settings)
    book_reserves(reserve_movements, ledger, settings)
    positions = read_positions(contracts, transactions, ledger, settings)
    done = payouts_so_far(contracts[_KEY].drop_duplicates(ignore_index=True), ledger)
    wanted = pd.concat([contracts["contract_id"], covered_by(done)["contract_id"]]).drop_duplicates(ignore_index=True)
    booked = read_bookings(wanted, ledger)["transaction_id"]
    sold = reserve_movements.loc[reserve_movements["source"] == "sales", _KEY].drop_duplicates()
    ids = [*booked, *("payout:" + done["payout_id"]), *reserve_ids(sold)]
    return positions | read_subaccounts(ids, ledger, day_end(settings))


def reserve_ids(accounts: pd.DataFrame) -> pd.Series:
    """The ledger's transaction of each account's reserve movements."""
    return ("reserve:" + accounts["merchant_id"] + ":" + accounts["currency"]).astype("str")


def book_reserves(reserve_movements: pd.DataFrame, ledger: Ledger, settings: ReservesCreditSettings) -> None:
    """Book the movements on sales that the ledger lacks; two runs at once book them once."""
    sales = reserve_movements[reserve_movements["source"] == "sales"]
    target = sales.groupby([*_KEY, "movement_date", "movement"])["amount_minor"].sum().reset_index()
    append_decided(ledger, "reserves", lambda: plan_reserves(target, ledger, settings))


def plan_reserves(
    target: pd.DataFrame, ledger: Ledger, settings: ReservesCreditSettings
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Events and transfers that bring the ledger, as of the as-of day, to the target per account, day and movement."""
    end = day_end(settings)
    booked = _booked(target[_KEY].drop_duplicates(ignore_index=True), ledger, end)
    keys = [*_KEY, "movement_date", "movement"]
    have = booked.groupby(keys)["amount_minor"].sum().rename("booked_minor").reset_index()
    both = target.merge(have, on=keys, how="outer", validate="one_to_one").sort_values(keys, ignore_index=True)
    both[["amount_minor", "booked_minor"]] = both[["amount_minor", "booked_minor"]].fillna(0).astype("int64")
    both = both.assign(change_minor=both["amount_minor"] - both["booked_minor"])
    changed = both[both["change_minor"] != 0].reset_index(drop=True)
    last = booked.groupby(_KEY)["made_at"].max().rename("last_at")
    changed = changed.join(last, on=_KEY, validate="many_to_one")
    own = changed["movement_date"].dt.tz_localize("UTC") + pd.Timedelta(days=1) - pd.Timedelta(microseconds=1)
    is_late = (own <= changed["last_at"]).fillna(False).astype(bool)
    details = [
        json.dumps({"day": d, "movement": m})
        for d, m in zip(changed["movement_date"].dt.strftime("%Y-%m-%d"), changed["movement"], strict=True)
    ]
    events = pd.DataFrame(
        {
            "transaction_id": reserve_ids(changed),
            "batch_id": "",
            "event_type": changed["movement"].map(_EVENT),
            "amount_minor": changed["change_minor"],
            "currency": changed["currency"],
            "timestamp": own.where(~is_late, end),
            "actor": _ACTOR,
            "details": pd.Series(details, dtype=object),
        }
    )
    is_into_reserve = (changed["movement"] == "hold") == (changed["change_minor"] > 0)
    payable, reserve = _PAYABLE + changed["merchant_id"], _RESERVE + changed["merchant_id"]
    transfers = pd.DataFrame(
        {
            "event": np.arange(len(changed)),
            "debit_account": payable.where(is_into_reserve, reserve),
            "credit_account": reserve.where(is_into_reserve, payable),
            "amount_minor": changed["change_minor"].abs(),
            "currency": changed["currency"],
        }
    )
    return events, transfers


def _booked(accounts: pd.DataFrame, ledger: Ledger, end: pd.Timestamp) -> pd.DataFrame:
    """What the ledger holds of these accounts' movements up to an instant."""
    events = ledger.events(transaction_ids=reserve_ids(accounts))
    events = events[events["timestamp"] <= end].reset_index(drop=True)
    facts = [json.loads(d) for d in events["details"]]
    named = events["transaction_id"].str.extract(r"^reserve:(?P<merchant_id>.*):(?P<currency>[A-Z]{3})$").astype("str")
    return named.assign(
        movement_date=pd.to_datetime(pd.Series([f["day"] for f in facts], dtype="str")).astype("datetime64[us]"),
        movement=pd.Series([f["movement"] for f in facts], dtype="str"),
        amount_minor=events["amount_minor"],
        made_at=events["timestamp"],
    )
