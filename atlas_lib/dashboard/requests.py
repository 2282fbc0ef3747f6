"""What is answered to a request, apart from any server: a path, parameters and a person in, headers and bytes out."""

from __future__ import annotations

import gzip
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache, partial
from importlib.resources import files
from pathlib import Path
from typing import Any

import pandas as pd

from atlas_lib.core.accounts import mask_page
from atlas_lib.core.errors import AtlasError, Refused, SettingsError, TableError
from atlas_lib.core.opening import latest_run_of, runs_dir
from atlas_lib.core.run import Run
from atlas_lib.core.tables import declared
from atlas_lib.dashboard.access import is_office, may_see_accounts, require_office
from atlas_lib.dashboard.actions import DAILY, LISTING_ACTS, act_of, decide, desk_of
from atlas_lib.dashboard.addresses import Addresses
from atlas_lib.dashboard.daily_views import daily_page
from atlas_lib.dashboard.desk_views import NO_TABLES, DeskTables, confirm_page, desk_page, payment_page
from atlas_lib.dashboard.downloads import download
from atlas_lib.dashboard.frame import View, message_page
from atlas_lib.dashboard.fraud import open_alerts
from atlas_lib.dashboard.fraud_views import alert_page, fraud_page
from atlas_lib.dashboard.front import tasks_of
from atlas_lib.dashboard.listing_views import part_of_page
from atlas_lib.dashboard.listings import OFFICE_PAGES
from atlas_lib.dashboard.operations_views import operations_page
from atlas_lib.dashboard.rows import wrong_accounts_of
from atlas_lib.dashboard.run_views import front_page, merchant_page, office_page, stage_page, trail_page
from atlas_lib.present.report import resource, style
from atlas_lib.reserves_credit.decisions import MOVE_COLUMNS, ORDER_COLUMNS, PAYOUT_COLUMNS
from atlas_lib.reserves_credit.moves import OPEN
from atlas_lib.reserves_credit.roles import Actor, at_run, require
from atlas_lib.reserves_credit.workflow import sum_orders
from atlas_lib.scheduling import list_runs

_TYPES = {"css": "text/css; charset=utf-8", "js": "text/javascript; charset=utf-8", "html": "text/html; charset=utf-8", "csv": "text/csv; charset=utf-8", "xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet", "json": "application/json", "txt": "text/plain; charset=utf-8", "xml": "application/xml"}  # fmt: skip

_PAGES_THAT_DECIDE = ("desk", "fraud", "daily", "page/05_reconciliation")


@dataclass(frozen=True)
class Asked:
    """One request; `environment` names the person to the room's own functions."""

    path: str
    arguments: Mapping[str, str]
    actor: Actor
    environment: Mapping[str, str]
    base: str = "/"
    form_token: str = ""
    said: tuple[str, str] | None = None


@dataclass(frozen=True)
class Answer:
    body: bytes | str
    headers: Mapping[str, str] = field(default_factory=lambda: {"Content-Type": _TYPES["html"]})
    status: int = 200
    parts: Iterator[bytes] = field(default_factory=lambda: iter(()))  # what follows `body`, made as it is sent


def answer(asked: Asked, choice: tuple[str, Sequence[str], str] | None = None) -> Answer:
    """The page, export or part of a page that was asked for; `choice` (action, lines, reason) asks for its confirmation."""
    if choice:
        name, chosen, said = choice
        view = _view(_returning(asked, name))
        require_office(asked.actor)
        is_payout = act_of(name).page == "desk"
        tables = _desk_tables(view, asked) if is_payout else NO_TABLES
        return Answer(confirm_page(view, name, chosen, said, tables))
    view = _view(asked)
    kind, _, value = asked.path.partition("/")
    if kind == "export":
        return _export(view, value)
    if asked.path == "fraud":
        return Answer(fraud_page(view, is_part="only" in asked.arguments))
    if "only" in asked.arguments:
        return Answer(part_of_page(view, asked.arguments["only"]))
    return Answer(_page(view, asked, kind, value))


def decide_and_say(
    asked: Asked, name: str, chosen: Sequence[str], said: str, option: str = ""
) -> tuple[str, str]:  # fmt: skip
    """Do what was confirmed, on the latest run; tone and sentence, also for a refusal."""
    try:
        run = _view(Asked("desk", {}, asked.actor, asked.environment)).run
        return "good", decide(run, asked.environment, name, chosen, said, option)
    except AtlasError as error:
        return "bad", str(error)


def result_of(asked: Asked, name: str) -> str:
    """The address that shows what became of an action: where it was chosen, with the filters that were set there."""
    path = _returning(asked, name).path
    tables = [t for t, acts in LISTING_ACTS.items() if name in acts]
    shown = [t for t in tables if (t == DAILY) == (path == "daily")] or tables
    return Addresses(asked.base, path, asked.arguments).here(shown[0] if shown else "")


def _returning(asked: Asked, name: str) -> Asked:
    """The request as of the page that the action was chosen on; a form cannot name any other."""
    return asked if asked.path in _PAGES_THAT_DECIDE else replace(asked, path=act_of(name).page)


def failure(error: BaseException | None, status: int, base: str) -> Answer:
    """An error as a page with one sentence; what is not ours is not told to the reader."""
    if isinstance(error, AtlasError):
        status = 403 if isinstance(error, Refused) else 400 if isinstance(error, SettingsError) else 404 if isinstance(error, TableError) else 500  # fmt: skip
        titles = {403: "This is not for you", 400: "This cannot be shown", 404: "This is not there", 500: "This failed"}
        return Answer(message_page(base, titles[status], str(error)), status=status)
    texts = {
        404: "There is no such page.",
        403: "You may not do this, or the page was open for too long. Load it again.",
    }
    return Answer(
        message_page(
            base,
            "This cannot be shown",
            texts.get(status, "Something failed; nothing was changed by looking. Tell the person who runs the server."),
        ),
        status=status,
    )


def read_asset(name: str, *, is_packed: bool) -> Answer:
    """A style or script of the package; plotly.js goes over the line packed, once for a reader."""
    content = _asset(name)
    headers = {"Content-Type": _TYPES[name.rsplit(".", 1)[-1]], "Cache-Control": "max-age=3600"}
    if name == "plotly.js" and is_packed:
        return Answer(_packed(name), {**headers, "Content-Encoding": "gzip"})
    return Answer(content, headers)


def read_file(asked: Asked, run_id: str, folder: str, name: str) -> Answer:
    """A report page or an export of a run, for the office; exports, with account numbers in full, for who may see those."""
    require_office(asked.actor)
    if folder == "exports":
        require(asked.actor, "see_bank_details")
    run = _view(Asked("", {"run": run_id}, asked.actor, asked.environment)).run
    path = run.directory / folder / name
    ending = path.suffix.removeprefix(".")
    if path.parent != run.directory / folder or ending not in _TYPES or not path.is_file():
        raise TableError("There is no such file in this run", where=run_id, found=name)
    if folder == "html" and not may_see_accounts(asked.actor):
        page = mask_page(path.read_text(encoding="utf-8"), wrong_accounts_of(run))
        return Answer(page, {"Content-Type": _TYPES[ending]})
    return Answer(path.read_bytes(), {"Content-Type": _TYPES[ending]})


def _view(asked: Asked) -> View:
    folder = runs_dir()
    latest = latest_run_of(folder)
    if latest is None or not (latest / "manifest.json").exists():
        raise TableError("There is no run yet", where="the runs directory", remedy="run `atlas run`")
    kept = list_runs(folder) if is_office(asked.actor) else []  # what-if runs and older figures are the office's
    names = [latest.name, *(p.name for p in kept if p != latest)]
    wanted = asked.arguments.get("run") or latest.name
    if wanted not in names:
        raise TableError(
            "There is no such run", found=wanted, expected=f"one of {len(names)} runs", remedy="choose it on the page"
        )
    addresses = Addresses(
        asked.base, asked.path, {k: v for k, v in asked.arguments.items() if k not in ("only", "token")}
    )
    run = Run(folder / wanted)
    return View(run, names, at_run(asked.actor, run), addresses, asked.form_token, asked.said, addresses.asked)


def _page(view: View, asked: Asked, kind: str, value: str) -> str:
    if kind == "" and not is_office(view.actor):
        require(view.actor, "see_own")
        return merchant_page(view, view.actor.merchant_id)
    if kind in ("", "desk", "payment"):
        return _page_of_payouts(view, asked, kind, value)
    pages: dict[str, Callable[[], str]] = {
        "page": lambda: stage_page(view, value),
        "daily": lambda: daily_page(view),
        "operations": lambda: operations_page(view),
        **{name: partial(office_page, view, name) for name in OFFICE_PAGES},
        "fraud": lambda: alert_page(view, value),
        "merchant": lambda: merchant_page(view, view.asked.get("merchant") or value),
    }
    return pages.get(kind, lambda: trail_page(view, kind, value))()


def _page_of_payouts(view: View, asked: Asked, kind: str, value: str) -> str:
    tables = _desk_tables(view, asked)
    if kind == "payment":
        return payment_page(view, value, tables.payouts, tables.orders)
    if kind == "desk":
        return desk_page(view, tables)
    moved = int((tables.moves["move"] == OPEN).sum())
    found = tasks_of(view.run, tables.payouts, tables.orders, open_alerts(view.run), moved)
    return front_page(view, _before(view), found)


def _desk_tables(view: View, asked: Asked) -> DeskTables:
    if not view.run.has("payouts"):
        columns = dict.fromkeys([*declared("payouts").column_names, *PAYOUT_COLUMNS, "payment_id", "live_status"])
        names = (columns, ORDER_COLUMNS, MOVE_COLUMNS)
        return DeskTables(*(pd.DataFrame(columns=list(n)) for n in names))
    with desk_of(view.run, asked.environment) as desk:
        payouts = desk.payouts()
        return DeskTables(payouts, sum_orders(payouts), desk.moves())


def _before(view: View) -> Run | None:
    """The run that was the latest when this one was made, if it is still kept."""
    named = (view.run.manifest.get("previous") or {}).get("run_id", "")
    return Run(view.run.directory.parent / named) if named in view.runs and named != view.run.run_id else None


def _export(view: View, file_name: str) -> Answer:
    table, _, ending = file_name.rpartition(".")
    if ending not in ("csv", "xlsx"):
        raise SettingsError("No such export", found=file_name, expected="csv or xlsx")
    name = f"{table}-{view.run.manifest['as_of']}.{ending}"
    headers = {"Content-Type": _TYPES[ending], "Content-Disposition": f'attachment; filename="{name}"'}
    parts = download(view, table, ending)
    first = next(parts)  # refused, or busy, before anything is sent
    return Answer(first, headers, parts=parts)


@lru_cache(maxsize=8)
def _asset(name: str) -> bytes:
    own: dict[str, Any] = {
        "style.css": style, "theme.js": lambda: resource("theme.js"), "charts.js": lambda: resource("charts.js"),
        "dashboard.css": lambda: _own(name), "dashboard.js": lambda: _own(name),
        "plotly.js": lambda: (files("plotly") / "package_data" / "plotly.min.js").read_text(encoding="utf-8"),
    }  # fmt: skip
    if name not in own:
        raise TableError("There is no such file", found=name)
    return str(own[name]()).encode("utf-8")


def _own(name: str) -> str:
    return (Path(__file__).parent / "templates" / name).read_text(encoding="utf-8")


@lru_cache(maxsize=1)
def _packed(name: str) -> bytes:
    return gzip.compress(_asset(name), compresslevel=9, mtime=0)
