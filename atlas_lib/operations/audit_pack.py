"""The audit pack: one archive for an external auditor, with everything a run shows and the means to check it.

```
00_read_me.html      what is in it, verdicts, what was verified when, and how to check the hashes
manifest.json        inputs with hashes, settings, versions, tables with rows, control totals and hashes
reports/*.html       the pages as they were shown        exports/*    the workbooks, without the rows sent back
<subject>.xlsx       lineage of the chosen ids: steps, rows and ledger entries, customers masked
ledger_entries.csv   the entries of this run's transactions and batches, customers masked
tables/*.parquet     only where asked for
SHA256SUMS           of every file above; `sha256sum -c SHA256SUMS`
```
"""

from __future__ import annotations

import hashlib
import tempfile
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from atlas_lib.core.customers import mask_users
from atlas_lib.core.errors import AtlasError, SettingsError
from atlas_lib.core.run import Run
from atlas_lib.ledger.store import Ledger
from atlas_lib.operations.lineage import Lineage, trace
from atlas_lib.present.excel import Sheet, write_workbook
from atlas_lib.verification import verify_run

# A fixed time in the archive, so that the same content is the same archive.
_MADE = (2000, 1, 1, 0, 0, 0)


@dataclass(frozen=True)
class Wanted:
    """What goes in beside the reports: ids to trace, whether the tables themselves, and the key that masks customers."""

    subject_ids: Sequence[str]
    mask_key: str
    has_tables: bool = False


def write_audit_pack(run: Run, ledger: Ledger, path: Path, wanted: Wanted) -> Path:
    """Verify the run and its ledger, then write the archive, whole or not at all; the result of verifying is in it.

    Raises InputError for an id that nothing names. A run or ledger that was changed is packed all the same and says so.
    """
    if not wanted.mask_key:
        raise SettingsError(
            "No key to mask customers with", expected="a secret text in ATLAS_MASK_KEY", found="none",
            remedy="set it to the key that the reports are made with, so that the masks agree",
        )  # fmt: skip
    verified = _verify(run)
    traces = [trace(run, ledger, subject_id) for subject_id in wanted.subject_ids]
    partial = path.with_name(f".{path.name}.partial")
    sums: list[str] = []
    with zipfile.ZipFile(partial, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in _contents(run, ledger, wanted, verified, traces):
            archive.writestr(zipfile.ZipInfo(name, _MADE), content, zipfile.ZIP_DEFLATED)
            sums.append(f"{hashlib.sha256(content).hexdigest()}  {name}")
        archive.writestr(zipfile.ZipInfo("SHA256SUMS", _MADE), "\n".join(sums) + "\n")
    partial.replace(path)
    return path


@dataclass(frozen=True)
class _Verified:
    """What was found right, one line each, or the first thing that is not."""

    lines: Sequence[str]
    fault: str = ""


def _verify(run: Run) -> _Verified:
    try:
        return _Verified(verify_run(run.directory))
    except AtlasError as error:
        return _Verified([], str(error))


def _contents(
    run: Run, ledger: Ledger, wanted: Wanted, verified: _Verified, traces: Sequence[Lineage]
) -> Iterator[tuple[str, bytes]]:
    yield "00_read_me.html", _read_me(run, ledger, wanted, verified).encode()
    yield "manifest.json", (run.directory / "manifest.json").read_bytes()
    kinds = [("html", "reports", "*.html"), ("exports", "exports", "*")]
    kinds += [("tables", "tables", "*.parquet")] if wanted.has_tables else []
    for folder, name, pattern in kinds:
        for file in sorted((run.directory / folder).glob(pattern)):
            if not file.is_file() or file.name == "rejects.xlsx":  # refused rows as they came, customers unmasked
                continue
            yield f"{name}/{file.name}", file.read_bytes()
    for lineage in traces:
        yield f"{_safe(lineage.subject_id)}.xlsx", _workbook(lineage, wanted.mask_key)
    yield "ledger_entries.csv", _entries(run, ledger, traces).to_csv(index=False).encode()


def _entries(run: Run, ledger: Ledger, traces: Sequence[Lineage]) -> pd.DataFrame:
    """Entries of the run's transactions and batches; with ids chosen, of those alone."""
    if traces:
        return pd.concat([t.events for t in traces]).drop_duplicates("entry_id").sort_values("entry_id")
    if not run.has("final_index"):
        return ledger.events(transaction_ids=[])
    index = run.read("final_index")
    return ledger.events(index["transaction_id"], index["batch_id"].dropna().unique())


def _workbook(lineage: Lineage, mask_key: str) -> bytes:
    """Steps, ledger entries, and the rows of each table on sheets of their own."""
    tables = {"Steps": lineage.steps, "Ledger entries": lineage.events} | lineage.rows
    masked = {n: mask_users(t, mask_key) if "user_id" in t else t for n, t in tables.items()}
    sheets = [
        Sheet(f"{number} {name}"[:31], table, name) for number, (name, table) in enumerate(masked.items(), start=1)
    ]
    with tempfile.TemporaryDirectory(prefix="atlas-") as folder:
        path = write_workbook(Path(folder) / "lineage.xlsx", sheets, {"title": f"Lineage of {lineage.subject_id}"})
        return path.read_bytes()


def _read_me(run: Run, ledger: Ledger, wanted: Wanted, verified: _Verified) -> str:
    from jinja2 import Environment, PackageLoader

    page = Environment(loader=PackageLoader("atlas_lib.operations"), autoescape=True, trim_blocks=True)
    return page.get_template("audit_pack.html.j2").render(
        run=run.manifest, head=ledger.head(), verified=verified, subjects=wanted.subject_ids, has_tables=wanted.has_tables
    )  # fmt: skip


def _safe(name: str) -> str:
    return "".join(c if c.isalnum() or c in "-_." else "_" for c in name)[:80] or "subject"
