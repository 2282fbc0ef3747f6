"""One table as HTML: its filters, pages, sorting links, exports, and the buttons for its rows."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import pandas as pd

from atlas_lib.core.tables import declared
from atlas_lib.dashboard.access import columns_for, is_office
from atlas_lib.dashboard.actions import LISTING_ACTS, Act, acts_for, two_in_one
from atlas_lib.dashboard.addresses import is_text
from atlas_lib.dashboard.exports import EXCEL_ROWS
from atlas_lib.dashboard.frame import View, templates
from atlas_lib.dashboard.listings import Listing, listing_of
from atlas_lib.dashboard.reconciling import add_standing
from atlas_lib.dashboard.rows import SIZES, Query, choices_of, read_rows
from atlas_lib.present.tables import label_of, show_table


def part_of_page(view: View, table: str) -> str:
    """One table of a page alone, as it stands on the page."""
    return str(templates().get_template("part.html.j2").render(view=view, one=listing_view(view, listing_of(table))))


def listing_view(view: View, listing: Listing) -> dict[str, Any]:
    """One table with its filters, pages, sorting links and exports."""
    name, asked = listing.table, _own(view.asked, listing.table)
    query = query_of(view, listing)
    columns = _on_page(view, listing, query)
    rows = read_rows(view.run, view.actor, listing, query)
    last = max(1, -(-rows.total // query.size))
    if query.page > last:
        query = replace(query, page=last)
        rows = read_rows(view.run, view.actor, listing, query)
    choices = {k: v for k, v in choices_of(view.run, view.actor, listing).items() if len(v) > 1 and k != "currency"}
    order = query.order or listing.order
    heads = {
        c: view.addresses.here(name, **{f"{name}__sort": f"-{c}" if order == c else c, f"{name}__page": ""})
        for c in columns
    }
    heads[f"{order.removeprefix('-')}:sorted"] = "descending" if order.startswith("-") else "ascending"
    nothing = "No row fits these filters." if query != Query(order=query.order) else "This input has no such rows."
    acts, frame, choose = _to_choose(view, name, rows.frame)
    html = show_table(
        frame, with_standing(columns, frame), heads=heads, labels=listing.labels, links=view.addresses.cells(), limit=query.size, empty=nothing,
        choose=choose, mark=None if name == "breaks" else _is_off,
    ).html  # fmt: skip
    return {
        "name": name, "title": listing.title, "about": declared(name).about, "html": html, "total": rows.total,
        "first": (query.page - 1) * query.size + 1, "shown": len(rows.frame), "last_page": last, "query": query,
        "choices": [(k, listing.labels.get(k, label_of(k)), v, asked.get(k, "")) for k, v in choices.items()], "sizes": SIZES,
        "days": [(k, label_of(k), asked.get(k, "")) for k in listing.days.split()],
        "turn": {t: view.addresses.here(name, **{f"{name}__page": str(p)}) for t, p in (("Previous", query.page - 1), ("Next", query.page + 1)) if 1 <= p <= last},
        "exports": {kind: view.addresses.as_asked(f"export/{name}.{e}") for kind, e in (("Excel", "xlsx"), ("CSV", "csv")) if e == "csv" or rows.total <= EXCEL_ROWS},
        "beside": len(listing.beside.split()) if is_office(view.actor) else 0, "acts": acts, "has_standing": "standing_decision" in frame,
        "has_tools": rows.total > SIZES[0] or bool(query.search or query.chosen),
        "is_filtered_by_merchant": bool(listing.merchant), "kept": {k: v for k, v in view.asked.items() if not k.startswith(f"{name}.")},
    }  # fmt: skip


def _on_page(view: View, listing: Listing, query: Query) -> list[str]:
    """The columns that stand on the page; what a merchant sees of its own rows is few enough to stand there whole."""
    aside = set(listing.shown) - set(listing.on_page) if is_office(view.actor) else set()
    if query.merchant and listing.merchant == "merchant_id" and listing.table != "merchants":
        aside |= {"merchant_id", "merchant_name"}
    return [c for c in columns_for(view.actor, listing) if c not in aside]


def _to_choose(
    view: View, table: str, rows: pd.DataFrame
) -> tuple[dict[str, Act], pd.DataFrame, Callable[[Mapping[str, Any]], str] | None]:
    """The buttons of a list for this person, its rows with what stands decided now, and what a chosen row says."""
    if table not in LISTING_ACTS or not is_office(view.actor):
        return {}, rows, None
    acts = acts_for(view.actor, LISTING_ACTS[table]) if view.is_latest else {}
    stated = add_standing(view.run, rows)
    if not acts:
        return acts, stated, None
    if "break_id" in stated:
        return (
            acts,
            stated,
            lambda row: two_in_one(row["break_id"], row["discrepancy_minor"]) if is_text(row, "break_id") else "",
        )
    return acts, stated, lambda row: two_in_one(row["transaction_id"], f"{row['statement_id']}/{row['line_id']}")


def _is_off(row: Mapping[str, Any]) -> str:
    """A row whose two sides do not agree stands out, also in print."""
    return "off" if row.get("discrepancy_minor") else ""


def with_standing(columns: Sequence[str], frame: pd.DataFrame) -> list[str]:
    """What stands decided comes after the reason or type of the break: a person who decides looks there first."""
    extra = ["standing_decision"] if "standing_decision" in frame else []
    place = 8 if "amount_posted_minor" in columns else 5
    return [*columns[:place], *extra, *columns[place:]]


def query_of(view: View, listing: Listing, *, is_whole: bool = False) -> Query:
    """What the address asks of this table."""
    own = _own(view.asked, listing.table)
    chosen = {k: v for k, v in own.items() if k not in ("sort", "page", "size", "q") and v}
    size = 0 if is_whole else _number(own.get("size", ""), SIZES[0], SIZES[-1])
    return Query(
        view.asked.get("merchant", ""), view.asked.get("currency", ""), own.get("q", ""), chosen, own.get("sort", ""),
        _number(own.get("page", ""), 1, 10**9), size,
    )  # fmt: skip


def _own(asked: Mapping[str, str], table: str) -> dict[str, str]:
    return {k.removeprefix(f"{table}."): v for k, v in asked.items() if k.startswith(f"{table}.")}


def _number(text: str, default: int, highest: int) -> int:
    return min(max(1, int(text)), highest) if text.isdecimal() and len(text) < 10 else default
