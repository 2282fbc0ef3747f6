"""Metrics of a runs directory in Prometheus' text format, for a textfile collector or an endpoint.

Figures of the latest run are gauges; what adds up over all runs kept there, or over the ledger, is a counter. A figure that
cannot be known is left out rather than shown as zero. Amounts are in units of their currency.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow.compute as pc
import pyarrow.parquet as pq

from atlas_lib.core.money import exponent
from atlas_lib.core.run import Run
from atlas_lib.operations.health import COMMITTED, FAILED, Health, check_health
from atlas_lib.operations.history import (
    STATUSES,
    Promise,
    ended_ns,
    finished_runs,
    rejected_rates,
    stage_figures,
    status_of,
)

_QUANTILES = (0.5, 0.9, 0.99)
Families = Iterator[Any]


class RunsCollector:
    """Reads the runs directory anew at every scrape; `clock` is seconds since 1970."""

    def __init__(self, runs_dir: Path, promise: Promise, clock: Callable[[], float]) -> None:
        self._runs_dir, self._promise, self._clock = runs_dir, promise, clock

    def collect(self) -> Families:
        """All metric families; those of the latest run only where a run has finished a stage."""
        runs = list(finished_runs(self._runs_dir))
        if runs:
            latest, durations = runs[-1]
            yield from _run_families(latest, durations, self._promise, self._clock())
            yield from _settlement_families(latest, durations)
            yield from _work_families(latest)
            yield from _cost_families([run for run, _ in runs])
        yield from _intake_families(self._runs_dir / "intake" / "deliveries")
        yield from _health_families(check_health(self._runs_dir, runs[-1][0] if runs else None))


def metrics_text(collector: RunsCollector) -> str:
    """Everything as one text, as a textfile collector reads it."""
    from prometheus_client import CollectorRegistry, generate_latest

    registry = CollectorRegistry(auto_describe=False)
    registry.register(collector)
    return generate_latest(registry).decode()


def _run_families(run: Run, durations: dict[str, float], promise: Promise, now: float) -> Families:
    finished = ended_ns(run.directory) / 1e9
    yield _gauge(
        "atlas_run_finished_timestamp_seconds", "When the latest run finished its last stage, or failed", finished
    )
    status = status_of(run)
    yield _labelled("atlas_run_status", "1 for the status of the latest run", "status", {s: float(s == status) for s in STATUSES})  # fmt: skip
    stages = stage_figures(run, durations).set_index("stage")
    yield _labelled(
        "atlas_stage_duration_seconds", "Seconds a stage of the latest run took", "stage", stages["seconds"]
    )
    yield _labelled("atlas_stage_rows", "Rows of the tables a stage made", "stage", stages["row_count"])
    yield _labelled("atlas_stage_rows_per_second", "Rows made per second", "stage", stages["rows_per_second"])
    yield _labelled("atlas_rejected_ratio", "Refused rows / rows read", "table", rejected_rates(run))
    kept = {"run_minutes": float(sum(durations.values()) <= promise.run_minutes * 60)}
    newest = _newest_payment(run)
    if newest is not None:
        yield _gauge(
            "atlas_data_newest_timestamp_seconds", "When the newest payment of the latest run was made", newest
        )
        kept["data_hours"] = float(now - newest <= promise.data_hours * 3600)
    yield _labelled("atlas_sla_met", "1 where the promise is kept", "sla", kept)


def _newest_payment(run: Run) -> float | None:
    if not run.has("transactions"):
        return None
    newest = pc.max(pq.read_table(run.path("transactions"), columns=["created_at"], partitioning=None)["created_at"])
    return None if newest.as_py() is None else float(newest.as_py().timestamp())


def _settlement_families(run: Run, durations: dict[str, float]) -> Families:
    """Throughput of settlement, and rows that the control totals of the run cannot account for."""
    seconds = durations.get("04_batching_settlement", 0.0)
    if run.has("settlement_results") and seconds:
        results = run.read("settlement_results")
        settled = results[results["status"] == "settled"]
        yield _gauge(
            "settle_transactions_per_second", "Payments settled / seconds of the stage", len(settled) / seconds
        )
        batches = settled["batch_id"].nunique()
        yield _gauge("settle_batches_per_second", "Batches settled / seconds of the stage", batches / seconds)
    totals = [run.read(t) for t in ("control_totals", "reconciliation_totals") if run.has(t)]
    lost = sum(int(t["difference_count"].abs().sum()) for t in totals)
    yield _gauge("settle_data_loss_events", "Rows that the control totals of the latest run do not account for", lost)


def _cost_families(runs: list[Run]) -> Families:
    """Costs of the plans carried out, in EUR, over all runs kept; per payment for the latest."""
    plans = [_costs(run) for run in runs if run.has("cost_comparison") and run.has("settlement_results")]
    plans = [plan for plan in plans if plan]
    if not plans:
        return
    fx, saved = (sum(plan[name] for plan in plans) for name in ("fx", "saved"))
    yield _counter("settle_fx_costs", "Cost of conversions, EUR", fx)
    yield _counter("settle_cost_savings", "Saved against one wire per payment, EUR", saved)
    if plans[-1]["payments"]:
        cost = plans[-1]["cost"] / plans[-1]["payments"]
        yield _gauge("settle_cost_per_transaction", "Wires and conversions / payments settled, latest run, EUR", cost)


def _costs(run: Run) -> dict[str, float]:
    plans = run.read("cost_comparison").set_index("plan")
    if "optimised" not in plans.index:
        return {}
    own, gross, unit = plans.loc["optimised"], plans.loc["gross"], 10 ** exponent("EUR")
    payments = int((run.read("settlement_results")["status"] == "settled").sum())
    return {
        "fx": own["fx_cost_minor"] / unit,
        "saved": (gross["total_cost_minor"] - own["total_cost_minor"]) / unit,
        "cost": (own["wire_cost_minor"] + own["fx_cost_minor"]) / unit,
        "payments": payments,
    }


def _work_families(run: Run) -> Families:
    """What waits for a person."""
    if run.has("breaks"):
        breaks = run.read("breaks")
        still = breaks[breaks["is_open"]].groupby(["break_type", "severity"]).size()
        yield _labelled("atlas_open_breaks", "Open breaks", ["break_type", "severity"], still)
    if run.has("suggestions"):
        yield _gauge("atlas_suggestions", "Suggested matches a person has to decide on", len(run.read("suggestions")))
    if run.has("alerts"):
        yield _labelled("atlas_alerts", "Exposure alerts", "severity", run.read("alerts").groupby("severity").size())
    if run.has("payouts"):
        yield _labelled("atlas_payouts", "Payouts as the run left them", "status", run.read("payouts").groupby("status").size())  # fmt: skip


def _intake_families(folder: Path) -> Families:
    """Deliveries of `atlas intake`: rows by outcome, and how long a payment took to reach the index."""
    if not any(folder.glob("[!.]*.parquet")):
        return
    taken = pq.read_table(folder, partitioning=None).to_pandas()
    outcomes = {n: float(taken[f"{n}_count"].sum()) for n in ("accepted", "again", "duplicate", "conflict", "rejected")}
    yield _labelled("atlas_intake_rows", "Rows of deliveries by outcome", "outcome", outcomes, is_counter=True)
    filled = taken[taken["accepted_count"] > 0].sort_values("delay_seconds")
    if filled.empty:
        return
    reached = filled["accepted_count"].cumsum() / filled["accepted_count"].sum()
    delays = {str(q): float(filled.loc[reached >= q, "delay_seconds"].iloc[0]) * 1000 for q in _QUANTILES}
    yield _labelled(
        "settle_transaction_latency_ms", "From arrival to the streaming index, by payment", "quantile", delays
    )


def _health_families(parts: list[Health]) -> Families:
    """Store and commit service: up, how fast, what they did last; of a store that answers, what it holds."""
    for part in parts:
        prefix = "atlas_ledger" if part.part == "store" else "atlas_commit"
        if part.part == "store":
            yield _gauge("atlas_ledger_up", "1 when the ledger store answers", part.is_up)
        else:
            yield _labelled("atlas_commit_up", "1 when the commit service can decide", "kind", {part.kind: part.is_up})
        about = "ledger store" if part.part == "store" else "commit service"
        if part.seconds is not None:
            yield _gauge(f"{prefix}_latency_seconds", f"How long the {about} took to answer", part.seconds)
        if part.last_at is not None:
            what = "entry" if part.part == "store" else "commitment"
            yield _gauge(
                f"{prefix}_last_timestamp_seconds", f"When the newest {what} was made", part.last_at.timestamp()
            )
        if part.part == "store" and part.is_up:
            yield from _entry_families(part.counts)
        elif part.counts:
            yield _labelled("atlas_commit_members", "Nodes of the cluster by state", "state", part.counts)


def _entry_families(counts: Mapping[str, int]) -> Families:
    yield _labelled("atlas_ledger_entries", "Entries of the ledger", "event_type", counts, is_counter=True)
    yield _counter("settle_settlement_failures", "Settlements that failed, by the ledger", counts.get(FAILED, 0))
    yield _gauge("settle_consensus_rounds_completed", "Batches committed, by the ledger", counts.get(COMMITTED, 0))


def _gauge(name: str, about: str, value: float) -> Any:
    from prometheus_client.core import GaugeMetricFamily

    return GaugeMetricFamily(name, about, value=float(value))


def _counter(name: str, about: str, value: float) -> Any:
    from prometheus_client.core import CounterMetricFamily

    return CounterMetricFamily(name, about, value=float(value))


def _labelled(
    name: str, about: str, labels: str | list[str], values: Mapping[Any, float] | pd.Series, *, is_counter: bool = False
) -> Any:
    """One sample per key; with several labels the keys are tuples."""
    from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

    names = [labels] if isinstance(labels, str) else labels
    family = (CounterMetricFamily if is_counter else GaugeMetricFamily)(name, about, labels=names)
    for key, value in values.items():
        family.add_metric([str(k) for k in (key if isinstance(key, tuple) else (key,))], float(value))
    return family
