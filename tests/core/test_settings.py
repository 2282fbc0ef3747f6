import pytest
from pydantic import ValidationError

from atlas_lib.core.errors import SettingsError
from atlas_lib.core.settings import STAGES, PortfolioSettings, changed_values, read_settings_file, run_settings


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
