"""What a person may choose from on every page: merchants and currencies."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

from atlas_lib.core.run import Run
from atlas_lib.dashboard.access import is_office
from atlas_lib.dashboard.listings import listing_of
from atlas_lib.dashboard.rows import choices_of, values_of
from atlas_lib.reserves_credit.roles import Actor


def filters_of(run: Run, actor: Actor) -> tuple[dict[str, str], list[str]]:
    """Merchants (id to name) and currencies that the person may choose from."""
    manifest = run.directory / "manifest.json"
    merchants, currencies = _filters(str(run.directory), manifest.stat().st_mtime_ns)
    if is_office(actor):
        return merchants, currencies
    own = [listing_of(t) for t in ("contracts", "final_index") if run.has(t)]
    return {}, sorted({c for one in own for c in choices_of(run, actor, one)["currency"]})


@lru_cache(maxsize=16)
def _filters(directory: str, written_ns: int) -> tuple[dict[str, str], list[str]]:  # noqa: ARG001  # a run that went on is read anew
    run = Run(Path(directory))
    names: dict[str, str] = {}
    for table in ("merchant_kpis", "merchants"):
        if run.has(table):
            frame = run.read(table)
            names |= {str(i): str(n or "") for i, n in zip(frame["merchant_id"], frame["merchant_name"], strict=True)}
    held = [t for t in ("contracts", "final_index", "transactions") if run.has(t)]
    found = {code for table in held for code in values_of(run, table, "currency")}
    return dict(sorted(names.items())), sorted(found)
