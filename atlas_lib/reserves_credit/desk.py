"""The payout desk: what people do with payouts, each decision an event with actor and time, made once.

Every action reads where things stand, asks the roles and the workflow, and appends its events only if nobody wrote
in between (`expected_head`); else it reads again and decides again. So of two people, two clicks or two processes
one wins and the other is told what has happened. What is done with payment files stands in payment_files.py.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from datetime import date
from pathlib import Path

import pandas as pd

from atlas_lib.core.bank_files import replies_of_lines
from atlas_lib.core.errors import Refused
from atlas_lib.core.run import Run
from atlas_lib.core.settings import ReservesCreditSettings
from atlas_lib.ledger.run_ledger import open_run_ledger
from atlas_lib.ledger.store import Ledger
from atlas_lib.reserves_credit import roles, standing, workflow
from atlas_lib.reserves_credit.answers import book_answers
from atlas_lib.reserves_credit.appending import Booking
from atlas_lib.reserves_credit.moves import list_moves, move_event
from atlas_lib.reserves_credit.orders import PaymentFolder
from atlas_lib.reserves_credit.payment_files import PaymentFiles
from atlas_lib.reserves_credit.policies import ReservePolicy, plan_policy
from atlas_lib.reserves_credit.positions import paid_files, paid_parts
from atlas_lib.reserves_credit.roles import Actor
from atlas_lib.reserves_credit.signing import Signer, nothing, require_reason
from atlas_lib.reserves_credit.stops import switch_event
from atlas_lib.reserves_credit.verdicts import mark_payee


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
        self._files = PaymentFiles(self._live, contract_payments, settings, ledger, self._signer, PaymentFolder(folder))
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
        return self._files.prepare(list(payout_ids), said)

    def approve(self, payment_id: str, sha256: str) -> None:
        """Approve the payment file with this SHA-256, and its journal.

        From the four-eyes amount on, only a credit manager or finance controller who did not prepare it may.
        """
        self._files.approve(payment_id, sha256)

    def refuse(self, payment_id: str, said: str) -> None:
        """Refuse a payment file, with the reason; its payouts are Ready again."""
        self._files.send_back("refuse", "PAYOUT_REFUSED", payment_id, said)

    def withdraw(self, payment_id: str, said: str) -> None:
        """Take a payment file back before it has left, with the reason; its payouts are Ready again."""
        self._files.send_back("withdraw", "PAYOUT_WITHDRAWN", payment_id, said)

    def request(self, payment_id: str) -> Path:
        """Hand the approved file over: the money is pending in the ledger, the file lies in the outbox.

        File and journal must be those approved, byte for byte, and the execution date must still be met.
        """
        return self._files.request(payment_id)

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
                standing.refuse_unsent(self._files.unsent(paid_files(contract_id, self._ledger)))
            return event, nothing()

        self._signer.book(f"move:{action}", plan)


def open_desk(run: Run, environment: Mapping[str, str], clock_ns: Callable[[], int] = time.time_ns) -> PayoutDesk:
    """The desk of a finished run for the person that the environment names (see roles.py)."""
    actor = roles.at_run(roles.identify(environment), run)
    ledger = open_run_ledger(run, actor.name or "nobody", clock_ns)
    folder = run.directory.parent / "payments"
    payouts, contracts, merchants = (run.read(name) for name in ("payouts", "contract_payments", "merchants"))
    settings = roles.bound_four_eyes(run.settings, environment)
    return PayoutDesk(payouts, contracts, merchants, settings, ledger, folder, actor, clock_ns)


def replies_in(run: Run) -> pd.DataFrame:
    """What the run's own bank lines say about payments of ours."""
    return replies_of_lines(run.read("statement_lines"))
