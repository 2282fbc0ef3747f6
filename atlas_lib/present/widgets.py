"""Widgets that filter finished tables and pass on decisions; the same in JupyterLab and Voilà. They compute nothing."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING, Any

import pandas as pd

from atlas_lib.core.errors import AtlasError
from atlas_lib.present.tables import TableView, format_value, label_of, show_table

if TYPE_CHECKING:
    import ipywidgets

_ALL = "All"
# JupyterLab sets every cell of a table to the right and breaks dates; a page of ours has its own style sheet.
_LAB_STYLE = """<style>
.jp-Notebook .atlas-table :is(th, td) { text-align: left; }
.jp-Notebook .atlas-table :is(th, td).number { text-align: right; }
.jp-Notebook .atlas-table td:is(.number, .short) { white-space: nowrap; overflow-wrap: normal; }
</style>"""


def explore_table(
    frame: pd.DataFrame, filters: Sequence[str], columns: Sequence[str] | None = None, *, limit: int = 50
) -> ipywidgets.Widget | TableView:
    """One drop-down per filter column and the matching rows below."""
    import ipywidgets

    if frame.empty:
        return show_table(frame)
    choices = {name: _dropdown(name, frame[name]) for name in filters}
    output = ipywidgets.Output()

    def refresh(_: object = None) -> None:
        shown = _filtered(frame, choices)
        _show(output, [("", show_table(shown, columns, limit=limit, empty="No row fits these filters."))])

    return _assembled(choices, refresh, output)


def explore_key(tables: Mapping[str, pd.DataFrame], key: str, *, limit: int = 30) -> ipywidgets.Widget | TableView:
    """Choose one key (a merchant, a contract) and see its rows of every table, title above each."""
    import ipywidgets

    values = pd.concat([t[key] for t in tables.values() if key in t], ignore_index=True)
    if values.empty:
        return show_table(values.to_frame())
    choice = _dropdown(key, values, with_all=False)
    output = ipywidgets.Output()

    def refresh(_: object = None) -> None:
        _show(
            output,
            [(title, show_table(t[t[key].astype(str) == choice.value], limit=limit)) for title, t in tables.items()],
        )

    return _assembled({key: choice}, refresh, output)


def explore_change(
    work: Callable[..., pd.DataFrame], choices: Mapping[str, tuple[str, Sequence[float], float]], *, button: str
) -> ipywidgets.Widget:
    """Choose figures, press the button, see the table that `work` makes of them (keyword: label, values, first value).

    The computing is the one library call; what it refuses is shown in its own words.
    """
    import ipywidgets

    style = {"description_width": "initial"}
    chosen = {
        name: ipywidgets.SelectionSlider(options=list(values), value=first, description=label, style=style)
        for name, (label, values, first) in choices.items()
    }
    output, go = ipywidgets.Output(), ipywidgets.Button(description=button)

    def refresh(_: object) -> None:
        try:
            shown = show_table(work(**{name: slider.value for name, slider in chosen.items()}), limit=60)
        except AtlasError as error:
            shown = show_table(pd.DataFrame({"problem": [str(error)]}))
        _show(output, [("", shown)])

    go.on_click(refresh)
    return ipywidgets.VBox([*chosen.values(), go, output])


def _dropdown(name: str, column: pd.Series, *, with_all: bool = True) -> Any:
    import ipywidgets

    values = sorted(column.dropna().astype(str).unique())
    return ipywidgets.Dropdown(
        options=[_ALL, *values] if with_all else values,
        description=label_of(name),
        style={"description_width": "initial"},
    )


def _assembled(choices: Mapping[str, Any], refresh: Any, output: Any) -> ipywidgets.Widget:
    import ipywidgets

    for choice in choices.values():
        choice.observe(refresh, names="value")
    refresh()
    return ipywidgets.VBox([ipywidgets.HBox(list(choices.values())), output])


def _show(output: Any, parts: Sequence[tuple[str, TableView]]) -> None:
    """Replace what the output holds; titles above their tables, one HTML block."""
    html = _LAB_STYLE + "".join((f"<h4>{escape(title)}</h4>" if title else "") + view.html for title, view in parts)
    output.outputs = ({"output_type": "display_data", "data": {"text/html": html, "text/plain": ""}, "metadata": {}},)


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
    actions: Mapping[str, Callable[[pd.DataFrame, str], str]]
    empty: str = "Nothing to decide."


def explore_work(lists: Sequence[WorkList]) -> ipywidgets.Widget:
    """Lists to filter, choose from and act on, under each other; an action on one shows its effect in all."""
    import ipywidgets

    panels = [_WorkPanel(one) for one in lists]
    for panel in panels:
        panel.after = [other.refresh for other in panels]
    return ipywidgets.VBox([panel.box for panel in panels])


def explore_trial(
    fields: Mapping[str, Any],
    compare: Callable[[Mapping[str, Any]], pd.DataFrame],
    apply: Callable[[Mapping[str, Any], str], str],
) -> ipywidgets.Widget:
    """Try values and see the outcome before applying them.

    `fields`: name to choices (a list), to (lowest, highest, first) numbers, or to a date. `compare` gives a table for the
    values, `apply` decides them with a reason.
    """
    import ipywidgets

    inputs = {name: _field(name, kind) for name, kind in fields.items()}
    table, said, reason = ipywidgets.Output(), ipywidgets.HTML(), _reason()

    def values() -> dict[str, Any]:
        return {name: field.value for name, field in inputs.items()}

    def show() -> str:
        _show(table, [("", show_table(compare(values())))])
        return "Compared; nothing is decided."

    buttons = [_button("Compare", said, show), _button("Apply", said, lambda: apply(values(), reason.value))]
    return ipywidgets.VBox([_row([*inputs.values()]), _row([reason, *buttons]), said, table])


class _WorkPanel:
    """One work list on the page."""

    def __init__(self, work: WorkList) -> None:
        import ipywidgets

        self._work, self._output, self.after = work, ipywidgets.Output(), []  # type: WorkList, Any, list[Callable[[], None]]
        self._frame = work.read()
        self._choices = {name: _dropdown(name, self._frame[name]) for name in work.filters}
        self._chosen = ipywidgets.SelectMultiple(description="Choose", layout={"width": "min(960px, 100%)"})
        self._said, self._reason = ipywidgets.HTML(), _reason()
        for choice in self._choices.values():
            choice.observe(lambda _: self._fill(), names="value")
        buttons = [_button(label, self._said, self._action(act)) for label, act in work.actions.items()]
        title = ipywidgets.HTML(f"<h3>{escape(work.title)}</h3>")
        parts = [
            title,
            _row([*self._choices.values()]),
            self._output,
            self._chosen,
            _row([self._reason, *buttons]),
            self._said,
        ]
        self.box = ipywidgets.VBox(parts)
        self._fill()

    def refresh(self) -> None:
        self._frame = self._work.read()
        for name, choice in self._choices.items():
            present = choice.value
            choice.options = [_ALL, *sorted(self._frame[name].dropna().astype(str).unique())]
            choice.value = present if present in choice.options else _ALL
        self._fill()

    def _shown(self) -> pd.DataFrame:
        return _filtered(self._frame, self._choices)

    def _fill(self) -> None:
        shown = self._shown()
        _show(self._output, [("", show_table(shown, list(self._work.columns), limit=50, empty=self._work.empty))])
        columns, rows = list(self._work.columns), shown.to_dict("records")
        cells = [[format_value(name, row[name], str(row.get("currency", ""))) for name in columns] for row in rows]
        options = [(" · ".join(filter(None, row)), key) for row, key in zip(cells, shown[self._work.key], strict=True)]
        self._chosen.options, self._chosen.rows = options, max(2, min(8, len(options)))

    def _action(self, act: Callable[[pd.DataFrame, str], str]) -> Callable[[], str]:
        def run() -> str:
            shown = self._shown()
            try:
                return act(shown[shown[self._work.key].isin(self._chosen.value)], self._reason.value)
            finally:
                for refresh in self.after:
                    refresh()

        return run


def _button(label: str, said: Any, run: Callable[[], str]) -> Any:
    """A button that does one thing at a time and says how it went; a refusal is an alert."""
    import ipywidgets

    button = ipywidgets.Button(description=label)

    def click(_: object) -> None:
        button.disabled = True
        try:
            said.value = f'<p role="status" class="atlas-note good">{escape(run())}</p>'
        except AtlasError as error:
            said.value = f'<p role="alert" class="atlas-note bad">{escape(str(error))}</p>'
        except Exception as error:  # a page must never fall silent
            said.value = f'<p role="alert" class="atlas-note bad">This failed ({escape(type(error).__name__)}); nothing may have been done. Look at the list again.</p>'
        finally:
            button.disabled = False

    button.on_click(click)
    return button


def _field(name: str, kind: Any) -> Any:
    import datetime

    import ipywidgets

    look = {"description": label_of(name), "style": {"description_width": "initial"}}
    if isinstance(kind, datetime.date):
        return ipywidgets.DatePicker(value=kind, **look)
    if isinstance(kind, tuple):
        low, high, first = kind
        box = ipywidgets.BoundedIntText if isinstance(first, int) else ipywidgets.BoundedFloatText
        return box(min=low, max=high, value=first, **look)
    return ipywidgets.Dropdown(options=list(kind), **look)


def _reason() -> Any:
    import ipywidgets

    return ipywidgets.Text(description="Reason", placeholder="why, in a few words", continuous_update=True)


def _row(children: Sequence[Any]) -> Any:
    import ipywidgets

    return ipywidgets.HBox(list(children), layout={"flex_flow": "row wrap"})


def _filtered(frame: pd.DataFrame, choices: Mapping[str, Any]) -> pd.DataFrame:
    for name, choice in choices.items():
        if choice.value != _ALL:
            frame = frame[frame[name].astype(str) == choice.value]
    return frame
