"""`atlas operations`: how the runs are doing, for operators and Prometheus, and what auditors ask for."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from atlas_lib.operations.metrics import RunsCollector

app = typer.Typer(no_args_is_help=True, help="Run history, metrics for Prometheus, lineage and audit packs.")

_MOST_ENTRIES = 40
RunsDir = Annotated[Path | None, typer.Option(help="where run directories are kept; default reports/runs")]
Minutes = Annotated[float, typer.Option(min=0, help="minutes a run may take")]
Hours = Annotated[float, typer.Option(min=0, help="hours the newest payment may be old")]


@app.command()
def history(
    runs_dir: RunsDir = None, sla_minutes: Minutes = 30.0, limit: Annotated[int, typer.Option(min=1)] = 20
) -> None:
    """The latest runs: when, how long, rows per second, share refused, in time or late."""
    from atlas_lib.operations.history import Promise, run_history

    found = run_history(_folder(runs_dir), Promise(run_minutes=sla_minutes)).head(limit)
    shown = found.assign(rejected_rate=found["rejected_rate"].map("{:.1%}".format))
    shown["is_in_time"] = shown["is_in_time"].map({True: "in time", False: "late"})
    typer.echo(shown.rename(columns={"is_in_time": "sla"}).to_string(index=False) if len(shown) else "No runs yet.")


@app.command()
def metrics(
    textfile: Annotated[Path | None, typer.Option(help="file to write, whole or not at all; default: print")] = None,
    runs_dir: RunsDir = None,
    sla_minutes: Minutes = 30.0,
    sla_data_hours: Hours = 48.0,
) -> None:
    """Metrics in Prometheus' text format, for the textfile collector of node_exporter."""
    from atlas_lib.operations.metrics import metrics_text

    text = metrics_text(_collector(runs_dir, sla_minutes, sla_data_hours))
    if textfile is None:
        typer.echo(text, nl=False)
        return
    partial = textfile.with_name(f".{textfile.name}.partial")
    partial.write_text(text, encoding="utf-8")
    partial.replace(textfile)


@app.command()
def serve(
    port: Annotated[int, typer.Option(help="port; 0 takes a free one")] = 9187,
    address: Annotated[
        str, typer.Option(help="address to listen on; other than this machine only on purpose")
    ] = "127.0.0.1",
    runs_dir: RunsDir = None,
    sla_minutes: Minutes = 30.0,
    sla_data_hours: Hours = 48.0,
) -> None:
    """An endpoint that Prometheus scrapes, until stopped; the figures are read anew at every scrape."""
    from prometheus_client import CollectorRegistry, start_http_server

    registry = CollectorRegistry()
    registry.register(_collector(runs_dir, sla_minutes, sla_data_hours))
    server, thread = start_http_server(port, addr=address, registry=registry)
    typer.echo(f"http://{address}:{server.server_port}/metrics")
    thread.join()


@app.command("trace")
def trace_id(
    subject_id: Annotated[
        str, typer.Argument(help="id of a transaction, contract, merchant, payout, batch, break, ...")
    ],
    run_dir: Annotated[Path | None, typer.Option(help="run directory; default: the latest run")] = None,
) -> None:
    """From the source cell through every table to the ledger: where an id is named in a run."""
    from atlas_lib.core.opening import latest_run_dir
    from atlas_lib.core.run import Run
    from atlas_lib.ledger.run_ledger import open_run_ledger
    from atlas_lib.operations.lineage import trace

    run = Run(run_dir or latest_run_dir())
    with open_run_ledger(run, writer="trace") as ledger:
        found = trace(run, ledger, subject_id)
    typer.echo(found.steps.to_string(index=False))
    if len(found.events):
        columns = ["entry_id", "event_type", "batch_id", "amount_minor", "currency", "timestamp", "actor"]
        shown = found.events[columns].head(_MOST_ENTRIES).to_string(index=False)
        typer.echo(f"\nLedger entries, first {_MOST_ENTRIES} of {len(found.events):,}\n{shown}")


@app.command("audit-pack")
def audit_pack(
    out: Annotated[Path, typer.Argument(help="archive to write, .zip")],
    subject: Annotated[list[str] | None, typer.Option(help="id to trace; may be given several times")] = None,
    tables: Annotated[bool, typer.Option(help="with every table as Parquet; customers are not masked there")] = False,
    run_dir: Annotated[Path | None, typer.Option(help="run directory; default: the latest run")] = None,
) -> None:
    """One archive for an external auditor: reports, lineage, ledger entries, hashes, and what was verified.

    ATLAS_MASK_KEY is the secret that masks customers; without it nothing is packed.
    """
    from atlas_lib.core.opening import latest_run_dir
    from atlas_lib.core.run import Run
    from atlas_lib.ledger.run_ledger import open_run_ledger
    from atlas_lib.operations.audit_pack import Wanted, write_audit_pack

    run = Run(run_dir or latest_run_dir())
    wanted = Wanted(subject or [], os.environ.get("ATLAS_MASK_KEY", ""), tables)
    with open_run_ledger(run, writer="audit pack") as ledger:
        typer.echo(str(write_audit_pack(run, ledger, out, wanted)))


def _collector(runs_dir: Path | None, sla_minutes: float, sla_data_hours: float) -> RunsCollector:
    from atlas_lib.operations.history import Promise
    from atlas_lib.operations.metrics import RunsCollector

    return RunsCollector(_folder(runs_dir), Promise(sla_minutes, sla_data_hours), time.time)


def _folder(runs_dir: Path | None) -> Path:
    from atlas_lib.core.opening import runs_that_are

    return runs_that_are(runs_dir)
