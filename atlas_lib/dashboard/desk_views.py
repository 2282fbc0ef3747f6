"""Where people decide: the lists of the desk, what a decision will do before it is done, and one payment file."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from atlas_lib.core.errors import Refused
from atlas_lib.core.wording import counted
from atlas_lib.dashboard.access import hide_accounts, require_office
from atlas_lib.dashboard.actions import (
    FRAUD_ACTS,
    MOVE_ACTS,
    ORDER_ACTS,
    PAYOUT_ACTS,
    act_of,
    acts_for,
    chosen_rows,
    table_decided,
    two_in_one,
)
from atlas_lib.dashboard.frame import View, facts_of, render_page
from atlas_lib.dashboard.fraud import ALERT_COLUMNS, chosen_alerts
from atlas_lib.dashboard.listing_views import listing_view, with_standing
from atlas_lib.dashboard.listings import listing_of
from atlas_lib.dashboard.payment_files import FILE_COLUMNS, file_of, hashes_of, line_columns, lines_of, totals_of
from atlas_lib.dashboard.reconciling import add_standing, options_of, rows_chosen
from atlas_lib.present.tables import format_value, show_table
from atlas_lib.reserves_credit.decisions import MOVE_COLUMNS, PAYOUT_COLUMNS
from atlas_lib.reserves_credit.roles import require

_MOVED = "Contracts that moved"
_GONE = "These lines are no longer there."


@dataclass(frozen=True)
class DeskTables:
    """Payouts, payment files and moved contracts as they stand now, as the person may see them."""

    payouts: pd.DataFrame
    orders: pd.DataFrame
    moves: pd.DataFrame


NO_TABLES = DeskTables(pd.DataFrame(), pd.DataFrame(), pd.DataFrame())


def desk_page(view: View, tables: DeskTables) -> str:
    """Payment files, payouts, moved contracts, breaks and suggestions as they stand now, each with the buttons that the person's role allows."""
    require_office(view.actor)
    links = {k: v for k, v in view.addresses.cells().items() if k in ("merchant_id", "merchant_name")}
    orders, payouts, moves = tables.orders, _filtered(tables.payouts, view.asked), tables.moves
    known = set(orders["payment_id"])
    links["payment_id"] = lambda r: view.addresses.to(f"payment/{r['payment_id']}") if r["payment_id"] in known else ""
    shown: list[tuple[str, pd.DataFrame, Sequence[str], Sequence[str], Callable[[Mapping[str, Any]], str]]] = [
        ("Payment files", orders, FILE_COLUMNS, ORDER_ACTS, lambda r: two_in_one(r["payment_id"], r["sha256"])),
        ("Payouts", payouts, (*PAYOUT_COLUMNS, "payment_id"), PAYOUT_ACTS, lambda r: two_in_one(r["payout_id"], r["merchant_id"])),
    ]  # fmt: skip
    if len(moves):
        shown.append((_MOVED, moves, MOVE_COLUMNS, MOVE_ACTS, lambda r: two_in_one(r["merchant_id"], r["contract_id"])))
    lists = []
    for title, frame, columns, names, value in shown:
        acts = acts_for(view.actor, names) if view.is_latest else {}
        choose: Callable[[Mapping[str, Any]], str] | None = value if acts else None
        table = show_table(frame, list(columns), links=links, choose=choose, limit=500, empty=f"No {title.lower()}.")
        lists.append({"title": title, "html": table.html, "acts": acts})
    listings = [listing_view(view, listing_of(t)) for t in ("breaks", "suggestions") if view.run.has(t)]
    return render_page(view, "desk.html.j2", "Decide", current="desk", lists=lists, listings=listings)


def confirm_page(view: View, name: str, chosen: Sequence[str], said: str, tables: DeskTables) -> str:
    """What will happen to which lines, as they stand now, before it does."""
    act = act_of(name)
    require(view.actor, act.permission)
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


def payment_page(view: View, payment_id: str, payouts: pd.DataFrame, orders: pd.DataFrame) -> str:
    """One payment file: its facts with the whole SHA-256, what it comes to, and every payout in it."""
    require_office(view.actor)
    one, lines = file_of(orders, payment_id), lines_of(payouts, [payment_id])
    links = {k: v for k, v in view.addresses.cells().items() if k in ("merchant_id", "merchant_name")}
    parts = [
        ("; ".join(totals_of(lines)), facts_of(one[list(FILE_COLUMNS)], {})),
        ("Payouts", show_table(lines, line_columns(1), links=links, limit=5000).html),
    ]
    return render_page(
        view, "trail.html.j2", f"Payment file {payment_id}", current="desk", parts=parts, events="", source={}
    )


def _to_confirm(view: View, name: str, rows: pd.DataFrame, tables: DeskTables) -> tuple[str, list[str]]:
    """The chosen lines as they stand now, and what they come to."""
    if rows.empty:
        return "", []
    table = table_decided(act_of(name), name)
    if table:
        frame = add_standing(view.run, rows_chosen(view.run, table, rows))
        html = show_table(
            hide_accounts(view.actor, frame), with_standing(listing_of(table).on_page, frame), limit=500, empty=_GONE
        ).html
        return html, _discrepancies(frame) if table == "breaks" else []
    if name in FRAUD_ACTS:
        found = chosen_alerts(view.run, rows, view.actor)
        return show_table(found, list(ALERT_COLUMNS), limit=500, empty=_GONE).html, []
    if name in MOVE_ACTS:
        now = tables.moves.merge(rows, on=["merchant_id", "contract_id"], how="inner")
        return show_table(now, list(MOVE_COLUMNS), limit=500, empty=_GONE).html, []
    return _chosen_now(rows, tables.payouts, tables.orders)


def _discrepancies(breaks: pd.DataFrame) -> list[str]:
    """`3 breaks: -12.50 EUR`, a line per currency."""
    grouped = breaks.groupby("currency")["discrepancy_minor"].agg(["size", "sum"])
    return [
        f"{counted(int(n), 'break')}: {format_value('discrepancy_minor', int(total), str(code))} {code}"
        for code, n, total in grouped.itertuples()
    ]


def _chosen_now(rows: pd.DataFrame, payouts: pd.DataFrame, orders: pd.DataFrame) -> tuple[str, list[str]]:
    """The chosen lines as they stand now, of payment files also every payout in them; and what they come to."""
    if "payment_id" not in rows:
        now = payouts[payouts["payout_id"].isin(rows["payout_id"])]
        return show_table(now, list(PAYOUT_COLUMNS), limit=500, empty=_GONE).html, totals_of(now)
    files = orders[orders["payment_id"].isin(rows["payment_id"])]
    now = lines_of(payouts, list(files["payment_id"]))
    html = show_table(files, list(FILE_COLUMNS), limit=500, empty=_GONE).html
    if len(now):
        html += show_table(now, line_columns(len(files)), limit=5000).html
    return html, totals_of(now) + hashes_of(files)


def _filtered(payouts: pd.DataFrame, asked: Mapping[str, str]) -> pd.DataFrame:
    for name, column in (("merchant", "merchant_id"), ("currency", "currency")):
        if asked.get(name):
            payouts = payouts[payouts[column] == asked[name]]
    return payouts.reset_index(drop=True)
