"""The payout desk: what people do with payouts, each decision an event with actor and time, made once.

Every action reads where things stand, asks the roles and the workflow, and appends its events only if nobody wrote
in between (`expected_head`); else it reads again and decides again. So of two people, two clicks or two processes
one wins and the other is told what has happened. The ledger is written before the outbox: a crash in between leaves
a requested payment whose staged copy still waits. Requesting it again asks for blocks and the execution date anew and
moves the copy into the outbox; withdrawing it takes the copy away first and then frees the money. A copy moves once, so
what the bank's connector has taken out of the outbox never comes there again. No file lies in the outbox that the
ledger does not hold as requested.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from datetime import date
from pathlib import Path

import pandas as pd

from atlas_lib.core import money
from atlas_lib.core.bank_files import replies_of_lines
from atlas_lib.core.errors import Refused
from atlas_lib.core.run import Run
from atlas_lib.core.sepa import Debtor
from atlas_lib.core.settings import ReservesCreditSettings
from atlas_lib.ledger import keys
from atlas_lib.ledger.store import Ledger, open_ledger
from atlas_lib.reserves_credit import roles, standing, workflow
from atlas_lib.reserves_credit.answers import book_answers
from atlas_lib.reserves_credit.appending import Booking
from atlas_lib.reserves_credit.moves import list_moves, move_event
from atlas_lib.reserves_credit.orders import PaymentFolder, PaymentOrder, make_orders
from atlas_lib.reserves_credit.policies import ReservePolicy, plan_policy
from atlas_lib.reserves_credit.positions import check_cover, cover_of, paid_files, paid_parts
from atlas_lib.reserves_credit.replies import close_transfers
from atlas_lib.reserves_credit.roles import Actor
from atlas_lib.reserves_credit.signing import Signer, nothing, require_reason
from atlas_lib.reserves_credit.stops import switch_event
from atlas_lib.reserves_credit.verdicts import mark_payee, refuse_against


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
        full = payouts.merge(names, on="merchant_id", how="left", validate="m:1")
        self._payouts = full.assign(payee=mark_payee(full["merchant_id"], full["iban"], full["bic"]))
        self._contracts, self.settings = contract_payments, settings
        self._ledger, self._signer = ledger, Signer(ledger, actor, clock_ns)
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
            chosen = standing.choose(self._live(), "payout_id", wanted)
            refuse_against(chosen)
            workflow.check_move(chosen, "prepare")
            chosen = chosen.assign(contracts=cover_of(chosen, self._contracts))
            check_cover(chosen, self._contracts, self._ledger)
            day = self._signer.next_bank_day()
            made[:] = make_orders(chosen, self._debtor(), day, self.settings.as_of, self._signer.now())
            for order in made:
                self._folder.keep(order)
            return pd.concat([self._prepared(order, said) for order in made], ignore_index=True), nothing()

        self._signer.book("prepare", plan)
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
            refuse_against(chosen)
            workflow.check_move(chosen, "approve")
            check_cover(chosen, self._contracts, self._ledger)
            self._folder.check(payment_id, sha256, row["journal_sha256"])
            self._folder.check(payment_id, row["sha256"], row["journal_sha256"])
            hashes = {"approved_sha256": row["sha256"], "approved_journal_sha256": row["journal_sha256"]}
            facts = hashes | {"approved_by": self.actor.name}
            return self._signer.sign_payouts(chosen, "PAYOUT_APPROVED", facts), nothing()

        self._signer.book("approve", plan)

    def refuse(self, payment_id: str, said: str) -> None:
        """Refuse a payment file, with the reason; its payouts are Ready again."""
        self._send_back("refuse", "PAYOUT_REFUSED", payment_id, said)

    def withdraw(self, payment_id: str, said: str) -> None:
        """Take a payment file back before it has left, with the reason; its payouts are Ready again."""
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
            sha256, day = row["approved_sha256"], self._signer.next_bank_day()
            if (chosen["status"] == "Requested").all() and self._folder.is_waiting(row["staged"]):
                standing.check_waiting(chosen, day)
                check_cover(chosen, self._contracts, self._ledger)
                staged = row["staged"]  # a crash between ledger and outbox: only the file is missing
                return nothing(), nothing()
            refuse_against(chosen)
            workflow.check_move(chosen, "request")
            check_cover(chosen, self._contracts, self._ledger)
            self._folder.check(payment_id, row["approved_sha256"], row["approved_journal_sha256"])
            standing.check_day(chosen, day)
            row_of = pd.Series(chosen.index, index=chosen["payout_id"])
            journal = self._folder.journal(payment_id)
            pending = journal.assign(event=journal["payout_id"].map(row_of).astype("int64"), kind="pending")
            self._folder.stage(payment_id, mine)
            return self._signer.sign_payouts(chosen, "PAYOUT_REQUESTED", {"staged": mine}), pending

        self._signer.book("request", plan)
        return self._folder.hand_over(payment_id, staged, sha256)

    def book_replies(self, replies: pd.DataFrame) -> pd.DataFrame:
        """Move payouts as the bank says (answers.py); `replies` as bank_files reads them."""
        roles.require(self.actor, "read_replies")
        return book_answers(replies, self._ledger, self._signer)

    def block(self, merchant_id: str, said: str) -> None:
        """Stop the payouts of a merchant, with the reason; what the bank has already got is not stopped by this."""
        self._switch("block", merchant_id, said)

    def unblock(self, merchant_id: str, said: str) -> None:
        """Let the payouts of a merchant go on, with the reason; the run's gates still hold."""
        self._switch("unblock", merchant_id, said)

    def set_policy(self, merchant_id: str, currency: str, policy: ReservePolicy, applies_from: date, said: str) -> None:
        """Decide a merchant's reserve policy from a day on that no run has reached yet, with the reason."""
        roles.require(self.actor, "set_policy")
        require_reason(said)
        account = (merchant_id, currency)

        def plan() -> Booking:
            facts = plan_policy(account, policy, applies_from, self._ledger, self.settings.as_of)
            event = self._signer.sign_one(
                ":".join(("policy", *account)), "RESERVE_POLICY_SET", facts | {"said": said}, currency
            )
            return event, nothing()

        self._signer.book("policy", plan)

    def moves(self) -> pd.DataFrame:
        """Contracts of this run that were paid under another merchant, with what was decided (MOVE_COLUMNS of moves.py)."""
        return roles.visible(self.actor, self._moves())

    def accept_move(self, contract_id: str, merchant_id: str, said: str) -> None:
        """The contract belongs to the merchant it now comes under: it may be paid for it, the former one owes it back."""
        self._decide_move("accept", contract_id, merchant_id, said)

    def reject_move(self, contract_id: str, merchant_id: str, said: str) -> None:
        """The input is wrong: the merchant stays blocked until it is corrected, and the former one owes nothing back."""
        self._decide_move("reject", contract_id, merchant_id, said)

    def trail(self, payout_id: str) -> pd.DataFrame:
        """Everything that was done with a payout, oldest first: what, who, when, why."""
        roles.require(self.actor, "see_book")
        return workflow.read_trail(payout_id, self._ledger)

    def _live(self) -> pd.DataFrame:
        return standing.read_live(self._payouts, self._contracts, self._ledger, self.settings.as_of)

    def _moves(self) -> pd.DataFrame:
        return list_moves(self._contracts, self._paid_parts(), self._ledger)

    def _paid_parts(self) -> pd.DataFrame:
        return paid_parts(self._contracts["contract_id"][self._contracts["move"] != ""], self._ledger)

    def _order(self, payment_id: str) -> tuple[pd.DataFrame, dict[str, str]]:
        """The payouts of a payment file, and what they have in common as one row; all of them or none."""
        chosen = standing.choose(self._live(), "payment_id", [payment_id])
        held = self._ledger.events(batch_ids=[payment_id], event_types=["PAYOUT_PREPARED"])["transaction_id"]
        absent = set(held.str.removeprefix(keys.PAYOUT)) - set(self._payouts["payout_id"])
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
        own = ["attempt", "end_to_end_id", "merchant_id", "set_off_minor", "contracts", "payee"]
        return self._signer.sign_payouts(order.lines, "PAYOUT_PREPARED", facts, own)

    def _needs_four_eyes(self, order: PaymentOrder) -> bool:
        """Counted with all that one person let through for the same execution date, so that splitting does not help."""
        others = workflow.read_due(order.execution_date, self._ledger)
        is_small = ~others["is_four_eyes"] & others["status"].isin(workflow.HELD)
        total = int(order.lines["amount_minor"].sum()) + int(others.loc[is_small, "amount_minor"].sum())
        return total >= int(money.to_minor([self.settings.four_eyes_amount], "EUR")[0])

    def _send_back(self, action: str, event_type: str, payment_id: str, said: str) -> None:
        roles.require(self.actor, action)
        require_reason(said)
        held_back = list[str]()

        def plan() -> Booking:
            chosen, row = self._order(payment_id)
            is_requested = bool((chosen["live_status"] == "Requested").all())
            if action == "withdraw" and is_requested and self._folder.hold_back(row["staged"]):
                held_back[:] = [row["staged"]]  # first the copy, so that no file leaves whose money is free again
                transfers = self._ledger.transfers((keys.PAYOUT + chosen["payout_id"]).tolist())
                void = close_transfers(chosen["payout_id"], transfers, "void")
                return self._signer.sign_payouts(chosen, event_type, {"said": said}), void
            still = chosen["live_status"].isin(workflow.MAY_FOLLOW[action])  # the bank may have moved single ones
            chosen = (chosen[still] if still.any() else chosen).reset_index(drop=True)
            workflow.check_move(chosen.assign(status=chosen["live_status"]), action)
            return self._signer.sign_payouts(chosen, event_type, {"said": said}), nothing()

        self._signer.book(action, plan)
        for copy in held_back:
            self._folder.drop(copy)

    def _switch(self, action: str, merchant_id: str, said: str) -> None:
        roles.require(self.actor, action)
        require_reason(said)

        def plan() -> Booking:
            if merchant_id not in set(self._payouts["merchant_id"]):
                raise Refused("No payout of this merchant in this run", found=merchant_id)
            return switch_event(action, merchant_id, said, self._ledger, self._signer), nothing()

        self._signer.book(action, plan)

    def _decide_move(self, action: str, contract_id: str, merchant_id: str, said: str) -> None:
        roles.require(self.actor, "decide_move")
        require_reason(said)

        def plan() -> Booking:
            event = move_event(action, contract_id, merchant_id, said, self._moves(), self._paid_parts(), self._signer)
            if action == "accept":
                covering = paid_files(contract_id, self._ledger)
                standing.refuse_unsent(covering[covering["staged"].map(self._folder.is_waiting).astype(bool)])
            return event, nothing()

        self._signer.book(f"move:{action}", plan)

    def _debtor(self) -> Debtor:
        s = self.settings
        return Debtor(s.debtor_name, s.debtor_iban, s.debtor_bic, s.debtor_town, s.debtor_country)


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
