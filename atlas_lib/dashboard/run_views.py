"""Pages of a run: the front page, a notebook, a merchant, and one contract or transaction down to its cell."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any
from urllib.parse import quote

from atlas_lib.core.accounts import mask_page
from atlas_lib.core.errors import SettingsError
from atlas_lib.core.run import Run
from atlas_lib.dashboard.access import is_office, may_see_accounts, require_office
from atlas_lib.dashboard.addresses import Addresses
from atlas_lib.dashboard.filters import filters_of
from atlas_lib.dashboard.frame import View, facts_of, render_page
from atlas_lib.dashboard.front import Task, stages_with_change
from atlas_lib.dashboard.listing_views import listing_view
from atlas_lib.dashboard.listings import LISTINGS, OFFICE_PAGES, listing_of
from atlas_lib.dashboard.rows import wrong_accounts_of
from atlas_lib.dashboard.trail import tables_of_merchant, trail_of
from atlas_lib.present.report import TITLES, describe_run, read_blocks
from atlas_lib.present.summary import failure_of
from atlas_lib.present.tables import show_table
from atlas_lib.present.theme import DARK_COLOURS
from atlas_lib.reserves_credit.roles import Actor


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


def office_page(view: View, name: str) -> str:
    """A page of tables beside the notebooks: customers, compliance."""
    require_office(view.actor)
    title, listings = OFFICE_PAGES[name]
    found = [*listings, *([listing_of("screening_findings")] if name == "compliance" else [])]
    shown = [listing_view(view, one) for one in found if view.run.has(one.table)]
    return render_page(view, "stage.html.j2", title, current=name, listings=shown, stage=None, charts=[])


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
