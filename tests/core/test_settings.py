from datetime import date

import pytest
from pydantic import ValidationError

from atlas_lib.core.errors import SettingsError
from atlas_lib.core.given_settings import given_settings, read_settings_file, run_settings
from atlas_lib.core.settings import STAGES, PortfolioSettings, changed_values


def test_every_setting_is_explained_and_has_a_default():
    fields = [(stage, name, field) for stage, model in STAGES.items() for name, field in model.model_fields.items()]
    assert [(s, n) for s, n, f in fields if not f.description or f.is_required()] == []


def test_one_flat_mapping_serves_all_notebooks():
    settings = run_settings({"as_of": "2023-11-30", "annual_rate": 0.05})
    assert {str(s.as_of) for s in settings.values()} == {"2023-11-30"}
    assert settings["03_portfolio"].annual_rate == 0.05


@pytest.mark.parametrize(
    ("values", "message"),
    [({"anual_rate": 0.05}, "anual_rate"), ({"annual_rate": 7}, "annual_rate"), ({"as_of": "yesterday"}, "as_of")],
)
def test_a_wrong_name_or_value_is_named(values, message):
    with pytest.raises(SettingsError, match=message):
        run_settings(values)


def told(values, source=""):
    with pytest.raises(SettingsError) as refused:
        run_settings(values, source)
    return refused.value


def test_a_mistyped_name_is_told_with_the_one_that_was_meant_and_its_file():
    error = told({"anual_rate": 0.05, "hold_day": 3}, "book/settings.yaml")
    assert (error.where, error.found) == ("book/settings.yaml", "anual_rate, hold_day")
    assert error.expected == "annual_rate instead of anual_rate, hold_days instead of hold_day"
    assert "annual_rate" in told({"qqq": 1}).expected  # nothing comes near: all of them
    assert error.remedy


def test_a_wrong_value_is_told_with_what_is_expected_and_what_the_setting_means():
    error = told({"annual_rate": 7}, "s.yaml")
    assert (error.where, error.found) == ("s.yaml, annual_rate", "7")
    assert error.expected.startswith("less than or equal to 1 for annual_rate (yearly interest rate")
    assert told({"as_of": "yesterday"}).expected.startswith("a day as YYYY-MM-DD for as_of")


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("reporting_currency", "Euro", "ISO 4217"),
        ("default_currency", "EURO", "ISO 4217"),
        ("cut_off_time", "25:99", "HH:MM"),
        ("commit_service", "zookeeper://x", "etcd://host:port"),
    ],
)
def test_what_only_a_late_notebook_reads_is_refused_before_the_first_one_runs(name, value, expected):
    error = told({name: value})
    assert name in error.where
    assert expected in error.expected


def test_a_wrong_value_in_a_notebook_is_told_in_the_same_words():
    cell = {name: field.default for name, field in PortfolioSettings.model_fields.items()}
    assert PortfolioSettings.chosen_in(cell | {"run_dir": ""}) == PortfolioSettings()
    with pytest.raises(SettingsError, match="the parameters cell, annual_rate"):
        PortfolioSettings.chosen_in(cell | {"annual_rate": 7})


def test_settings_cannot_be_changed_in_place():
    with pytest.raises(ValidationError):
        PortfolioSettings().annual_rate = 0.5


def test_only_what_differs_from_the_default_counts_as_changed():
    assert changed_values(PortfolioSettings()) == {}
    assert changed_values(PortfolioSettings(annual_rate=0.05)) == {"annual_rate": 0.05}


def test_a_settings_file_is_one_mapping(tmp_path):
    path = tmp_path / "settings.yaml"
    path.write_text("as_of: 2026-10-30\nannual_rate: 0.05\n")
    assert run_settings(read_settings_file(path))["03_portfolio"].annual_rate == 0.05
    path.write_text("- a\n- b\n")
    with pytest.raises(SettingsError, match="not a mapping"):
        read_settings_file(path)
    path.write_text("annual_rate: [0.1\n")
    with pytest.raises(SettingsError, match=r"settings\.yaml, line 2, column 1.*What to do"):
        read_settings_file(path)
    path.write_bytes(b"\xc1\xff")
    with pytest.raises(SettingsError, match="UTF-8"):
        read_settings_file(path)
    with pytest.raises(SettingsError, match="Found: a folder"):
        read_settings_file(tmp_path)


def test_the_command_line_goes_over_the_file_in_the_input_folder(tmp_path):
    (tmp_path / "settings.yaml").write_text("as_of: 2026-10-30\nannual_rate: 0.05\n")
    today = date(2026, 11, 2)
    chosen = given_settings(tmp_path, None, {"as_of": "2026-10-31", "engine": ""}, today)["03_portfolio"]
    assert (chosen.as_of, chosen.annual_rate, chosen.engine) == (date(2026, 10, 31), 0.05, "duckdb")
    (tmp_path / "settings.yaml").write_text("anual_rate: 0.05\n")
    with pytest.raises(SettingsError, match=r"Where: .*settings\.yaml"):
        given_settings(tmp_path, None)
    assert given_settings(tmp_path / "book.xlsx", None, today=today)["01_ingest"].as_of == today
