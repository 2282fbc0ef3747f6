"""Exposure over the runs of a runs directory: one state per as-of day, read from the tables that the runs have left."""

from __future__ import annotations

import pandas as pd

from atlas_lib.core.run import Run

_KEPT = ["merchant_id", "currency", "receivables_minor", "effective_minor", "limit_minor", "utilisation_rate", "level"]
COLUMNS = ("as_of_date", "run_id", *_KEPT)


def read_history(run: Run) -> pd.DataFrame:
    """The exposures of all merchants in this run and the earlier ones beside it, oldest day first (COLUMNS).

    Of several runs of one as-of day the one written last counts, and this run before any other; trials and runs of later
    days are left out, as are those that have not got as far as the exposures.
    """
    manifests = sorted(run.directory.parent.glob("*/manifest.json"), key=lambda p: (p.stat().st_mtime_ns, p))
    others = [r for r in map(Run, (m.parent for m in manifests)) if r.has("exposures") and not r.is_trial]
    runs = {str(r.manifest["as_of"]): r for r in others}
    if run.has("exposures"):
        runs[str(run.manifest["as_of"])] = run
    states = [_state(runs[day]) for day in sorted(runs) if day <= run.manifest["as_of"]]
    kept = [state for state in states if len(state)]
    return pd.concat(kept, ignore_index=True) if kept else pd.DataFrame(columns=pd.Index(COLUMNS))


def _state(run: Run) -> pd.DataFrame:
    exposures = run.read("exposures").rename(columns={"subject_id": "merchant_id"})
    rows = exposures[exposures["scope"] == "merchant"][_KEPT]
    return rows.assign(as_of_date=pd.Timestamp(run.manifest["as_of"]), run_id=run.run_id)[list(COLUMNS)]
