"""`atlas decide`: decisions about matches, breaks, fraud alerts and moved contracts on the command line.

What is decided about matches and breaks holds in the figures from the next run on, about moved contracts at once.

Who acts comes from ATLAS_ACTOR with ATLAS_PEOPLE or ATLAS_ROLE. Exit code 7: refused, nothing was changed.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from atlas_lib.core.run import Run
    from atlas_lib.reconciliation.decisions import DecisionDesk
    from atlas_lib.reserves_credit.desk import PayoutDesk

decide_app = typer.Typer(
    no_args_is_help=True,
    help="Force or undo matches; dispute, recheck or write off breaks; judge fraud alerts; decide on moved contracts.",
)

RunDir = Annotated[Path | None, typer.Option(help="run directory; default: the latest run")]
Reason = Annotated[str, typer.Option(help="why, in a few words")]


@decide_app.command("list")
def list_decisions(run_dir: RunDir = None) -> None:
    """Everything decided so far, oldest first."""
    from atlas_lib.ledger.run_ledger import open_run_ledger
    from atlas_lib.reconciliation.decisions import read_decisions
    from atlas_lib.reconciliation.pairs import SEPARATOR

    with open_run_ledger(_run(run_dir), "decide") as ledger:
        made = read_decisions(ledger)
    told = made.to_string(index=False).replace(SEPARATOR, " + ") if len(made) else "Nothing has been decided yet."
    typer.echo(told)


@decide_app.command()
def force(
    transactions: Annotated[list[str], typer.Argument(help="transaction ids")],
    line: Annotated[list[str], typer.Option(help="bank line as statement/line; may be given several times")],
    reason: Reason = "",
    run_dir: RunDir = None,
) -> None:
    """These payments and these bank lines belong together."""
    _desk(run_dir).force(transactions, line, reason)
    typer.echo("Matched by hand from the next run on.")


@decide_app.command()
def unmatch(transaction: str, line: str, reason: Reason = "", run_dir: RunDir = None) -> None:
    """This payment and this bank line (statement/line) do not belong together."""
    _desk(run_dir).unmatch(transaction, line, reason)
    typer.echo("Both sides are open again from the next run on.")


@decide_app.command()
def dispute(break_id: str, state: str = "open", reason: Reason = "", run_dir: RunDir = None) -> None:
    """Dispute a break, or say how its dispute stands: open, pending evidence, won, lost."""
    _desk(run_dir).dispute(break_id, state, reason)
    typer.echo(f"{break_id}: dispute {state}.")


@decide_app.command()
def recheck(break_id: str, reason: Reason = "", run_dir: RunDir = None) -> None:
    """Ask for another look at a break."""
    _desk(run_dir).recheck(break_id, reason)
    typer.echo(f"{break_id}: another look is asked for.")


@decide_app.command("write-off")
def write_off(break_id: str, reason_code: str, reason: Reason = "", run_dir: RunDir = None) -> None:
    """Give the difference of a break up under a reason code; it is booked at once."""
    _desk(run_dir).write_off(break_id, reason_code, reason)
    typer.echo(f"{break_id} is written off: {reason_code}.")


@decide_app.command()
def moves(run_dir: RunDir = None) -> None:
    """Contracts that were paid to one merchant and come under another, and what was decided about each."""
    from atlas_lib.core.money import format_minor
    from atlas_lib.reserves_credit.decisions import MOVE_COLUMNS

    found = _payout_desk(run_dir).moves()
    pairs = zip(found["amount_minor"], found["currency"], strict=True)
    shown = found.assign(amount_minor=[format_minor(int(a), c) for a, c in pairs])[list(MOVE_COLUMNS)]
    shown = shown.rename(columns={"amount_minor": "amount"})
    typer.echo(shown.to_string(index=False) if len(shown) else "No contract has moved.")


@decide_app.command()
def move(
    contract_id: str,
    merchant_id: Annotated[str, typer.Argument(help="the merchant under whom the contract now comes")],
    decision: Annotated[str, typer.Argument(help="accept or reject")],
    reason: Reason = "",
    run_dir: RunDir = None,
) -> None:
    """Accept that a contract paid to one merchant now belongs to another, or reject it."""
    from atlas_lib.core.errors import SettingsError

    desk = _payout_desk(run_dir)
    acts = {"accept": desk.accept_move, "reject": desk.reject_move}
    if decision not in acts:
        raise SettingsError("No such decision", found=decision, expected="accept or reject")
    acts[decision](contract_id, merchant_id, reason)
    typer.echo(f"{contract_id}: move to {merchant_id} {decision}ed.")


@decide_app.command()
def fraud(transaction: str, verdict: str, reason: Reason = "", run_dir: RunDir = None) -> None:
    """Say of a fraud alert: confirmed, false_positive or escalated."""
    import pandas as pd

    from atlas_lib.dashboard.fraud import judge

    rows = pd.DataFrame({"transaction_id": [transaction]})
    typer.echo(judge(_run(run_dir), os.environ, verdict, rows, reason))


@decide_app.command("fraud-labels")
def fraud_labels(file: Path, run_dir: RunDir = None) -> None:
    """Write what was decided about fraud alerts as a CSV file that `atlas run` reads beside the payments."""
    from atlas_lib.ledger.run_ledger import open_run_ledger
    from atlas_lib.reconciliation.views.fraud_console import labels_of, read_judgements

    with open_run_ledger(_run(run_dir), "decide") as ledger:
        labels = labels_of(read_judgements(ledger))
    labels[["transaction_id", "is_fraud", "labelled_at"]].to_csv(file, index=False)
    typer.echo(f"{len(labels)} label{'' if len(labels) == 1 else 's'} written to {file}.")


def _run(run_dir: Path | None, stage: str = "05_reconciliation") -> Run:
    from atlas_lib.core.opening import latest_run_dir
    from atlas_lib.core.run import Run

    return Run(run_dir or latest_run_dir(), stage)


def _payout_desk(run_dir: Path | None) -> PayoutDesk:
    from atlas_lib.reserves_credit.desk import open_desk

    return open_desk(_run(run_dir, "02_reserves_credit"), os.environ)


def _desk(run_dir: Path | None) -> DecisionDesk:
    from atlas_lib.ledger.run_ledger import open_run_ledger
    from atlas_lib.reconciliation.decisions import open_decision_desk
    from atlas_lib.reserves_credit.roles import at_run, identify, require

    run = _run(run_dir)
    actor = at_run(identify(os.environ), run)
    ledger = open_run_ledger(run, "05_reconciliation")
    return open_decision_desk(run, ledger, actor.name, lambda action: require(actor, action))
