"""What people decide about matches and breaks: events of the ledger, each by a named person, kept for good.

| action | event | says |
|---|---|---|
| force | MATCH_FORCED | these payments and these bank lines belong together (also approves a suggestion, or splits one) |
| unmatch | MATCH_UNDONE | this payment and this line do not; both are open again |
| dispute | BREAK_DISPUTED | the break is disputed: open, pending evidence, won or lost |
| recheck | BREAK_RECHECK_ASKED | somebody shall look again |
| write_off | BREAK_WRITTEN_OFF | the difference is given up, under a reason code, and booked |

The last decision about a subject counts. Who may decide is asked of `allow`, which the caller gives (`roles.require`).
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Iterable, Sequence
from functools import partial

import numpy as np
import pandas as pd

from atlas_lib.core.errors import Refused
from atlas_lib.core.run import Run
from atlas_lib.core.tables import declared
from atlas_lib.ledger import keys
from atlas_lib.ledger.chain import Head
from atlas_lib.ledger.store import Ledger
from atlas_lib.reconciliation.pairs import joined, split
from atlas_lib.reconciliation.predecessor import lines_of

EVENT_OF = {
    "force": "MATCH_FORCED",
    "unmatch": "MATCH_UNDONE",
    "dispute": "BREAK_DISPUTED",
    "recheck": "BREAK_RECHECK_ASKED",
    "write_off": "BREAK_WRITTEN_OFF",
}
DISPUTE_AFTER = {
    "": ("open",),
    "open": ("pending evidence", "won", "lost"),
    "pending evidence": ("open", "won", "lost"),
    "won": (),
    "lost": (),
}
REASON_CODES = ("BANK_FEE", "ROUNDING", "FX_DIFFERENCE", "UNCOLLECTABLE", "GOODWILL", "DUPLICATE_PAYMENT")
_ACTION_OF = {event: action for action, event in EVENT_OF.items()}


def read_decisions(ledger: Ledger) -> pd.DataFrame:
    """The table `decisions`: everything decided so far, oldest first."""
    events = ledger.events(event_types=list(_ACTION_OF))
    details = [json.loads(text) for text in events["details"]]
    frame = pd.DataFrame(
        {
            "entry_id": events["entry_id"],
            "action": events["event_type"].map(_ACTION_OF),
            "transaction_ids": [joined(d["transaction_ids"]) for d in details],
            "line_keys": [joined(d["line_keys"]) for d in details],
            **{name: [d.get(name, "") for d in details] for name in ("break_id", "state", "reason_code", "said")},
            "amount_minor": [int(d.get("discrepancy_minor", 0)) for d in details],
            "currency": events["currency"].fillna(""),
            "actor": events["actor"],
            "decided_at": events["timestamp"],
        }
    )
    return declared("decisions").shaped(frame)


class DecisionDesk:
    """Decisions of one person about one run's matches and breaks."""

    def __init__(
        self,
        breaks: pd.DataFrame,
        ledger: Ledger,
        actor: str,
        allow: Callable[[str], None],
        clock_ns: Callable[[], int] = time.time_ns,
        lines_of: Callable[[str], Iterable[list[str]]] | None = None,
    ) -> None:
        """`lines_of`: the bank lines that a payment was matched with or suggested for, run by run (`predecessor.lines_of`)."""
        self._breaks, self._ledger, self._actor, self._allow = breaks.set_index("break_id"), ledger, actor, allow
        self._clock_ns, self._lines_of = clock_ns, lines_of

    def force(self, transaction_ids: Sequence[str], line_keys: Sequence[str], said: str) -> None:
        """These payments and these lines (`statement/line`) belong together."""
        self._allow("match")
        head = self._ledger.head()
        if not transaction_ids or not line_keys:
            raise Refused("A match needs both sides", found="one side is empty", remedy="name payments and bank lines")
        self._append(
            "force", {"transaction_ids": list(transaction_ids), "line_keys": list(line_keys), "said": said}, head
        )

    def unmatch(self, transaction_id: str, line_key: str, said: str) -> None:
        """This payment and this line do not belong together; both are open again from the next run on.

        Refused where they never were a pair: neither matched nor suggested in this run or one before it, nor forced.
        """
        self._allow("match")
        head = self._ledger.head()
        if self._lines_of is not None:
            self._refuse_strangers(transaction_id, line_key, self._lines_of(transaction_id))
        details: dict[str, object] = {"transaction_ids": [transaction_id], "line_keys": [line_key], "said": said}
        self._append("unmatch", details, head)

    def _refuse_strangers(self, transaction_id: str, line_key: str, runs: Iterable[list[str]]) -> None:
        forced = read_decisions(self._ledger).query("action == 'force'")
        is_own = np.array([transaction_id in ids for ids in split(forced["transaction_ids"])], dtype=bool)
        known = [key for keys in split(forced.loc[is_own, "line_keys"]) for key in keys]
        for own in runs:
            if line_key in (known := known + own):
                return
        lines = ", ".join(dict.fromkeys(known))
        raise Refused(
            "This payment and this bank line were never a pair", where=f"{transaction_id} and {line_key}",
            found=f"{transaction_id} is matched with or suggested for {lines}" if known else f"no match or suggestion of {transaction_id}",
            expected="a payment and a line (statement/line) that are matched or suggested together",
            remedy="take both ids from the list of matches or suggestions",
        )  # fmt: skip

    def dispute(self, break_id: str, state: str, said: str) -> None:
        """Dispute a break, or say how the dispute stands; Refused where the state cannot follow the present one."""
        self._allow("dispute")
        head, row = self._ledger.head(), self._break(break_id)
        decided = read_decisions(self._ledger).query("action == 'dispute' and break_id == @break_id")["state"]
        present = str(decided.iloc[-1]) if len(decided) else ""
        if state not in DISPUTE_AFTER[present]:
            raise Refused(
                "The dispute cannot go there", where=break_id, found=f"{present or 'not disputed'} -> {state}",
                expected=" or ".join(DISPUTE_AFTER[present]) or "nothing: it is decided",
            )  # fmt: skip
        self._append("dispute", self._about(break_id, row) | {"state": state, "said": said}, head, row)

    def recheck(self, break_id: str, said: str) -> None:
        """Ask for another look at a break."""
        self._allow("dispute")
        head, row = self._ledger.head(), self._break(break_id)
        self._append("recheck", self._about(break_id, row) | {"said": said}, head, row)

    def write_off(self, break_id: str, reason_code: str, said: str) -> None:
        """Give the difference of an open break up: it is booked against expenses:write_off:<reason>.

        What the bank has less than expected is debited there and credited to assets:bank, what it has more the other way.
        """
        self._allow("write_off")
        head, row = self._ledger.head(), self._break(break_id)
        if reason_code not in REASON_CODES:
            raise Refused("No such reason code", found=reason_code, expected=", ".join(REASON_CODES))
        same = read_decisions(self._ledger).query("action == 'write_off' and break_id == @break_id")
        if (same["amount_minor"] == row["discrepancy_minor"]).any() or not row["is_open"]:
            raise Refused("There is nothing to write off", where=break_id, found="written off already, or not open")
        self._append("write_off", self._about(break_id, row) | {"reason_code": reason_code, "said": said}, head, row)

    def _break(self, break_id: str) -> pd.Series:
        if break_id not in self._breaks.index:
            raise Refused("No such break in this run", where=break_id, remedy="look at the list of breaks again")
        return self._breaks.loc[[break_id]].iloc[0]

    @staticmethod
    def _about(break_id: str, row: pd.Series) -> dict[str, object]:
        ours = [] if pd.isna(row["transaction_id"]) else [row["transaction_id"]]
        lines = [] if pd.isna(row["line_id"]) else [f"{row['statement_id']}/{row['line_id']}"]
        discrepancy = int(row["discrepancy_minor"])
        return {"break_id": break_id, "transaction_ids": ours, "line_keys": lines, "discrepancy_minor": discrepancy}

    def _append(self, action: str, details: dict[str, object], head: Head, row: pd.Series | None = None) -> None:
        """`head` was read before what was decided on: of two decisions made at once the second is refused."""
        ids = details["transaction_ids"]
        subject = details.get("break_id") or (ids[0] if isinstance(ids, list) and ids else "")
        event = pd.DataFrame(
            {
                "transaction_id": [f"{keys.RECONCILIATION}{subject}"],
                "event_type": [EVENT_OF[action]],
                "amount_minor": [0 if row is None else abs(int(row["discrepancy_minor"]))],
                "currency": ["" if row is None else row["currency"]],
                "timestamp": [pd.Timestamp(self._clock_ns(), tz="UTC")],
                "actor": [self._actor],
                "details": [json.dumps(details, sort_keys=True)],
            }
        )
        transfers = _booking(row, str(details["reason_code"])) if action == "write_off" and row is not None else None
        digest = hashlib.sha256(f"{head.entries}|{head.block_hash}|{event['details'][0]}".encode()).hexdigest()[:32]
        self._ledger.append(f"decide {action}:{digest}", event, transfers, expected_head=head)


def open_decision_desk(run: Run, ledger: Ledger, actor: str, allow: Callable[[str], None]) -> DecisionDesk:
    """The desk over what a run holds."""
    return DecisionDesk(run.read("breaks"), ledger, actor, allow, lines_of=partial(lines_of, run))


def _booking(row: pd.Series, reason_code: str) -> pd.DataFrame | None:
    """The transfer of a write-off; a break without a difference books nothing."""
    gained = int(row["discrepancy_minor"]) * (1 if row["credit_debit_indicator"] == "CRDT" else -1)
    if gained == 0:
        return None
    bank, expense = f"assets:bank:{row['currency']}", f"expenses:write_off:{reason_code.lower()}"
    debit, credit = (bank, expense) if gained > 0 else (expense, bank)
    return pd.DataFrame(
        {
            "event": [0], "debit_account": [debit], "credit_account": [credit],
            "amount_minor": [abs(gained)], "currency": [row["currency"]],
        }
    )  # fmt: skip
