"""Which transactions settlement looks at on the as-of day, and how it sees them."""

from __future__ import annotations

from datetime import date, time
from typing import Any

import numpy as np
import pandas as pd

from atlas_lib.batching_settlement.day_rates import converted_up
from atlas_lib.core.calendars import add_business_days, roll_to_business_day
from atlas_lib.core.errors import SettingsError
from atlas_lib.core.money import Int64, Rounding, round_product, scale_of
from atlas_lib.core.settings import BatchingSettlementSettings
from atlas_lib.core.tables import declared

SLOTS = ("RTGS", "T0", "T1", "T2")
COST_CURRENCY = "EUR"
HOLD_FLAGS = ("BLACKLISTED", "SANCTIONS_MATCH")
_ZONE = "Europe/Berlin"


def select_items(
    transactions: pd.DataFrame,
    streaming_index: pd.DataFrame,
    counterparties: pd.DataFrame,
    fx_rates: pd.DataFrame,
    settled_before: pd.DataFrame,
    settings: BatchingSettlementSettings,
) -> dict[str, pd.DataFrame]:
    """Every accepted transaction with its standing on the as-of day: only `due` ones are planned.

    Standing, first that applies: `settled before` (in the ledger, with its batch), `not eligible` (neither
    APPROVED nor a SALE later refunded), `held` (BLACKLISTED or SANCTIONS_MATCH), `not due` (created after the
    as-of day, or more than `settle_since_days` before it: so old an open item is a person's decision),
    `no route` (counterparty and alternates unavailable), `no rate`, else `due`. So everything that the ledger
    does not show as settled is due once.

    Windows: T0 is the as-of day or the next TARGET day; a transaction made after the cut-off enters one
    window later. `settlement_window` counts business days from the day it was made, so an overdue one
    settles in the first window. RTGS is paid gross at once, after the cut-off on the day of T1.

    Cash: a SALE brings in its destination currency, everything else takes out its source currency, as on the
    bank statement. Net debit: a counterparty owes for SALE, is owed for REFUND and CHARGEBACK.
    Inputs: transactions (transaction_id), streaming_index (transaction_id), counterparties (counterparty_id),
    fx_rates (date, currency), settled_before (transaction_id, batch_id). Output: settlement_items.
    """
    items = transactions.merge(
        streaming_index[["transaction_id", "policy_flags"]], on="transaction_id", how="left", validate="1:1"
    ).merge(settled_before[["transaction_id", "batch_id"]], on="transaction_id", how="left", validate="1:1")
    rates = rates_on(fx_rates, settings.as_of)
    route = items["counterparty_id"].map(routes(counterparties, items["counterparty_id"]))
    items = items.assign(
        route=route.where(route.notna(), "").astype("str"),
        batch_id=items["batch_id"].fillna("").astype("str"),
        **_converted(items, rates, settings.rounding),
        **_windows(items, settings.as_of, settings.cut_off_time),
    )
    standing, reason = _standing(items, _lacks_rate(items, counterparties, rates), settings)
    frame = items.assign(
        standing=standing,
        reason=reason,
        **_used(items, rates),
        payer_account=items["source_account"],
        payee_account=items["destination_account"],
        asked_counterparty_id=items["counterparty_id"],
        counterparty_id=items["route"],
    )
    return {"settlement_items": declared("settlement_items").shaped(frame)}


def _lacks_rate(items: pd.DataFrame, counterparties: pd.DataFrame, rates: pd.DataFrame) -> pd.Series:
    """Converting, or counted under a counterparty's limit in total, without the rate for it or for the limit."""
    limited = counterparties[counterparties["limit_minor"].notna()]
    unread = limited.loc[~limited["currency"].isin(rates.index), "counterparty_id"]
    needs_rate = (items["currency"] != items["destination_currency"]) | items["route"].isin(limited["counterparty_id"])
    has_rates = items["currency"].isin(rates.index) & items["destination_currency"].isin(rates.index)
    return items["route"].isin(unread) | (needs_rate & ~has_rates)


def _used(items: pd.DataFrame, rates: pd.DataFrame) -> dict[str, Any]:
    """What each takes of the cash and of its counterparty's limit in total, that one rounded up to a whole cent."""
    is_sale = (items["type"] == "SALE").to_numpy()
    gets_back = items["type"].isin(["REFUND", "CHARGEBACK"]).to_numpy()
    owed = items["amount_minor"].to_numpy(dtype=np.int64) * (is_sale.astype(np.int64) - gets_back)
    into = pd.Series(COST_CURRENCY, index=items.index)
    return {
        "cash_currency": np.where(is_sale, items["destination_currency"], items["currency"]),
        "cash_out_minor": np.where(is_sale, -items["destination_minor"], items["amount_minor"]),
        "net_debit_minor": converted_up(owed, items["currency"], into, rates),
    }


def rates_on(fx_rates: pd.DataFrame, as_of: date) -> pd.DataFrame:
    """The newest rate of each currency up to the day; index currency, columns rate (units per EUR) and date."""
    known = fx_rates[fx_rates["date"] <= pd.Timestamp(as_of)].sort_values(["currency", "date"], kind="stable")
    newest = known.drop_duplicates("currency", keep="last").set_index("currency")[["rate", "date"]]
    own = pd.DataFrame({"rate": [1.0], "date": [pd.Timestamp(as_of).as_unit("us")]}, index=[COST_CURRENCY])
    return newest if COST_CURRENCY in newest.index else pd.concat([own, newest]) if len(newest) else own


def routes(counterparties: pd.DataFrame, asked: pd.Series) -> dict[str, str]:
    """The counterparty each payment really goes through; missing where no alternate is available either.

    An unknown counterparty is taken as available: the input says nothing against it.
    """
    available = dict(zip(counterparties["counterparty_id"], counterparties["is_available"], strict=True))
    alternate = dict(zip(counterparties["counterparty_id"], counterparties["alternate_counterparty_id"], strict=True))
    found: dict[str, str] = {}
    for name in sorted(set(asked)):
        seen: set[str] = set()
        here = name
        while here and not pd.isna(here) and here not in seen and not available.get(here, True):
            seen.add(here)
            here = alternate.get(here, "")
        if here and not pd.isna(here) and here not in seen:
            found[name] = here
    return found


def settlement_dates(as_of: date) -> list[pd.Timestamp]:
    """The business day of each slot: RTGS and T0 on the first open day, T1 and T2 one and two later."""
    first = roll_to_business_day(np.datetime64(as_of, "D"))
    days = add_business_days(np.repeat(first, 3), np.arange(3))
    return [pd.Timestamp(d).as_unit("us") for d in (days[0], *days)]


def _converted(items: pd.DataFrame, rates: pd.DataFrame, rounding: Rounding) -> dict[str, Int64]:
    """destination_minor = amount x rate_destination / rate_source; value_minor the same in EUR; 0 without a rate."""
    source = items["currency"].map(rates["rate"]).to_numpy(dtype=float)
    target = items["destination_currency"].map(rates["rate"]).to_numpy(dtype=float)
    amount = items["amount_minor"].to_numpy(dtype=np.int64)
    units = scale_of(items["currency"]).astype(float)
    factor = np.nan_to_num(target / source * scale_of(items["destination_currency"]) / units)
    same = (items["currency"] == items["destination_currency"]).to_numpy()
    to_cost = np.nan_to_num(int(scale_of(COST_CURRENCY)) / source / units)
    return {
        "destination_minor": np.where(same, amount, round_product(amount, np.where(same, 1.0, factor), rounding)),
        "value_minor": round_product(amount, np.where(items["currency"] == COST_CURRENCY, 1.0, to_cost), rounding),
    }


def _windows(items: pd.DataFrame, as_of: date, cut_off_time: str) -> dict[str, Any]:
    """Earliest and latest slot; a gross payment has one slot."""
    made = items["created_at"].dt.tz_convert(_ZONE)
    minute = made.dt.hour * 60 + made.dt.minute
    day = made.dt.tz_localize(None).dt.normalize().to_numpy().astype("datetime64[D]")
    after_cut_off = (minute >= _minutes(cut_off_time)).to_numpy()
    first_day = add_business_days(day, (after_cut_off & _is_open(day)).astype(np.int64))
    slot_days = np.array(settlement_dates(as_of), dtype="datetime64[D]")
    asked = items["settlement_window"].map({w: max(i - 1, 0) for i, w in enumerate(SLOTS)}).to_numpy(dtype=np.int64)
    earliest = 1 + (first_day > slot_days[1]).astype(np.int64)
    last_day = add_business_days(first_day, asked)
    latest = 1 + (last_day > slot_days[1]).astype(np.int64) + (last_day > slot_days[2]).astype(np.int64)
    is_gross = (items["settlement_window"] == "RTGS").to_numpy()
    earliest = np.where(is_gross & (earliest == 1), 0, earliest)
    return {
        "earliest_slot": earliest,
        "latest_slot": np.where(is_gross, earliest, np.maximum(latest, earliest)),
        "is_gross": is_gross,
        "made_on": pd.Series(day.astype("datetime64[us]"), index=items.index),
    }


def _standing(
    items: pd.DataFrame, lacks_rate: pd.Series, settings: BatchingSettlementSettings
) -> tuple[np.ndarray, np.ndarray]:
    flags = items["policy_flags"].fillna("").astype("str")
    hits = pd.concat([flags.str.contains(f, regex=False) for f in HOLD_FLAGS], axis=1)
    eligible = (items["status"] == "APPROVED") | ((items["status"] == "REFUNDED") & (items["type"] == "SALE"))
    as_of = pd.Timestamp(settings.as_of)
    future = items["made_on"] > as_of
    stale = items["made_on"] <= as_of - pd.Timedelta(days=settings.settle_since_days)
    cases = [
        (items["batch_id"] != "", "settled before", "in the ledger already"),
        (~eligible, "not eligible", "status " + items["status"]),
        (hits.any(axis=1), "held", "COMPLIANCE_HOLD"),
        (future, "not due", "made after the as-of day"),
        (stale, "not due", f"made more than {settings.settle_since_days} days before"),
        (items["route"] == "", "no route", "COUNTERPARTY_DOWN"),
        (lacks_rate, "no rate", "FX_RATE_MISSING"),
    ]
    masks = [mask.to_numpy(dtype=bool) for mask, _, _ in cases]
    reasons = [np.broadcast_to(np.asarray(text, dtype=object), len(items)) for _, _, text in cases]
    standing = np.select(masks, [np.full(len(items), word, dtype=object) for _, word, _ in cases], "due")
    return standing, np.select(masks, reasons, "")


def _is_open(day: np.ndarray) -> np.ndarray:
    return np.asarray(roll_to_business_day(day) == day)


def _minutes(text: str) -> int:
    try:
        moment = time.fromisoformat(text)
    except ValueError as error:
        raise SettingsError("Not a time of day", where="cut_off_time", expected="HH:MM", found=text) from error
    return moment.hour * 60 + moment.minute


def leave_room(
    liquidity: pd.DataFrame,
    counterparties: pd.DataFrame,
    settlement_items: pd.DataFrame,
    settled_before: pd.DataFrame,
    fx_rates: pd.DataFrame,
    settings: BatchingSettlementSettings,
    counterparty_limits: pd.DataFrame | None = None,
) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Cash, limits in total and limits in one currency less what earlier runs have committed from the as-of day on.

    Cash left = opening balance - cash out of those payments + cash that comes in on the first settlement day (what
    comes later pays nothing before). Limit left = limit - their net debit where it is positive, over all windows; in
    total and in each currency on its own.
    So an earlier run may leave less room than there is, never more.
    """
    ahead = settled_before[settled_before["settlement_date"] >= pd.Timestamp(settings.as_of)]
    used = settlement_items.merge(
        ahead[["transaction_id", "settlement_date"]], on="transaction_id", how="inner", validate="1:1"
    )
    first_day = pd.Timestamp(str(roll_to_business_day(np.datetime64(settings.as_of))))
    comes_later = (used["cash_out_minor"] < 0) & (used["settlement_date"] > first_day)
    cash = used[~comes_later].groupby("cash_currency")["cash_out_minor"].sum()
    debit = used.groupby("counterparty_id")["net_debit_minor"].sum().clip(lower=0)
    owed = counterparties["counterparty_id"].map(debit).fillna(0).to_numpy(dtype=np.int64)
    of_euro = pd.Series(COST_CURRENCY, index=counterparties.index)
    taken = converted_up(owed, of_euro, counterparties["currency"], rates_on(fx_rates, settings.as_of))
    given = declared("counterparty_limits").empty() if counterparty_limits is None else counterparty_limits
    return (
        liquidity.assign(
            opening_balance_minor=liquidity["opening_balance_minor"]
            - liquidity["currency"].map(cash).fillna(0).astype("int64")
        ),
        counterparties.assign(limit_minor=(counterparties["limit_minor"] - taken).clip(lower=0)),
        given.assign(
            currency_limit_minor=(given["currency_limit_minor"] - _taken_in_currency(used, given)).clip(lower=0)
        ),
    )


def _taken_in_currency(used: pd.DataFrame, counterparty_limits: pd.DataFrame) -> pd.Series:
    owing = used[used["type"].isin(["SALE", "REFUND", "CHARGEBACK"])]
    owed = -owing.groupby(["counterparty_id", "cash_currency"])["cash_out_minor"].sum()
    keys = pd.MultiIndex.from_frame(counterparty_limits[["counterparty_id", "currency"]])
    taken = owed.clip(lower=0).reindex(keys, fill_value=0).to_numpy(dtype=np.int64)
    return pd.Series(taken, index=counterparty_limits.index)
