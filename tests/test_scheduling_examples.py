"""The examples for schedulers: as far as they can be tried without cron, systemd, Airflow and jupyter-scheduler."""

from __future__ import annotations

import ast
import http.server
import json
import os
import re
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import nbformat
import pytest
import typer

from atlas_lib.cli import app

EXAMPLES = Path(__file__).parents[1] / "docs" / "examples" / "scheduling"
UNITS = sorted(p.name for p in EXAMPLES.iterdir() if p.suffix in {".service", ".timer"})


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="needs systemd-analyze (Debian: systemd)")
def test_systemd_takes_the_units(tmp_path):
    """Paths of the example are replaced by ones that exist here; everything else is checked as it stands."""
    for name in UNITS:
        text = re.sub(
            r"/srv/atlas/workbook/\.venv/bin/atlas|/usr/sbin/sendmail", "/bin/true", (EXAMPLES / name).read_text()
        )
        (tmp_path / name).write_text(text)
    command = ["systemd-analyze", "verify", "--man=no", *(str(tmp_path / n) for n in UNITS)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    complaints = [line for line in done.stderr.splitlines() if str(tmp_path) in line or "atlas" in line]
    assert complaints == []


def test_the_dag_compiles_and_every_atlas_command_in_the_examples_is_one():
    for path in EXAMPLES.glob("*.py"):
        ast.parse(path.read_text(encoding="utf-8"))
    known = typer.main.get_command(app)
    texts = {p.name: p.read_text(encoding="utf-8").replace("{ATLAS}", "bin/atlas") for p in EXAMPLES.iterdir()}
    called = [
        (name, *found)
        for name, text in texts.items()
        for found in re.findall(r"bin/atlas (\w+)((?: [^\s\"'>\\]+)*)", text)
    ]
    assert len({name for name, *_ in called}) >= 4
    for name, command, rest in called:
        options = {o for p in known.commands[command].params for o in (*p.opts, *p.secondary_opts)}
        assert set(re.findall(r"--[a-z-]+", rest)) <= options, name


def test_the_notebook_job_is_a_notebook_with_parameters():
    notebook = nbformat.read(EXAMPLES / "jupyter_scheduler.ipynb", as_version=4)
    nbformat.validate(notebook)
    assert [c for c in notebook.cells if "parameters" in c.metadata.get("tags", [])]
    assert [ast.parse(c.source) for c in notebook.cells if c.cell_type == "code"]


def test_the_webhook_gets_what_failed():
    told: list[dict[str, object]] = []

    class Hook(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            told.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = http.server.HTTPServer(("127.0.0.1", 0), Hook)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    environment = os.environ | {"ATLAS_WEBHOOK_URL": f"http://127.0.0.1:{server.server_port}/", "ATLAS_EXIT_CODE": "5"}
    script = [sys.executable, str(EXAMPLES / "post_webhook.py")]
    subprocess.run(script, input="a check failed", text=True, env=environment, check=True, timeout=30)
    server.shutdown()
    server.server_close()
    assert told == [{"text": "a check failed", "exit_code": 5}]
