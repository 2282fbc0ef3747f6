"""The payout desk: what people do with payouts, each decision an event with actor and time, made once.

Every action reads where things stand, asks the roles and the workflow, and appends its events only if nobody wrote
in between (`expected_head`); else it reads again and decides again. So of two people, two clicks or two processes
one wins and the other is told what has happened. The ledger is written before the outbox: a crash in between leaves
a requested payment whose staged copy still waits, and requesting it again moves that into the outbox. A copy moves
once, so what the bank's connector has taken out of the outbox never comes there again. No file lies in the outbox
that the ledger does not hold as requested.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd

from atlas_lib.core import calendars, money
from atlas_lib.core.bank_files import replies_of_lines
from atlas_lib.core.errors import Refused
from atlas_lib.core.run import Run
from atlas_lib.core.sepa import Debtor
from atlas_lib.core.settings import ReservesCreditSettings
from atlas_lib.ledger.store import Ledger, open_ledger
from atlas_lib.reserves_credit import roles, workflow
from atlas_lib.reserves_credit.appending import Booking, append_decided
from atlas_lib.reserves_credit.counted_days import newest_counted
from atlas_lib.reserves_credit.orders import PaymentFolder, PaymentOrder, make_orders
from atlas_lib.reserves_credit.policies import ReservePolicy, policy_ids
from atlas_lib.reserves_credit.positions import check_cover, cover_of
from atlas_lib.reserves_credit.replies import MOVING, ReplyPlan, name_replies, note_replies, plan_replies
from atlas_lib.reserves_credit.roles import Actor

_CUT_OFF_HOUR, _BANK_TIME = 17, ZoneInfo("Europe/Berlin")  # T2 takes customer payments until 17:00 CET


class PayoutDesk:
    """The payouts of one run as one person may see and move them."""

    def __init__(
        self,
        payouts: pd.DataFrame,
        contract_payments: pd.DataFrame,
        merchants: pd.DataFrame,
        settings: ReservesCreditSettings,
        ledger: Ledger,
        folder: Path,
        actor: Actor,
        clock_ns: Callable[[], int] = time.time_ns,
    ) -> None:
        names = merchants[["merchant_id", "merchant_name", "town", "country"]]
        self._payouts = payouts.merge(names, on="merchant_id", how="left", validate="m:1")
        self._contracts, self.settings = contract_payments, settings
        self._ledger, self._clock_ns = ledger, clock_ns
        self._folder = PaymentFolder(folder)
        self.actor = actor

    def close(self) -> None:
        """Let go of the ledger."""
        self._ledger.close()

    def payouts(self) -> pd.DataFrame:
        """Where every payout stands now, as this person may see it."""
        return roles.visible(self.actor, self._live())

    def orders(self) -> pd.DataFrame:
        """The payment files and what became of them: one row per payment_id, newest first."""
        return workflow.sum_orders(self.payouts())

    def prepare(self, payout_ids: Iterable[str], said: str = "") -> list[str]:
        """Put payouts into payment files, one per execution date; returns the payment ids. Nothing is sent yet."""
        roles.require(self.actor, "prepare")
        wanted, made = list(payout_ids), list[PaymentOrder]()

        def plan() -> Booking:
            chosen = _chosen(self._live(), "payout_id", wanted)
            workflow.check_move(chosen, "prepare")
            check_cover(chosen, self._contracts, self._ledger)
            made[:] = make_orders(chosen, self._debtor(), self._next_day(), self.settings.as_of, self._now())
            for order in made:
                self._folder.keep(order)
            return pd.concat([self._prepared(order, said) for order in made], ignore_index=True), _nothing()

        self._book("prepare", plan)
        return [order.payment_id for order in made]

    def approve(self, payment_id: str, sha256: str) -> None:
        """Approve the payment file with this SHA-256, and its journal.

        From the four-eyes amount on, only a credit manager or finance controller who did not prepare it may.
        """

        def plan() -> Booking:
            chosen, row = self._order(payment_id)
            roles.require(self.actor, "approve" if row["is_four_eyes"] else "approve_small")
            if row["is_four_eyes"] and row["prepared_by"] == self.actor.name:
                raise Refused(
                    "A second person must approve", where=payment_id, found=f"{self.actor.name} prepared it",
                    expected="another person", remedy=f"four eyes from {self.settings.four_eyes_amount:,.2f} EUR a day",
                )  # fmt: skip
            workflow.check_move(chosen, "approve")
            self._folder.check(payment_id, sha256, row["journal_sha256"])
            self._folder.check(payment_id, row["sha256"], row["journal_sha256"])
            hashes = {"approved_sha256": row["sha256"], "approved_journal_sha256": row["journal_sha256"]}
            return self._events(chosen, "PAYOUT_APPROVED", hashes | {"approved_by": self.actor.name}), _nothing()

        self._book("approve", plan)

    def refuse(self, payment_id: str, said: str) -> None:
        """Refuse a payment file, with the reason; its payouts are Ready again."""
        self._send_back("refuse", "PAYOUT_REFUSED", payment_id, said)

    def withdraw(self, payment_id: str, said: str) -> None:
        """Take a payment file back before it is requested, with the reason; its payouts are Ready again."""
        self._send_back("withdraw", "PAYOUT_WITHDRAWN", payment_id, said)

    def request(self, payment_id: str) -> Path:
        """Hand the approved file over: the money is pending in the ledger, the file lies in the outbox.

        File and journal must be those approved, byte for byte, and the execution date must still be met.
        """
        roles.require(self.actor, "request")
        mine = self._folder.name_copy(payment_id)
        staged, sha256 = mine, ""

        def plan() -> Booking:
            nonlocal staged, sha256
            chosen, row = self._order(payment_id)
            sha256 = row["approved_sha256"]
            if (chosen["status"] == "Requested").all() and self._folder.is_waiting(row["staged"]):
                staged = row["staged"]  # a crash between ledger and outbox: only the file is missing
                return _nothing(), _nothing()
            workflow.check_move(chosen, "request")
            check_cover(chosen, self._contracts, self._ledger)
            self._folder.check(payment_id, row["approved_sha256"], row["approved_journal_sha256"])
            if row["execution_date"] < self._next_day().isoformat():
                raise Refused(
                    "The execution date can no longer be met", where=payment_id, expected=f"{self._next_day()} or later",
                    found=row["execution_date"], remedy="withdraw the payment file and prepare it again",
                )  # fmt: skip
            row_of = pd.Series(chosen.index, index=chosen["payout_id"])
            journal = self._folder.journal(payment_id)
            pending = journal.assign(event=journal["payout_id"].map(row_of).astype("int64"), kind="pending")
            self._folder.stage(payment_id, mine)
            return self._events(chosen, "PAYOUT_REQUESTED", {"staged": mine}), pending

        self._book("request", plan)
        return self._folder.hand_over(payment_id, staged, sha256)

    def book_replies(self, replies: pd.DataFrame) -> pd.DataFrame:
        """Move payouts as the bank says (see replies.py); the same replies again change nothing.

        Input: replies as bank_files reads them. Output: the replies with payout_id, outcome and status_before.
        """
        roles.require(self.actor, "read_replies")
        named, outcomes = name_replies(replies, self._ledger), []
        for kind in MOVING:
            planned: list[ReplyPlan] = []

            def plan(kind: str = kind, planned: list[ReplyPlan] = planned) -> Booking:
                ids = sorted(set(named["payout_id"]) - {""})
                states = workflow.read_states(ids, self._ledger)
                transfers = self._ledger.transfers([f"payout:{i}" for i in ids])
                attempts = workflow.read_attempts(ids, self._ledger)
                planned[:] = [plan_replies(named, states, attempts, transfers, kind)]
                return self._reply_events(planned[0].moves), planned[0].transfers

            self._book(kind, plan)
            outcomes.append(planned[0].outcomes)
        return pd.concat([*outcomes, note_replies(named, self._ledger)], ignore_index=True)

    def block(self, merchant_id: str, said: str) -> None:
        """Stop the payouts of a merchant, with the reason; what the bank has already got is not stopped by this."""
        self._switch("block", "MERCHANT_BLOCKED", merchant_id, said)

    def unblock(self, merchant_id: str, said: str) -> None:
        """Let the payouts of a merchant go on, with the reason; the run's gates still hold."""
        self._switch("unblock", "MERCHANT_UNBLOCKED", merchant_id, said)

    def set_policy(self, merchant_id: str, currency: str, policy: ReservePolicy, applies_from: date, said: str) -> None:
        """Decide a merchant's reserve policy from a day on that no run has reached yet, with the reason."""
        roles.require(self.actor, "set_policy")
        _require_reason(said)

        def plan() -> Booking:
            account = pd.DataFrame({"merchant_id": [merchant_id], "currency": [currency]})
            last = max(self.settings.as_of, newest_counted(account, self._ledger) or self.settings.as_of)
            if applies_from <= last:
                raise Refused(
                    "A policy cannot change what is held already", expected=f"a day after {last}",
                    found=str(applies_from),
                )  # fmt: skip
            facts = {"merchant_id": merchant_id, "currency": currency, "applies_from": str(applies_from), "said": said}
            one = pd.DataFrame({"transaction_id": policy_ids(account), "batch_id": "", "amount_minor": 0})
            event = one.assign(currency=currency, event_type="RESERVE_POLICY_SET")
            return self._signed(event, [facts | {"terms": policy.terms()}]), _nothing()

        self._book("policy", plan)

    def trail(self, payout_id: str) -> pd.DataFrame:
        """Everything that was done with a payout, oldest first: what, who, when, why."""
        roles.require(self.actor, "see_book")
        return workflow.read_trail(payout_id, self._ledger)

    def _live(self) -> pd.DataFrame:
        states = workflow.read_states(self._payouts["payout_id"], self._ledger)
        blocks = workflow.read_blocks(self._payouts["merchant_id"].unique(), self._ledger)
        return workflow.overlay(self._payouts, states, blocks)

    def _order(self, payment_id: str) -> tuple[pd.DataFrame, dict[str, str]]:
        """The payouts of a payment file, and what they have in common as one row; all of them or none."""
        chosen = _chosen(self._live(), "payment_id", [payment_id])
        held = self._ledger.events(batch_ids=[payment_id], event_types=["PAYOUT_PREPARED"])["transaction_id"]
        absent = set(held.str.removeprefix("payout:")) - set(self._payouts["payout_id"])
        if absent:
            raise Refused(
                "This run does not know all payouts of the payment file", where=payment_id, found=f"without {min(absent)}",
                expected=f"all {held.nunique()} payouts", remedy="use the run it was prepared in",
            )  # fmt: skip
        return chosen, {str(k): v for k, v in chosen.iloc[0].items()}

    def _prepared(self, order: PaymentOrder, said: str) -> pd.DataFrame:
        facts = {
            "payment_id": order.payment_id, "execution_date": order.execution_date, "prepared_by": self.actor.name,
            "sha256": order.sha256, "journal_sha256": order.journal_sha256, "said": said,
            "is_four_eyes": self._needs_four_eyes(order),
        }  # fmt: skip
        covered = cover_of(order.lines, self._contracts)
        own = ["attempt", "end_to_end_id", "merchant_id", "set_off_minor", "contracts"]
        return self._events(order.lines.assign(contracts=covered), "PAYOUT_PREPARED", facts, own)

    def _needs_four_eyes(self, order: PaymentOrder) -> bool:
        """Counted with all that one person let through for the same execution date, so that splitting does not help."""
        others = workflow.read_due(order.execution_date, self._ledger)
        is_small = ~others["is_four_eyes"] & others["status"].isin(workflow.HELD)
        total = int(order.lines["amount_minor"].sum()) + int(others.loc[is_small, "amount_minor"].sum())
        return total >= int(money.to_minor([self.settings.four_eyes_amount], "EUR")[0])

    def _send_back(self, action: str, event_type: str, payment_id: str, said: str) -> None:
        roles.require(self.actor, action)
        _require_reason(said)

        def plan() -> Booking:
            chosen, _ = self._order(payment_id)
            still = chosen["live_status"].isin(workflow.MAY_FOLLOW[action])  # the bank may have moved single ones
            chosen = (chosen[still] if still.any() else chosen).reset_index(drop=True)
            workflow.check_move(chosen.assign(status=chosen["live_status"]), action)
            return self._events(chosen, event_type, {"said": said}), _nothing()

        self._book(action, plan)

    def _switch(self, action: str, event_type: str, merchant_id: str, said: str) -> None:
        roles.require(self.actor, action)
        _require_reason(said)

        def plan() -> Booking:
            if merchant_id not in set(self._payouts["merchant_id"]):
                raise Refused("No payout of this merchant in this run", found=merchant_id)
            if len(workflow.read_blocks([merchant_id], self._ledger)) == (action == "block"):
                raise Refused("Nothing to change", where=merchant_id, found=f"{action}ed by a person already")
            one = pd.DataFrame(
                {"transaction_id": [f"merchant:{merchant_id}"], "batch_id": "", "amount_minor": 0, "currency": ""}
            )
            return self._signed(one.assign(event_type=event_type), [{"said": said}]), _nothing()

        self._book(action, plan)

    def _events(
        self, chosen: pd.DataFrame, event_type: str, facts: Mapping[str, object], own: Iterable[str] = ()
    ) -> pd.DataFrame:
        """One event per payout; `facts` hold for all, the columns `own` per payout."""
        rows = chosen[list(own)].to_dict("records") if own else [{}] * len(chosen)
        named = pd.DataFrame({"transaction_id": "payout:" + chosen["payout_id"], "batch_id": chosen["payment_id"]})
        named = named.assign(event_type=event_type, amount_minor=chosen["amount_minor"], currency=chosen["currency"])
        return self._signed(named, [dict(facts) | {str(k): v for k, v in row.items()} for row in rows])

    def _reply_events(self, moves: pd.DataFrame) -> pd.DataFrame:
        named = moves.assign(transaction_id="payout:" + moves["payout_id"], batch_id=moves["payment_id"])
        facts = ["bank_code", "said", "bank_reference", "source", "end_to_end_id", "contracts", "set_off_minor"]
        return self._signed(named, moves[facts].to_dict("records"))

    def _signed(self, events: pd.DataFrame, details: Sequence[Mapping[Any, Any]]) -> pd.DataFrame:
        """Events with who, in which role, when, and the facts as JSON."""
        texts = [json.dumps(dict(d) | {"role": self.actor.role}, sort_keys=True) for d in details]
        return events.assign(timestamp=self._now(), actor=self.actor.name, details=pd.Series(texts, dtype=object))

    def _book(self, action: str, plan: Callable[[], Booking]) -> None:
        append_decided(self._ledger, f"desk:{action}", plan)

    def _debtor(self) -> Debtor:
        s = self.settings
        return Debtor(s.debtor_name, s.debtor_iban, s.debtor_bic, s.debtor_town, s.debtor_country)

    def _now(self) -> datetime:
        return datetime.fromtimestamp(self._clock_ns() // 1_000_000_000, UTC)

    def _next_day(self) -> date:
        """The first TARGET day for which the bank still takes payments."""
        local = self._now().astimezone(_BANK_TIME)
        first = np.datetime64(local.date()) + int(local.hour >= _CUT_OFF_HOUR)
        return date.fromisoformat(str(calendars.roll_to_business_day(first)))


def open_desk(run: Run, environment: Mapping[str, str], clock_ns: Callable[[], int] = time.time_ns) -> PayoutDesk:
    """The desk of a finished run for the person that the environment names (see roles.py)."""
    actor = roles.identify(environment)
    ledger = open_ledger(run.ledger_url, actor.name or "nobody", clock_ns)
    folder = run.directory.parent / "payments"
    payouts, contracts, merchants = (run.read(name) for name in ("payouts", "contract_payments", "merchants"))
    settings = roles.bound_four_eyes(run.settings, environment)
    return PayoutDesk(payouts, contracts, merchants, settings, ledger, folder, actor, clock_ns)


def replies_in(run: Run) -> pd.DataFrame:
    """What the run's own bank lines say about payments of ours."""
    return replies_of_lines(run.read("statement_lines"))


def _chosen(live: pd.DataFrame, key: str, wanted: list[str]) -> pd.DataFrame:
    unknown = sorted(set(wanted) - (set(live[key]) - {""}))
    if unknown or not wanted:
        raise Refused("No such payout or payment file in this run", found=", ".join(unknown) or "nothing chosen")
    return live[live[key].isin(wanted)].reset_index(drop=True)


def _require_reason(said: str) -> None:
    if not said.strip():
        raise Refused("A reason is needed", expected="a few words that a later reader understands", found="nothing")


def _nothing() -> pd.DataFrame:
    return pd.DataFrame()
