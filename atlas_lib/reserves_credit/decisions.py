"""The desk's actions as a person meets them: for chosen rows and a reason, with a sentence about what was done.

What a row showed when it was chosen counts: an approval carries the SHA-256 that stood there.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import date, timedelta
from typing import Any

import pandas as pd

from atlas_lib.core import money
from atlas_lib.core.errors import Refused
from atlas_lib.core.wording import counted
from atlas_lib.reserves_credit.desk import PayoutDesk
from atlas_lib.reserves_credit.policies import ReservePolicy
from atlas_lib.reserves_credit.what_if import compare_policies, of_merchant

Action = Callable[[pd.DataFrame, str], str]
PAYOUT_COLUMNS = (
    "merchant_id", "merchant_name", "amount_minor", "currency", "due_date", "status", "reasons", "by", "said",
)  # fmt: skip
ORDER_COLUMNS = (
    "payment_id", "execution_date", "payout_count", "amount_minor", "currency", "status", "prepared_by", "approved_by",
    "is_four_eyes", "sha256",
)  # fmt: skip
MOVE_COLUMNS = ("contract_id", "merchant_id", "former_id", "amount_minor", "currency", "move", "by", "said")


def payout_actions(desk: PayoutDesk) -> dict[str, Action]:
    """Prepare, Block, Unblock for chosen payouts."""

    def prepare(rows: pd.DataFrame, said: str) -> str:
        made = desk.prepare(rows["payout_id"], said)
        done = f"{counted(len(rows), 'payout')} prepared in {counted(len(made), 'payment file')}"
        return f"{done}: {', '.join(made)}."

    def block(rows: pd.DataFrame, said: str) -> str:
        return act_on_each(rows, "merchant_id", lambda merchant: desk.block(merchant, said), "blocked")

    def unblock(rows: pd.DataFrame, said: str) -> str:
        return act_on_each(
            rows, "merchant_id", lambda merchant: desk.unblock(merchant, said), "no longer blocked by a person"
        )

    return {"Prepare": prepare, "Block merchant": block, "Unblock merchant": unblock}


def order_actions(desk: PayoutDesk, bank_replies: pd.DataFrame) -> dict[str, Action]:
    """Approve, Refuse, Request, Withdraw for chosen payment files; Read bank lines for all.

    `bank_replies`: what the run's bank lines say about payments (desk.replies_in).
    """

    def approve(rows: pd.DataFrame, said: str) -> str:  # noqa: ARG001
        hashes = rows.set_index("payment_id")["sha256"]
        return act_on_each(rows, "payment_id", lambda payment: desk.approve(payment, str(hashes[payment])), "approved")

    def refuse(rows: pd.DataFrame, said: str) -> str:
        return act_on_each(rows, "payment_id", lambda payment: desk.refuse(payment, said), "refused")

    def request(rows: pd.DataFrame, said: str) -> str:  # noqa: ARG001
        return act_on_each(rows, "payment_id", desk.request, "requested; its file is in the outbox")

    def withdraw(rows: pd.DataFrame, said: str) -> str:
        return act_on_each(rows, "payment_id", lambda payment: desk.withdraw(payment, said), "withdrawn")

    def read_bank(rows: pd.DataFrame, said: str) -> str:  # noqa: ARG001
        found = desk.book_replies(bank_replies)
        ours = found[found["outcome"] != "not ours"]["outcome"].value_counts().sort_index()
        return ", ".join(f"{n} {word}" for word, n in ours.items()) or "No bank line of this run is about a payout."

    return {
        "Approve": approve,
        "Refuse": refuse,
        "Request": request,
        "Withdraw": withdraw,
        "Read bank lines": read_bank,
    }


def move_actions(desk: PayoutDesk) -> dict[str, Action]:
    """Accept move, Reject move for chosen contracts that were paid under another merchant."""

    def decide(act: Callable[[str, str, str], None], done: str) -> Action:
        def apply(rows: pd.DataFrame, said: str) -> str:
            merchants = rows.set_index("contract_id")["merchant_id"]
            return act_on_each(rows, "contract_id", lambda one: act(one, str(merchants[one]), said), done)

        return apply

    return {
        "Accept move": decide(desk.accept_move, "may be paid to its new merchant; the former one owes it back"),
        "Reject move": decide(desk.reject_move, "stays with its former merchant; correct the input"),
    }


class PolicyTrial:
    """Another reserve policy for one merchant: compared with the present one, then perhaps decided."""

    def __init__(
        self,
        desk: PayoutDesk,
        reserve_flows: pd.DataFrame,
        reserve_claims: pd.DataFrame,
        reserve_policies: pd.DataFrame,
        reserve_coverage: pd.DataFrame,
    ) -> None:
        self._desk, self._policies = desk, reserve_policies
        self._held = (reserve_flows, reserve_claims, reserve_policies, reserve_coverage)

    def fields(self) -> dict[str, Any]:
        """What can be chosen, as present.explore_trial takes it."""
        accounts = self._policies[["merchant_id", "currency"]].drop_duplicates()
        settings = self._desk.settings
        return {
            "account": (accounts["merchant_id"] + " " + accounts["currency"]).tolist(),
            "reserve_percent": (0.0, 100.0, settings.reserve_percent),
            "reserve_base": ["net_of_fees", "gross"],
            "hold_days": (3, 180, settings.hold_days),
            "release_rule": ["scheduled", "manual"],
            "cap": (0.0, 1e12, 0.0),
            "floor": (0.0, 1e12, 0.0),
            "applies_from": settings.as_of + timedelta(days=1),
        }

    def compare(self, values: Mapping[str, Any]) -> pd.DataFrame:
        """Present and trial side by side, for the sales of this run."""
        merchant_id, currency = self._account(values)
        parts = [of_merchant(table, merchant_id) for table in self._held]
        own = [part[part["currency"] == currency].reset_index(drop=True) for part in parts]
        return compare_policies(own[0], own[1], own[2], own[3], {"trial": self._policy(values)}, self._desk.settings)

    def apply(self, values: Mapping[str, Any], said: str) -> str:
        """Decide the policy; it holds from its day on."""
        merchant_id, currency = self._account(values)
        applies_from = values["applies_from"]
        if not isinstance(applies_from, date):
            raise Refused("A policy needs a first day", found="no day")
        self._desk.set_policy(merchant_id, currency, self._policy(values), applies_from, said)
        return f"Decided: {merchant_id} in {currency} from {applies_from} on."

    def _policy(self, values: Mapping[str, Any]) -> ReservePolicy:
        """Amounts are typed in units of the currency; a cap of 0 is none."""
        _, currency = self._account(values)
        cap, floor = (int(money.to_minor([values[name]], currency)[0]) for name in ("cap", "floor"))
        terms = {n: values[n] for n in ("reserve_percent", "reserve_base", "hold_days", "release_rule")}
        return ReservePolicy(**terms, cap_minor=cap or None, floor_minor=floor)

    @staticmethod
    def _account(values: Mapping[str, Any]) -> tuple[str, str]:
        if not values["account"]:
            raise Refused("No merchant is chosen", found="no merchant has sales in this run")
        merchant_id, _, currency = str(values["account"]).rpartition(" ")
        return merchant_id, currency


def act_on_each(rows: pd.DataFrame, key: str, act: Callable[[str], object], done: str) -> str:
    """The action on every chosen one; the first refusal stops, and says what was done before."""
    names = list(dict.fromkeys(rows[key]))
    if not names:
        raise Refused("Nothing is chosen", remedy="choose one or more lines of the list")
    for number, name in enumerate(names):
        try:
            act(name)
        except Refused as refused:
            before = f" ({', '.join(names[:number])}: {done})" if number else ""
            raise Refused(
                refused.what + before,
                where=refused.where,
                expected=refused.expected,
                found=refused.found,
                remedy=refused.remedy,
            ) from refused
    return f"{', '.join(names)}: {done}."
