"""`atlas payouts`: the payout desk on the command line, for operators without a browser and for schedulers.

Who acts comes from ATLAS_ACTOR with ATLAS_PEOPLE or ATLAS_ROLE. Exit code 7: refused, nothing was changed.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from atlas_lib.core.run import Run
    from atlas_lib.reserves_credit.desk import PayoutDesk

payouts_app = typer.Typer(no_args_is_help=True, help="Prepare, approve and request payouts; book the bank's answers.")

RunDir = Annotated[Path | None, typer.Option(help="run directory; default: the latest run")]
Reason = Annotated[str, typer.Option(help="why, in a few words")]
_COLUMNS = ["payout_id", "merchant_id", "amount_minor", "currency", "status", "reasons", "payment_id", "by"]


@payouts_app.command("list")
def list_payouts(run_dir: RunDir = None) -> None:
    """Where every payout of the run stands, as the person may see it."""
    live = _desk(run_dir).payouts()
    typer.echo(live[_COLUMNS].to_string(index=False) if len(live) else "No payouts to see.")


@payouts_app.command()
def prepare(payout_ids: Annotated[list[str], typer.Argument(help="payout ids")], run_dir: RunDir = None) -> None:
    """Put payouts into payment files; prints payment id and SHA-256 of each."""
    desk = _desk(run_dir)
    made = desk.prepare(payout_ids)
    orders = desk.orders().set_index("payment_id")
    for payment_id, sha256 in orders.loc[made, "sha256"].items():
        typer.echo(f"{payment_id!s} {sha256}")


@payouts_app.command()
def approve(payment_id: str, sha256: str, run_dir: RunDir = None) -> None:
    """Approve the payment file with this SHA-256."""
    _desk(run_dir).approve(payment_id, sha256)
    typer.echo(f"{payment_id} is approved.")


@payouts_app.command()
def refuse(payment_id: str, reason: Reason = "", run_dir: RunDir = None) -> None:
    """Refuse a payment file."""
    _desk(run_dir).refuse(payment_id, reason)
    typer.echo(f"{payment_id} is refused.")


@payouts_app.command()
def withdraw(payment_id: str, reason: Reason = "", run_dir: RunDir = None) -> None:
    """Take a payment file back before it is requested."""
    _desk(run_dir).withdraw(payment_id, reason)
    typer.echo(f"{payment_id} is withdrawn.")


@payouts_app.command()
def request(payment_id: str, run_dir: RunDir = None) -> None:
    """Hand an approved payment file over; prints where it lies."""
    typer.echo(str(_desk(run_dir).request(payment_id)))


@payouts_app.command()
def replies(
    files: Annotated[list[Path] | None, typer.Argument(help="pain.002 or camt.052, .053, .054 files")] = None,
    run_dir: RunDir = None,
) -> None:
    """Book what the bank answered, in these files or, without any, in the run's bank lines; prints every outcome."""
    from atlas_lib.core.bank_files import read_replies
    from atlas_lib.reserves_credit.desk import replies_in

    desk = _desk(run_dir)
    sources = [read_replies(path) for path in files] if files else [replies_in(_run(run_dir))]
    for source in sources:
        found = desk.book_replies(source)
        columns = ["source", "reply", "end_to_end_id", "amount_minor", "currency", "reason_code", "outcome"]
        typer.echo(found[columns].to_string(index=False) if len(found) else "Nothing about payments.")


@payouts_app.command()
def block(merchant_id: str, reason: Reason = "", run_dir: RunDir = None) -> None:
    """Stop the payouts of a merchant."""
    _desk(run_dir).block(merchant_id, reason)
    typer.echo(f"{merchant_id} is blocked.")


@payouts_app.command()
def unblock(merchant_id: str, reason: Reason = "", run_dir: RunDir = None) -> None:
    """Let the payouts of a merchant go on."""
    _desk(run_dir).unblock(merchant_id, reason)
    typer.echo(f"{merchant_id} goes on.")


def _run(run_dir: Path | None) -> Run:
    from atlas_lib.core.run import Run, latest_run_dir

    return Run(run_dir or latest_run_dir(), "02_reserves_credit")


def _desk(run_dir: Path | None) -> PayoutDesk:
    from atlas_lib.reserves_credit.desk import open_desk

    return open_desk(_run(run_dir), os.environ)
