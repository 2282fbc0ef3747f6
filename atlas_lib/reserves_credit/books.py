"""The room's bookkeeping: purchases and reserve movements into the ledger, then every account read back from it.

Reserve movements on sales are booked per merchant, currency and day under `reserve:<merchant>:<currency>`:

    hold       debit liabilities:settlement_payable    credit liabilities:rolling_reserve
    release    the other way: free for the merchant
    draw       the other way: it pays for a refund or chargeback that was charged to the merchant's account

Only the difference to what is booked already is booked, up to the as-of day: the same run again books nothing. A movement
that comes late is dated on its own day as long as nothing has been booked for the account on that day or after it;
else it is a correction dated on the run's day, with all that leaves the reserve since, so that nothing leaves before it is
held. What yesterday's run books for an account where a later one has booked since is taken back on the first day of
that one. So the balance as of a day up to the account's last booking changes only when a run of that day, or of an earlier
one, is made anew; as of the days after it, it may still get movements of these days that come late, although a run of
that day knew nothing of them. It is never below zero. In the same append the ledger remembers the days of sales that were
counted, so that the next input need not repeat them (sales_days.py).
"""

from __future__ import annotations

import json

import numpy as np
import pandas as pd

from atlas_lib.core.engine import Input
from atlas_lib.core.errors import LedgerError
from atlas_lib.core.settings import ReservesCreditSettings
from atlas_lib.ledger import keys
from atlas_lib.ledger.store import Ledger
from atlas_lib.reserves_credit.appending import Booking, append_decided
from atlas_lib.reserves_credit.counted_days import ACCOUNT, CLAIMS, DAY, MOVEMENT_EVENTS, SUMS, TERMS, count_events
from atlas_lib.reserves_credit.policies import usual_terms
from atlas_lib.reserves_credit.positions import covered_by, payouts_so_far, read_positions
from atlas_lib.reserves_credit.purchases import book_contracts, day_end, read_bookings
from atlas_lib.reserves_credit.reserves import hold_days
from atlas_lib.reserves_credit.sales_days import SalesDays, changed_days, count_days, give_days, is_on, name_days
from atlas_lib.reserves_credit.subaccounts import read_subaccounts

_ACTOR = "02_reserves_credit"
_MOVE = [*ACCOUNT, "movement_date", "movement"]
_PAYABLE, _RESERVE = "liabilities:settlement_payable:", "liabilities:rolling_reserve:"


def keep_reserves(
    contracts: pd.DataFrame,
    merchants: pd.DataFrame,
    transactions: Input,
    ledger: Ledger,
    settings: ReservesCreditSettings,
) -> dict[str, pd.DataFrame]:
    """The reserves of this input and of all the ledger has counted (tables of reserves.hold_reserves), booked.

    Two runs at once book once: what is held is computed again when somebody wrote in between.
    """
    given, made = give_days(transactions, settings), dict[str, pd.DataFrame]()

    def plan() -> Booking:
        days = count_days(given, transactions, ledger, settings)
        made.update(hold_days(contracts, merchants, days, settings, ledger))
        moved = made["reserve_movements"]
        sales = moved[moved["source"] == "sales"]
        target = sales.groupby(_MOVE)["amount_minor"].sum().reset_index()
        events, transfers = plan_reserves(target, days.days, ledger, settings)
        return pd.concat([events, _news(days, merchants, transactions, settings)], ignore_index=True), transfers

    append_decided(ledger, "reserves", plan)
    return made


def keep_books(
    contracts: pd.DataFrame,
    reserve_movements: pd.DataFrame,
    transactions: Input,
    ledger: Ledger,
    settings: ReservesCreditSettings,
    run_id: str = "",
) -> dict[str, pd.DataFrame]:
    """Book the purchases that the ledger does not hold yet, then read positions and sub-accounts back from it.

    The movements were booked by keep_reserves. Gives contract_payments, payout_positions, subaccounts,
    subaccount_movements.
    """
    book_contracts(contracts, ledger, settings, run_id)
    positions = read_positions(contracts, transactions, ledger, settings)
    done = payouts_so_far(contracts[ACCOUNT].drop_duplicates(ignore_index=True), ledger)
    wanted = pd.concat([contracts["contract_id"], covered_by(done)["contract_id"]]).drop_duplicates(ignore_index=True)
    booked = read_bookings(wanted, ledger)["transaction_id"]
    sold = reserve_movements.loc[reserve_movements["source"] == "sales", ACCOUNT].drop_duplicates()
    ids = [*booked, *(keys.PAYOUT + done["payout_id"]), *reserve_ids(sold)]
    return positions | read_subaccounts(ids, ledger, day_end(settings))


def reserve_ids(accounts: pd.DataFrame) -> pd.Series:
    """The ledger's transaction of each account's reserve movements."""
    return (keys.RESERVE + accounts["merchant_id"] + ":" + accounts["currency"]).astype("str")


def plan_reserves(
    target: pd.DataFrame, days: pd.DataFrame, ledger: Ledger, settings: ReservesCreditSettings
) -> Booking:
    """Events and transfers that bring the ledger, as of the as-of day, to the target per account, day and movement.

    `days`: every account day the target was computed from. Raises LedgerError when the ledger holds a reserve of
    another day: nothing is booked back only because nobody knows of it.
    """
    end = day_end(settings)
    everything = _booked(days[ACCOUNT].drop_duplicates(ignore_index=True), ledger)
    booked = everything[everything["made_at"] <= end]
    _refuse_unknown(booked, days)
    changed = _dated(_differences(target, booked), booked, end)
    both = pd.concat([changed, _taken_back(changed, everything[everything["made_at"] > end])], ignore_index=True)
    return _movement_events(both), _movement_transfers(both)


def _dated(changed: pd.DataFrame, booked: pd.DataFrame, end: pd.Timestamp) -> pd.DataFrame:
    """Adds made_at: the movement's own day, but `end` where the account has been booked up to that day already.

    Where such late changes add to the reserve, what leaves it counts on their day too: it may be of what is added.
    """
    last = booked.groupby(ACCOUNT)["made_at"].max().rename("last_at")
    changed = changed.join(last, on=ACCOUNT, validate="many_to_one")
    own = changed["movement_date"].dt.tz_localize("UTC") + pd.Timedelta(days=1) - pd.Timedelta(microseconds=1)
    is_late = (own <= changed["last_at"]).fillna(False).astype(bool)
    is_into = _is_into_reserve(changed)
    net = changed["change_minor"].abs().where(is_into, -changed["change_minor"].abs())
    late_net = net.where(is_late, 0).groupby([changed[k] for k in ACCOUNT]).transform("sum")
    return changed.assign(made_at=own.where(~(is_late | ((late_net > 0) & ~is_into)), end))


def _is_into_reserve(changed: pd.DataFrame) -> pd.Series:
    return (changed["movement"] == "hold") == (changed["change_minor"] > 0)


def _taken_back(changed: pd.DataFrame, later: pd.DataFrame) -> pd.DataFrame:
    """The changes the other way round, on the first later day on which a run has booked for the same account."""
    first = later.groupby(ACCOUNT)["made_at"].min().rename("later_at")
    known = changed.join(first, on=ACCOUNT, validate="many_to_one").dropna(subset=["later_at"])
    return known.assign(change_minor=-known["change_minor"], made_at=known["later_at"]).drop(columns="later_at")


def _differences(target: pd.DataFrame, booked: pd.DataFrame) -> pd.DataFrame:
    """What the ledger lacks, or has too much of, per account, day and movement: change_minor."""
    have = booked.groupby(_MOVE)["amount_minor"].sum().rename("booked_minor").reset_index()
    both = target.merge(have, on=_MOVE, how="outer", validate="one_to_one").sort_values(_MOVE, ignore_index=True)
    both[["amount_minor", "booked_minor"]] = both[["amount_minor", "booked_minor"]].fillna(0).astype("int64")
    both = both.assign(change_minor=both["amount_minor"] - both["booked_minor"])
    return both[both["change_minor"] != 0].reset_index(drop=True)


def _refuse_unknown(booked: pd.DataFrame, days: pd.DataFrame) -> None:
    held = booked[booked["movement"] == "hold"].rename(columns={"movement_date": "day"})
    held = held.groupby(DAY)["amount_minor"].sum().reset_index()
    unknown = held[(held["amount_minor"] != 0) & ~is_on(held, days)]
    if len(unknown):
        row = unknown.iloc[0]
        raise LedgerError(
            "The ledger holds a reserve whose sales are unknown",
            where=f"merchant {row['merchant_id']}, {row['currency']}, {row['day']:%Y-%m-%d}",
            expected="the sales of that day in this input, or counted by an earlier run",
            found=f"{len(unknown)} such days",
            remedy="run once on an input that holds the whole history of sales",
        )


def _movement_events(changed: pd.DataFrame) -> pd.DataFrame:
    details = [
        json.dumps({"day": d, "movement": m})
        for d, m in zip(changed["movement_date"].dt.strftime("%Y-%m-%d"), changed["movement"], strict=True)
    ]
    return pd.DataFrame(
        {
            "transaction_id": reserve_ids(changed),
            "batch_id": "",
            "event_type": changed["movement"].map(MOVEMENT_EVENTS),
            "amount_minor": changed["change_minor"],
            "currency": changed["currency"],
            "timestamp": changed["made_at"],
            "actor": _ACTOR,
            "details": pd.Series(details, dtype=object),
        }
    )


def _movement_transfers(changed: pd.DataFrame) -> pd.DataFrame:
    is_into_reserve = _is_into_reserve(changed)
    payable, reserve = _PAYABLE + changed["merchant_id"], _RESERVE + changed["merchant_id"]
    return pd.DataFrame(
        {
            "event": np.arange(len(changed)),
            "debit_account": payable.where(is_into_reserve, reserve),
            "credit_account": reserve.where(is_into_reserve, payable),
            "amount_minor": changed["change_minor"].abs(),
            "currency": changed["currency"],
        }
    )


def _news(
    days: SalesDays, merchants: pd.DataFrame, transactions: Input, settings: ReservesCreditSettings
) -> pd.DataFrame:
    """The events that make the ledger remember the days of this input that it has not counted, or not so."""
    full = SalesDays(usual_terms(days.days, merchants, settings), days.claims, days.counted, days.counted_claims)
    claimed = _other_claims(days)
    is_new = is_on(full.days, changed_days(full, [*SUMS, *TERMS])) | is_on(full.days, claimed)
    told = full.days[is_new & (full.days["source"] != "ledger")]
    grown = changed_days(full, ["row_count", "row_mark"])
    names = name_days(grown[grown["source"] != "ledger"], transactions, settings)
    return count_events(told, days.claims[is_on(days.claims, told)], names, day_end(settings))


def _other_claims(days: SalesDays) -> pd.DataFrame:
    """The days on which claims are counted now that were not, or the other way round."""
    keys = [*DAY, "own_day", *CLAIMS]
    both = days.claims[keys].merge(days.counted_claims[keys], on=keys, how="outer", indicator=True)
    return both.loc[both["_merge"] != "both", DAY].drop_duplicates()


def _booked(accounts: pd.DataFrame, ledger: Ledger) -> pd.DataFrame:
    """What the ledger holds of these accounts' movements."""
    events = ledger.events(reserve_ids(accounts), event_types=MOVEMENT_EVENTS.values())
    facts = [json.loads(d) for d in events["details"]]
    named = events["transaction_id"].str.extract(r"^reserve:(?P<merchant_id>.*):(?P<currency>[A-Z]{3})$").astype("str")
    return named.assign(
        movement_date=pd.to_datetime(pd.Series([f["day"] for f in facts], dtype="str")).astype("datetime64[us]"),
        movement=pd.Series([f["movement"] for f in facts], dtype="str"),
        amount_minor=events["amount_minor"],
        made_at=events["timestamp"],
    )
