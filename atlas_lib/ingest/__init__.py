"""01_ingest: from what people send to clean tables, with every refused cell accounted for."""

from __future__ import annotations

from pathlib import Path

from atlas_lib.core import provenance
from atlas_lib.core.engine import Engine, Output
from atlas_lib.core.settings import IngestSettings
from atlas_lib.ingest.control import check_ingest, count_rejects, rows_by_file, summarise_stage, total_controls
from atlas_lib.ingest.exports import SHEETS
from atlas_lib.ingest.findings import count_scores, rank_findings, rank_scores
from atlas_lib.ingest.inputs import read_inputs
from atlas_lib.ingest.intake import accept_submissions
from atlas_lib.ingest.resend import write_rejects_workbook
from atlas_lib.ingest.screening import screen_transactions
from atlas_lib.ingest.validation import clean_inputs

__all__ = [
    "SHEETS", "accept_submissions", "check_ingest", "clean_inputs", "count_rejects", "count_scores", "load_inputs", "rank_findings", "rank_scores",
    "read_inputs", "rows_by_file", "screen_transactions", "summarise_stage", "total_controls",
    "write_rejects_workbook",
]  # fmt: skip


def load_inputs(input_path: str, settings: IngestSettings, engine: Engine) -> dict[str, Output]:
    """Read and clean every file of the input; a relative path counts from the folder that holds `notebooks/`."""
    path = Path(input_path)
    sheets = read_inputs(path if path.is_absolute() else provenance.find_root() / path, settings.max_file_mb)
    return clean_inputs(sheets, settings, engine)
