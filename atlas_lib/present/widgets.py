"""Widgets that filter finished tables; the same in JupyterLab and Voilà. They compute nothing."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import pandas as pd

from atlas_lib.core.errors import AtlasError
from atlas_lib.present.tables import TableView, label_of, show_table

if TYPE_CHECKING:
    import ipywidgets

_ALL = "All"


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
        shown = frame
        for name, choice in choices.items():
            if choice.value != _ALL:
                shown = shown[shown[name].astype(str) == choice.value]
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
    from html import escape

    html = "".join((f"<h4>{escape(title)}</h4>" if title else "") + view.html for title, view in parts)
    output.outputs = ({"output_type": "display_data", "data": {"text/html": html, "text/plain": ""}, "metadata": {}},)
