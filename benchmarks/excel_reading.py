"""200,000 x 15 transactions in Excel: our raw sheet against other readers, and the whole path to clean rows.

CPU seconds and peak memory, each reader in a process of its own; the file is written first, and is not counted.
`python -m benchmarks excel_reading`; `ATLAS_BENCH_ROWS` sets another number of rows.
"""

from __future__ import annotations

import datetime as dt
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

ROOT = Path(__file__).parents[1]
ROWS = int(os.environ.get("ATLAS_BENCH_ROWS", "200000"))
HEADER = "transaction_id idempotency_key merchant_id user_id type amount source_currency destination_currency source_account destination_account counterparty_id settlement_window status created_at reference".split()
SHEET = "transactions"

_READERS = {
    "ours, to raw sheet": "from atlas_lib.ingest import read_inputs\nSTART\nrows = len(read_inputs(path)[0].frame)",
    "ours, to clean rows": "from atlas_lib.core.settings import IngestSettings\nfrom atlas_lib.ingest import clean_inputs, read_inputs\nSTART\nrows = len(clean_inputs(read_inputs(path), IngestSettings())['submissions'])",
    "calamine alone (lists of cells)": "import python_calamine\nSTART\nrows = len(python_calamine.CalamineWorkbook.from_path(str(path)).get_sheet_by_index(0).to_python()) - 1",
    "pandas with calamine": "import pandas\nSTART\nrows = len(pandas.read_excel(path, engine='calamine'))",
    "pandas with openpyxl": "import pandas\nSTART\nrows = len(pandas.read_excel(path, engine='openpyxl'))",
    "fastexcel, all as text": "import fastexcel\nSTART\nrows = fastexcel.read_excel(str(path)).load_sheet(0, dtypes='string').to_arrow().num_rows",
}  # fmt: skip
_MEASURE = """
import json, resource, sys, time
from pathlib import Path
path = Path(sys.argv[1])
{body}
print(json.dumps([rows, time.process_time() - started, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024]))
"""


def write_transactions(path: Path, rows: int) -> None:
    """Seeded transactions as Excel writes them: shared texts, numbers, date cells."""
    import xlsxwriter

    amounts = np.random.default_rng(1).integers(100, 10**6, rows) / 100
    start = dt.datetime(2026, 9, 1, tzinfo=dt.UTC).replace(tzinfo=None)
    with xlsxwriter.Workbook(str(path)) as book:
        page, moment = book.add_worksheet(SHEET), book.add_format({"num_format": "yyyy-mm-dd hh:mm:ss"})
        page.write_row(0, 0, HEADER)
        for i in range(rows):
            names = [f"T{i:08d}", f"K{i:08d}", f"M{i % 300:04d}", f"U{i % 20000:06d}", ("SALE", "REFUND", "FEE")[i % 3]]
            accounts = [f"A{i % 20000:06d}", f"B{i % 300:04d}", f"C{i % 12}", "T1", "APPROVED"]
            page.write_row(i + 1, 0, [*names, amounts[i], "EUR", "EUR", *accounts])
            page.write_datetime(i + 1, 13, start + dt.timedelta(seconds=13 * i), moment)
            page.write_string(i + 1, 14, f"order {i}")


def measure(body: str, path: Path) -> tuple[int, float, float] | None:
    """Rows, CPU seconds and peak MiB in a process of its own; None where another's package is not installed."""
    code = _MEASURE.format(body=body.replace("START", "started = time.process_time()"))
    answer = subprocess.run(
        [sys.executable, "-c", code, str(path)], cwd=ROOT, capture_output=True, text=True, check=False
    )
    if "ModuleNotFoundError: No module named 'fastexcel'" in answer.stderr:
        return None
    if answer.returncode:
        raise RuntimeError(answer.stderr)
    rows, seconds, memory = json.loads(answer.stdout.splitlines()[-1])
    return rows, seconds, memory


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "transactions.xlsx"
        # Written by another process too: a child starts with the peak memory of its parent.
        write = f"from benchmarks.excel_reading import write_transactions; from pathlib import Path; write_transactions(Path({str(path)!r}), {ROWS})"
        subprocess.run([sys.executable, "-c", write], cwd=ROOT, check=True)
        found = {name: measure(body, path) for name, body in _READERS.items()}
    peer = found["pandas with openpyxl"]
    lines = [
        f"{ROWS:,} x {len(HEADER)} transactions in one sheet; CPU seconds, peak MiB, times faster than pandas with openpyxl"
    ]
    for name, result in found.items():
        if result is None or peer is None:
            lines.append(f"{name:32}  not installed")
        else:
            rows, seconds, memory = result
            lines.append(f"{name:32}{seconds:8.2f} s{memory:8.0f} MiB{peer[1] / seconds:8.1f} x  {rows:,} rows")
    sys.stdout.write("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
