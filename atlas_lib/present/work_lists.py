"""Lists that people act on: choose lines, press a button, see what will be done, confirm it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING

import pandas as pd

from atlas_lib.core.errors import Refused
from atlas_lib.present.controls import ALL, action_button, dropdown, reason_field, row_of, rows_that_fit, show_parts
from atlas_lib.present.tables import format_value, show_table

if TYPE_CHECKING:
    import ipywidgets

_NAMED = 5  # lines that a question spells out
_Action = Callable[[pd.DataFrame, str], str]


@dataclass(frozen=True)
class WorkList:
    """A list that people act on: `read` gives its present rows, an action takes the chosen ones and a reason.

    An action returns a sentence about what it did, or raises an AtlasError that says why it did not.
    """

    title: str
    read: Callable[[], pd.DataFrame]
    key: str
    filters: Sequence[str]
    columns: Sequence[str]
    actions: Mapping[str, _Action]
    empty: str = "Nothing to decide."


def explore_work(lists: Sequence[WorkList]) -> ipywidgets.Widget:
    """Lists to filter, choose from and act on, under each other; an action on one shows its effect in all."""
    import ipywidgets

    panels = [_WorkPanel(one) for one in lists]
    for panel in panels:
        panel.after = [other.refresh for other in panels]
    return ipywidgets.VBox([panel.box for panel in panels])


class _WorkPanel:
    """One work list on the page. A button asks first: what is confirmed are the rows as they stood when it was pressed.

    Other people act on the same rows: a button reads the list again before it asks, and asks about nothing that is not
    as it was shown.
    """

    def __init__(self, work: WorkList) -> None:
        import ipywidgets

        self._work, self._output = work, ipywidgets.Output()
        self.after: list[Callable[[], None]] = []
        self._frame = work.read()
        self._choices = {name: dropdown(name, self._frame[name]) for name in work.filters}
        self._chosen = ipywidgets.SelectMultiple(description="Choose", layout={"width": "min(960px, 100%)"})
        self._said, self._reason = ipywidgets.HTML(), reason_field()
        self._asked: Callable[[], str] | None = None
        confirm = {"Confirm": self._confirmed, "Cancel": self._cancelled}
        self._confirm = row_of([action_button(label, self._said, do) for label, do in confirm.items()])
        for choice in self._choices.values():
            choice.observe(lambda _: self._fill(), names="value")
        buttons = [action_button(label, self._said, self._asking(label, act)) for label, act in work.actions.items()]
        again = action_button("Refresh", self._said, self._read_again)
        title = ipywidgets.HTML(f"<h3>{escape(work.title)}</h3>")
        parts = [
            title,
            row_of([*self._choices.values(), again]),
            self._output,
            self._chosen,
            row_of([self._reason, *buttons]),
            self._said,
            self._confirm,
        ]
        self.box = ipywidgets.VBox(parts)
        self._show_confirm(is_asked=False)
        self._fill()

    def refresh(self) -> None:
        """Read the list again; lines that are unchanged stay chosen, and what is shown of the others is new."""
        self._frame = self._work.read()
        for name, choice in self._choices.items():
            present = choice.value
            choice.options = [ALL, *sorted(self._frame[name].dropna().astype(str).unique())]
            choice.value = present if present in choice.options else ALL
        self._fill()

    def _shown(self) -> pd.DataFrame:
        return rows_that_fit(self._frame, self._choices)

    def _fill(self) -> None:
        shown = self._shown()
        show_parts(self._output, [("", show_table(shown, list(self._work.columns), limit=50, empty=self._work.empty))])
        options = list(zip(self._labels(shown), shown[self._work.key], strict=True))
        still = set(options) & {o for o in self._chosen.options if o[1] in self._chosen.value}
        self._chosen.options, self._chosen.rows = options, max(2, min(8, len(options)))
        self._chosen.value = [option[1] for option in options if option in still]
        self._chosen.layout.display = None if options else "none"

    def _labels(self, rows: pd.DataFrame) -> list[str]:
        """The columns of each row as one line."""
        names = list(self._work.columns)
        cells = [[format_value(n, r[n], str(r.get("currency", ""))) for n in names] for r in rows.to_dict("records")]
        return [" · ".join(filter(None, row)) for row in cells]

    def _lines(self, keys: Sequence[str] | None = None) -> dict[str, str]:
        """Key to line, of these keys or all, whatever the filters show."""
        rows = self._frame if keys is None else self._frame[self._frame[self._work.key].isin(keys)]
        return dict(zip(rows[self._work.key], self._labels(rows), strict=True))

    def _read_again(self) -> str:
        self._cancelled()
        before = self._lines()
        for refresh in self.after:
            refresh()
        return f"Read again. {_what_changed(before, self._lines()) or 'Nothing has changed.'}"

    def _require_as_shown(self, keys: Sequence[str]) -> None:
        before = self._lines(keys)
        self.refresh()
        changed = _what_changed(before, self._lines(keys))
        if changed:
            raise Refused(
                "The list has changed since it was shown", found=changed, remedy="look at the list and choose again"
            )

    def _asking(self, label: str, act: _Action) -> Callable[[], str]:
        """Ask whether the chosen rows are meant; without any there is nothing to confirm, and the action says so or acts."""

        def run() -> str:
            self._cancelled()
            self._require_as_shown(self._chosen.value)
            shown = self._shown()
            rows, said = shown[shown[self._work.key].isin(self._chosen.value)], self._reason.value
            if rows.empty:
                return self._do(lambda: act(rows, said))
            self._asked = lambda: act(rows, said)
            self._show_confirm(is_asked=True)
            return f"{label}? {_come_to(rows)}: {_name_some(self._labels(rows))}. Confirm below."

        return run

    def _confirmed(self) -> str:
        asked = self._asked
        return self._do(asked) if asked else "Nothing is asked."

    def _cancelled(self) -> str:
        self._asked = None
        self._show_confirm(is_asked=False)
        return "Nothing was done."

    def _do(self, act: Callable[[], str]) -> str:
        self._cancelled()
        try:
            return act()
        finally:
            for refresh in self.after:
                refresh()

    def _show_confirm(self, *, is_asked: bool) -> None:
        self._confirm.layout.display = None if is_asked else "none"


def _name_some(lines: Sequence[str]) -> str:
    more = f" and {len(lines) - _NAMED} more" if len(lines) > _NAMED else ""
    return "; ".join(lines[:_NAMED]) + more


def _what_changed(before: Mapping[str, str], now: Mapping[str, str]) -> str:
    """The lines that are new, otherwise or gone, empty when none is."""
    parts = {
        "New": [line for key, line in now.items() if key not in before],
        "Changed": [line for key, line in now.items() if before.get(key, line) != line],
        "Gone": [line for key, line in before.items() if key not in now],
    }
    return " ".join(f"{word}: {_name_some(lines)}." for word, lines in parts.items() if lines)


def _come_to(rows: pd.DataFrame) -> str:
    """`2 lines, 36,250.00 EUR`: how many rows, the sum of their amounts per currency, and what cannot be added up.

    Amounts without a currency are said one by one, because nobody knows whether they are of the same one.
    """
    parts = [f"{len(rows)} line{'' if len(rows) == 1 else 's'}"]
    if "amount_minor" not in rows:
        return parts[0]
    codes = rows["currency"].fillna("").astype("str") if "currency" in rows else pd.Series("", index=rows.index)
    is_given = rows["amount_minor"].notna()
    sums = rows.loc[is_given & (codes != ""), "amount_minor"].groupby(codes).sum()
    parts += [f"{format_value('amount_minor', int(a), str(c))} {c}" for c, a in sums.items()]
    bare = rows.loc[is_given & (codes == ""), "amount_minor"]
    parts += [f"{format_value('amount_minor', int(a))} without a currency" for a in bare]
    lacking = int((~is_given).sum())
    return ", ".join([*parts, *([f"{lacking} without an amount"] if lacking else [])])
