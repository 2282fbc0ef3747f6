"""Control totals, checks, and what the stage says of itself."""

from __future__ import annotations

from types import SimpleNamespace

import pandas as pd

from atlas_lib.core.bulk import sources
from atlas_lib.core.engine import Engine
from atlas_lib.core.money import format_minor
from atlas_lib.core.run import StageSummary
from atlas_lib.core.tables import declared
from atlas_lib.ingest.vocabulary import tables

_AMOUNT = {
    "contracts": "receivable_minor", "customer_payments": "amount_minor", "transactions": "amount_minor",
    "statement_lines": "amount_posted_minor",
}  # fmt: skip


def total_controls(clean: SimpleNamespace, intake: SimpleNamespace, engine: Engine) -> dict[str, pd.DataFrame]:
    """`control_totals`: rows in = clean + rejected + duplicate, the clean rows counted in the finished tables.

    `clean` holds the tables of `clean_inputs`, `intake` those of `accept_submissions`. A merchant that only a contract
    or transaction names comes from no merchants sheet and is not counted.
    """
    finished = sources(clean) | sources(intake)
    inputs = {t: finished[t] for t in (*tables(), "intake_results")} | {"sheets": finished["input_sheets"]}
    counted = engine.run([*map(_kept, tables()), _REPEATED], inputs, [*map(_kept_name, tables()), "repeated"])
    kept = pd.concat([counted[_kept_name(t)].assign(table=t) for t in tables()], ignore_index=True)
    repeated = counted["repeated"].assign(table="transactions")
    totals = clean.received_counts.merge(kept, how="outer", on=["table", "currency"], validate="one_to_one")
    totals = totals.merge(repeated, how="outer", on=["table", "currency"], validate="one_to_one")
    counts = totals.set_index(["table", "currency"]).fillna(0).astype("int64").reset_index()
    counts = counts.assign(duplicate_count=counts["duplicate_count"] + counts["later_count"])
    out = counts["clean_count"] + counts["rejected_count"] + counts["duplicate_count"]
    return {
        "control_totals": declared("control_totals").shaped(
            counts.assign(difference_count=counts["rows_in_count"] - out)
        )
    }


_REPEATED = (
    "repeated",
    """
    SELECT currency, COUNT(*) AS later_count, CAST(SUM(amount_minor) AS BIGINT) AS duplicate_minor
    FROM intake_results GROUP BY currency
    """,
)


def _kept(name: str) -> tuple[str, str]:
    """The step that counts a finished table's rows, and its amount, from sheets of that table per currency."""
    currency = "t.currency" if "currency" in declared(name).column_names else "''"
    amount = f"CAST(SUM(t.{_AMOUNT[name]}) AS BIGINT)" if name in _AMOUNT else "CAST(0 AS BIGINT)"
    sql = f"""
        SELECT {currency} AS currency, COUNT(*) AS clean_count, {amount} AS clean_minor
        FROM {name} t JOIN sheets s ON s.source_file = t.source_file AND s.source_sheet = t.source_sheet
        WHERE s.table = '{name}' GROUP BY {currency}
        """  # noqa: S608 - the names inserted are those of the declaration
    return _kept_name(name), sql


def _kept_name(name: str) -> str:
    return f"kept_{name}"


def check_ingest(control_totals: pd.DataFrame, rejects: pd.DataFrame, max_reject_rate: float) -> pd.DataFrame:
    """One row per check: totals close, no table refuses more than the limit; a file left out is only noted."""
    by_table = control_totals.groupby("table")[["rows_in_count", "rejected_count"]].sum()
    rate = by_table["rejected_count"] / by_table["rows_in_count"].clip(lower=1)
    over = rate[rate > max_reject_rate]
    shown = "; ".join(
        f"{t}: {by_table.loc[t, 'rejected_count']} of {by_table.loc[t, 'rows_in_count']} rows" for t in over.index
    )
    first = "; ".join(
        rejects.loc[(rejects["severity"] == "error") & rejects["table"].isin(over.index), "message"].head(3)
    )
    difference = int(control_totals["difference_count"].abs().sum())
    unread = rejects.loc[rejects["rule"].isin(["UNKNOWN_FILE", "UNKNOWN_SHEET"]), "message"]
    return pd.DataFrame(
        [
            ("every row read is kept, refused or a duplicate", difference == 0, True, f"difference {difference} rows"),
            (f"no table refuses more than {max_reject_rate:.0%} of its rows", over.empty, True, f"{shown}; raise max_reject_rate to go on with the others. {first}" if shown else f"highest {rate.max() if len(rate) else 0:.1%}"),
            ("every file and sheet is a known table", unread.empty, False, "; ".join(unread.head(3)) or "all read"),
        ],
        columns=["check", "passed", "is_blocking", "detail"],
    )  # fmt: skip


def count_rejects(rejects: pd.DataFrame) -> pd.DataFrame:
    """Refused and noted cells per table and rule (columns severity, table, rule, cells_count), errors first."""
    counted = (
        rejects.groupby(["severity", "table", "rule"], as_index=False).size().rename(columns={"size": "cells_count"})
    )
    return counted.sort_values(
        ["severity", "cells_count", "table", "rule"], ascending=[True, False, True, True], ignore_index=True
    )


def rows_by_file(input_sheets: pd.DataFrame) -> dict[str, int]:
    """Data rows per input file; what came from an archive counts for the archive."""
    file = input_sheets["source_file"].str.replace(r"(?i)(\.zip)/.*$", r"\1", regex=True)
    return {str(k): int(v) for k, v in input_sheets.groupby(file)["rows_in_count"].sum().items()}


def summarise_stage(
    clean: SimpleNamespace, intake: SimpleNamespace, screening: SimpleNamespace, control_totals: pd.DataFrame
) -> StageSummary:
    """Verdict and key figures: what came in, what was refused, what has to be looked at."""
    read, refused = int(control_totals["rows_in_count"].sum()), int(control_totals["rejected_count"].sum())
    repeated = int(control_totals["duplicate_count"].sum())
    conflicts = int((intake.intake_results["status"] == "conflict").sum())
    accepted = int(control_totals.loc[control_totals["table"] == "transactions", "clean_count"].sum())
    high = int((screening.screening_findings["severity"] == "high").sum())
    warnings = int((clean.rejects["severity"] == "warning").sum())
    files = len(rows_by_file(clean.input_sheets))
    parts = [f"{read:,} rows read from {files:,} {'file' if files == 1 else 'files'}"]
    parts.append(f"{refused:,} refused and {repeated:,} repeated" if refused or repeated else "none refused")
    verdict = (
        ", ".join(parts) + f"; {high:,} {'finding' if high == 1 else 'findings'} to look at."
        if high
        else ", ".join(parts) + "."
    )
    receivables = clean.contracts.groupby("currency")["receivable_minor"].sum()
    bought = "; ".join(f"{format_minor(int(v), str(c))} {c}" for c, v in receivables.items()) or "none"
    figures = pd.DataFrame(
        [
            ("Contracts", f"{len(clean.contracts):,}"),
            ("Receivables", bought),
            ("Transactions accepted", f"{accepted:,}"),
            ("Duplicates / conflicts", f"{repeated - conflicts:,} / {conflicts:,}"),
            ("Rows refused / cells noted", f"{refused:,} / {warnings:,}"),
            ("High findings", f"{high:,}"),
        ],
        columns=["label", "value"],
    )
    return StageSummary(verdict, "attention" if refused or high or conflicts else "passed", figures)
