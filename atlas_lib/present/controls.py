"""The parts that widgets are made of: drop-downs, buttons that say how it went, a field for the reason."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from html import escape
from typing import Any

import pandas as pd

from atlas_lib.core.errors import AtlasError
from atlas_lib.present.tables import TableView, lab_style, label_of

ALL = "All"


def dropdown(name: str, column: pd.Series, *, with_all: bool = True) -> Any:
    import ipywidgets

    values = sorted(column.dropna().astype(str).unique())
    return ipywidgets.Dropdown(
        options=[ALL, *values] if with_all else values,
        description=label_of(name),
        style={"description_width": "initial"},
    )


def show_parts(output: Any, parts: Sequence[tuple[str, TableView]]) -> None:
    """Replace what the output holds; titles above their tables, one HTML block."""
    html = lab_style() + "".join((f"<h4>{escape(title)}</h4>" if title else "") + view.html for title, view in parts)
    output.outputs = ({"output_type": "display_data", "data": {"text/html": html, "text/plain": ""}, "metadata": {}},)


def action_button(label: str, said: Any, run: Callable[[], str]) -> Any:
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


def reason_field() -> Any:
    import ipywidgets

    return ipywidgets.Text(description="Reason", placeholder="why, in a few words", continuous_update=True)


def row_of(children: Sequence[Any]) -> Any:
    import ipywidgets

    return ipywidgets.HBox(list(children), layout={"flex_flow": "row wrap"})


def rows_that_fit(frame: pd.DataFrame, choices: Mapping[str, Any]) -> pd.DataFrame:
    for name, choice in choices.items():
        if choice.value != ALL:
            frame = frame[frame[name].astype(str) == choice.value]
    return frame
