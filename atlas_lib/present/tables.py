"""Tables as plain styled HTML: right-aligned figures, units in the heading, statuses as words with colour."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from html import escape
from pathlib import Path
from typing import Any, TypeAlias

import pandas as pd

from atlas_lib.core.accounts import mask_text
from atlas_lib.core.money import format_minor
from atlas_lib.core.run import is_view_only
from atlas_lib.present import theme

_WORDS = {
    "id": "ID",
    "ids": "IDs",
    "rr": "RR",
    "fx": "FX",
    "iban": "IBAN",
    "bic": "BIC",
    "kyc": "KYC",
    "aml": "AML",
    "hhi": "HHI",
    "xirr": "XIRR",
    "dso": "DSO",
    "pd": "PD",
    "lgd": "LGD",
    "cvar": "CVaR",
    "mase": "MASE",
    "sha256": "SHA-256",
    "rtgs": "RTGS",
}
_SUFFIXES = ("_minor", "_rate", "_bps", "_days", "_date", "_at", "_count")
_SHORT_TEXT, _LONG_WORD = 20, 28  # characters of a text, and of a single word (an id), that stay on one line
_STATUS_COLUMNS = ("status", "severity", "level", "passed", "reconciled_status", "outcome", "risk_level", "verdict")

ACCOUNTS_HEADER, ACCOUNTS_SHOWN = "Atlas-Accounts", "shown"  # what the dashboard tells the kernel that it starts
ACCOUNTS_VARIABLE = "HTTP_ATLAS_ACCOUNTS"  # and how the kernel finds it
_IS_MASKED_BEFORE = False


Link: TypeAlias = Callable[[Mapping[str, Any]], str]


@cache
def lab_style() -> str:
    """What JupyterLab needs beside its own style of tables; pages of ours have a style sheet and leave it out.

    It goes with every table: Lab keeps only the cells near the window in the page.
    """
    rules = (Path(__file__).parent / "templates" / "lab.css").read_text(encoding="utf-8")
    return f"<style>{' '.join(rules.split())}</style>"


class TableView:
    """A table ready to be shown; in a terminal it prints as text."""

    def __init__(self, html: str, text: str | Callable[[], str]) -> None:
        self.html, self._text = html, text

    @property
    def text(self) -> str:
        """Made when it is asked for: a page that is served never asks."""
        return self._text if isinstance(self._text, str) else self._text()

    def _repr_html_(self) -> str:
        return lab_style() + self.html

    def __repr__(self) -> str:
        return self.text


def show_table(
    frame: pd.DataFrame,
    columns: Sequence[str] | None = None,
    *,
    labels: Mapping[str, str] | None = None,
    currency: str = "",
    limit: int = 20,
    total: Mapping[str, Any] | None = None,
    empty: str = "Nothing to show.",
    heads: Mapping[str, str] | None = None,
    links: Mapping[str, Link] | None = None,
    choose: Callable[[Mapping[str, Any]], str] | None = None,
    mark: Callable[[Mapping[str, Any]], str] | None = None,
) -> TableView:
    """The first `limit` rows of a table, formatted by the units in its column names.

    `currency` is used where the frame has no currency column; `total` adds a last row with the given
    cells; `empty` is the friendly line shown for a table without rows. For pages that are served:
    `heads` maps a column to the address that sorts by it, `links` a column to the address its cell
    leads to, `choose` gives the value of a check box in front of a row (empty for none), `mark` the class of a row.
    """
    if frame.empty:
        return TableView(f'<p class="atlas-empty">{escape(empty)}</p>', empty)
    names = list(columns or frame.columns)
    shown = frame.head(limit)
    codes = shown["currency"].astype(str) if "currency" in shown else pd.Series(currency, index=shown.index)
    cells = {n: [_cell(n, v, c) for v, c in zip(shown[n], codes, strict=True)] for n in names}
    kinds = {n: _kind(n, frame) for n in names}
    head = "".join(
        f'<th class="{kinds[n]}" scope="col"{_sorted(n, heads)}>{_anchor((heads or {}).get(n, ""), (labels or {}).get(n, label_of(n)))}</th>'
        for n in names
    )
    found = shown.to_dict("records") if links or choose or mark else [{} for _ in range(len(shown))]
    records: list[dict[str, Any]] = [{str(k): v for k, v in record.items()} for record in found]
    rows = [
        "".join(_td(n, cells[n][i], kinds[n], _target(links, n, records[i])) for n in names) for i in range(len(shown))
    ]
    if choose:
        head = '<th scope="col"><span class="hidden">Choose</span></th>' + head
        rows = [_box(choose(r)) + row for r, row in zip(records, rows, strict=True)]
    marks = [mark(r) if mark else "" for r in records]
    body = "".join(
        f'<tr class="{escape(m)}">{r}</tr>' if m else f"<tr>{r}</tr>" for m, r in zip(marks, rows, strict=True)
    )
    foot = _total_row(kinds, total, codes.iloc[0]) if total else ""
    more = f"<caption>First {limit:,} of {len(frame):,} rows</caption>" if len(frame) > limit else ""
    html = f'<div class="atlas-scroll"><table class="atlas-table">{more}<thead><tr>{head}</tr></thead><tbody>{body}</tbody>{foot}</table></div>'
    return TableView(html, lambda: pd.DataFrame(cells).to_string(index=False))


def _box(value: str) -> str:
    shown = escape(value)
    box = f'<input type="checkbox" name="chosen" value="{shown}" aria-label="Choose {shown}">' if value else ""
    return f"<td>{box}</td>"


def show_figures(figures: pd.DataFrame) -> TableView:
    """Key figures as cards; columns label and value."""
    cards = "".join(
        f'<div class="atlas-card"><span>{escape(str(r.label))}</span> <strong>{escape(str(r.value))}</strong></div>'
        for r in figures.itertuples()
    )
    return TableView(f'<div class="atlas-cards">{cards}</div>', figures.to_string(index=False))


def show_note(text: str, tone: str = "neutral") -> TableView:
    """One sentence that stands out: tone good, attention, bad or neutral."""
    return TableView(f'<p class="atlas-note {escape(tone)}">{escape(text)}</p>', text)


# What is counted stands in the row or the title; these say only which of them.
_NO_PLURAL = frozenset(
    "in before due open waiting eligible again effective late other overdue pending remaining risk history clean distinct t0 t1 t2 rtgs".split()
)


def label_of(column: str) -> str:
    """`client_rr_minor` -> `Client RR`, `contract_count` -> `Contracts`, `is_blocking` -> `Blocking`."""
    words = column.removeprefix("is_").removesuffix("_minor").split("_")
    if words[-1] == "count" and len(words) > 1:
        is_noun = not words[-2].endswith(("s", "ed")) and words[-2] not in _NO_PLURAL
        words = [*words[:-2], words[-2] + "s" if is_noun else words[-2]]
    named = [_WORDS.get(w, w) for w in words]
    return " ".join([named[0] if named[0] in _WORDS.values() else named[0].capitalize(), *named[1:]])


def format_value(column: str, value: Any, currency: str = "") -> str:
    """One cell as text, by the unit in the column's name; empty for a missing value."""
    if value is None or value is pd.NaT or (pd.api.types.is_scalar(value) and pd.isna(value)):
        return ""
    if column.endswith("_minor"):
        return format_minor(int(value), currency)
    if column.endswith(("_rate", "_ratio")) and isinstance(value, float):
        return f"{value * 100:,.2f} %"
    return _plain(column, value)


def _plain(column: str, value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, pd.Timestamp):
        return value.strftime("%Y-%m-%d %H:%M") if column.endswith("_at") else value.strftime("%Y-%m-%d")
    if isinstance(value, float):
        return f"{value:,.2f}"
    if isinstance(value, int) and not column.endswith(("_id", "_row", "period", "year")):
        return f"{value:,}"
    return mask_text(str(value)) if _hides_accounts() else str(value)


def pages_mask_accounts() -> None:
    """For the server of pages, which asks only for what the person may see: its tables show texts as they are."""
    global _IS_MASKED_BEFORE  # of this process, as its role
    _IS_MASKED_BEFORE = True


@cache
def _hides_accounts() -> bool:
    """A kernel behind the dashboard shows account numbers only where the dashboard says that its reader may see them."""
    return not _IS_MASKED_BEFORE and is_view_only() and os.environ.get(ACCOUNTS_VARIABLE) != ACCOUNTS_SHOWN


def _cell(column: str, value: Any, currency: str) -> str:
    item = value.item() if hasattr(value, "item") and not isinstance(value, pd.Timestamp) else value
    return format_value(column, item, currency)


def _sorted(name: str, heads: Mapping[str, str] | None) -> str:
    """`heads` also names the column that the rows are sorted by: `column:sorted` is ascending or descending."""
    mark = (heads or {}).get(f"{name}:sorted", "")
    return f' aria-sort="{mark}"' if mark else ""


def _target(links: Mapping[str, Link] | None, name: str, record: Mapping[str, Any]) -> str:
    return links[name](record) if links and name in links else ""


def _anchor(address: str, text: str) -> str:
    return f'<a href="{escape(address)}">{escape(text)}</a>' if address and text else escape(text)


def _td(name: str, text: str, kind: str, address: str = "") -> str:
    if name in _STATUS_COLUMNS and text:
        tone = theme.status_tone("ok" if text == "yes" else "failed" if text == "no" else text)
        return f'<td><span class="atlas-status {tone}">{escape(text)}</span></td>'
    is_word = " " not in text
    fits = len(text) <= (_LONG_WORD if is_word else _SHORT_TEXT)
    short = "" if kind != "text" else " short" if fits else " long" if is_word else ""
    return f'<td class="{kind}{short}">{_anchor(address, text)}</td>'


def _kind(name: str, frame: pd.DataFrame) -> str:
    numeric = name.endswith((*_SUFFIXES[:4], "_count")) or (
        name in frame and pd.api.types.is_numeric_dtype(frame[name])
    )
    return "number" if numeric and not (name in frame and pd.api.types.is_bool_dtype(frame[name])) else "text"


def _total_row(kinds: Mapping[str, str], total: Mapping[str, Any], currency: str) -> str:
    code = str(total.get("currency", currency))
    cells = "".join(
        f'<td class="{kind}">{escape(_cell(n, total[n], code) if n in total else "")}</td>' for n, kind in kinds.items()
    )
    return f"<tfoot><tr>{cells}</tr></tfoot>"
