"""The portal's views tried on outside data: shops, marketplaces, cards, accounts. Labels only measure.

| folder | what is tried |
|---|---|
| olist | orders (items + freight) against payments received; cancelled orders as refunds; merchants, customers |
| online_retail | invoices against the shop's own totals of each day; returns; countries as merchants, customers |
| fraud_handbook | spending out of pattern against the marked frauds |
| ibm_amlsim | the compliance list against the marked accounts, and spending of accounts |
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq

from atlas_lib.core.engine import open_engine
from atlas_lib.core.errors import InputError
from atlas_lib.core.settings import ReconciliationSettings
from atlas_lib.core.tables import declared
from atlas_lib.evaluation.screening_quality import aml_hits, read_transfers
from atlas_lib.reconciliation import (
    build_final_index,
    find_breaks,
    judge_compliance,
    match_transactions,
    merchant_performance,
    outstanding_merchants,
    profile_spending,
    reconcile_days,
)

Figures = list[tuple[str, str]]
_BLANK = {"string": "", "int": 0, "float": 0.0, "bool": False}
_AML = "threshold=10000"


@dataclass(frozen=True)
class Trial:
    """Payments, what the bank has of them, and flags that screening gave them (`transaction_id`, `policy_flags`)."""

    transactions: pd.DataFrame
    statement_lines: pd.DataFrame
    flags: pd.DataFrame


def try_portal(folder: Path) -> Iterator[tuple[str, Figures]]:
    """Name and figures of every known collection below the folder.

    Raises InputError where there is none of them.
    """
    known: dict[str, Callable[[Path], Figures]] = {
        "olist": _olist, "online_retail": _online_retail, "fraud_handbook": _fraud_handbook, "ibm_amlsim": _amlsim,
    }  # fmt: skip
    present = [name for name in known if (folder / name).is_dir()]
    if not present:
        raise InputError("No collection that the portal is tried on", where=str(folder), expected=", ".join(known))
    for name in present:
        yield name, known[name](folder / name)


def views_of(trial: Trial, merchants_by: pd.Series | None = None) -> dict[str, pd.DataFrame]:
    """Matches, breaks, Final Index and the tables of every view; `merchants_by` (by transaction) are compared instead of
    the merchants that were reconciled.
    """
    transactions, lines = trial.transactions, trial.statement_lines
    last = max(transactions["created_at"].max().tz_localize(None), lines["booking_date"].max() if len(lines) else pd.Timestamp(0))  # fmt: skip
    settings = ReconciliationSettings.model_validate({"as_of": (last + pd.Timedelta(days=30)).date().isoformat()})
    none = {n: declared(n).empty() for n in ("merchants", "counterparties", "fx_rates", "statement_balances", "settlement_results", "deferrals", "settlement_schedule", "reserve_coverage", "exposures", "screening_findings")}  # fmt: skip
    found = match_transactions(
        transactions, lines, none["merchants"], none["counterparties"], none["fx_rates"], settings
    )
    passed = {name: found[name] for name in ("matches", "links", "suggestions", "payout_parts")}
    broken = find_breaks(transactions, lines, none["statement_balances"], **passed, settings=settings)
    settled = (none["settlement_results"], none["deferrals"], none["settlement_schedule"])
    scored = _filled("streaming_index", trial.flags.assign(status="APPROVED"))
    index = build_final_index(transactions, none["merchants"], scored, broken["batch_index"], *settled, settings)["final_index"]  # fmt: skip
    work = open_engine(settings.engine)
    days = reconcile_days(index, found["matches"], broken["breaks"], lines, work)
    days["daily_reconciliation"] = declared("daily_reconciliation").from_arrow(
        pq.read_table(days["daily_reconciliation"])
    )
    if merchants_by is not None:
        index = index.assign(merchant_id=index["transaction_id"].map(merchants_by))
    views = merchant_performance(index, none["reserve_coverage"], none["exposures"], settings)
    judged = judge_compliance(index, none["merchants"], none["screening_findings"], settings)
    return (
        found
        | broken
        | {"final_index": index}
        | days
        | views
        | judged
        | profile_spending(index, none["merchants"], settings)
    )


def _olist(folder: Path) -> Figures:
    orders, items, payments = (_csv(folder / f"olist_{n}_dataset.csv") for n in ("orders", "order_items", "order_payments"))  # fmt: skip
    orders = orders.merge(_csv(folder / "olist_customers_dataset.csv")[["customer_id", "customer_unique_id"]], how="left", validate="1:1")  # fmt: skip
    due = items.assign(due=_minor(items["price"]) + _minor(items["freight_value"])).sort_values("due", kind="stable")
    due = due.groupby("order_id").agg(amount_minor=("due", "sum"), merchant_id=("seller_id", "last")).reset_index()
    sales = orders.merge(due, on="order_id", validate="1:1")
    is_undone = sales["order_status"].isin(["canceled", "unavailable"])
    sold = pd.concat([_sold(sales, "SALE", is_undone.map({True: "REFUNDED", False: "APPROVED"})), _sold(sales[is_undone], "REFUND", "APPROVED")])  # fmt: skip
    paid = payments.merge(orders[["order_id", "order_approved_at", "order_purchase_timestamp"]], validate="m:1")
    booked = pd.to_datetime(paid["order_approved_at"].fillna(paid["order_purchase_timestamp"])).dt.normalize()
    lines = _filled("statement_lines", pd.DataFrame({
        "statement_id": "PAYMENTS", "account": "PAYMENTS", "line_id": paid["order_id"] + "-" + paid["payment_sequential"].astype("str"),
        "end_to_end_id": paid["order_id"], "booking_date": booked, "amount_posted_minor": _minor(paid["payment_value"]),
        "currency": "BRL", "credit_debit_indicator": "CRDT", "status": "BOOK",
    }))  # fmt: skip
    made = views_of(Trial(_filled("transactions", sold), lines, _no_flags()))
    without = orders[~orders["order_id"].isin(due["order_id"])]
    return [
        ("orders without items, of them paid", f"{len(without):,}, {without['order_id'].isin(paid['order_id']).sum():,}"),
        *_reconciled(made), *_merchants(made), *_customers(made),
    ]  # fmt: skip


def _sold(sales: pd.DataFrame, kind: str, status: Any) -> pd.DataFrame:
    prefix = "" if kind == "SALE" else "refund-"
    return pd.DataFrame({
        "transaction_id": prefix + sales["order_id"], "merchant_id": sales["merchant_id"], "user_id": sales["customer_unique_id"],
        "type": kind, "status": status, "currency": "BRL", "amount_minor": sales["amount_minor"],
        "created_at": pd.to_datetime(sales["order_purchase_timestamp"], utc=True),
    })  # fmt: skip


def _online_retail(folder: Path) -> Figures:
    rows = pd.concat([_csv(p) for p in sorted(folder.glob("online_retail_*.csv"))], ignore_index=True)
    rows["minor"] = (rows["Quantity"].astype("int64") * _minor(rows["UnitPrice"])).astype("int64")
    grouped = rows.groupby("InvoiceNo", as_index=False).agg(
        minor=("minor", "sum"), created_at=("InvoiceDate", "min"), user_id=("CustomerID", "first"), country=("Country", "first")
    )  # fmt: skip
    invoices = grouped[grouped["minor"] != 0].reset_index(drop=True)
    is_sale = invoices["minor"] > 0
    transactions = _filled("transactions", pd.DataFrame({
        "transaction_id": invoices["InvoiceNo"], "merchant_id": "SHOP", "user_id": invoices["user_id"].fillna(""),
        "type": is_sale.map({True: "SALE", False: "REFUND"}), "status": "APPROVED", "currency": "GBP",
        "amount_minor": invoices["minor"].abs(), "created_at": pd.to_datetime(invoices["created_at"], utc=True),
    }))  # fmt: skip
    days = pd.concat([_csv(p) for p in sorted(folder.glob("daily_totals*.csv"))], ignore_index=True)
    days = days[days["date"].isin(set(invoices["created_at"].str[:10]))]
    lines = pd.concat([_day_lines(days, "gross_sales", "CRDT"), _day_lines(days, "returns", "DBIT")])
    country = invoices.set_index("InvoiceNo")["country"]
    made = views_of(Trial(transactions, _filled("statement_lines", lines), _no_flags()), country)
    nobody = int(invoices["user_id"].isna().sum())
    return [
        ("invoices of nothing, left out", f"{int((grouped['minor'] == 0).sum()):,}"),
        ("invoices without a customer", f"{nobody:,} of {len(invoices):,}"),
        *_reconciled(made), *_merchants(made), *_customers(made),
    ]  # fmt: skip


def _day_lines(days: pd.DataFrame, column: str, indicator: str) -> pd.DataFrame:
    booked = days[days[column].astype("float64") != 0]
    return pd.DataFrame({
        "statement_id": "TILL", "account": "TILL", "line_id": booked["date"] + "-" + column, "booking_date": pd.to_datetime(booked["date"]),
        "amount_posted_minor": _minor(booked[column]).abs(), "currency": "GBP", "credit_debit_indicator": indicator, "status": "BOOK",
    })  # fmt: skip


def _fraud_handbook(folder: Path) -> Figures:
    rows = pd.concat([_csv(p) for p in sorted(folder.glob("*.csv"))], ignore_index=True)
    transactions = _filled("transactions", pd.DataFrame({
        "transaction_id": rows["TRANSACTION_ID"], "merchant_id": rows["TERMINAL_ID"], "user_id": rows["CUSTOMER_ID"], "type": "SALE",
        "status": "APPROVED", "currency": "EUR", "amount_minor": _minor(rows["TX_AMOUNT"]), "created_at": pd.to_datetime(rows["TX_DATETIME"], utc=True),
    }))  # fmt: skip
    made = views_of(Trial(transactions, declared("statement_lines").empty(), _no_flags()))
    scenario = rows.set_index("TRANSACTION_ID")["TX_FRAUD_SCENARIO"]
    names = {"1": "amounts above a limit", "3": "stolen card data, five times the amount"}
    told = []
    for kind, found in made["spend_anomalies"].groupby("kind"):
        of = found["transaction_id"].map(scenario)
        shares = [f"{(of == n).sum() / max((scenario == n).sum(), 1):.1%} of {words}" for n, words in names.items()]
        told.append((f"{kind}: found, frauds among them", f"{len(found):,}, {(of != '0').mean():.1%} ({'; '.join(shares)})"))  # fmt: skip
    return [*_merchants(made), *_customers(made), *told]


def _amlsim(folder: Path) -> Figures:
    transactions, accused = read_transfers(folder)
    hits = aml_hits(transactions, _AML, open_engine("duckdb")).sort_values(["transaction_id", "rule"])
    flags = hits.groupby("transaction_id", as_index=False).agg(policy_flags=("rule", "; ".join))
    whole = _filled("transactions", transactions.assign(user_id=transactions["source_account"], merchant_id=transactions["destination_account"]))  # fmt: skip
    made = views_of(Trial(whole, declared("statement_lines").empty(), flags))
    listed = set(made["compliance_status"].query("status != 'clear'")["subject_id"])
    right = len(listed & accused)
    return [
        ("accounts on the compliance list", f"{len(listed):,} of {made['compliance_status']['subject_id'].nunique():,}"),
        ("of them marked, of the marked found", f"{right / max(len(listed), 1):.1%}, {right / max(len(accused), 1):.1%}"),
        *_customers(made),
    ]  # fmt: skip


def _reconciled(made: dict[str, pd.DataFrame]) -> Figures:
    items, breaks = made["daily_reconciliation"], made["breaks"]
    ours = items[items["side"] == "payment"]
    passes = made["matches"].drop_duplicates("transaction_id")["match_pass"].value_counts()
    asked = made["suggestions"].drop_duplicates("transaction_id")["match_pass"].value_counts()
    counts = breaks[breaks["is_open"]]["break_type"].value_counts()
    off = made["daily_totals"]["difference_minor"].sum() / 100
    return [
        ("due, matched", f"{len(ours):,}, {ours['reconciled_status'].eq('MATCHED').mean():.2%} ({_listed(passes)})"),
        ("payments suggested to a person", _listed(asked) or "none"),
        ("open breaks", _listed(counts) or "none"),
        ("difference over all days", f"{off:,.2f}"),
    ]


def _merchants(made: dict[str, pd.DataFrame]) -> Figures:
    kpis = made["merchant_kpis"]
    volume, refunds = kpis["volume_minor"].sum(), kpis["refund_minor"].sum()
    above = kpis[kpis["refund_rate"] > 1]
    return [
        ("merchants, sales", f"{len(kpis):,}, {kpis['sale_count'].sum():,} worth {volume / 100:,.2f}"),
        ("refunded of volume, of sales", f"{refunds / max(volume, 1):.2%}, {kpis['refund_count'].sum() / max(kpis['sale_count'].sum(), 1):.2%}"),
        ("merchants that stand out; refunding more than they sold", f"{len(outstanding_merchants(kpis)):,}; {len(above):,}"),
    ]  # fmt: skip


def _customers(made: dict[str, pd.DataFrame]) -> Figures:
    profiles, found = made["spend_profiles"], made["spend_anomalies"]
    purchases = int(profiles["purchase_count"].sum())
    regular = int((profiles["purchase_count"] >= 5).sum())
    return [
        ("customers, with five purchases or more", f"{len(profiles):,}, {regular:,}"),
        ("anomalies", f"{len(found):,} of {purchases:,} purchases ({_listed(found['kind'].value_counts())})"),
    ]


def _listed(counts: pd.Series) -> str:
    return ", ".join(f"{count:,} {name}" for name, count in counts.sort_index().items())


def _no_flags() -> pd.DataFrame:
    return pd.DataFrame({"transaction_id": [], "policy_flags": []}, dtype="str")


def _csv(path: Path) -> pd.DataFrame:
    try:
        return pd.read_csv(path, dtype="str")
    except OSError as error:
        raise InputError("A file of the collection is missing", where=str(path.parent), expected=path.name) from error


def _minor(amounts: pd.Series) -> pd.Series:
    return (amounts.astype("float64") * 100).round().astype("int64")


def _filled(name: str, rows: pd.DataFrame) -> pd.DataFrame:
    """The rows as the declared table; what they do not have is blank."""
    table = declared(name)
    frame = rows.reindex(columns=table.column_names)
    blanks: dict[str, Any] = {c.name: _BLANK.get(c.type, pd.Timestamp("2000-01-01", tz="UTC")) for c in table.columns if c.name not in rows and not c.nullable}  # fmt: skip
    frame = frame.assign(
        **{n: np.full(len(frame), v) if not isinstance(v, pd.Timestamp) else v for n, v in blanks.items()}
    )
    return table.shaped(frame)
