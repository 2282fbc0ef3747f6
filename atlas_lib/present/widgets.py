"""Widgets that filter finished tables and pass on decisions; the same in JupyterLab and Voilà. They compute nothing."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import pandas as pd

from atlas_lib.core.errors import AtlasError
from atlas_lib.present.controls import action_button, dropdown, reason_field, row_of, rows_that_fit, show_parts
from atlas_lib.present.tables import TableView, label_of, show_table

if TYPE_CHECKING:
    import ipywidgets


def explore_table(
    frame: pd.DataFrame, filters: Sequence[str], columns: Sequence[str] | None = None, *, limit: int = 50
) -> ipywidgets.Widget | TableView:
    """One drop-down per filter column and the matching rows below."""
    import ipywidgets

    if frame.empty:
        return show_table(frame)
    choices = {name: dropdown(name, frame[name]) for name in filters}
    output = ipywidgets.Output()

    def refresh(_: object = None) -> None:
        shown = rows_that_fit(frame, choices)
        show_parts(output, [("", show_table(shown, columns, limit=limit, empty="No row fits these filters."))])

    return _assembled(choices, refresh, output)


def explore_key(tables: Mapping[str, pd.DataFrame], key: str, *, limit: int = 30) -> ipywidgets.Widget | TableView:
    """Choose one key (a merchant, a contract) and see its rows of every table, title above each."""
    import ipywidgets

    values = pd.concat([t[key] for t in tables.values() if key in t], ignore_index=True)
    if values.empty:
        return show_table(values.to_frame())
    choice = dropdown(key, values, with_all=False)
    output = ipywidgets.Output()

    def refresh(_: object = None) -> None:
        show_parts(
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
        show_parts(output, [("", shown)])

    go.on_click(refresh)
    return ipywidgets.VBox([*chosen.values(), go, output])


def _assembled(choices: Mapping[str, Any], refresh: Any, output: Any) -> ipywidgets.Widget:
    import ipywidgets

    for choice in choices.values():
        choice.observe(refresh, names="value")
    refresh()
    return ipywidgets.VBox([ipywidgets.HBox(list(choices.values())), output])


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
    table, said, reason = ipywidgets.Output(), ipywidgets.HTML(), reason_field()

    def values() -> dict[str, Any]:
        return {name: field.value for name, field in inputs.items()}

    def show() -> str:
        show_parts(table, [("", show_table(compare(values())))])
        return "Compared; nothing is decided."

    buttons = [
        action_button("Compare", said, show),
        action_button("Apply", said, lambda: apply(values(), reason.value)),
    ]
    return ipywidgets.VBox([row_of([*inputs.values()]), row_of([reason, *buttons]), said, table])


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
