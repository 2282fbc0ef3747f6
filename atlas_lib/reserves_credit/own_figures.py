"""What a merchant's person may read: the figures of its own merchant and nothing else, whatever page asks for them."""

from __future__ import annotations

import pandas as pd

from atlas_lib.core.errors import Refused
from atlas_lib.core.run import Run
from atlas_lib.reserves_credit import roles
from atlas_lib.reserves_credit.desk import PayoutDesk
from atlas_lib.reserves_credit.reserves import build_ladder
from atlas_lib.reserves_credit.roles import Actor
from atlas_lib.reserves_credit.waterfall import explain_payouts, waterfall_of

# Limits, exposure, gates and alerts are our view of the merchant and stay inside.
_READ = (
    "contract_payments",
    "subaccounts",
    "subaccount_movements",
    "reserve_tranches",
    "reserve_movements",
    "reserve_policies",
)
_PAYOUT_COLUMNS = (
    "payout_id", "merchant_id", "merchant_name", "currency", "payable_minor", "paid_minor", "under_way_minor",
    "set_off_minor", "amount_minor", "due_date", "status", "reasons", "iban", "bank_code",
)  # fmt: skip
OUR_SUBACCOUNTS = (
    "Factoring",
    "Partner",
    "Partner RR",
)  # what we bought, and what is between us and the funding partner


def read_own(run: Run, desk: PayoutDesk) -> dict[str, pd.DataFrame]:
    """The tables of the desk's person's own merchant: payouts, payout_steps, reserve_ladder and `_READ`, by name.

    Raises Refused for anybody but a merchant's person.
    """
    actor = desk.actor
    roles.require(actor, "see_own")
    if not actor.merchant_id:
        raise Refused("No merchant belongs to this person", where=actor.name, remedy="name it in the list of people")
    own = {name: _own(actor, run.read(name)) for name in _READ}
    for name in ("subaccounts", "subaccount_movements"):
        own[name] = own[name][~own[name]["subaccount"].isin(OUR_SUBACCOUNTS)].reset_index(drop=True)
    steps = explain_payouts(_own(actor, run.read("payout_waterfall")))
    shown = [waterfall_of(steps, actor.merchant_id, c) for c in steps["currency"].unique()]
    return own | {
        "payouts": desk.payouts()[list(_PAYOUT_COLUMNS)],
        "payout_steps": pd.concat(shown, ignore_index=True) if shown else steps,
        "reserve_ladder": build_ladder(own["reserve_tranches"], run.settings.as_of),
    }


def _own(actor: Actor, table: pd.DataFrame) -> pd.DataFrame:
    return roles.visible(actor, table)
