"""What is new in a delivery, and its screening over the past."""

from __future__ import annotations

from types import SimpleNamespace

import pandas as pd

from atlas_lib.core.engine import Engine, Input
from atlas_lib.core.settings import IngestSettings
from atlas_lib.core.tables import declared
from atlas_lib.ingest.consistency import complete_merchants
from atlas_lib.ingest.past import Past
from atlas_lib.ingest.screening import screen_arrivals

_KEPT_BEFORE = [
    (
        "before",
        "SELECT k.transaction_id FROM kept k JOIN arriving a ON a.transaction_id = k.transaction_id ORDER BY 1",
    ),
]


def drop_known(arriving: pd.DataFrame, kept: Past, engine: Engine) -> pd.DataFrame:
    """Without the transactions that were accepted here already."""
    if arriving.empty or kept.is_empty:
        return arriving
    inputs = {"kept": kept.folder, "arriving": arriving[["transaction_id"]]}
    before = engine.run(_KEPT_BEFORE, inputs, ["before"])["before"]
    return arriving[~arriving["transaction_id"].isin(before["transaction_id"])].reset_index(drop=True)


def screen_arriving(
    arriving: pd.DataFrame,
    past: Past,
    reference: SimpleNamespace,
    intake_results: pd.DataFrame,
    engine: Engine,
    settings: IngestSettings,
) -> dict[str, pd.DataFrame]:
    """`streaming_index` and `screening_findings` of the arriving transactions, as they would be among all.

    `reference`: merchants, policies, fraud_signals, counterparties and sanctions as they are known. Names that only
    statements or contracts hold are screened by runs.
    """
    other = {name: declared(name).empty() for name in ("contracts", "statement_lines")}
    listed = {"merchants": reference.merchants, "contracts": other["contracts"]}
    merchants = complete_merchants(listed, arriving.drop_duplicates("merchant_id"))[0]
    clean = SimpleNamespace(**{**vars(reference), **other, "merchants": merchants})
    intake = SimpleNamespace(transactions=arriving, intake_results=intake_results)
    history: Input = declared("transactions").empty() if past.is_empty else past.folder
    found = screen_arrivals(clean, intake, history, engine, settings)
    return {name: frame for name, frame in found.items() if isinstance(frame, pd.DataFrame)}
