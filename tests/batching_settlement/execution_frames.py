"""Small plans to carry out, the calls that carry them out, and what must hold afterwards."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from types import SimpleNamespace
from typing import Any

import pandas as pd

from atlas_lib.batching_settlement.execution import execute_batches, settled_before
from atlas_lib.batching_settlement.rails import SimulatedRail
from atlas_lib.core.settings import BatchingSettlementSettings
from atlas_lib.core.tables import declared
from atlas_lib.ledger.store import Ledger

SETTINGS = BatchingSettlementSettings(as_of=date(2026, 10, 30))
TODAY = pd.Timestamp("2026-10-30")


def make_plan(
    lines: list[tuple[str, str, str, str, str, int]], legs: dict[str, tuple[str, str, int]]
) -> SimpleNamespace:
    """Lines (transaction, batch, type, payer instruction, payee instruction, amount), instructions (payer, payee, amount).

    A batch whose name starts with N is netted. The merchant's account is MER, the processor's PRO-<transaction>, so
    that lines share an account only through the merchant.
    """
    columns = ["transaction_id", "batch_id", "type", "payer_instruction_id", "payee_instruction_id", "amount_minor"]
    frame = pd.DataFrame(lines, columns=pd.Index(columns))
    mode = frame["batch_id"].str.startswith("N").map({True: "netted", False: "direct"})
    frame = frame.assign(
        window="T0", mode=mode, settlement_date=TODAY, counterparty_id="BANK-A", currency="EUR", merchant_id="M-1",
        standing="due", reason="", payer_account="PRO-" + frame["transaction_id"], payee_account="MER",
        destination_minor=frame["amount_minor"], destination_currency="EUR", value_minor=frame["amount_minor"],
        cash_currency="EUR", cash_out_minor=-frame["amount_minor"], net_debit_minor=0, asked_counterparty_id="BANK-A",
        is_gross=False, earliest_slot=1, latest_slot=1, created_at=TODAY.tz_localize("UTC"),
    )  # fmt: skip
    none = {c: frame[c].replace("", None) for c in ("payer_instruction_id", "payee_instruction_id")}
    lines_table = declared("batch_lines").shaped(frame.assign(**none))
    per_batch = frame.groupby("batch_id", as_index=False).agg(
        transaction_count=("transaction_id", "size"), gross_minor=("amount_minor", "sum"), mode=("mode", "first")
    )
    batches = per_batch.assign(
        window="T0", settlement_date=TODAY, counterparty_id="BANK-A", currency="EUR", status="planned",
        net_minor=per_batch["gross_minor"],
    )  # fmt: skip
    owner = {i: b for b, *pair in frame[columns[1:2] + columns[3:5]].itertuples(index=False) for i in pair}
    rows = [
        {
            "instruction_id": i, "batch_id": owner[i], "counterparty_id": "BANK-A", "payer_account": payer,
            "payee_account": payee, "amount_minor": amount, "currency": "EUR", "window": "T0", "settlement_date": TODAY,
            "transaction_count": 1, "arriving_minor": amount, "arriving_currency": "EUR",
        }
        for i, (payer, payee, amount) in legs.items()
    ]  # fmt: skip
    return SimpleNamespace(
        batches=declared("batches").shaped(batches),
        batch_lines=lines_table,
        instructions=declared("instructions").shaped(pd.DataFrame(rows)) if rows else declared("instructions").empty(),
        settlement_items=declared("settlement_items").shaped(frame),
        deferrals=declared("deferrals").empty(),
    )


def small_plan() -> SimpleNamespace:
    """Two direct batches (three wires) and a netted one: two processors pay in, the merchant is paid out."""
    return make_plan(
        [
            ("T-1", "D-1", "SALE", "I-1", "I-1", 100),
            ("T-2", "D-1", "SALE", "I-1", "I-1", 50),
            ("T-3", "D-2", "SALE", "I-2", "I-2", 70),
            ("T-4", "D-2", "SALE", "I-3", "I-3", 80),
            ("T-5", "N-1", "SALE", "I-5", "I-7", 30),
            ("T-6", "N-1", "SALE", "I-6", "I-7", 40),
        ],
        {
            "I-1": ("PRO-1", "MER", 150),
            "I-2": ("PRO-3", "MER", 70),
            "I-3": ("PRO-4", "MER", 80),
            "I-5": ("PRO-T-5", "NETTING-POOL", 30),
            "I-6": ("PRO-T-6", "NETTING-POOL", 40),
            "I-7": ("NETTING-POOL", "MER", 70),
        },
    )


def banks() -> pd.DataFrame:
    rows = [("BANK-A", True, "BANK-B"), ("BANK-B", True, None), ("BANK-C", False, "BANK-B")]
    frame = pd.DataFrame(rows, columns=pd.Index(["counterparty_id", "is_available", "alternate_counterparty_id"]))
    return declared("counterparties").shaped(
        frame.assign(name="", limit_minor=None, currency="EUR", source_file="", source_sheet="", source_row=1)
    )


def execute(
    plan: SimpleNamespace, counterparties: pd.DataFrame, ledger: Any, rail: Any, **options: Any
) -> dict[str, pd.DataFrame]:
    return execute_batches(
        plan.batches, plan.batch_lines, plan.instructions, plan.settlement_items, plan.deferrals, counterparties,
        ledger, rail, **{"settings": SETTINGS, **options},
    )  # fmt: skip


def outcome(tables: dict[str, pd.DataFrame]) -> dict[str, str]:
    results = tables["settlement_results"]
    return dict(zip(results["transaction_id"], results["status"], strict=True))


def check_books(ledger: Ledger, rail: SimulatedRail, plan: SimpleNamespace) -> None:
    """What must hold whatever happened: chain intact, zero-sum, settled means paid, paid once and exactly as planned."""
    assert ledger.verify().empty
    assert ledger.trial_balance()["balance_minor"].sum() == 0
    amounts = plan.instructions.set_index("instruction_id")["amount_minor"].to_dict()
    paid = [(i.instruction_id, i.amount_minor) for i in rail.paid.values()]
    assert len({name for name, _ in paid}) == len(paid)
    assert set(paid) <= set(amounts.items())
    assert not set(rail.paid) & rail.cancelled
    held = settled_before(ledger, plan.batch_lines["transaction_id"])
    lines = plan.batch_lines[
        plan.batch_lines["transaction_id"].isin(held.loc[held["status"] == "settled", "transaction_id"])
    ]
    needed = set(lines["payer_instruction_id"].dropna()) | set(lines["payee_instruction_id"].dropna())
    assert needed <= {name for name, _ in paid}
    postings = ledger.postings()
    assert postings.groupby("entry_id")[["debit_minor", "credit_minor"]].sum().eval("debit_minor == credit_minor").all()
    bank = postings.loc[postings["account"] == "assets:bank:EUR", "debit_minor"].sum()
    assert bank == lines["amount_minor"].sum()


class Crash(Exception):
    """The process ends here; says in which call."""


class Unplugged:
    """A ledger, rail or commit service whose n-th call of the named methods ends the process, before or after it."""

    def __init__(self, inner: Any, methods: set[str], fuse: Iterator[int], after: bool) -> None:
        self._inner, self._methods, self._fuse, self._after = inner, methods, fuse, after

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._inner, name)
        if name not in self._methods:
            return found

        def call(*args: Any, **kwargs: Any) -> Any:
            is_last = next(self._fuse) == 0
            if is_last and not self._after:
                raise Crash(name)
            answer = found(*args, **kwargs)
            if is_last:
                raise Crash(name)
            return answer

        return call
