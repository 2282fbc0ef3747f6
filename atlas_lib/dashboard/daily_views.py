"""The daily reconciliation as HTML: totals by day, account or merchant, and the rows they consist of, with their decisions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from atlas_lib.core.errors import TableError
from atlas_lib.dashboard.access import require_office
from atlas_lib.dashboard.actions import DAILY
from atlas_lib.dashboard.frame import View, render_page
from atlas_lib.dashboard.listing_views import listing_view, query_of
from atlas_lib.dashboard.listings import listing_of
from atlas_lib.dashboard.rows import Query, count_rows, read_sums
from atlas_lib.present.tables import show_table

BY = {"date": "day", "account": "account", "merchant_id": "merchant"}
_PAGE = 10
_TOTALS = "daily_totals"
# Rows of these totals have no such thing, and no filter for it.
_NONE = {"account": "not booked", "merchant_id": "no merchant"}


def daily_page(view: View) -> str:
    """Expected beside posted: the totals, each leading to its rows, then the rows; both by the same filters."""
    require_office(view.actor)
    if not view.run.has(DAILY):
        raise TableError("This run has no daily reconciliation", where=view.run.run_id, remedy="run `atlas run`")
    listings = [listing_view(view, listing_of(t)) for t in (DAILY, "suggestions") if view.run.has(t)]
    listings = [one for one in listings if one["name"] == DAILY or one["total"]]
    return render_page(
        view, "daily.html.j2", "Daily reconciliation", current="daily", totals=_totals(view), listings=listings
    )


def _totals(view: View) -> dict[str, Any]:
    """The table of totals: what it is by, its pages, how many rows wait for a decision, and its exports, not added up."""
    by = view.asked.get("by", "")
    by = by if by in BY else "date"
    listing, query = listing_of(_TOTALS), _filtered(view, by)
    names = [n for n in listing.shown if n.endswith(("_minor", "_count"))]
    sums, total = read_sums(view.run, view.actor, listing, query, by, names)
    if by in _NONE:
        sums[by] = sums[by].where(sums[by] != "", _NONE[by])
    columns = [*(("merchant_id", "merchant_name") if by == "merchant_id" else (by,)), "currency", *names]
    html = show_table(
        sums, columns, labels=listing.labels, links=_links(view, by), limit=_PAGE, empty="No row fits these filters.",
        mark=lambda row: "off" if row["difference_minor"] else "",
    ).html  # fmt: skip
    last = max(1, -(-total // _PAGE))
    pages = (("Previous", query.page - 1), ("Next", query.page + 1))
    chosen = {f"{_TOTALS}__{k}": v for k, v in query.chosen.items() if v}
    undecided = replace(query, chosen={**query.chosen, "is_open": "true"})
    return {
        "by": by, "choices": BY, "html": html, "page": min(query.page, last), "last": last,
        "turn": {text: view.addresses.here("totals", p=str(p)) for text, p in pages if 1 <= p <= last},
        "exports": {kind: view.addresses.as_asked(f"export/{_TOTALS}.{e}", **chosen) for kind, e in (("Excel", "xlsx"), ("CSV", "csv"))},
        "switch": {one: view.addresses.here("totals", by=one, p="") for one in BY},
        "undecided": count_rows(view.run, view.actor, listing_of(DAILY), undecided),
    }  # fmt: skip


def _filtered(view: View, by: str) -> Query:
    """The filters of the rows, as far as the totals know them."""
    asked = query_of(view, listing_of(DAILY))
    known = {k: v for k, v in asked.chosen.items() if k in ("date", "account")}
    page = view.asked.get("p", "")
    number = int(page) if page.isdecimal() and 0 < len(page) < 7 else 1
    return replace(asked, search="", chosen=known, order="-date" if by == "date" else by, page=number, size=_PAGE)


def _links(view: View, by: str) -> dict[str, Any]:
    """A total leads to its rows, and its open ones to those that a person has to decide."""

    def narrowed(row: Mapping[str, Any], **more: str) -> str:
        own = {"merchant": row[by]} if by == "merchant_id" else {f"{DAILY}__{by}": _text(row[by])}
        page = {f"{DAILY}__page": "", "currency": str(row["currency"])}
        return view.addresses.here(DAILY, **page, **own, **more) if row[by] != _NONE.get(by) else ""

    def rows(row: Mapping[str, Any]) -> str:
        return narrowed(row)

    def open_rows(row: Mapping[str, Any]) -> str:
        return narrowed(row, **{f"{DAILY}__is_open": "true"}) if row["open_count"] else ""

    return {by: rows, "merchant_name": rows, "open_count": open_rows}


def _text(value: Any) -> str:
    return str(value.date()) if hasattr(value, "date") else str(value)
