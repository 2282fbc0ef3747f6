"""The pages as HTML: each takes what the room's other modules read, and lays it out. No page knows a network or a clock."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any
from urllib.parse import quote

import pandas as pd

from atlas_lib.core.errors import Refused, SettingsError
from atlas_lib.core.run import Run
from atlas_lib.core.settings import STAGES
from atlas_lib.core.tables import declared
from atlas_lib.dashboard.access import NOBODY, columns_for, is_office, may_see_accounts, require_office
from atlas_lib.dashboard.accounts import mask_page
from atlas_lib.dashboard.actions import (
    FRAUD_ACTS,
    LISTING_ACTS,
    ORDER_ACTS,
    PAYOUT_ACTS,
    Act,
    act_of,
    acts_for,
    chosen_rows,
)
from atlas_lib.dashboard.addresses import Addresses
from atlas_lib.dashboard.exports import EXCEL_ROWS
from atlas_lib.dashboard.filters import filters_of
from atlas_lib.dashboard.fraud import ALERT_COLUMNS, chosen_alerts
from atlas_lib.dashboard.front import Task, stages_with_change
from atlas_lib.dashboard.listings import LISTINGS, Listing, listing_of
from atlas_lib.dashboard.payment_files import (
    FILE_COLUMNS,
    LINE_COLUMNS,
    file_of,
    hashes_of,
    lines_of,
    totals_of,
)
from atlas_lib.dashboard.reconciling import add_standing, options_of, pair_keys, rows_chosen
from atlas_lib.dashboard.rows import SIZES, Query, choices_of, read_rows, wrong_accounts_of
from atlas_lib.dashboard.trail import tables_of_merchant, trail_of
from atlas_lib.present.report import TITLES, describe_run, read_blocks
from atlas_lib.present.summary import failure_of
from atlas_lib.present.tables import format_value, label_of, show_table
from atlas_lib.present.theme import DARK_COLOURS
from atlas_lib.reserves_credit.decisions import PAYOUT_COLUMNS
from atlas_lib.reserves_credit.roles import Actor, may

_GONE = "These lines are no longer there."


@dataclass(frozen=True)
class View:
    """One request: whose it is, of which run, and what was asked for."""

    run: Run
    runs: Sequence[str]
    actor: Actor
    addresses: Addresses
    form_token: str = ""
    said: tuple[str, str] | None = None
    asked: Mapping[str, str] = field(default_factory=dict)

    @property
    def is_latest(self) -> bool:
        return self.run.run_id == self.runs[0]


def front_page(view: View, before: Run | None, tasks: Sequence[Task]) -> str:
    """Verdict, what needs a person, key figures with their change."""
    require_office(view.actor)
    tone, verdict = describe_run(view.run, failure_of(view.run))
    stages = stages_with_change(view.run, before)
    return render_page(
        view, "front.html.j2", "Overview", tone=tone, verdict=verdict, tasks=tasks, figures_of=stages, before=before
    )


def stage_page(view: View, stage: str) -> str:
    """One notebook: verdict, figures, charts as the run drew them, and its tables."""
    if stage not in LISTINGS:
        raise SettingsError("No such page", found=stage, expected=", ".join(LISTINGS))
    listings = [one for one in LISTINGS[stage] if view.run.has(one.table) and (is_office(view.actor) or one.own_shown)]
    shown: dict[str, Any] = {"listings": [listing_view(view, one) for one in listings], "stage": None, "charts": []}
    if is_office(view.actor):
        shown["stage"] = next(s for s in stages_with_change(view.run, None) if s["name"] == stage)
        notebook = view.run.directory / "notebooks" / f"{stage}.ipynb"
        charts = [b for b in read_blocks(notebook) if b["kind"] == "chart"] if notebook.exists() else []
        if not may_see_accounts(view.actor):
            wrong = wrong_accounts_of(view.run)
            charts = [b | {"json": mask_page(b["json"], wrong)} for b in charts]
        shown["charts"] = charts
    return render_page(view, "stage.html.j2", TITLES[stage], current=stage, dark_colours=DARK_COLOURS, **shown)


def part_of_page(view: View, table: str) -> str:
    """One table of a page alone, as it stands on the page."""
    return str(templates().get_template("part.html.j2").render(view=view, one=listing_view(view, listing_of(table))))


def merchant_page(view: View, merchant_id: str) -> str:
    """One merchant through all stages; a merchant's person gets its own whatever it asks for."""
    own = view.actor.merchant_id if view.actor.role == "merchant" else merchant_id
    asked = {**view.asked, "merchant": own}
    addresses = Addresses(view.addresses.base, f"merchant/{quote(own, safe='')}", asked)
    inner = replace(view, addresses=addresses, asked=asked)
    listings = [listing_view(inner, listing_of(t)) for t in tables_of_merchant(view.run, view.actor)]
    listings = [one for one in listings if one["total"]]
    name = filters_of(view.run, Actor("", ""))[0].get(own, "")
    return render_page(
        inner, "merchant.html.j2", f"{name} ({own})" if name else f"Merchant {own}", listings=listings, merchant_id=own
    )


def trail_page(view: View, kind: str, value: str) -> str:
    """One contract or transaction: facts, what the other stages know, ledger events, source cell."""
    found = trail_of(view.run, view.actor, f"{kind}_id", value)
    links = view.addresses.cells()
    links.pop(f"{kind}_id")
    parts: list[tuple[str, str]] = []
    for title, rows in found["parts"].items():
        parts.append((title, show_table(rows, links=links, limit=100).html if len(rows) > 1 else facts_of(rows, links)))
    events = show_table(
        found["events"],
        limit=100,
        links={k: links[k] for k in ("batch_id",)},
        empty="The ledger holds nothing about it.",
    )
    return render_page(
        view, "trail.html.j2", f"{kind.capitalize()} {value}", parts=parts, events=events.html, source=found["source"]
    )


def desk_page(view: View, payouts: pd.DataFrame, orders: pd.DataFrame) -> str:
    """Payment files, payouts, breaks and suggestions as they stand now, each with the buttons that the person's role allows."""
    require_office(view.actor)
    links = {k: v for k, v in view.addresses.cells().items() if k in ("merchant_id", "merchant_name")}
    known = set(orders["payment_id"])
    links["payment_id"] = lambda r: view.addresses.to(f"payment/{r['payment_id']}") if r["payment_id"] in known else ""
    lists = []
    for title, frame, columns, names, value in (
        ("Payment files", orders, FILE_COLUMNS, ORDER_ACTS, lambda r: f"{r['payment_id']} {r['sha256']}"),
        ("Payouts", _filtered(payouts, view.asked), (*PAYOUT_COLUMNS, "payment_id"), PAYOUT_ACTS, lambda r: f"{r['payout_id']} {r['merchant_id']}"),
    ):  # fmt: skip
        acts = acts_for(view.actor, names) if view.is_latest else {}
        choose: Callable[[Mapping[str, Any]], str] | None = value if acts else None
        table = show_table(frame, list(columns), links=links, choose=choose, limit=500, empty=f"No {title.lower()}.")
        lists.append({"title": title, "html": table.html, "acts": acts})
    listings = [listing_view(view, listing_of(t)) for t in ("breaks", "suggestions") if view.run.has(t)]
    return render_page(view, "desk.html.j2", "Decide", current="desk", lists=lists, listings=listings)


def confirm_page(
    view: View, name: str, chosen: Sequence[str], said: str, tables: tuple[pd.DataFrame, pd.DataFrame]
) -> str:
    """What will happen to which lines, as they stand now, before it does; `tables`: payouts and payment files."""
    act = act_of(name)
    rows = chosen_rows(act, chosen) if act.key else pd.DataFrame()
    html, lines = _to_confirm(view, name, rows, tables)
    options = options_of(view.run, name, rows) if act.option else []
    if act.option and not options:
        raise Refused(
            "No state fits all of these disputes", expected="breaks whose disputes stand alike, and are not decided",
            remedy="go back and choose other lines",
        )  # fmt: skip
    current = act.page.removeprefix("page/")
    return render_page(
        view, "confirm.html.j2", act.label, current=current, name=name, act=act, chosen=chosen, html=html, lines=lines,
        reason=said, options=options,
    )  # fmt: skip


def _to_confirm(
    view: View, name: str, rows: pd.DataFrame, tables: tuple[pd.DataFrame, pd.DataFrame]
) -> tuple[str, list[str]]:
    """The chosen lines as they stand now, and what they come to."""
    if rows.empty:
        return "", []
    table = next((t for t, acts in LISTING_ACTS.items() if name in acts), "")
    if table:
        frame = add_standing(view.run, table, rows_chosen(view.run, table, rows))
        return show_table(frame, _with_standing(listing_of(table).shown, frame), limit=500, empty=_GONE).html, []
    if name in FRAUD_ACTS:
        return show_table(chosen_alerts(view.run, rows), list(ALERT_COLUMNS), limit=500, empty=_GONE).html, []
    return _chosen_now(rows, *tables)


def _chosen_now(rows: pd.DataFrame, payouts: pd.DataFrame, orders: pd.DataFrame) -> tuple[str, list[str]]:
    """The chosen lines as they stand now, of payment files also every payout in them; and what they come to."""
    if "payment_id" not in rows:
        now = payouts[payouts["payout_id"].isin(rows["payout_id"])]
        return show_table(now, list(PAYOUT_COLUMNS), limit=500, empty=_GONE).html, totals_of(now)
    files = orders[orders["payment_id"].isin(rows["payment_id"])]
    now = lines_of(payouts, list(files["payment_id"]))
    html = show_table(files, list(FILE_COLUMNS), limit=500, empty=_GONE).html
    if len(now):
        html += show_table(now, list(LINE_COLUMNS), limit=5000).html
    return html, totals_of(now) + hashes_of(files)


def payment_page(view: View, payment_id: str, payouts: pd.DataFrame, orders: pd.DataFrame) -> str:
    """One payment file: its facts with the whole SHA-256, what it comes to, and every payout in it."""
    require_office(view.actor)
    one, lines = file_of(orders, payment_id), lines_of(payouts, [payment_id])
    links = {k: v for k, v in view.addresses.cells().items() if k in ("merchant_id", "merchant_name")}
    parts = [
        ("; ".join(totals_of(lines)), facts_of(one[list(FILE_COLUMNS)], {})),
        ("Payouts", show_table(lines, list(LINE_COLUMNS), links=links, limit=5000).html),
    ]
    return render_page(
        view, "trail.html.j2", f"Payment file {payment_id}", current="desk", parts=parts, events="", source={}
    )


def message_page(base: str, title: str, text: str) -> str:
    """What went wrong, as a sentence."""
    return str(templates().get_template("message.html.j2").render(title=title, text=text, base=base))


def listing_view(view: View, listing: Listing) -> dict[str, Any]:
    """One table with its filters, pages, sorting links and exports."""
    name, asked = listing.table, _own(view.asked, listing.table)
    columns = columns_for(view.actor, listing)
    query = query_of(view, listing)
    if query.merchant and listing.merchant == "merchant_id" and listing.table != "merchants":
        columns = [c for c in columns if c not in ("merchant_id", "merchant_name")]
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
        frame, _with_standing(columns, frame), heads=heads, links=view.addresses.cells(), limit=query.size, empty=nothing,
        choose=choose,
    ).html  # fmt: skip
    return {
        "name": name, "title": listing.title, "about": declared(name).about, "html": html, "total": rows.total,
        "first": (query.page - 1) * query.size + 1, "shown": len(rows.frame), "last_page": last, "query": query,
        "choices": [(k, label_of(k), v, asked.get(k, "")) for k, v in choices.items()], "sizes": SIZES,
        "turn": {t: view.addresses.here(name, **{f"{name}__page": str(p)}) for t, p in (("Previous", query.page - 1), ("Next", query.page + 1)) if 1 <= p <= last},
        "exports": {kind: view.addresses.as_asked(f"export/{name}.{e}") for kind, e in (("Excel", "xlsx"), ("CSV", "csv")) if e == "csv" or rows.total <= EXCEL_ROWS},
        "acts": acts, "has_standing": "standing_decision" in frame,
        "has_tools": rows.total > SIZES[0] or bool(query.search or query.chosen),
        "is_filtered_by_merchant": bool(listing.merchant), "kept": {k: v for k, v in view.asked.items() if not k.startswith(f"{name}.")},
    }  # fmt: skip


def _to_choose(
    view: View, table: str, rows: pd.DataFrame
) -> tuple[dict[str, Act], pd.DataFrame, Callable[[Mapping[str, Any]], str] | None]:
    """The buttons of a list for this person, its rows with what stands decided now, and what a chosen row says."""
    if table not in LISTING_ACTS or not is_office(view.actor):
        return {}, rows, None
    acts = acts_for(view.actor, LISTING_ACTS[table]) if view.is_latest else {}
    stated = add_standing(view.run, table, rows)
    if not acts:
        return acts, stated, None
    if table == "breaks":
        return acts, stated, lambda row: f"{row['break_id']} {row['discrepancy_minor']}"
    keyed = stated.assign(pair=pair_keys(stated))
    return acts, keyed, lambda row: str(row["pair"])


def _with_standing(columns: Sequence[str], frame: pd.DataFrame) -> list[str]:
    """What stands decided comes after the first five columns: a person who decides looks there first."""
    extra = ["standing_decision"] if "standing_decision" in frame else []
    return [*columns[:5], *extra, *columns[5:]]


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


def _filtered(payouts: pd.DataFrame, asked: Mapping[str, str]) -> pd.DataFrame:
    for name, column in (("merchant", "merchant_id"), ("currency", "currency")):
        if asked.get(name):
            payouts = payouts[payouts[column] == asked[name]]
    return payouts.reset_index(drop=True)


def facts_of(rows: pd.DataFrame, links: Mapping[str, Any]) -> str:
    """One row as a list of names and values."""
    row = {str(k): v for k, v in rows.iloc[0].to_dict().items() if not str(k).startswith("source_")}
    code = str(row.get("currency", ""))
    facts = [
        (label_of(n), format_value(n, plain_value(v), code), links[n](row) if n in links else "")
        for n, v in row.items()
    ]
    return str(templates().get_template("facts.html.j2").render(facts=[f for f in facts if f[1]]))


def plain_value(value: Any) -> Any:
    """A NumPy scalar as Python's own."""
    return value.item() if hasattr(value, "item") and not isinstance(value, pd.Timestamp) else value


def render_page(view: View, template: str, title: str, *, current: str = "", **shown: Any) -> str:
    """A page with its frame: navigation, filters, who looks, and what was just done."""
    is_open = {s: is_office(view.actor) or any(one.own_shown for one in LISTINGS[s]) for s in STAGES}
    pages = [{"name": s, "title": TITLES[s]} for s in STAGES if is_open[s]]
    merchants, currencies = filters_of(view.run, view.actor)
    return str(
        templates().get_template(template).render(
            view=view, title=title, current=current, pages=pages, merchants=merchants, currencies=currencies,
            office=is_office(view.actor), nobody=view.actor == NOBODY, may=lambda action: may(view.actor, action), **shown,
        )
    )  # fmt: skip


@lru_cache(maxsize=1)
def templates() -> Any:
    """The templates of the pages; everything is escaped unless it says otherwise."""
    import jinja2

    made = jinja2.Environment(
        loader=jinja2.PackageLoader("atlas_lib.dashboard"), autoescape=True, trim_blocks=True, lstrip_blocks=True
    )
    made.filters["label"] = label_of
    return made
