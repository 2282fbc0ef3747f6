"""The settings that a person gave: read from a file, checked, and what is wrong with them said."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import Any, TypeVar

from pydantic import ValidationError

from atlas_lib.core.errors import SettingsError
from atlas_lib.core.settings import STAGES, StageSettings

Model = TypeVar("Model", bound=StageSettings)
_REMEDY = "every name with its unit and default stands in the parameters cell of its notebook"


def stage_settings(stage: str, values: Mapping[str, Any], source: str = "") -> StageSettings:
    """The settings of one notebook; every mistake is named with what was expected. `source`: the file they stand in."""
    model = STAGES[stage]
    unknown = sorted(set(values) - set(model.model_fields))
    if unknown:
        raise _unknown(unknown, list(model.model_fields), source)
    return checked_settings(model, values, source or stage)


def checked_settings(model: type[Model], values: Mapping[str, Any], source: str) -> Model:
    """The values as the model, or SettingsError that says of each wrong one where it stands and what is expected."""
    try:
        return model.model_validate(dict(values))
    except ValidationError as error:
        faults: list[Mapping[str, Any]] = [dict(e) for e in error.errors()]
        names = [".".join(str(part) for part in e["loc"]) for e in faults]
        raise SettingsError(
            "A setting has a value that it cannot have",
            where=f"{source}, {', '.join(names)}",
            expected="; ".join(
                f"{_expected(e)} for {n}{_meaning(model, e)}" for n, e in zip(names, faults, strict=True)
            ),
            found="; ".join(repr(e.get("input")) for e in faults),
            remedy="correct the value in the settings file, the option or the parameters cell",
        ) from error


def run_settings(values: Mapping[str, Any], source: str = "") -> dict[str, StageSettings]:
    """The settings of a whole run from one flat mapping; a name may belong to several notebooks."""
    known = sorted({name for model in STAGES.values() for name in model.model_fields})
    unknown = sorted(str(name) for name in set(values) - set(known))
    if unknown:
        raise _unknown(unknown, known, source)
    return {
        stage: stage_settings(stage, {k: v for k, v in values.items() if k in model.model_fields}, source)
        for stage, model in STAGES.items()
    }


def given_settings(
    input_path: Path, chosen: Path | None, given: Mapping[str, str] | None = None, today: date | None = None
) -> dict[str, StageSettings]:
    """The settings of `chosen`, else of settings.yaml in the input folder, and over them those `given` by name.

    `today` is the as-of day where neither names one.
    """
    beside = input_path / "settings.yaml"
    path = chosen or (beside if beside.is_file() else None)
    values = read_settings_file(path) if path else {}
    run_settings(values, str(path))  # a mistake in the file is said with its name
    named = {name: value for name, value in (given or {}).items() if value}
    return run_settings(({"as_of": today} if today else {}) | values | named)


def read_settings_file(path: Path) -> dict[str, Any]:
    """One YAML mapping of setting names to values."""
    import yaml

    remedy = "write one setting a line, such as `annual_rate: 0.065`, and save the file as UTF-8 text"
    if not path.is_file():
        found = "a folder" if path.is_dir() else "nothing"
        raise SettingsError(
            "The settings file does not exist", where=str(path), expected="a YAML file", found=found,
            remedy="check the path given to --settings",
        )  # fmt: skip
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        mark = getattr(error, "problem_mark", None)
        where = f"{path}, line {mark.line + 1}, column {mark.column + 1}" if mark else str(path)
        found = str(getattr(error, "problem", "") or error)
        raise SettingsError(
            "The settings file cannot be read", where=where, expected="YAML", found=found, remedy=remedy
        ) from error
    if values is not None and not isinstance(values, dict):
        raise SettingsError(
            "The settings file is not a mapping", where=str(path), expected="lines of `name: value`",
            found=type(values).__name__, remedy=remedy,
        )  # fmt: skip
    return values or {}


def _unknown(names: Sequence[str], known: Sequence[str], source: str) -> SettingsError:
    close = {name: difflib.get_close_matches(name, known, n=1) for name in names}
    meant = [f"{near[0]} instead of {name}" for name, near in close.items() if near]
    return SettingsError(
        "There is no such setting",
        where=source,
        expected=", ".join(meant) if len(meant) == len(names) else ", ".join(known),
        found=", ".join(names),
        remedy=_REMEDY,
    )


def _expected(fault: Mapping[str, Any]) -> str:
    """What pydantic asks for, without its own words around it."""
    text = (
        str(fault["msg"])
        .removeprefix("Value error, ")
        .removeprefix("Input should be ")
        .partition(", unable to parse")[0]
    )
    if fault["type"].startswith("date"):
        return "a day as YYYY-MM-DD"
    return text[0].lower() + text[1:]


def _meaning(model: type[StageSettings], fault: Mapping[str, Any]) -> str:
    field = model.model_fields.get(str(fault["loc"][0]))
    return f" ({field.description})" if field and field.description else ""
