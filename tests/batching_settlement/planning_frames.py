"""Small books for the tests of netting, batching and solving."""

from typing import Any

import pandas as pd
from hypothesis import strategies as st

from atlas_lib.batching_settlement.book import Book, read_book
from atlas_lib.batching_settlement.costs import Prices, read_prices
from atlas_lib.batching_settlement.items import rates_on, select_items, settlement_dates
from atlas_lib.batching_settlement.limits import Limits, cash_by_window, read_limits
from atlas_lib.core.given_settings import stage_settings
from atlas_lib.core.settings import BatchingSettlementSettings
from atlas_lib.core.tables import declared

_SOURCE = {"source_file": "t.csv", "source_sheet": "", "source_row": 1}
RATES = {"USD": 1.25, "GBP": 0.8, "JPY": 160.0}


def settings(**values: Any) -> BatchingSettlementSettings:
    chosen = stage_settings("04_batching_settlement", {"as_of": "2026-10-30", **values})
    assert isinstance(chosen, BatchingSettlementSettings)
    return chosen


def transactions(*rows: dict[str, Any]) -> pd.DataFrame:
    """Rows need payer, payee and amount_minor; the rest is an approved EUR sale of the as-of day's noon in T0."""
    if not rows:
        return declared("transactions").empty()
    usual = {
        "merchant_id": "M1", "user_id": "U1", "type": "SALE", "currency": "EUR", "counterparty_id": "CP1",
        "settlement_window": "T0", "status": "APPROVED", "reference": None, "created_at": "2026-10-30T11:00:00Z",
    }  # fmt: skip
    frame = pd.DataFrame([{"transaction_id": f"T{i:03d}", **usual, **_SOURCE, **row} for i, row in enumerate(rows)])
    if "destination_currency" not in frame:
        frame["destination_currency"] = frame["currency"]
    frame["destination_currency"] = frame["destination_currency"].fillna(frame["currency"])
    frame = frame.rename(columns={"payer": "source_account", "payee": "destination_account"})
    frame = frame.assign(
        idempotency_key=frame["transaction_id"],
        created_at=pd.to_datetime(frame["created_at"], utc=True).astype("datetime64[us, UTC]"),
    )
    return declared("transactions").shaped(frame)


def streaming_index(accepted: pd.DataFrame, flags: dict[str, str] | None = None) -> pd.DataFrame:
    flag = pd.Series([(flags or {}).get(t, "") for t in accepted["transaction_id"]], dtype="str")
    end = pd.Timestamp("2026-10-30T23:59:59Z")
    extra = {"fraud_score": 0.0, "fraud_reasons": "", "policy_flags": flag, "ingested_at": end}
    return declared("streaming_index").shaped(accepted[["transaction_id", "status"]].assign(**extra))


def counterparties(*rows: dict[str, Any]) -> pd.DataFrame:
    usual = {"name": "Bank", "limit_minor": None, "currency": "EUR", "is_available": True, **_SOURCE}
    frame = pd.DataFrame([{**usual, "alternate_counterparty_id": None, **row} for row in rows])
    return declared("counterparties").checked(frame) if rows else declared("counterparties").empty()


def counterparty_limits(*rows: tuple[str, str, int]) -> pd.DataFrame:
    """Limits in one currency: counterparty, currency, minor units."""
    frame = pd.DataFrame(rows, columns=["counterparty_id", "currency", "currency_limit_minor"]).assign(**_SOURCE)
    return declared("counterparty_limits").checked(frame) if rows else declared("counterparty_limits").empty()


def liquidity(**cash_minor: int) -> pd.DataFrame:
    rows = [
        {"currency": c, "opening_balance_minor": v, "minimum_balance_minor": 0, **_SOURCE}
        for c, v in cash_minor.items()
    ]
    return declared("liquidity").checked(pd.DataFrame(rows)) if rows else declared("liquidity").empty()


def known_flows(*rows: tuple[str, str, int]) -> pd.DataFrame:
    """The columns of liquidity_forecast that settlement reads: currency, day, net flow known to come."""
    frame = pd.DataFrame(rows, columns=["currency", "flow_date", "known_minor"])
    return frame.assign(flow_date=pd.to_datetime(frame["flow_date"]))


def fx_rates(day: str = "2026-10-29", **rates: float) -> pd.DataFrame:
    rows = [{"date": pd.Timestamp(day), "currency": c, "rate": r, **_SOURCE} for c, r in (rates or RATES).items()]
    return declared("fx_rates").checked(pd.DataFrame(rows))


def settled_before(**batches: str) -> pd.DataFrame:
    return pd.DataFrame({"transaction_id": list(batches), "batch_id": list(batches.values())}, dtype="str")


def items_of(accepted: pd.DataFrame, chosen: BatchingSettlementSettings | None = None, **inputs: Any) -> pd.DataFrame:
    return select_items(
        accepted,
        streaming_index(accepted, inputs.get("flags")),
        inputs.get("counterparties", counterparties()),
        inputs.get("fx_rates", fx_rates()),
        inputs.get("settled_before", settled_before()),
        chosen or settings(),
    )["settlement_items"]


def planned(
    items: pd.DataFrame,
    chosen: BatchingSettlementSettings,
    cash: pd.DataFrame | None = None,
    limited: pd.DataFrame | None = None,
    forecast: pd.DataFrame | None = None,
    by_currency: pd.DataFrame | None = None,
) -> tuple[Book, Limits, Prices]:
    book = read_book(items)
    rates = rates_on(fx_rates(), chosen.as_of)
    empty = (declared("liquidity").empty(), declared("counterparties").empty())
    at_hand = cash_by_window(empty[0] if cash is None else cash, forecast, settlement_dates(chosen.as_of))
    limits = read_limits(book, at_hand, empty[1] if limited is None else limited, rates, by_currency)
    return book, limits, read_prices(chosen, book.currencies)


@st.composite
def books(draw: st.DrawFn, most: int = 12) -> pd.DataFrame:
    """Up to `most` transactions among few accounts, currencies, windows and times of day."""
    rows = []
    for _ in range(draw(st.integers(1, most))):
        payer, payee = draw(st.permutations(["A", "B", "C", "D"]))[:2]
        rows.append(
            {
                "payer": payer,
                "payee": payee,
                "type": draw(st.sampled_from(["SALE", "SALE", "REFUND", "PAYOUT"])),
                "amount_minor": draw(st.sampled_from([1, 700, 50_000, 123_457, 9_000_001])),
                "currency": draw(st.sampled_from(["EUR", "EUR", "USD", "JPY"])),
                "destination_currency": draw(st.sampled_from([None, None, "EUR", "USD", "GBP"])),
                "counterparty_id": draw(st.sampled_from(["CP1", "CP1", "CP2"])),
                "settlement_window": draw(st.sampled_from(["RTGS", "T0", "T1", "T2"])),
                "created_at": draw(st.sampled_from(["2026-10-30T09:00:00Z", "2026-10-30T17:30:00Z"])),
            }
        )
    return transactions(*rows)


scarce_cash = st.fixed_dictionaries(
    {}, optional={"EUR": st.sampled_from([0, 60_000, 200_000]), "USD": st.sampled_from([0, 130_000])}
).map(lambda cash: liquidity(**cash))
scarce_limits = st.sampled_from(
    [
        counterparties(),
        counterparties({"counterparty_id": "CP1", "limit_minor": 60_000}),
        counterparties(
            {"counterparty_id": "CP1", "limit_minor": 0}, {"counterparty_id": "CP2", "limit_minor": 180_000}
        ),
    ]
)
currency_limits = st.sampled_from(
    [
        counterparty_limits(),
        counterparty_limits(("CP1", "EUR", 60_000)),
        counterparty_limits(("CP1", "USD", 700), ("CP1", "EUR", 9_100_000), ("CP2", "EUR", 0)),
        counterparty_limits(("CP1", "GBP", 120_000), ("CP2", "JPY", 123_457)),
    ]
)
