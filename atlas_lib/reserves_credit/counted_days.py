"""The days of sales that earlier runs have counted, as the ledger keeps them.

Two transactions per account, each with one event per run that counted something new. `reserve-days:<merchant>:<currency>`
holds what the reserve of a day is computed from: sums, number of transactions, and the rate, base and days that held
without any decision. `reserve-names:<merchant>:<currency>` holds the names of the day's transactions, 12 hexadecimal
digits of their MD5 behind one letter: `s` id of a settled sale, `r` its reference, `-` id of any other. By them a later
input tells what it repeats from what is new, and a refund finds the day of its sale. Of two events about a day the one
of the later as-of day counts.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import date
from typing import Any

import numpy as np
import pandas as pd

from atlas_lib.ledger import keys
from atlas_lib.ledger.store import Ledger

ACCOUNT = ["merchant_id", "currency"]
DAY = [*ACCOUNT, "day"]
TERMS = ["reserve_rate", "reserve_base", "hold_days"]
SUMS = ["sales_minor", "fees_minor", "row_count", "row_mark"]
CLAIMS = ["claims_minor", "chargebacks_minor"]
_NEW = "chargebacks_minor"
NAME_LENGTH = 13
MOVEMENT_EVENTS = {"hold": "RESERVE_HELD", "release": "RESERVE_RELEASED", "draw": "RESERVE_DRAWN"}
_EVENT, _ACTOR = MOVEMENT_EVENTS["hold"], "02_reserves_credit"
_RESERVE = "liabilities:rolling_reserve:"


def reserve_accounts(ledger: Ledger) -> pd.DataFrame:
    """Every merchant and currency for which something was ever held."""
    known = ledger.balances()
    known = known[known["account"].str.startswith(_RESERVE)]
    return known.assign(merchant_id=known["account"].str.removeprefix(_RESERVE))[ACCOUNT].reset_index(drop=True)


def newest_counted(accounts: pd.DataFrame, ledger: Ledger) -> date | None:
    """The latest as-of day of a run that has counted or moved anything of these accounts."""
    named = accounts["merchant_id"] + ":" + accounts["currency"]
    ids = [*(keys.RESERVE + named), *(keys.RESERVE_DAYS + named)]
    events = ledger.events(ids, event_types=MOVEMENT_EVENTS.values())
    return None if events.empty else events["timestamp"].max().date()


def read_days(accounts: pd.DataFrame, ledger: Ledger, end: pd.Timestamp) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Counted days of these accounts up to an instant: DAY, SUMS, TERMS; and their claims: DAY, own_day, CLAIMS."""
    numbered, facts = _facts("days", accounts, ledger, end)
    days = _columns(numbered, facts, "days", {"day": "datetime64[us]", **dict.fromkeys(SUMS, "int64")})
    days = days.assign(
        **_columns(numbered, facts, "days", dict(zip(TERMS, ("float64", "str", "int64"), strict=True)))[TERMS]
    )
    claims = _columns(
        numbered,
        facts,
        "claims",
        {"day": "datetime64[us]", "own_day": "datetime64[us]", **dict.fromkeys(CLAIMS, "int64")},
    )
    last = days.drop_duplicates(DAY, keep="last")
    standing = claims.merge(last[[*DAY, "number"]], on=[*DAY, "number"], how="inner", validate="many_to_one")
    return last.drop(columns="number").reset_index(drop=True), standing.drop(columns="number")


def read_names(accounts: pd.DataFrame, ledger: Ledger, end: pd.Timestamp) -> pd.DataFrame:
    """Names counted on each day of these accounts up to an instant: DAY, name."""
    numbered, facts = _facts("names", accounts, ledger, end)
    texts = _columns(numbered, facts, "days", {"day": "datetime64[us]", "names": "str"})
    count = (texts["names"].str.len() // NAME_LENGTH).to_numpy("int64")
    names = np.frombuffer("".join(texts["names"]).encode("ascii"), dtype=f"S{NAME_LENGTH}")
    rows = texts.loc[texts.index.repeat(count), DAY].reset_index(drop=True)
    return rows.assign(name=pd.Series(names.astype("U"), dtype="str")).drop_duplicates(ignore_index=True)


def count_events(days: pd.DataFrame, claims: pd.DataFrame, names: pd.DataFrame, end: pd.Timestamp) -> pd.DataFrame:
    """The events that make the ledger remember these days, with their claims and their names."""
    claimed = {key: _lists(part, ["day", "own_day", *CLAIMS]) for key, part in claims.groupby(ACCOUNT)}
    facts = [
        (
            f"{keys.RESERVE_DAYS}{m}:{c}",
            c,
            {"days": _lists(part, ["day", *SUMS, *TERMS]), "claims": claimed.get((m, c), {})},
        )
        for (m, c), part in days.groupby(ACCOUNT)
    ]
    joined = names.sort_values([*DAY, "name"]).groupby(DAY, sort=True)["name"].agg("".join).reset_index(name="names")
    facts += [
        (f"{keys.RESERVE_NAMES}{m}:{c}", c, {"days": _lists(part, ["day", "names"])})
        for (m, c), part in joined.groupby(ACCOUNT)
    ]
    return pd.DataFrame(
        {
            "transaction_id": [f[0] for f in facts], "batch_id": "", "event_type": _EVENT, "amount_minor": 0,
            "currency": [f[1] for f in facts], "timestamp": end, "actor": _ACTOR,
            "details": pd.Series([json.dumps(f[2]) for f in facts], dtype=object),
        }
    )  # fmt: skip


def _facts(
    kind: str, accounts: pd.DataFrame, ledger: Ledger, end: pd.Timestamp
) -> tuple[pd.DataFrame, list[dict[str, dict[str, list[object]]]]]:
    """Account and number of every event up to the instant, the later as-of day last, and what it says."""
    ids = f"reserve-{kind}:" + accounts["merchant_id"] + ":" + accounts["currency"]
    events = ledger.events(ids, event_types=[_EVENT])
    events = events[events["timestamp"] <= end].sort_values(["timestamp", "entry_id"], ignore_index=True)
    named = events["transaction_id"].str.extract(rf"^reserve-{kind}:(?P<merchant_id>.*):(?P<currency>[A-Z]{{3}})$")
    return named.astype("str"), [json.loads(text) for text in events["details"]]


def _columns(
    numbered: pd.DataFrame, facts: list[dict[str, dict[str, list[object]]]], part: str, types: dict[str, Any]
) -> pd.DataFrame:
    """The lists of all events below each other: account, number of the event, the columns.

    Events of an earlier version do not say how much of the claims are chargebacks: 0. Any other part that is missing is an
    event that was not written by this.
    """
    count = [len(f[part].get("day", [])) for f in facts]
    rows = numbered.loc[numbered.index.repeat(count)].rename_axis("number").reset_index()
    columns = {
        name: pd.Series(
            [v for f, n in zip(facts, count, strict=True) for v in f[part].get(name, [0] * n if name == _NEW else [])],
            dtype=object if kind != "str" else "str",
        )
        for name, kind in types.items()
    }
    return rows.assign(
        **{
            n: pd.to_datetime(columns[n]).astype(kind) if kind.startswith("datetime") else columns[n].astype(kind)
            for n, kind in types.items()
        }
    )


def _lists(rows: pd.DataFrame, columns: Iterable[str]) -> dict[str, list[object]]:
    return {c: _plain(rows[c]) for c in columns}


def _plain(values: pd.Series) -> list[object]:
    if pd.api.types.is_datetime64_any_dtype(values):
        return [None if pd.isna(v) else v for v in values.dt.strftime("%Y-%m-%d")]
    return list(values.tolist())
