"""A delivery: one file, or one run of messages of a topic's partition, cleaned and put aside before it is booked.

What is put aside (`staged/<delivery id>/`) holds all that the rest needs, so a delivery that was interrupted is finished
from there even when its file has gone or changed meanwhile. A delivery that cannot be read is refused as a whole, with
its reason in `rejects`.
"""

from __future__ import annotations

import errno
import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import cast

import pandas as pd
import pyarrow.parquet as pq

from atlas_lib.core.errors import AtlasError, CheckFailed
from atlas_lib.core.provenance import file_sha256
from atlas_lib.core.settings import IngestSettings
from atlas_lib.core.tables import declared
from atlas_lib.ingest import parts
from atlas_lib.ingest.headers import RawSheet
from atlas_lib.ingest.inputs import read_inputs
from atlas_lib.ingest.rejects import shape_rejects
from atlas_lib.ingest.validation import clean_inputs

REFERENCE = ("merchants", "policies", "fraud_signals", "counterparties", "sanctions")
_STAGED = ("submissions", "rejects", "refused_cells", *REFERENCE)
_OF_CONTENT = {errno.EINVAL, errno.EOVERFLOW, errno.ENAMETOOLONG}  # a damaged file sends its reader to such places


@dataclass(frozen=True)
class Delivery:
    """What is known of a delivery before it is booked; counts are of payment rows.

    `commitment`: key and value that the ledger keeps with the delivery's rows (a topic's next offset); empty for files.
    """

    delivery_id: str
    delivery_number: int
    source_file: str
    content_sha256: str
    size_bytes: int
    arrived_us: int
    source_sheet: str = ""
    first_offset: int | None = None
    last_offset: int | None = None
    status: str = "taken"
    reason: str = ""
    rows_in_count: int = 0
    rejected_count: int = 0
    other_count: int = 0
    commitment: tuple[str, str] | None = None


Tables = dict[str, pd.DataFrame]


def describe_file(path: Path, number: int) -> Delivery:
    """The file by its name and content: the same content under another name is another delivery."""
    stat, content = path.stat(), file_sha256(path)
    name = hashlib.sha256(f"{path.name}\0{content}".encode()).hexdigest()[:20]
    return Delivery(name, number, path.name, content, stat.st_size, stat.st_mtime_ns // 1000)


def read_file(delivery: Delivery, path: Path, settings: IngestSettings) -> tuple[Delivery, Tables]:
    """The delivery with its counts, and its clean tables; a file that no reader can make sense of is refused.

    OSError and MemoryError say nothing of the file: another time it can be read.
    """
    try:
        return count_rows(delivery, cast(Tables, clean_inputs(read_inputs(path, settings.max_file_mb), settings)))
    except Exception as error:  # whatever a damaged file makes a reader raise: said, and the next file is taken
        _raise_of_machine(error)
        said = str(error) if isinstance(error, AtlasError) else _said(path.name, error)
        return refuse(delivery, said)


def _raise_of_machine(error: Exception) -> None:
    of_machine = next(filter(_is_of_machine, (error, error.__cause__)), None)
    if of_machine is not None:
        raise of_machine from None


def _is_of_machine(error: BaseException | None) -> bool:
    """Whether disk, network or memory failed; readers raise OSError of what a file holds too, without a number."""
    of_disk = isinstance(error, OSError) and error.errno is not None and error.errno not in _OF_CONTENT
    return of_disk or isinstance(error, MemoryError)


def _said(name: str, error: Exception) -> str:
    return f"{name} cannot be read: {type(error).__name__}: {error}"


def read_messages(
    delivery: Delivery, sheets: Sequence[RawSheet], rejects: pd.DataFrame, settings: IngestSettings
) -> tuple[Delivery, Tables]:
    """As for a file; `rejects`: messages that are no row at all. What no reader can make sense of is refused alone."""
    try:
        counted, tables = (
            count_rows(delivery, cast(Tables, clean_inputs(sheets, settings))) if sheets else (delivery, {})
        )
    except Exception as error:
        unread = {o: text for s in sheets for o, text in _unreadable(s, settings, error).items()}
        left = [replace(s, frame=s.frame.drop(index=[o for o in s.frame.index if o in unread])) for s in sheets]
        noted = pd.concat([rejects, _unread_messages(delivery, unread)], ignore_index=True)
        return read_messages(delivery, [s for s in left if len(s.frame)], noted, settings)
    joined = pd.concat([rejects, tables["rejects"]], ignore_index=True) if sheets else rejects
    received, refused = counted.rows_in_count + len(rejects), counted.rejected_count + len(rejects)
    counted = replace(counted, rows_in_count=received, rejected_count=refused)
    return counted, tables | {"rejects": declared("rejects").shaped(joined)}


def _unreadable(sheet: RawSheet, settings: IngestSettings, error: Exception) -> dict[int, str]:
    """The rows of a sheet that raised `error`, found by halving it; all of them where no half raises anything."""
    _raise_of_machine(error)
    found: dict[int, str] = {}
    half = len(sheet.frame) // 2
    for part in (sheet.frame.iloc[:half], sheet.frame.iloc[half:]) if half else ():
        one = replace(sheet, frame=part)
        try:
            clean_inputs([one], settings)
        except Exception as raised:
            found |= _unreadable(one, settings, raised)
    return found or dict.fromkeys(sheet.frame.index, f"{type(error).__name__}: {error}")


def _unread_messages(delivery: Delivery, reasons: dict[int, str]) -> pd.DataFrame:
    place = f"{delivery.source_file}, partition {delivery.source_sheet}, offset"
    rows = [
        {
            "source_file": delivery.source_file, "source_sheet": delivery.source_sheet, "source_row": offset, "table": "transactions",
            "column": "", "value": "", "rule": "UNREADABLE_MESSAGE", "severity": "error",
            "message": f"{place} {offset}: cannot be read: {reason}".encode(errors="replace").decode(),
        }
        for offset, reason in reasons.items()
    ]  # fmt: skip
    return shape_rejects(pd.DataFrame(rows))


def count_rows(delivery: Delivery, clean: Tables) -> tuple[Delivery, Tables]:
    """Rows of payments and of all else, and the tables that are kept."""
    counts = clean["received_counts"]
    is_payment = counts["table"] == "transactions"
    counted = replace(
        delivery,
        rows_in_count=int(counts.loc[is_payment, "rows_in_count"].sum()),
        rejected_count=int(counts.loc[is_payment, "rejected_count"].sum()),
        other_count=int(counts.loc[~is_payment, "rows_in_count"].sum()),
    )
    if len(clean["submissions"]) != counted.rows_in_count - counted.rejected_count:
        raise CheckFailed(
            "Rows read are not rows kept and refused", where=delivery.source_file,
            expected=f"{counted.rows_in_count} - {counted.rejected_count}", found=f"{len(clean['submissions'])} kept",
        )  # fmt: skip
    sheets = clean["input_sheets"]
    paying = sheets.loc[sheets["table"] == "transactions", ["source_file", "source_sheet"]]
    place = pd.MultiIndex.from_frame(clean["merchants"][["source_file", "source_sheet"]])
    listed = clean["merchants"][~place.isin(pd.MultiIndex.from_frame(paying))]
    return counted, {name: clean[name] for name in _STAGED} | {"merchants": listed}


def refuse(delivery: Delivery, reason: str) -> tuple[Delivery, Tables]:
    """Refused as a whole: one line in `rejects` says why."""
    row = {
        "source_file": delivery.source_file, "source_sheet": delivery.source_sheet, "source_row": 0, "table": "",
        "column": "", "value": "", "rule": "UNREADABLE_FILE", "severity": "error", "message": reason,
    }  # fmt: skip
    rejects = shape_rejects(pd.DataFrame([row]))
    return replace(delivery, status="refused", reason=reason), {"rejects": rejects}


def put_aside(folder: Path, delivery: Delivery, tables: Tables) -> None:
    """Write the delivery down, so that it can be finished whatever happens from here on."""
    content = {name: parts.to_part(name, frame) for name, frame in tables.items() if len(frame)}
    parts.stage(folder, delivery.delivery_id, content, json.dumps(asdict(delivery)))


def take_up(folder: Path) -> tuple[Delivery, Tables]:
    """A delivery as it was put aside."""
    record = json.loads((folder / "delivery.json").read_text(encoding="utf-8"))
    commitment = tuple(record.pop("commitment") or ()) or None
    found = {name: folder / f"{name}.parquet" for name in _STAGED}
    tables = {
        name: declared(name).from_arrow(pq.read_table(path)) if path.exists() else declared(name).empty()
        for name, path in found.items()
    }
    return Delivery(**record, commitment=commitment), tables
