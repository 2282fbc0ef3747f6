"""What people do with payment files: put together, approved, handed over, taken back; each planned on what the ledger holds.

The ledger is written before the outbox: a crash in between leaves a requested payment whose staged copy still waits.
Requesting it again asks for blocks and the execution date anew and moves the copy into the outbox; withdrawing it takes
the copy away first and then frees the money. A copy moves once, so what the bank's connector has taken out of the outbox
never comes there again. No file lies in the outbox that the ledger does not hold as requested.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pandas as pd

from atlas_lib.core import money
from atlas_lib.core.errors import Refused
from atlas_lib.core.sepa import Debtor
from atlas_lib.core.settings import ReservesCreditSettings
from atlas_lib.ledger import keys
from atlas_lib.ledger.store import Ledger
from atlas_lib.reserves_credit import roles, standing, workflow
from atlas_lib.reserves_credit.appending import Booking
from atlas_lib.reserves_credit.orders import PaymentFolder, PaymentOrder, make_orders
from atlas_lib.reserves_credit.positions import check_cover, cover_of
from atlas_lib.reserves_credit.replies import close_transfers
from atlas_lib.reserves_credit.signing import Signer, nothing, require_reason
from atlas_lib.reserves_credit.verdicts import refuse_against


class PaymentFiles:
    """The payment files of one run; `live` reads where its payouts stand (standing.read_live)."""

    def __init__(
        self,
        live: Callable[[], pd.DataFrame],
        contract_payments: pd.DataFrame,
        settings: ReservesCreditSettings,
        ledger: Ledger,
        signer: Signer,
        folder: PaymentFolder,
    ) -> None:
        self._live, self._contracts, self._settings = live, contract_payments, settings
        self._ledger, self._signer, self._folder = ledger, signer, folder
        self._actor = signer.actor

    def prepare(self, wanted: list[str], said: str) -> list[str]:
        """See PayoutDesk.prepare."""
        roles.require(self._actor, "prepare")
        made = list[PaymentOrder]()

        def plan() -> Booking:
            chosen = standing.choose(self._live(), "payout_id", wanted)
            refuse_against(chosen)
            workflow.check_move(chosen, "prepare")
            chosen = chosen.assign(contracts=cover_of(chosen, self._contracts))
            check_cover(chosen, self._contracts, self._ledger)
            day = self._signer.next_bank_day()
            made[:] = make_orders(chosen, self._debtor(), day, self._settings.as_of, self._signer.now())
            for order in made:
                self._folder.keep(order)
            return pd.concat([self._prepared(order, said) for order in made], ignore_index=True), nothing()

        self._signer.book("prepare", plan)
        return [order.payment_id for order in made]

    def approve(self, payment_id: str, sha256: str) -> None:
        """See PayoutDesk.approve."""

        def plan() -> Booking:
            chosen, row = self._order(payment_id)
            roles.require(self._actor, "approve" if row["is_four_eyes"] else "approve_small")
            if row["is_four_eyes"] and row["prepared_by"] == self._actor.name:
                raise Refused(
                    "A second person must approve", where=payment_id, found=f"{self._actor.name} prepared it",
                    expected="another person", remedy=f"four eyes from {self._settings.four_eyes_amount:,.2f} EUR a day",
                )  # fmt: skip
            refuse_against(chosen)
            workflow.check_move(chosen, "approve")
            workflow.refuse_unmarked(chosen)
            check_cover(chosen, self._contracts, self._ledger)
            self._folder.check(payment_id, sha256, row["journal_sha256"])
            self._folder.check(payment_id, row["sha256"], row["journal_sha256"])
            hashes = {"approved_sha256": row["sha256"], "approved_journal_sha256": row["journal_sha256"]}
            facts = hashes | {"approved_by": self._actor.name}
            return self._signer.sign_payouts(chosen, "PAYOUT_APPROVED", facts), nothing()

        self._signer.book("approve", plan)

    def request(self, payment_id: str) -> Path:
        """See PayoutDesk.request."""
        roles.require(self._actor, "request")
        mine = self._folder.name_copy(payment_id)
        staged, sha256 = mine, ""

        def plan() -> Booking:
            nonlocal staged, sha256
            chosen, row = self._order(payment_id)
            sha256, day = row["approved_sha256"], self._signer.next_bank_day()
            if (chosen["status"] == "Requested").all() and self._folder.is_waiting(row["staged"]):
                standing.check_waiting(chosen, day)
                workflow.refuse_unmarked(chosen)
                check_cover(chosen, self._contracts, self._ledger)
                staged = row["staged"]  # a crash between ledger and outbox: only the file is missing
                return nothing(), nothing()
            refuse_against(chosen)
            workflow.check_move(chosen, "request")
            workflow.refuse_unmarked(chosen)
            check_cover(chosen, self._contracts, self._ledger)
            self._folder.check(payment_id, row["approved_sha256"], row["approved_journal_sha256"])
            standing.check_day(chosen, day)
            row_of = pd.Series(chosen.index, index=chosen["payout_id"])
            journal = self._folder.journal(payment_id)
            pending = journal.assign(event=journal["payout_id"].map(row_of).astype("int64"), kind="pending")
            self._folder.stage(payment_id, mine)
            return self._signer.sign_payouts(chosen, "PAYOUT_REQUESTED", {"staged": mine}), pending

        self._signer.book("request", plan)
        path = self._folder.hand_over(payment_id, staged, sha256)
        if not path.exists():
            self._refuse_withdrawn(payment_id)
        return path

    def send_back(self, action: str, event_type: str, payment_id: str, said: str) -> None:
        """Refuse or withdraw a payment file, with the reason; its payouts are Ready again."""
        roles.require(self._actor, action)
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

    def unsent(self, requested: pd.DataFrame) -> pd.DataFrame:
        """Those of these requested payouts whose payment file has not left yet."""
        return requested[requested["staged"].map(self._folder.is_waiting).astype(bool)]

    def _refuse_withdrawn(self, payment_id: str) -> None:
        """Refused when the file is in no outbox because somebody took it back; what the bank has fetched is none of that."""
        last = self._ledger.events(batch_ids=[payment_id], event_types=workflow.STATUS_AFTER).iloc[-1]
        if last["event_type"] == "PAYOUT_WITHDRAWN":
            raise Refused(
                "The payment file was withdrawn at the same moment and has not left", where=payment_id,
                found=f"withdrawn by {last['actor']}", remedy="prepare the payouts again if they shall be paid",
            )  # fmt: skip

    def _order(self, payment_id: str) -> tuple[pd.DataFrame, dict[str, str]]:
        """The payouts of a payment file, and what they have in common as one row; all of them or none."""
        live = self._live()
        chosen = standing.choose(live, "payment_id", [payment_id])
        held = self._ledger.events(batch_ids=[payment_id], event_types=["PAYOUT_PREPARED"])["transaction_id"]
        absent = set(held.str.removeprefix(keys.PAYOUT)) - set(live["payout_id"])
        if absent:
            raise Refused(
                "This run does not know all payouts of the payment file", where=payment_id, found=f"without {min(absent)}",
                expected=f"all {held.nunique()} payouts", remedy="use the run it was prepared in",
            )  # fmt: skip
        return chosen, {str(k): v for k, v in chosen.iloc[0].items()}

    def _prepared(self, order: PaymentOrder, said: str) -> pd.DataFrame:
        facts = {
            "payment_id": order.payment_id, "execution_date": order.execution_date, "prepared_by": self._actor.name,
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
        return total >= int(money.to_minor([self._settings.four_eyes_amount], "EUR")[0])

    def _debtor(self) -> Debtor:
        s = self._settings
        return Debtor(s.debtor_name, s.debtor_iban, s.debtor_bic, s.debtor_town, s.debtor_country)
