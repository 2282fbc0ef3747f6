"""Decisions as they are written: who, in which role, when, and only if nobody wrote in between."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, date, datetime
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd

from atlas_lib.core import calendars
from atlas_lib.core.errors import Refused
from atlas_lib.ledger import keys
from atlas_lib.ledger.store import Ledger
from atlas_lib.reserves_credit.appending import Booking, append_decided
from atlas_lib.reserves_credit.roles import Actor

_CUT_OFF_HOUR, _BANK_TIME = 17, ZoneInfo("Europe/Berlin")  # T2 takes customer payments until 17:00 CET


class Signer:
    """One person at one ledger, with a clock."""

    def __init__(self, ledger: Ledger, actor: Actor, clock_ns: Callable[[], int]) -> None:
        self.actor = actor
        self._ledger, self._clock_ns = ledger, clock_ns

    def book(self, action: str, plan: Callable[[], Booking]) -> None:
        """Append what `plan` decides (see appending.py)."""
        append_decided(self._ledger, f"desk:{action}", plan)

    def sign(self, events: pd.DataFrame, details: Sequence[Mapping[Any, Any]]) -> pd.DataFrame:
        """Events with who, in which role, when, and the facts as JSON."""
        texts = [json.dumps(dict(d) | {"role": self.actor.role}, sort_keys=True) for d in details]
        return events.assign(timestamp=self.now(), actor=self.actor.name, details=pd.Series(texts, dtype=object))

    def sign_payouts(
        self, chosen: pd.DataFrame, event_type: str, facts: Mapping[str, object], own: Iterable[str] = ()
    ) -> pd.DataFrame:
        """One event per payout; `facts` hold for all, the columns `own` per payout."""
        rows = chosen[list(own)].to_dict("records") if own else [{}] * len(chosen)
        named = pd.DataFrame({"transaction_id": keys.PAYOUT + chosen["payout_id"], "batch_id": chosen["payment_id"]})
        named = named.assign(event_type=event_type, amount_minor=chosen["amount_minor"], currency=chosen["currency"])
        return self.sign(named, [dict(facts) | {str(k): v for k, v in row.items()} for row in rows])

    def sign_one(
        self, transaction_id: str, event_type: str, facts: Mapping[str, object], currency: str = ""
    ) -> pd.DataFrame:
        """One event without an amount."""
        one = {"transaction_id": [transaction_id], "batch_id": "", "event_type": event_type, "amount_minor": 0}
        return self.sign(pd.DataFrame(one).assign(currency=currency), [facts])

    def now(self) -> datetime:
        return datetime.fromtimestamp(self._clock_ns() // 1_000_000_000, UTC)

    def next_bank_day(self) -> date:
        """The first TARGET day for which the bank still takes payments."""
        local = self.now().astimezone(_BANK_TIME)
        first = np.datetime64(local.date()) + int(local.hour >= _CUT_OFF_HOUR)
        return date.fromisoformat(str(calendars.roll_to_business_day(first)))


def require_reason(said: str) -> None:
    """Refused for an empty reason."""
    if not said.strip():
        raise Refused("A reason is needed", expected="a few words that a later reader understands", found="nothing")


def nothing() -> pd.DataFrame:
    """No events, or no transfers."""
    return pd.DataFrame()
