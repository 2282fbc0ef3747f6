"""`atlas payouts`: the payout desk on the command line, for operators without a browser and for schedulers.

Who acts comes from ATLAS_ACTOR with ATLAS_PEOPLE or ATLAS_ROLE. Exit code 7: refused, nothing was changed.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    import pandas as pd

    from atlas_lib.core.run import Run
    from atlas_lib.reserves_credit.desk import PayoutDesk

payouts_app = typer.Typer(no_args_is_help=True, help="Prepare, approve and request payouts; book the bank's answers.")

RunDir = Annotated[Path | None, typer.Option(help="run directory; default: the latest run")]
Reason = Annotated[str, typer.Option(help="why, in a few words; needed, and kept with the decision")]
PaymentId = Annotated[str, typer.Argument(help="payment id as `prepare` and `list` show it (PAY-...)")]
MerchantId = Annotated[str, typer.Argument(help="merchant id as `list` shows it")]
Sha256 = Annotated[
    str,
    typer.Argument(
        help="SHA-256 of the payment file you have looked at, as `prepare` printed it (sha256sum says the same)"
    ),
]
_COLUMNS = ["payout_id", "merchant_id", "merchant_name", "amount", "currency", "status", "reasons", "payment_id", "by"]


@payouts_app.command("list")
def list_payouts(run_dir: RunDir = None) -> None:
    """Where every payout of the run stands, as the person may see it; amounts in units of the currency."""
    live = _desk(run_dir).payouts()
    typer.echo(_in_units(live)[_COLUMNS].to_string(index=False) if len(live) else "No payouts to see.")


@payouts_app.command()
def prepare(
    payout_ids: Annotated[list[str], typer.Argument(help="payout ids as `list` shows them (PO-...)")],
    run_dir: RunDir = None,
) -> None:
    """Put payouts into payment files; prints payment id, SHA-256, amount and currency of each."""
    desk = _desk(run_dir)
    made = desk.prepare(payout_ids)
    orders = _in_units(desk.orders()).set_index("payment_id")
    for order in orders.loc[made].itertuples():
        typer.echo(f"{order.Index} {order.sha256} {order.amount} {order.currency}")


@payouts_app.command()
def approve(payment_id: PaymentId, sha256: Sha256, run_dir: RunDir = None) -> None:
    """Approve the payment file with this SHA-256, and no other: a file that was changed since is refused."""
    desk = _desk(run_dir)
    desk.approve(payment_id, sha256)
    order = _in_units(desk.orders()).set_index("payment_id").loc[payment_id]
    typer.echo(f"{payment_id} is approved: {order['amount']} {order['currency']} in {order['payout_count']} payout(s).")


@payouts_app.command()
def refuse(payment_id: PaymentId, reason: Reason = "", run_dir: RunDir = None) -> None:
    """Refuse a payment file; its payouts are Ready again."""
    _desk(run_dir).refuse(payment_id, reason)
    typer.echo(f"{payment_id} is refused.")


@payouts_app.command()
def withdraw(payment_id: PaymentId, reason: Reason = "", run_dir: RunDir = None) -> None:
    """Take a payment file back before it is requested; its payouts are Ready again."""
    _desk(run_dir).withdraw(payment_id, reason)
    typer.echo(f"{payment_id} is withdrawn.")


@payouts_app.command()
def request(payment_id: PaymentId, run_dir: RunDir = None) -> None:
    """Hand an approved payment file over to the bank's outbox; prints where it lies. A second time changes nothing."""
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
        columns = ["source", "reply", "end_to_end_id", "amount", "currency", "reason_code", "outcome"]
        typer.echo(_in_units(found)[columns].to_string(index=False) if len(found) else "Nothing about payments.")


@payouts_app.command()
def block(merchant_id: MerchantId, reason: Reason = "", run_dir: RunDir = None) -> None:
    """Stop the payouts of a merchant; what the bank has got already is not stopped."""
    _desk(run_dir).block(merchant_id, reason)
    typer.echo(f"{merchant_id} is blocked.")


@payouts_app.command()
def unblock(merchant_id: MerchantId, reason: Reason = "", run_dir: RunDir = None) -> None:
    """Let the payouts of a merchant go on; the gates of the run still hold."""
    _desk(run_dir).unblock(merchant_id, reason)
    typer.echo(f"{merchant_id} goes on.")


def _in_units(table: pd.DataFrame) -> pd.DataFrame:
    """With `amount`: the minor units as a person writes them."""
    from atlas_lib.core.money import format_minor

    pairs = zip(table["amount_minor"], table["currency"], strict=True)
    return table.assign(amount=[format_minor(int(a), c) if c else "" for a, c in pairs])


def _run(run_dir: Path | None) -> Run:
    from atlas_lib.core.opening import latest_run_dir
    from atlas_lib.core.run import Run

    return Run(run_dir or latest_run_dir(), "02_reserves_credit")


def _desk(run_dir: Path | None) -> PayoutDesk:
    from atlas_lib.reserves_credit.desk import open_desk

    return open_desk(_run(run_dir), os.environ)
