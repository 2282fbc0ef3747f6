"""How the notebooks are served as a dashboard: Voilà on this machine only, nothing loaded from elsewhere."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from atlas_lib.core.errors import SettingsError
from atlas_lib.present.tables import ACCOUNTS_HEADER

_JUPYTER_PATH = Path(__file__).parent / "voila"
VOILA_TEMPLATE = _JUPYTER_PATH / "voila" / "templates" / "atlas"
_EXTENSIONS = (
    "jupyterlab-plotly",
    "anywidget",
    "@jupyter-widgets/jupyterlab-manager",
    "@voila-dashboards/widgets-manager8",
)


def voila_arguments(
    notebooks: Path, port: int, open_browser: bool, login_header: str = "", *, is_preheated: bool = False
) -> list[str]:
    """Arguments of `voila`: own template, no sources, no tracebacks, kernels culled after ten idle minutes.

    `login_header`: header in which a proxy names the person; notebooks find it in their environment.
    `is_preheated`: a kernel per notebook has run it before anybody asks. Raises SettingsError together with a
    login header, because such a kernel started before it could know whom it is for.
    """
    if is_preheated and login_header:
        raise SettingsError(
            "Kernels cannot be started ahead where people log in", found=f"login header {login_header}",
            expected="one of the two", remedy="leave out --preheat; pages need no kernel, only the widgets do",
        )  # fmt: skip
    return [
        str(notebooks),
        f"--port={port}",
        "--Voila.ip=127.0.0.1",
        "--template=atlas",
        "--strip_sources=True",
        "--show_tracebacks=False",
        "--VoilaConfiguration.allow_template_override=NO",
        *(f"--VoilaConfiguration.extension_allowlist={name}" for name in _EXTENSIONS),
        "--VoilaExecutor.timeout=120",
        "--MappingKernelManager.cull_idle_timeout=600",
        "--MappingKernelManager.cull_interval=60",
        *(
            ["--VoilaConfiguration.preheat_kernel=True", "--VoilaConfiguration.default_pool_size=1"]
            if is_preheated
            else []
        ),
        *(f"--VoilaConfiguration.http_header_envs={name}" for name in filter(None, (login_header, ACCOUNTS_HEADER))),
        *([] if open_browser else ["--no-browser"]),
    ]


def voila_environment(present: Mapping[str, str]) -> dict[str, str]:
    """Where Voilà finds the template, and that notebooks only show finished runs."""
    paths = [str(_JUPYTER_PATH), *filter(None, [present.get("JUPYTER_PATH", "")])]
    return {**present, "JUPYTER_PATH": ":".join(paths), "ATLAS_VIEW_ONLY": "1"}
