"""`atlas ledger` and `atlas audit`: set up a ledger, its balances, its journal for accounting, and trails."""

from __future__ import annotations

from datetime import date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from atlas_lib.core.errors import InputError

if TYPE_CHECKING:
    import pandas as pd

    from atlas_lib.ledger.store import Ledger
    from atlas_lib.ledger.trail import About

ledger_app = typer.Typer(no_args_is_help=True, help="Set up the ledger, read its balances, export its journal.")

RunsDir = Annotated[Path | None, typer.Option(help="where run directories are kept; default reports/runs")]
_SUBJECTS = ("transaction", "batch", "merchant", "actor")


@ledger_app.command()
def init(
    roles: Annotated[bool, typer.Option("--roles", help="PostgreSQL: make atlas_writer and atlas_reader")] = False,
    runs_dir: RunsDir = None,
) -> None:
    """Make the ledger (ATLAS_LEDGER_URL, or the file beside the runs) if it is new; as its owner."""
    from atlas_lib.ledger.access import READER, WRITER, grant_roles

    if roles:
        grant_roles(_url(runs_dir))
        typer.echo(f"{WRITER} may append, {READER} may read. Make logins members: GRANT {WRITER} TO ...")
    with _open(runs_dir) as ledger:
        typer.echo(f"The ledger {ledger.head().ledger_id} holds {ledger.head().entries} entries.")


@ledger_app.command()
def balance(
    as_of: Annotated[str, typer.Option(help="day, or time with its zone (2026-10-30T12:00+01:00); default: now")] = "",
    runs_dir: RunsDir = None,
) -> None:
    """The trial balance, each account on its normal side; per currency debits equal credits."""
    from atlas_lib.ledger.chart import on_normal_side

    with _open_to_read(runs_dir) as ledger:
        found = on_normal_side(ledger.trial_balance(_as_of(as_of)))
    typer.echo(found.to_string(index=False) if len(found) else "Nothing was posted.")


@ledger_app.command()
def export(
    out: Annotated[Path, typer.Argument(help="file to write: .csv, or .beancount")], runs_dir: RunsDir = None
) -> None:
    """The journal for an accounting system; the ending of the file says in which form."""
    from atlas_lib.ledger.export import write_beancount, write_csv

    forms = {".csv": write_csv, ".beancount": write_beancount}
    if out.suffix not in forms:
        raise InputError("The form of the journal is not known", expected=".csv or .beancount", found=out.name)
    with _open_to_read(runs_dir) as ledger:
        typer.echo(f"{forms[out.suffix](ledger, out)} lines or transactions in {out}")


@ledger_app.command("new-key")
def new_key() -> None:
    """Make a key pair for signed manifests; keep the first line secret."""
    from atlas_lib.core.signature import new_key_pair

    private, public = new_key_pair()
    typer.echo(f"ATLAS_SIGNING_KEY={private}\nATLAS_PUBLIC_KEY={public}")


def audit(
    about: Annotated[str, typer.Argument(help="transaction, batch, merchant or actor")],
    name: Annotated[str, typer.Argument(help="its id or name")],
    limit: Annotated[int, typer.Option(min=1, help="at most so many entries, the oldest first")] = 1000,
    runs_dir: RunsDir = None,
) -> None:
    """Everything the ledger knows about a transaction, batch, merchant or actor, in order."""
    if about not in _SUBJECTS:
        raise InputError("There is no such trail", expected=", ".join(_SUBJECTS), found=about)
    with _open_to_read(runs_dir) as ledger:
        subject: About = about  # type: ignore[assignment]
        found = ledger.trail(subject, name, limit)
    typer.echo(_in_lines(found) if len(found) else f"The ledger knows no {about} {name}.")


def _in_lines(trail: pd.DataFrame) -> str:
    """One line an entry; its details end the line, so that a long one does not widen every other."""
    lines = trail.drop(columns="details").to_string(index=False).splitlines()
    return "\n".join(f"{line}  {last}" for line, last in zip(lines, ["details", *trail["details"]], strict=True))


def _as_of(text: str) -> date | datetime | None:
    try:
        return (datetime.fromisoformat(text) if "T" in text else date.fromisoformat(text)) if text else None
    except ValueError as error:
        raise InputError(
            "This is no day or time", expected="2026-10-30, or 2026-10-30T12:00+01:00", found=text
        ) from error


def _open(runs_dir: Path | None) -> Ledger:
    from atlas_lib.ledger.store import open_ledger

    return open_ledger(_url(runs_dir), writer="ledger")


def _open_to_read(runs_dir: Path | None) -> Ledger:
    """As `_open`, but a ledger file that is not there is not made."""
    from atlas_lib.core.opening import runs_that_are

    url = _url(runs_that_are(runs_dir))
    path = Path(url.removeprefix("sqlite:///"))
    if url.startswith("sqlite:///") and not path.exists():
        raise InputError(
            "There is no ledger yet", where=str(path), expected="the ledger of at least one run", found="no such file",
            remedy="check --runs-dir; `atlas run` makes the ledger, or `atlas ledger init`",
        )  # fmt: skip
    return _open(runs_dir)


def _url(runs_dir: Path | None) -> str:
    from atlas_lib.core.opening import runs_dir as default_runs_dir
    from atlas_lib.core.run import ledger_url

    return ledger_url(runs_dir or default_runs_dir())
