"""A merchant's person reads its own figures and no others, and nothing of what the office thinks of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd
import pytest

from atlas_lib.core.errors import Refused
from atlas_lib.reserves_credit.books import keep_books, keep_reserves
from atlas_lib.reserves_credit.own_figures import read_own
from atlas_lib.reserves_credit.roles import Actor, visible
from tests.reserves_credit.reserves_credit_frames import Office, contracts, settings, transactions
from tests.reserves_credit.test_eligibility import line


class _Run:
    """The tables of a run and its settings, as Run gives them."""

    def __init__(self, tables: Mapping[str, pd.DataFrame], chosen: Any) -> None:
        self._tables, self.settings = tables, chosen

    def read(self, name: str) -> pd.DataFrame:
        return self._tables[name]


@pytest.fixture
def office(tmp_path) -> Office:
    return Office(tmp_path)


def figures(office: Office, actor: Actor) -> dict[str, pd.DataFrame]:
    book = contracts(line(1_000_00), line(2_000_00, merchant_id="M2"))
    sales = transactions(
        *({"amount_minor": 100_00, "created_at": "2026-10-01", "merchant_id": m} for m in ("M1", "M2"))
    )
    chosen = settings("2026-10-30")
    tables = keep_reserves(book, office.merchants, sales, office.ledger, chosen)
    tables |= keep_books(book, tables["reserve_movements"], sales, office.ledger, chosen)
    steps = pd.DataFrame({"merchant_id": ["M1", "M2"], "currency": "EUR"})
    amounts = (
        "receivables partner_payout client_rr residual paid under_way fees refunds chargebacks prior_balance payable"
    )
    tables["payout_waterfall"] = steps.assign(**{f"{n}_minor": 1 for n in amounts.split()})
    office.payouts = office.payouts.assign(status="Blocked", reasons="SANCTIONS_MATCH; FRAUD_REVIEW; INVALID_IBAN")
    desk = office.desk(actor.name, actor.role)
    desk.actor = actor
    return read_own(_Run(tables, chosen), desk)  # type: ignore[arg-type]


def test_every_table_holds_rows_of_the_own_merchant_only(office):
    own = figures(office, Actor("mert", "merchant", "M1"))
    for name, table in own.items():
        assert len(table), name
        if name != "reserve_ladder":
            assert set(table["merchant_id"]) == {"M1"}, name
    assert own["reserve_ladder"]["release_minor"].sum() == own["reserve_tranches"]["balance_minor"].sum()
    assert not set(own["subaccounts"]["subaccount"]) & {"Partner", "Partner RR"}


def test_a_merchant_is_not_told_of_a_suspicion_but_of_what_it_can_mend(office):
    own = figures(office, Actor("mert", "merchant", "M1"))
    assert own["payouts"]["reasons"].tolist() == ["UNDER_REVIEW; INVALID_IBAN"]


def test_who_prepared_and_approved_stays_in_the_office(office):
    office.requested("M1")
    seen = visible(Actor("mert", "merchant", "M1"), office.desk("ada", "auditor").payouts())
    assert seen[["by", "prepared_by", "approved_by", "sha256"]].to_numpy().tolist() == [["", "", "", ""]]
    assert seen["status"].tolist() == ["Requested"]


@pytest.mark.parametrize("role", ["settlement_ops", "auditor", ""])
def test_nobody_else_has_own_figures(office, role):
    with pytest.raises(Refused):
        figures(office, Actor("olga", role))
