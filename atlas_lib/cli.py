"""The command line: `atlas run`, `intake`, `payouts`, `lab`, `dashboard`, `report`, `verify`, `evaluate`, ...

Exit codes: 0 done, 1 failed, 2 input, 3 settings, 4 table, 5 check, 6 ledger, 7 refused.
"""

from __future__ import annotations

import os
import sys
import time
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from atlas_lib import evaluation, operations
from atlas_lib.core.errors import AtlasError, InputError
from atlas_lib.decide_commands import decide_app
from atlas_lib.ledger_commands import audit, ledger_app
from atlas_lib.payout_commands import payouts_app

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Atlas Settlement: from the Excel file to reports, in one command.",
)
app.add_typer(payouts_app, name="payouts")
app.add_typer(ledger_app, name="ledger")
app.command()(audit)
app.add_typer(decide_app, name="decide")
app.add_typer(evaluation.app, name="evaluate")
app.add_typer(operations.app, name="operations")

Quiet = Annotated[bool, typer.Option("--quiet", help="no progress; for schedulers")]
RunsDir = Annotated[Path | None, typer.Option(help="where run directories are kept; default reports/runs")]


@app.command()
def run(
    input: Annotated[Path | None, typer.Option(help="workbook or folder; default example_data")] = None,
    as_of: Annotated[
        str, typer.Option(help="day the figures stand for, YYYY-MM-DD; default: the settings file's, else today")
    ] = "",
    settings: Annotated[
        Path | None, typer.Option(help="YAML file of settings; default: settings.yaml in the input folder")
    ] = None,
    runs_dir: RunsDir = None,
    engine: Annotated[str, typer.Option(help="duckdb or spark")] = "",
    commit_service: Annotated[
        str, typer.Option(help="who commits batches: local, or etcd://host:port,host:port,host:port")
    ] = "",
    quiet: Quiet = False,
    on_failure: Annotated[
        str,
        typer.Option(
            envvar="ATLAS_ON_FAILURE", help="command told of a failure on standard input (docs/scheduling.md)"
        ),
    ] = "",
) -> None:
    """Run the five notebooks on an input; the last line printed is the run directory."""
    from atlas_lib.core.opening import runs_dir as default_runs_dir

    folder = runs_dir or default_runs_dir(_root())
    started = time.time_ns()
    try:
        given = {"as_of": as_of, "engine": engine, "commit_service": commit_service}
        made = _run(input or _root() / "example_data", settings, given, folder, quiet)
    except AtlasError as error:
        if on_failure:
            _tell_failure(on_failure, error, folder, started)
        raise
    if not quiet:
        typer.echo(f"Reports: {(made.directory / 'html' / 'index.html').resolve()}", err=True)
    typer.echo(str(made.directory.resolve()))


def _run(path: Path, settings: Path | None, given: dict[str, str], folder: Path, quiet: bool) -> Any:
    """Run with the settings file's values and, over them, those given on the command line."""
    from atlas_lib.core.given_settings import given_settings
    from atlas_lib.pipeline import run_workbook

    chosen = given_settings(path, settings, given, today=datetime.now().astimezone().date())
    with _progress(quiet) as progress:
        return run_workbook(path, chosen, folder, progress)


def _tell_failure(command: str, error: AtlasError, folder: Path, started_ns: int) -> None:
    """The summary goes along only if this call wrote it."""
    from atlas_lib.core.opening import latest_run_of
    from atlas_lib.scheduling import tell_failure

    latest = latest_run_of(folder)
    summary = latest / "summary.txt" if latest else None
    if summary is not None and not (summary.exists() and summary.stat().st_mtime_ns >= started_ns):
        summary = None
    tell_failure(command, str(error), error.exit_code, summary)


@app.command()
def intake(
    source: Annotated[str, typer.Argument(help="folder of files, or kafka://broker:port/topic")],
    follow: Annotated[bool, typer.Option("--follow", help="stay and take what comes, until stopped")] = False,
    settings: Annotated[Path | None, typer.Option(help="YAML file of settings")] = None,
    runs_dir: RunsDir = None,
    settle_seconds: Annotated[float, typer.Option(min=0, help="a file is complete when it stood still so long")] = 2.0,
    poll_seconds: Annotated[float, typer.Option(min=0.01, help="pause between two looks")] = 1.0,
    json: Annotated[bool, typer.Option("--json", help="one JSON object per delivery, for log collectors")] = False,
    quiet: Quiet = False,
) -> None:
    """Take payments as they come, each once, and append them to the streaming index beside the runs.

    Without --follow it takes what is there and ends; exit code 2 when a file was refused as a whole.
    """
    from atlas_lib.core.given_settings import given_settings
    from atlas_lib.core.opening import runs_dir as default_runs_dir
    from atlas_lib.service import Pace, serve_intake

    own: Any = given_settings(Path(source), settings)["01_ingest"]
    folder = runs_dir or default_runs_dir(_root())
    pace = Pace(settle_seconds, poll_seconds, is_endless=follow)
    lines = _delivery_lines(quiet, json)
    refused = serve_intake(source, folder, own, pace, lines)
    if not (lines.count or quiet):
        typer.echo(f"Nothing new in {source}.", err=True)
    if refused and not follow:
        raise InputError(
            f"{refused} of the files could not be read", where=source, remedy="see the lines above, or the rejects"
        )


@app.command()
def report(
    run_dir: Annotated[Path, typer.Argument(help="a run directory")],
    pdf: Annotated[
        bool, typer.Option("--pdf", help="print every page as PDF too, with the installed Chromium")
    ] = False,
) -> None:
    """Make the HTML reports of a run again."""
    from atlas_lib.core.run import Run
    from atlas_lib.pipeline import render_reports
    from atlas_lib.present.printing import print_pages

    index = render_reports(Run(run_dir))
    for page in print_pages(index.parent, run_dir / "pdf") if pdf else []:
        typer.echo(str(page.resolve()))
    typer.echo(str(index.resolve()))


@app.command()
def prune(
    keep: Annotated[int, typer.Option(help="how many of the newest runs stay")],
    runs_dir: RunsDir = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="only say which would go")] = False,
) -> None:
    """Remove old runs; never the latest, the ledger, the intake or payment files."""
    from atlas_lib.core.opening import runs_that_are
    from atlas_lib.scheduling import prune_runs

    for gone in prune_runs(runs_that_are(runs_dir), keep, is_dry_run=dry_run):
        typer.echo(f"{'would be ' if dry_run else ''}removed: {gone.name}")


@app.command()
def verify(
    run_dir: Annotated[Path, typer.Argument(help="a run directory")],
    public_key: Annotated[str, typer.Option(help="who must have signed; default: ATLAS_PUBLIC_KEY")] = "",
) -> None:
    """Recompute every hash of a run's tables and of its ledger, against the heads kept in the manifests."""
    from atlas_lib.verification import verify_run

    for line in verify_run(run_dir, public_key):
        typer.echo(line)


@app.command()
def returns(
    files: Annotated[list[Path], typer.Argument(help="camt.053 or camt.054 files of the bank")],
    runs_dir: RunsDir = None,
) -> None:
    """Reverse settlements whose payment the bank sent back: new entries in the ledger, each once; one line per payment.

    For who may book what the bank answered: ATLAS_ACTOR and ATLAS_ROLE, or ATLAS_PEOPLE.
    """
    import pandas as pd

    from atlas_lib.batching_settlement.returns import book_returns, returned_payments
    from atlas_lib.core.bank_files import read_replies
    from atlas_lib.core.opening import runs_dir as default_runs_dir
    from atlas_lib.core.run import ledger_url
    from atlas_lib.ledger.store import open_ledger
    from atlas_lib.reserves_credit import roles

    actor = roles.identify(os.environ)
    roles.require(actor, "read_replies")
    came_back = returned_payments(pd.concat([read_replies(path) for path in files], ignore_index=True))
    with open_ledger(ledger_url(runs_dir or default_runs_dir(_root())), writer=actor.name) as ledger:
        booked = book_returns(came_back, ledger, pd.Timestamp.now("UTC"))
    for row in booked.to_dict("records"):
        typer.echo(f"{row['end_to_end_id']}: {row['outcome']}, {row['reversed_count']} transactions")


@app.command("example-data")
def example_data(
    rows: Annotated[int, typer.Option(min=400, help="lines of the transactions file")] = 1200,
    seed: Annotated[int, typer.Option(help="same seed, same bytes")] = 7,
    out: Annotated[Path, typer.Option(help="folder to write")] = Path("example_data"),
) -> None:
    """Generate a consistent set of input files with planted cases and their truth beside them."""
    from atlas_lib.example_data import generate

    generate(rows, seed, out)
    typer.echo(str(out))


@app.command()
def dictionary(out: Annotated[Path, typer.Option(help="file to write")] = Path("docs/data_dictionary.md")) -> None:
    """Write the data dictionary from the declared tables."""
    from atlas_lib.core.tables.dictionary import render_dictionary

    out.write_text(render_dictionary(), encoding="utf-8")
    typer.echo(str(out))


@app.command()
def lab() -> None:
    """Open the notebooks in JupyterLab."""
    _exec("jupyter", "lab", str(_root() / "notebooks"))


@app.command()
def dashboard(
    port: Annotated[int, typer.Option(help="port on this machine")] = 8866,
    open_browser: Annotated[bool, typer.Option(help="open a browser tab")] = True,
    preheat: Annotated[
        bool, typer.Option("--preheat", help="keep a started kernel per widget page: faster, about 200 MB each")
    ] = False,
) -> None:
    """Serve the dashboard on this machine: pages from finished runs, the notebooks' widgets through Voilà."""
    from atlas_lib.dashboard.server import serve
    from atlas_lib.present.dashboard import voila_arguments, voila_environment

    os.environ.update(voila_environment(os.environ))
    header = os.environ.get("ATLAS_LOGIN_HEADER", "")
    serve(voila_arguments(_root() / "notebooks", port, open_browser, header, is_preheated=preheat))


def main() -> None:
    """Entry point: an error of ours becomes one clear line and its exit code."""
    try:
        app()
    except AtlasError as error:
        typer.echo(f"atlas: {error}", err=True)
        sys.exit(error.exit_code)
    except OSError as error:  # a full disk, a missing right, a file where a folder must be
        if error.filename is None:
            raise
        told = AtlasError(
            "A file or folder cannot be used", where=str(error.filename), found=error.strerror or str(error),
            remedy="check the path, its permissions and the room on the disk",
        )  # fmt: skip
        typer.echo(f"atlas: {told}", err=True)
        sys.exit(told.exit_code)


def _root() -> Path:
    from atlas_lib.core.provenance import find_root

    return find_root()


def _progress(quiet: bool) -> Any:
    from atlas_lib.progress import StageBars

    return StageBars(quiet)


def _delivery_lines(quiet: bool, is_json: bool) -> Any:
    from atlas_lib.progress import DeliveryLines

    return DeliveryLines(quiet, is_json)


def _exec(module: str, *arguments: str) -> None:
    os.execv(sys.executable, [sys.executable, "-m", module, *arguments])  # noqa: S606


if __name__ == "__main__":
    main()
