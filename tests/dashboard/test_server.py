"""How the server is started."""

from __future__ import annotations

from pathlib import Path

import pytest

from atlas_lib.core.errors import AtlasError, SettingsError
from atlas_lib.dashboard.requests import read_asset
from atlas_lib.present.dashboard import voila_arguments


def test_kernels_are_not_started_ahead_where_people_log_in():
    with pytest.raises(SettingsError, match="log in"):
        voila_arguments(Path("notebooks"), 8866, False, "X-User", is_preheated=True)
    assert "--VoilaConfiguration.preheat_kernel=True" in voila_arguments(
        Path("notebooks"), 8866, False, is_preheated=True
    )
    assert not [a for a in voila_arguments(Path("notebooks"), 8866, False, "X-User") if "preheat" in a]


def test_assets_are_the_packages_own_and_nothing_else():
    assert read_asset("plotly.js", is_packed=True).headers["Content-Encoding"] == "gzip"
    for name in ("style.css", "dashboard.css", "dashboard.js", "theme.js", "charts.js"):
        content = read_asset(name, is_packed=True).body
        assert isinstance(content, bytes)
        assert b"http" not in content.replace(b"http-equiv", b"")
    with pytest.raises(AtlasError):
        read_asset("views.py", is_packed=False)
