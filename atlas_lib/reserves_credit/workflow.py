"""The life of a payout: which status follows which, and where each payout stands, read from the ledger's events.

```
Ready --prepare--> Prepared --approve--> Approved --request--> Requested --bank books--> Executed
  ^                   |                      |                     |                         |
  '--refuse/withdraw--'----------------------'    bank rejects --> Failed   bank returns --> Returned
Failed and Returned --prepare--> Prepared (the next attempt).  Blocked: a gate of the run, or a person stopped the merchant.
```
A payout is `payout:<payout_id>` in the ledger. Its money is pending from Requested on, posted when Executed, void
when Failed, reversed when Returned; the store itself refuses a second pending or posted transfer for one payout.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable

import pandas as pd

from atlas_lib.core.errors import Refused
from atlas_lib.ledger import keys
from atlas_lib.ledger.store import Ledger

_FILES, _DATED = "PAY-", r"PAY-\d{8}-"  # ids of payment files; those of an earlier version have no day
STATUS_AFTER = {
    "PAYOUT_PREPARED": "Prepared",
    "PAYOUT_APPROVED": "Approved",
    "PAYOUT_REFUSED": "Ready",
    "PAYOUT_WITHDRAWN": "Ready",
    "PAYOUT_REQUESTED": "Requested",
    "PAYOUT_EXECUTED": "Executed",
    "PAYOUT_FAILED": "Failed",
    "PAYOUT_RETURNED": "Returned",
}
MAY_FOLLOW = {
    "prepare": ("Ready", "Failed", "Returned"),
    "approve": ("Prepared",),
    "refuse": ("Prepared", "Approved"),
    "withdraw": ("Prepared", "Approved"),
    "request": ("Approved",),
}
GIVEN_UP = ("Failed", "Ready", "Returned", "Prepared", "Approved")  # no payment of it is under way, as far as we know
HELD = ("Prepared", "Approved", "Requested", "Executed")  # the amount is that of the payment file
_FACTS = (
    "payment_id", "attempt", "end_to_end_id", "execution_date", "sha256", "journal_sha256", "is_four_eyes",
    "prepared_by", "approved_by", "approved_sha256", "approved_journal_sha256", "bank_code", "bank_reference",
    "merchant_id", "contracts", "set_off_minor", "said", "staged", "payee",
)  # fmt: skip
_WHOLE_FACTS = ["attempt", "set_off_minor"]
_TEXT_FACTS = [f for f in _FACTS if f not in ("is_four_eyes", *_WHOLE_FACTS)]
STATE_COLUMNS = ("payout_id", "amount_minor", "currency", "status", "by", "since_at", *_FACTS)


def name_payout(merchant_id: str, currency: str, number: int) -> str:
    """The id of a merchant's n-th payout in a currency: the (n+1)-th exists only when the n-th is executed."""
    text = f"{merchant_id}|{currency}|{number}"
    return "PO-" + hashlib.sha256(text.encode()).hexdigest()[:24]


def file_prefix(execution_date: str) -> str:
    """What the ids of all payment files for this day begin with: `2026-11-02` -> `PAY-20261102-`."""
    return f"{_FILES}{execution_date.replace('-', '')}-"


def payout_of(end_to_end_ids: pd.Series) -> pd.Series:
    """`PO-0123-2` (second attempt of PO-0123) -> `PO-0123`; empty for ids that are not ours."""
    return end_to_end_ids.astype("str").str.extract(r"^(PO-[0-9a-f]{24})-\d+$", expand=False).fillna("")


def read_states(payout_ids: Iterable[str], ledger: Ledger) -> pd.DataFrame:
    """Where these payouts stand (STATE_COLUMNS), those without any event left out."""
    return fold_states(ledger.events([keys.PAYOUT + i for i in payout_ids], event_types=STATUS_AFTER))


def read_attempts(payout_ids: Iterable[str], ledger: Ledger) -> pd.DataFrame:
    """Every payment file that these payouts were ever put into: end_to_end_id, payment_id, amount_minor, contracts, set_off_minor."""
    events = ledger.events(transaction_ids=[keys.PAYOUT + i for i in payout_ids], event_types=["PAYOUT_PREPARED"])
    facts = [json.loads(d) for d in events["details"]]
    told = pd.DataFrame(
        {
            "end_to_end_id": pd.Series([f["end_to_end_id"] for f in facts], dtype="str"),
            "payment_id": events["batch_id"].to_numpy(),
            "amount_minor": events["amount_minor"].to_numpy("int64"),
            "contracts": pd.Series([f["contracts"] for f in facts], dtype="str"),
            "set_off_minor": pd.Series([f["set_off_minor"] for f in facts], dtype="int64"),
        }
    )
    return told.drop_duplicates("end_to_end_id", keep="last", ignore_index=True)


def read_answered(payout_ids: Iterable[str], ledger: Ledger) -> pd.DataFrame:
    """What the bank has booked and returned of these payouts so far: event_type, end_to_end_id, bank_reference."""
    kinds = ["PAYOUT_EXECUTED", "PAYOUT_RETURNED"]
    events = ledger.events(transaction_ids=[keys.PAYOUT + i for i in payout_ids], event_types=kinds)
    facts = [json.loads(d) for d in events["details"]]
    told = {c: pd.Series([f.get(c, "") for f in facts], dtype="str") for c in ("end_to_end_id", "bank_reference")}
    return pd.DataFrame({"event_type": events["event_type"].to_numpy(), **told})


def read_due(execution_date: str, ledger: Ledger) -> pd.DataFrame:
    """Where all payouts stand whose last payment file is for this day, of whichever run (STATE_COLUMNS).

    Files that an earlier version prepared do not have their day in their name; it is in their events.
    """
    kinds = ["PAYOUT_PREPARED"]
    prepared = [ledger.events(event_types=kinds, batch_prefix=file_prefix(execution_date))]
    undated = [name for name in ledger.batch_names(_FILES) if not re.match(_DATED, name)]
    if undated:
        earlier = ledger.events(event_types=kinds, batch_ids=undated)
        is_due = [json.loads(d)["execution_date"] == execution_date for d in earlier["details"]]
        prepared.append(earlier[is_due])
    found = pd.concat(prepared)["transaction_id"].str.removeprefix(keys.PAYOUT)
    states = read_states(found.unique(), ledger)
    return states[states["execution_date"] == execution_date]


def fold_states(events: pd.DataFrame) -> pd.DataFrame:
    """The events of payouts, oldest first, folded into one row per payout: the last event of each kind counts.

    Approval, approver and bank code are those since the payout was last prepared.
    """
    rows = events.reset_index(drop=True)
    details = pd.DataFrame([json.loads(d) for d in rows["details"].tolist()], index=rows.index)
    facts = details.reindex(columns=list(_FACTS)).astype(object)
    is_new = rows["event_type"] == "PAYOUT_PREPARED"
    rows = rows.assign(
        round_no=is_new.groupby(rows["transaction_id"]).cumsum(), by=rows["actor"], since_at=rows["timestamp"]
    )
    both = pd.concat(
        [rows[["transaction_id", "round_no", "event_type", "amount_minor", "currency", "by", "since_at"]], facts],
        axis=1,
    )
    current = both[both["round_no"] == both.groupby("transaction_id")["round_no"].transform("max")]
    last = current.groupby("transaction_id", sort=True).last().reset_index()  # per column the last one that is given
    newest = current.groupby("transaction_id", sort=True).tail(1).set_index("transaction_id")
    last["status"] = last["transaction_id"].map(newest["event_type"]).map(STATUS_AFTER)
    last[_TEXT_FACTS] = last[_TEXT_FACTS].fillna("").astype("str")
    last[_WHOLE_FACTS] = last[_WHOLE_FACTS].fillna(0).astype("int64")
    last["is_four_eyes"] = last["is_four_eyes"].fillna(False).astype(bool)
    last["payout_id"] = last["transaction_id"].str.removeprefix(keys.PAYOUT)
    return last[list(STATE_COLUMNS)]


def overlay(payouts: pd.DataFrame, states: pd.DataFrame, blocks: pd.DataFrame) -> pd.DataFrame:
    """The payouts of a run as they stand now: the ledger's status over the run's, and who did what.

    `payouts` have payee (verdicts.mark_payee). A payout on its way keeps its status; one that is not yet requested is
    Blocked by the run's gates or by a person. Adds STATE_COLUMNS, live_status (without the block), stops (what would
    block it were it not on its way) and is_marked (its payment file says to which account it goes); amount, set-off and
    payee are those of the payment file where there is one; by and said are the blocking person's where there is one.
    """
    facts = [f for f in _FACTS if f not in ("merchant_id", "contracts")]
    own = states[["payout_id", "amount_minor", "status", "by", "since_at", *facts]].rename(
        columns={
            "amount_minor": "order_minor",
            "status": "live",
            "set_off_minor": "order_set_off",
            "payee": "order_payee",
        }
    )
    live = payouts.merge(own, on="payout_id", how="left", validate="one_to_one")
    stands = live["live"].fillna(live["status"]).astype("str")
    gates = _gates(live, live["merchant_id"].isin(blocks["merchant_id"]))
    is_on_its_way, is_held = stands.isin(["Requested", "Executed"]), stands.isin(HELD)
    block = live[["merchant_id"]].merge(blocks, on="merchant_id", how="left", validate="m:1")
    is_stopped = block["reason"].notna() & ~is_on_its_way
    has_payee = is_held & live["order_payee"].fillna("").ne("")
    live = live.assign(by=live["by"].mask(is_stopped, block["by"]), said=live["said"].mask(is_stopped, block["reason"]))
    texts = ["by", *(f for f in facts if f in _TEXT_FACTS and f != "payee")]
    return live.assign(
        status=stands.where(is_on_its_way | (gates == ""), "Blocked"),
        live_status=stands,
        reasons=gates.where(~is_on_its_way, ""),
        stops=gates,
        amount_minor=live["amount_minor"].mask(is_held, live["order_minor"]).astype("int64"),
        set_off_minor=live["set_off_minor"].mask(is_held, live["order_set_off"]).astype("int64"),
        payee=live["payee"].mask(has_payee, live["order_payee"]).astype("str"),
        is_marked=has_payee,
        attempt=live["attempt"].fillna(0).astype("int64"),
        is_four_eyes=live["is_four_eyes"].fillna(False).astype(bool),
        **{c: live[c].fillna("").astype("str") for c in texts},
    ).drop(columns=["live", "order_minor", "order_set_off", "order_payee"])


def _gates(live: pd.DataFrame, is_stopped: pd.Series) -> pd.Series:
    """The run's reasons, and MERCHANT_BLOCKED where a person has stopped the merchant since."""
    is_new = is_stopped & ~live["reasons"].str.contains("MERCHANT_BLOCKED")
    code = pd.Series("MERCHANT_BLOCKED", index=live.index, dtype="str").where(is_new, "")
    return (live["reasons"] + "; " + code).str.strip("; ").astype("str")


def sum_orders(live: pd.DataFrame) -> pd.DataFrame:
    """The payment files among these payouts, newest first: one row per payment_id that was not sent back."""
    held = live[(live["payment_id"] != "") & (live["live_status"] != "Ready")]
    common = ["execution_date", "currency", "prepared_by", "approved_by", "is_four_eyes", "sha256"]
    orders = held.groupby("payment_id", sort=True).agg(
        payout_count=("payout_id", "size"),
        amount_minor=("amount_minor", "sum"),
        status=("status", _counted),
        since_at=("since_at", "max"),
        **{c: (c, "first") for c in common},
    )
    return orders.reset_index().sort_values(["since_at", "payment_id"], ascending=[False, True], ignore_index=True)


def read_trail(payout_id: str, ledger: Ledger) -> pd.DataFrame:
    """The events of one payout, oldest first (columns entry_id, event_type, amount_minor, currency, actor, role, made_at, said)."""
    events = ledger.events([f"{keys.PAYOUT}{payout_id}"], event_types=STATUS_AFTER)
    details = [json.loads(d) for d in events["details"]]
    said = {
        key: pd.Series([d.get(key, "") for d in details], index=events.index, dtype="str") for key in ("role", "said")
    }
    trail = events[["entry_id", "event_type", "amount_minor", "currency", "actor"]]
    return trail.assign(role=said["role"], made_at=events["timestamp"], said=said["said"])


def _counted(statuses: pd.Series) -> str:
    """`Prepared` where all are, else `1 Blocked, 2 Prepared`."""
    counts = statuses.value_counts().sort_index()
    return str(counts.index[0]) if len(counts) == 1 else ", ".join(f"{n} {s}" for s, n in counts.items())


def check_move(payouts: pd.DataFrame, action: str) -> None:
    """Refused unless every one of these payouts stands where the action starts; the first that does not is named."""
    wrong = payouts[~payouts["status"].isin(MAY_FOLLOW[action])]
    if len(wrong):
        row = wrong.iloc[0]
        who = f" by {row['by']}" if row["by"] else ""
        why = f": {row['reasons']}" if row["reasons"] else ""
        raise Refused(
            f"Cannot {action} this payout",
            where=str(row["payout_id"]),
            expected=" or ".join(MAY_FOLLOW[action]),
            found=f"{row['status']}{who}{why}",
            remedy=_remedy(action, str(row["status"])),
        )


def refuse_unmarked(payouts: pd.DataFrame) -> None:
    """Refused for a payment file of an earlier version, which says neither its account nor, in its name, its day.

    A corrected account could not be told from the one in the file, nor would it count for the four-eyes amount of the day.
    """
    row = payouts.iloc[0]
    if not payouts["is_marked"].all() or not row["payment_id"].startswith(file_prefix(row["execution_date"])):
        raise Refused(
            "The payment file was prepared by an earlier version, which kept no mark of the account", where=row["payment_id"],
            expected="a payment file that can be checked against the account of today", found=f"prepared by {row['prepared_by']}",
            remedy="withdraw it and prepare it again",
        )  # fmt: skip


def _remedy(action: str, status: str) -> str:
    if action == "request" and status in ("Ready", "Prepared"):
        return "prepare it first" if status == "Ready" else "have the payment file approved first"
    if status == "Blocked":
        return "clear what blocks it, then make a new run; a block by a person is lifted with unblock"
    return "look at the list again: another person or an earlier click may have been faster"
