"""The fraud console as HTML: the list of alerts, and one alert with the newest payments of its user and merchant."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import quote

from atlas_lib.dashboard.access import require_office
from atlas_lib.dashboard.actions import FRAUD_ACTS, acts_for
from atlas_lib.dashboard.frame import View, facts_of, plain_value, render_page, templates
from atlas_lib.dashboard.fraud import ALERT_COLUMNS, FRAUD_EXPORT, PAGE_SIZE, alert_of, alerts_of
from atlas_lib.present.tables import format_value, show_table
from atlas_lib.reconciliation.final_index import NEWEST_ROWS

_BESIDE = ("country", "ingested_at")  # filtered by, on the alert's own page, and in what is exported


def fraud_page(view: View, *, is_part: bool = False) -> str:
    """The alerts that fit, newest first, with the delay of the newest delivery; `is_part`: the list alone."""
    require_office(view.actor)
    found = alerts_of(view.run, view.asked, view.actor)
    acts = acts_for(view.actor, FRAUD_ACTS) if view.is_latest else {}
    choose: Callable[[Mapping[str, Any]], str] | None = (lambda r: str(r["transaction_id"])) if acts else None
    nothing = "No alert fits these filters." if found.open_count else "There is no open alert."
    columns = [c for c in ALERT_COLUMNS if c not in _BESIDE]
    table = show_table(found.frame, columns, links=_alert_links(view), choose=choose, limit=PAGE_SIZE, empty=nothing)
    last = max(1, -(-found.total // PAGE_SIZE))
    turn = {t: view.addresses.here(p=str(n)) for t, n in (("Newer", found.page - 1), ("Older", found.page + 1)) if 1 <= n <= last}  # fmt: skip
    delivery = found.delivery and {n: format_value(n, plain_value(v)) for n, v in found.delivery.items()}
    shown = {
        "found": found,
        "html": table.html,
        "acts": acts,
        "turn": turn,
        "delivery": delivery,
        "size": PAGE_SIZE,
        "beside": len(_BESIDE),
    }
    shown["exports"] = {kind: view.addresses.as_asked(f"export/{FRAUD_EXPORT}.{e}") for kind, e in (("Excel", "xlsx"), ("CSV", "csv"))}  # fmt: skip
    if is_part:
        return str(templates().get_template("alerts.html.j2").render(view=view, **shown))
    return render_page(view, "fraud.html.j2", "Fraud console", current="fraud", **shown)


def alert_page(view: View, transaction_id: str) -> str:
    """One alert: what it is, what was said of it, and the newest payments of its user and merchant."""
    require_office(view.actor)
    found, links = alert_of(view.run, transaction_id, view.actor), _alert_links(view)
    columns = [c for c in ALERT_COLUMNS if c not in ("judged_by", "country", "ingested_at", "delay_seconds")]
    user, merchant = found["alert"]["user_id"].iloc[0], found["alert"]["merchant_id"].iloc[0]
    own = {
        f"Newest payments of {user or 'the user, who is not named'}": show_table(found["user"], [c for c in columns if c != "user_id"], links=links, limit=NEWEST_ROWS, empty="No payment names its user."),
        f"Newest payments at merchant {merchant}": show_table(found["merchant"], [c for c in columns if not c.startswith("merchant_")], links=links, limit=NEWEST_ROWS),
    }  # fmt: skip
    judged = show_table(found["judgements"], ["judged_at", "actor", "verdict", "said"], empty="Nobody has judged it.")
    return render_page(
        view, "alert.html.j2", f"Alert {transaction_id}", current="fraud", transaction_id=transaction_id,
        facts=facts_of(found["alert"], {k: v for k, v in view.addresses.cells().items() if k.startswith(("merchant_", "transaction_", "user_"))}),
        judged=judged.html, acts=acts_for(view.actor, FRAUD_ACTS) if view.is_latest else {},
        state=found["alert"]["state"].iloc[0], histories={title: table.html for title, table in own.items()},
    )  # fmt: skip


def _alert_links(view: View) -> dict[str, Any]:
    """An alert leads to its own page, a payment that is none to its trail."""
    cells = view.addresses.cells()

    def alert(row: Mapping[str, Any]) -> str:
        name = str(row["transaction_id"])
        return (
            view.addresses.to(f"fraud/{quote(name, safe='')}")
            if row.get("state")
            else str(cells["transaction_id"](row))
        )

    return {"transaction_id": alert, **{n: cells[n] for n in ("merchant_id", "merchant_name", "user_id")}}
