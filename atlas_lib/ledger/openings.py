"""In which order runs were opened: each says so in the ledger before it reads its input, once per run directory.

`run:<run_id>`, RUN_OPENED. A run that broke off and goes on later keeps its place, so what it says is older than what a
run opened meanwhile has said, whenever either is booked.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date

import pandas as pd

from atlas_lib.ledger import keys
from atlas_lib.ledger.store import Ledger

_EVENT = "RUN_OPENED"


def open_run(ledger: Ledger, run_id: str, as_of: date) -> dict[str, pd.DataFrame]:
    """Give the run its place in the order; a directory made anew gets a new one. A step of the run: it makes no table."""
    head = ledger.head()
    event = {"transaction_id": [keys.RUN + run_id], "event_type": _EVENT, "amount_minor": 0, "currency": ""}
    ledger.append(
        f"{keys.RUN}{run_id}:{head.entries}", pd.DataFrame(event).assign(timestamp=pd.Timestamp(as_of, tz="UTC"))
    )
    return {}


def places_of(run_ids: Iterable[str], ledger: Ledger) -> pd.Series:
    """The place of each run in the order, by run_id; runs that were never opened left out."""
    opened = ledger.newest(_EVENT, [keys.RUN + i for i in dict.fromkeys(run_ids)])
    return pd.Series(opened["entry_id"].to_numpy("int64"), index=opened["transaction_id"].str.removeprefix(keys.RUN))
