"""What every page has: whose it is and of which run, the frame around it, and a row as a list of facts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import pandas as pd

from atlas_lib.core.run import Run
from atlas_lib.core.settings import STAGES
from atlas_lib.dashboard.access import NOBODY, is_office
from atlas_lib.dashboard.addresses import Addresses
from atlas_lib.dashboard.filters import filters_of
from atlas_lib.dashboard.listings import LISTINGS, OFFICE_PAGES
from atlas_lib.present.report import TITLES
from atlas_lib.present.tables import format_value, label_of
from atlas_lib.reserves_credit.roles import Actor, may


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


def render_page(view: View, template: str, title: str, *, current: str = "", **shown: Any) -> str:
    """A page with its frame: navigation, filters, who looks, and what was just done."""
    is_open = {s: is_office(view.actor) or any(one.own_shown for one in LISTINGS[s]) for s in STAGES}
    pages = [{"name": s, "title": TITLES[s]} for s in STAGES if is_open[s]]
    merchants, currencies = filters_of(view.run, view.actor)
    return str(
        templates().get_template(template).render(
            view=view, title=title, current=current, pages=pages, merchants=merchants, currencies=currencies,
            office=is_office(view.actor), other_pages=_other_pages(view.actor), nobody=view.actor == NOBODY, may=lambda action: may(view.actor, action), **shown,
        )
    )  # fmt: skip


def _other_pages(actor: Actor) -> dict[str, str]:
    """Pages of the office beside those of the notebooks: address to title."""
    own = {name: title for name, (title, _) in OFFICE_PAGES.items()}
    return (
        {"daily": "Daily", "fraud": "Fraud", **own, "desk": "Decide", "operations": "Operations"}
        if is_office(actor)
        else {}
    )


def message_page(base: str, title: str, text: str) -> str:
    """What went wrong, as a sentence."""
    return str(templates().get_template("message.html.j2").render(title=title, text=text, base=base))


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


@lru_cache(maxsize=1)
def templates() -> Any:
    """The templates of the pages; everything is escaped unless it says otherwise."""
    import jinja2

    made = jinja2.Environment(
        loader=jinja2.PackageLoader("atlas_lib.dashboard"), autoescape=True, trim_blocks=True, lstrip_blocks=True
    )
    made.filters["label"] = label_of
    return made
