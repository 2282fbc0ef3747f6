"""What a page lists, all pages of it, as a file: CSV written by the database part by part, or a workbook with a cover."""

from __future__ import annotations

from collections.abc import Iterator

import pandas as pd

from atlas_lib.core.errors import SettingsError
from atlas_lib.core.tables import declared
from atlas_lib.dashboard.access import columns_for, require_office
from atlas_lib.dashboard.exports import EXCEL_ROWS, PART_ROWS, csv_head, csv_of, one_at_a_time, to_excel
from atlas_lib.dashboard.frame import View
from atlas_lib.dashboard.fraud import ALERT_COLUMNS, FRAUD_EXPORT, all_alerts
from atlas_lib.dashboard.listing_views import query_of
from atlas_lib.dashboard.listings import SUMS, Listing, listing_of
from atlas_lib.dashboard.rows import count_rows, read_lines, read_rows
from atlas_lib.present.excel import Sheet


def download(view: View, table: str, ending: str) -> Iterator[bytes]:
    """The file in parts. Refused, or busy, before the first one."""
    with one_at_a_time():
        if table == FRAUD_EXPORT:
            yield from _alerts(view, ending)
        elif ending == "csv":
            listing = listing_of(table)
            query = query_of(view, listing, is_whole=True)
            yield from read_lines(view.run, view.actor, listing, query, PART_ROWS)
        else:
            yield _workbook(view, listing_of(table))


def _workbook(view: View, listing: Listing) -> bytes:
    query, columns = query_of(view, listing, is_whole=True), columns_for(view.actor, listing)
    _check_size(listing.title, count_rows(view.run, view.actor, listing, query))
    frame = read_rows(view.run, view.actor, listing, query).frame
    totals = [n for n in SUMS.get(listing.table, "").split() if n in columns]
    sheet = Sheet(listing.title[:31], frame, declared(listing.table).about, columns, totals)
    return to_excel(sheet, {"title": listing.title, **_cover(view, f"{listing.table}.")})


def _alerts(view: View, ending: str) -> Iterator[bytes]:
    """The alerts that fit, as the console lists them."""
    require_office(view.actor)
    found = all_alerts(view.run, view.asked, view.actor)
    if ending == "csv":
        yield csv_head(ALERT_COLUMNS)
        yield csv_of(found, ALERT_COLUMNS)
        return
    _check_size("Fraud alerts", len(found))
    sheet = Sheet("Fraud alerts", _naive(found), "Accepted payments with a fraud score, newest first", ALERT_COLUMNS)
    yield to_excel(sheet, {"title": "Fraud alerts", **_cover(view, "")})


def _naive(found: pd.DataFrame) -> pd.DataFrame:
    """Instants as a sheet shows them, in UTC."""
    times = found.select_dtypes("datetimetz").columns
    return found.assign(**{str(c): found[c].dt.tz_convert("UTC").dt.tz_localize(None) for c in times})


def _check_size(title: str, total: int) -> None:
    if total > EXCEL_ROWS:
        raise SettingsError(
            f"{title} has too many rows for a workbook", found=f"{total:,}", expected=f"at most {EXCEL_ROWS:,}",
            remedy="take CSV, or filter the table first",
        )  # fmt: skip


def _cover(view: View, prefix: str) -> dict[str, str]:
    asked = {k: v for k, v in view.asked.items() if v}
    filters = "; ".join(f"{k} = {v}" for k, v in asked.items() if "." not in k or (prefix and k.startswith(prefix)))
    return {
        "As of": str(view.run.manifest["as_of"]), "Run": view.run.run_id, "Filters": filters or "none",
        "For": view.actor.name or "anyone",
    }  # fmt: skip
