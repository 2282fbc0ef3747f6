"""What is still owed: contracts are paid once, whichever run asks, and debts from sales are set off."""

from __future__ import annotations

from typing import Any

import pandas as pd
import pytest

from atlas_lib.core.bank_files import REPLY_COLUMNS, shape_replies
from atlas_lib.core.errors import Refused
from atlas_lib.core.tables import declared
from atlas_lib.reserves_credit import waterfall
from atlas_lib.reserves_credit.exposure import measure_exposure
from atlas_lib.reserves_credit.payouts import summarise_payouts
from atlas_lib.reserves_credit.positions import read_positions
from atlas_lib.reserves_credit.purchases import book_contracts
from atlas_lib.reserves_credit.reserves import hold_reserves
from tests.reserves_credit.reserves_credit_frames import Office, contracts, merchants, settings, transactions

_IBAN = "DE89370400440532013000"


def line(number: int, payout: int, **more: Any) -> dict[str, Any]:
    return {
        "contract_id": f"C{number}", "receivable_minor": payout + 300_00, "merchant_payout_minor": payout,
        "merchant_reserve_minor": 100_00, "partner_margin_minor": 200_00,
    } | more  # fmt: skip


class Runs(Office):
    """An office whose payouts are computed by a run over contracts, as the notebook does."""

    def run(self, *lines: dict[str, Any], sales: pd.DataFrame | None = None) -> dict[str, pd.DataFrame]:
        book, known, chosen = (
            contracts(*lines),
            merchants({"merchant_id": "M1", "iban": _IBAN}),
            settings(**self.values),
        )
        paid = transactions() if sales is None else sales
        reserves = hold_reserves(book, known, paid, chosen)
        empty = {n: declared(n).empty() for n in ("streaming_index", "rejects", "screening_findings", "fx_rates")}
        exposed = measure_exposure(book, known, empty["fx_rates"], reserves["reserve_tranches"], chosen)["exposures"]
        positions = read_positions(book, paid, self.ledger, chosen)
        found = positions | summarise_payouts(
            book, known, paid, empty["streaming_index"], exposed, reserves["reserve_coverage"], empty["rejects"],
            empty["screening_findings"], **positions, settings=chosen,
        )  # fmt: skip
        self.payouts, self.merchants, self.made = found["payouts"], known, found["contract_payments"]
        return found

    def contract_payments(self) -> pd.DataFrame:
        return self.made

    def pay(self, number: int = 1, attempt: int = 1, reply: str = "booked") -> None:
        """The payout of M1 that is shown, from preparing to the bank's answer."""
        row = self.payouts.iloc[0]
        self.now += pd.Timedelta(minutes=1)
        olga = self.desk("olga", "settlement_ops")
        (payment_id,) = olga.prepare([row["payout_id"]])
        self.desk("carl", "credit_manager").approve(payment_id, self.order(payment_id)["sha256"])
        olga.request(payment_id)
        self.answer(reply, int(row["amount_minor"]), attempt, str(row["payout_id"]), f"B{number}{attempt}")

    def answer(self, reply: str, amount: int, attempt: int, payout_id: str, reference: str) -> None:
        facts = [reply, "", f"{payout_id}-{attempt}", amount, "EUR", "", "", reference, "bank"]
        found = self.desk("olga", "settlement_ops").book_replies(
            shape_replies(pd.DataFrame([facts], columns=list(REPLY_COLUMNS)))
        )
        assert found["outcome"].tolist() == ["moved"]


@pytest.fixture
def runs(tmp_path) -> Runs:
    return Runs(tmp_path, as_of="2023-11-30")


def next_payout(found: dict[str, pd.DataFrame]) -> tuple[str, int] | None:
    rows = found["payouts"]
    return (rows["status"].iloc[0], int(rows["amount_minor"].iloc[0])) if len(rows) else None


def test_a_workbook_that_has_grown_pays_only_what_is_new(runs):
    assert next_payout(runs.run(line(1, 500_00))) == ("Ready", 500_00)
    runs.pay()
    assert next_payout(runs.run(line(1, 500_00), line(2, 70_00))) == ("Ready", 70_00)


def test_a_workbook_with_the_new_contracts_only_pays_them(runs):
    runs.run(line(1, 500_00))
    runs.pay()
    assert next_payout(runs.run(line(2, 70_00))) == ("Ready", 70_00)


def test_what_is_fully_paid_is_executed_and_no_longer_among_the_payouts(runs):
    runs.run(line(1, 500_00))
    runs.pay()
    found = runs.run(line(1, 500_00))
    assert found["payout_summary"][["status", "merchant_payout_minor"]].to_numpy().tolist() == [["Executed", 500_00]]
    assert next_payout(found) is None


def test_a_contract_whose_figures_went_up_after_it_was_paid_pays_the_difference_and_down_is_kept_back(runs):
    runs.run(line(1, 500_00))
    runs.pay()
    assert next_payout(runs.run(line(1, 520_00))) == ("Ready", 20_00)
    assert next_payout(runs.run(line(1, 450_00), line(2, 80_00))) == ("Ready", 30_00)


def test_a_rerun_while_the_payout_is_at_the_bank_shows_it_there_and_offers_nothing(runs):
    runs.run(line(1, 500_00))
    olga = runs.desk("olga", "settlement_ops")
    (payment_id,) = olga.prepare(runs.payouts["payout_id"])
    olga.approve(payment_id, runs.order(payment_id)["sha256"])
    olga.request(payment_id)
    assert next_payout(runs.run(line(1, 500_00), line(2, 70_00))) == ("Requested", 500_00)
    with pytest.raises(Refused, match="Requested"):
        olga.prepare(runs.payouts["payout_id"])


def test_a_contract_paid_by_a_later_payout_is_not_paid_again_by_an_earlier_one_that_came_back(runs):
    """Run A pays C1, run B had seen C1 and C2, run C pays C2; then C1 comes back and run B's page is still open."""
    runs.run(line(1, 500_00))
    runs.pay()
    first = str(runs.payouts["payout_id"].iloc[0])
    runs.run(line(1, 500_00), line(2, 70_00))
    runs.pay(number=2)
    runs.answer("returned", 500_00, 1, first, "BACK")
    assert next_payout(runs.run(line(1, 500_00), line(2, 70_00))) == ("Ready", 500_00)
    stale = runs.made.assign(paid_minor=0, open_minor=runs.made["merchant_payout_minor"])
    runs.made = stale
    runs.payouts = runs.payouts.assign(amount_minor=570_00)
    with pytest.raises(Refused, match="paid meanwhile"):
        runs.desk("olga", "settlement_ops").prepare([first])


def test_a_merchant_stopped_at_the_desk_is_blocked_in_the_next_run_too(runs):
    runs.run(line(1, 500_00))
    runs.desk("rita", "risk_analyst").block("M1", "chargebacks rise")
    found = runs.run(line(1, 500_00))["payout_summary"]
    assert found[["status", "reasons"]].to_numpy().tolist() == [["Blocked", "MERCHANT_BLOCKED"]]
    runs.desk("carl", "credit_manager").unblock("M1", "explained")
    assert runs.run(line(1, 500_00))["payout_summary"]["status"].tolist() == ["Ready"]


def settle(runs: Runs, sales: pd.DataFrame) -> None:
    """As 04 books settled transactions: a sale in, everything else out of the merchant's account."""
    bank, account = "assets:bank:EUR", "liabilities:settlement_payable:M1"
    rows = sales.assign(is_sale=sales["type"] == "SALE").reset_index(drop=True)
    events = rows[["transaction_id", "amount_minor", "currency"]].assign(timestamp=rows["created_at"])
    sides = {
        "debit_account": [bank if s else account for s in rows["is_sale"]],
        "credit_account": [account if s else bank for s in rows["is_sale"]],
    }
    moves = pd.DataFrame({"event": rows.index, "amount_minor": rows["amount_minor"], "currency": "EUR"}).assign(**sides)
    runs.ledger.append("start", events.assign(event_type="SETTLEMENT_INITIATED"), moves.assign(kind="pending"))
    numbers = runs.ledger.transfers(open_only=True)["transfer_no"].to_numpy()
    runs.ledger.append(
        "end", events.assign(event_type="SETTLEMENT_CONFIRMED"), moves.assign(kind="post", pending_no=numbers)
    )


def test_a_debt_from_sales_is_set_off_and_explained_and_booked_with_the_payout(runs):
    day = "2023-11-20 10:00"
    kinds = [("SALE", 100_00), ("REFUND", 80_00), ("CHARGEBACK", 60_00), ("FEE", 5_00)]
    sales = transactions(*({"type": t, "amount_minor": a, "created_at": day} for t, a in kinds))
    settle(runs, sales)
    found = runs.run(line(1, 500_00), sales=sales)
    assert next_payout(found) == ("Ready", 455_00)
    steps = waterfall.explain_payouts(found["payout_waterfall"])
    shown = dict(zip(steps["label"], steps["amount_minor"], strict=True))
    assert (shown["Refunds"], shown["Chargebacks"], shown["Fees"]) == (-80_00, -60_00, -5_00)
    assert (shown["Prior balance"], shown["Payable to merchant"]) == (100_00, 455_00)
    assert steps["amount_minor"].iloc[:-1].sum() == 455_00
    runs.pay()
    balances = runs.ledger.balances().set_index("account")["balance_minor"]
    assert balances["liabilities:settlement_payable:M1"] == 0
    assert balances["liabilities:payout_payable:M1"] == 500_00
    assert next_payout(runs.run(line(1, 500_00), sales=sales)) is None


def test_a_debt_above_what_is_owed_leaves_nothing_to_pay_and_says_so(runs):
    sales = transactions({"type": "REFUND", "amount_minor": 900_00, "created_at": "2023-11-20 10:00"})
    settle(runs, sales)
    found = runs.run(line(1, 500_00), sales=sales)
    assert "NON_POSITIVE_PAYOUT" in found["payout_summary"]["reasons"].iloc[0]
    steps = waterfall.explain_payouts(found["payout_waterfall"])
    assert steps["amount_minor"].iloc[:-1].sum() == steps["amount_minor"].iloc[-1] == 0


def test_a_contract_that_went_down_after_it_was_paid_is_owed_back_also_when_the_input_no_longer_holds_it(runs):
    def booked(*lines: dict[str, Any]) -> dict[str, pd.DataFrame]:
        book_contracts(contracts(*lines), runs.ledger, settings(**runs.values))
        return runs.run(*lines)

    booked(line(1, 500_00))
    runs.pay()
    assert booked(line(1, 300_00))["payouts"]["reasons"].tolist() == ["NON_POSITIVE_PAYOUT"]
    found = booked(line(2, 1_000_00))
    assert found["payouts"]["amount_minor"].tolist() == [800_00]
    steps = waterfall.explain_payouts(found["payout_waterfall"])
    assert steps["amount_minor"].iloc[:-1].sum() == steps["amount_minor"].iloc[-1] == 800_00
    runs.pay()
    assert runs.ledger.balances().set_index("account").loc["liabilities:payout_payable:M1", "balance_minor"] == 0
    assert booked(line(3, 70_00))["payouts"]["amount_minor"].tolist() == [70_00]
    assert booked(line(1, 300_00), line(2, 1_000_00))["payout_summary"]["status"].tolist() == ["Executed"]


@pytest.mark.parametrize("more", [[], [line(2, 10_00)]], ids=["the new merchant alone", "the old one is there too"])
def test_a_contract_paid_under_another_merchant_is_owed_back_there_and_blocked_here(runs, more):
    book_contracts(contracts(line(1, 500_00)), runs.ledger, settings(**runs.values))
    runs.run(line(1, 500_00))
    runs.pay()
    moved = [line(1, 500_00, merchant_id="M2"), *more]
    book_contracts(contracts(*moved), runs.ledger, settings(**runs.values))
    found = runs.run(*moved)
    paid = found["contract_payments"].set_index(["contract_id", "merchant_id"])[["paid_minor", "open_minor"]]
    assert paid.loc[("C1", "M1")].tolist() == [500_00, -500_00]
    assert paid.loc[("C1", "M2")].tolist() == [0, 500_00]
    shown = found["payout_summary"].set_index("merchant_id")
    assert shown.loc["M2", "status"] == "Blocked"
    assert "CONTRACT_MOVED" in shown.loc["M2", "reasons"]
    if more:
        assert (shown.loc["M1", "status"], shown.loc["M1", "reasons"]) == ("Blocked", "NON_POSITIVE_PAYOUT")
