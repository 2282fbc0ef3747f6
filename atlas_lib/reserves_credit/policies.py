"""Reserve policies: how much of a merchant's sales is held, of what, how long, between which bounds.

A policy that a person decides holds for one merchant and currency from a day on that lies after the run it was decided
on; what was held before stays as it was. Before it, and without one, the merchant's own rate and days of the input hold,
else the settings; these have no cap and no floor and release on schedule. A day that the input does not hold keeps the
rate and days it was counted with, whatever this input says.
"""

from __future__ import annotations

import json
from datetime import date
from decimal import Decimal
from typing import Any, Literal

import numpy as np
import pandas as pd
from pydantic import BaseModel, ConfigDict, Field

from atlas_lib.core.errors import Refused
from atlas_lib.core.settings import ReservesCreditSettings
from atlas_lib.core.tables import declared
from atlas_lib.ledger import keys
from atlas_lib.ledger.store import Ledger
from atlas_lib.reserves_credit.counted_days import newest_counted

_ACCOUNT = ["merchant_id", "currency"]
_TERMS = ["reserve_rate", "reserve_base", "hold_days", "release_rule", "cap_minor", "floor_minor"]
_ALWAYS = pd.Timestamp("1900-01-01")


class ReservePolicy(BaseModel):
    """What a person may decide for one merchant and currency; amounts in minor units of that currency."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    reserve_percent: float = Field(ge=0, le=100)
    reserve_base: Literal["gross", "net_of_fees"] = "net_of_fees"
    hold_days: int = Field(ge=3, le=180)
    release_rule: Literal["scheduled", "manual"] = "scheduled"
    cap_minor: int | None = Field(None, ge=0)
    floor_minor: int = Field(0, ge=0)

    def terms(self) -> dict[str, Any]:
        """The policy as a row of reserve_policies has it."""
        rate = float(Decimal(str(self.reserve_percent)) / 100)
        return self.model_dump(exclude={"reserve_percent"}) | {"reserve_rate": rate}


def policy_ids(accounts: pd.DataFrame) -> pd.Series:
    """The ledger's transaction of each account's policies."""
    return (keys.POLICY + accounts["merchant_id"] + ":" + accounts["currency"]).astype("str")


def plan_policy(
    account: tuple[str, str], policy: ReservePolicy, applies_from: date, ledger: Ledger, as_of: date
) -> dict[str, Any]:
    """The facts of a decided policy; Refused for a first day that a run has reached already."""
    merchant_id, currency = account
    named = pd.DataFrame({"merchant_id": [merchant_id], "currency": [currency]})
    last = max(as_of, newest_counted(named, ledger) or as_of)
    if applies_from <= last:
        raise Refused(
            "A policy cannot change what is held already", expected=f"a day after {last}", found=str(applies_from)
        )
    facts = {"merchant_id": merchant_id, "currency": currency, "applies_from": str(applies_from)}
    return facts | {"terms": policy.terms()}


def read_policies(days: pd.DataFrame, merchants: pd.DataFrame, ledger: Ledger | None) -> pd.DataFrame:
    """Every policy of the accounts of these days by the day it applies from: table reserve_policies.

    `days` as usual_terms gives them. Of two decided for one day the later decision stands, and after the first decided
    one nothing else holds. Without a ledger there are only input and settings.
    """
    usual = _usual_policies(days, merchants)
    decided = (
        _decided(days[_ACCOUNT].drop_duplicates(ignore_index=True), ledger) if ledger is not None else usual.head(0)
    )
    first = decided.groupby(_ACCOUNT)["applies_from"].min().rename("decided_from")
    known = usual.join(first, on=_ACCOUNT, validate="many_to_one")
    usual = usual[known["decided_from"].isna() | (known["applies_from"] < known["decided_from"])]
    both = pd.concat([part for part in (usual, decided) if len(part)] or [usual], ignore_index=True)
    last = both.drop_duplicates([*_ACCOUNT, "applies_from"], keep="last")
    return declared("reserve_policies").checked(last)


def usual_terms(days: pd.DataFrame, merchants: pd.DataFrame, settings: ReservesCreditSettings) -> pd.DataFrame:
    """The days with reserve_rate, reserve_base, hold_days that hold without any decision.

    Where they are empty or no columns yet: the input's rate and days of the merchant, else the settings.
    """
    own = merchants.set_index("merchant_id")[["reserve_rate", "hold_days"]].add_prefix("own_")
    told = [c for c in ("reserve_rate", "reserve_base", "hold_days") if c not in days]
    known = days.reindex(columns=[*days.columns, *told]).join(own, on="merchant_id", validate="many_to_one")
    rate = known["reserve_rate"].astype("Float64").astype("float64").fillna(known["own_reserve_rate"].astype("float64"))
    hold = known["hold_days"].astype("Int64").fillna(known["own_hold_days"].astype("Int64"))
    return days.assign(
        reserve_rate=rate.fillna(float(Decimal(str(settings.reserve_percent)) / 100)),
        reserve_base=known["reserve_base"].astype("str").fillna(settings.reserve_base).astype("str"),
        hold_days=hold.fillna(settings.hold_days).astype("int64"),
    )


def _usual_policies(days: pd.DataFrame, merchants: pd.DataFrame) -> pd.DataFrame:
    """What holds without any decision, by the days on which it changed; the first since ever."""
    ordered = days.sort_values([*_ACCOUNT, "day"], ignore_index=True)
    account = ordered.groupby(_ACCOUNT, sort=False)
    terms = ["reserve_rate", "reserve_base", "hold_days"]
    is_first = account.cumcount() == 0
    is_same = pd.concat([ordered[t] == account[t].shift() for t in terms], axis=1).all(axis=1)
    changes = ordered[is_first | ~is_same]
    own = merchants.set_index("merchant_id")[["reserve_rate", "hold_days"]].notna().any(axis=1)
    has_own = changes["merchant_id"].map(own).astype("boolean").fillna(False).astype(bool)
    return changes[[*_ACCOUNT, *terms]].assign(
        applies_from=changes["day"].where(~is_first[changes.index], _ALWAYS).astype("datetime64[us]"),
        release_rule="scheduled",
        cap_minor=pd.Series(pd.NA, index=changes.index, dtype="Int64"),
        floor_minor=0,
        decided_by="",
        source=np.select([changes["source"] == "ledger", has_own], ["counted", "input"], "settings"),
    )


def apply_policies(days: pd.DataFrame, policies: pd.DataFrame) -> pd.DataFrame:
    """The rows (merchant_id, currency, day) with the terms of the policy that holds on their day, in the same order."""
    first = policies["applies_from"].max()
    if not policies.duplicated(_ACCOUNT).any() and len(days) and first <= days["day"].min():  # one for all days
        terms = policies.set_index(_ACCOUNT)[_TERMS]
        return days.join(terms, on=_ACCOUNT, validate="many_to_one").reset_index(drop=True)
    typed = days.astype({"day": "datetime64[us]", **dict.fromkeys(_ACCOUNT, "str")})
    left = typed.assign(row=range(len(days))).sort_values("day", kind="stable")
    right = policies[[*_ACCOUNT, "applies_from", *_TERMS]].sort_values("applies_from", kind="stable")
    if left.empty:  # merge_asof cannot join empty texts
        return typed.assign(**{term: right[term].head(0) for term in _TERMS})
    joined = pd.merge_asof(left, right, left_on="day", right_on="applies_from", by=_ACCOUNT)
    return joined.sort_values("row", ignore_index=True).drop(columns=["row", "applies_from"])


def _decided(accounts: pd.DataFrame, ledger: Ledger) -> pd.DataFrame:
    events = ledger.events(policy_ids(accounts), event_types=["RESERVE_POLICY_SET"])
    rows = [json.loads(d) for d in events["details"]]
    frame = pd.DataFrame(
        [r["terms"] | {c: r[c] for c in (*_ACCOUNT, "applies_from")} for r in rows],
        columns=pd.Index([*_ACCOUNT, "applies_from", *_TERMS]),
    )
    return frame.assign(
        applies_from=pd.to_datetime(frame["applies_from"]).astype("datetime64[us]"),
        cap_minor=frame["cap_minor"].astype("Int64"),
        decided_by=events["actor"].to_numpy(),
        source="decided",
    )
