"""How the server is started."""

from __future__ import annotations

import asyncio
import http.client
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from tornado.httputil import HTTPHeaders
from tornado.web import create_signed_value

from atlas_lib.core.errors import AtlasError, SettingsError
from atlas_lib.dashboard.guard import check_set_up, hosts_of, is_known_host, limit_kernels
from atlas_lib.dashboard.requests import read_asset
from atlas_lib.dashboard.server import _let_office_in
from atlas_lib.present.dashboard import voila_arguments
from tests.finished_run import ROOT


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
        read_asset("frame.py", is_packed=False)


@pytest.mark.parametrize(("role", "told"), [("settlement_ops", "shown"), ("risk_analyst", "hidden")])
def test_a_kernel_is_told_who_may_see_account_numbers_whatever_the_reader_sent(monkeypatch, role, told):
    for name in ("ATLAS_LOGIN_HEADER", "ATLAS_PEOPLE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("ATLAS_ACTOR", "olga")
    monkeypatch.setenv("ATLAS_ROLE", role)
    handler = SimpleNamespace(request=SimpleNamespace(headers=HTTPHeaders({"Atlas-Accounts": "shown"})))
    _let_office_in(handler)
    assert handler.request.headers.get_list("Atlas-Accounts") == [told]
    assert "--VoilaConfiguration.http_header_envs=Atlas-Accounts" in voila_arguments(Path("notebooks"), 8866, False)


def test_a_set_up_that_only_looks_closed_does_not_start():
    with pytest.raises(SettingsError, match="who is who"):
        check_set_up({"ATLAS_PEOPLE": "people.yaml"})
    with pytest.raises(SettingsError, match="any login header"):
        check_set_up({"ATLAS_LOGIN_HEADER": "X-User", "ATLAS_PEOPLE": "people.yaml"})
    with pytest.raises(SettingsError, match="no number"):
        check_set_up({"ATLAS_DASHBOARD_KERNELS": "many"})
    for sound in (
        {},
        {"ATLAS_PEOPLE": "people.yaml", "ATLAS_ACTOR": "olga"},
        {"ATLAS_LOGIN_HEADER": "X-User", "ATLAS_DASHBOARD_TOKEN": "s"},
        {"ATLAS_LOGIN_HEADER": "X-User", "ATLAS_DASHBOARD_WITHOUT_TOKEN": "yes"},
    ):
        check_set_up(sound)


@pytest.mark.parametrize(
    ("host", "is_known"),
    [("localhost:1", True), ("127.0.0.1:8866", True), ("[::1]:8866", True), ("Atlas.example", True), ("evil.example:8866", False), ("10.0.0.1", False), ("", False)],
)  # fmt: skip
def test_only_known_hosts_are_answered(host, is_known):
    assert is_known_host(host, hosts_of({"ATLAS_DASHBOARD_HOSTS": "atlas.example, other.example"})) is is_known


def test_kernels_beyond_the_limit_are_refused_also_while_others_start():
    class Manager:
        running = 1

        def list_kernel_ids(self):
            return ["k"] * self.running

        async def start_kernel(self):
            await asyncio.sleep(0)
            self.running += 1

    async def crowd(manager: Any) -> list[Any]:
        return await asyncio.gather(*(manager.start_kernel() for _ in range(5)), return_exceptions=True)

    manager = Manager()
    limit_kernels(manager, 3)
    refused = [getattr(r, "status_code", 0) for r in asyncio.run(crowd(manager))]
    assert (refused, manager.running) == ([0, 0, 503, 503, 503], 3)


@pytest.fixture(scope="module")
def server(tmp_path_factory) -> Iterator[int]:
    """`atlas dashboard` behind a proxy, with no run yet and no kernel allowed."""
    folder = tmp_path_factory.mktemp("server")
    (folder / "people.yaml").write_text("olga: settlement_ops\n", encoding="utf-8")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    environment = {k: v for k, v in os.environ.items() if not k.startswith("ATLAS_")} | {
        "ATLAS_RUNS_DIR": str(folder), "ATLAS_LOGIN_HEADER": "X-User", "ATLAS_PEOPLE": str(folder / "people.yaml"),
        "ATLAS_DASHBOARD_TOKEN": "s3cret", "ATLAS_DASHBOARD_KERNELS": "0", "ATLAS_DASHBOARD_HOSTS": "atlas.example",
    }  # fmt: skip
    command = [sys.executable, "-m", "atlas_lib.cli", "dashboard", f"--port={port}", "--no-open-browser"]
    process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        for _ in range(240):
            try:
                ask(port, "assets/style.css")
                break
            except OSError:
                time.sleep(0.25)
        yield port
    finally:
        process.terminate()
        process.wait(30)


def ask(port: int, path: str, method: str = "GET", **headers: str) -> http.client.HTTPResponse:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    connection.request(method, f"/{path}", headers={k.replace("_", "-"): v for k, v in headers.items()})
    answer = connection.getresponse()
    answer.read()
    connection.close()
    return answer


OLGA = {"Authorization": "token s3cret", "X_User": "olga"}


def test_a_foreign_host_is_refused_on_every_page(server):
    paths = ("", "desk", "assets/style.css", "voila/static/voila.js", "voila/render/01_ingest.ipynb", "api/kernels/00000000-0000-0000-0000-000000000000/channels")  # fmt: skip
    assert {ask(server, p, Host=f"evil.example:{server}", **OLGA).status for p in paths} == {403}
    assert ask(server, "decide", "POST", Host="evil.example", Origin="http://evil.example", **OLGA).status == 403
    for known in (f"localhost:{server}", "atlas.example"):
        assert ask(server, "assets/style.css", Host=known).status == 200


def test_the_proxys_token_comes_with_each_request_and_is_no_cookie(server):
    told = ask(server, "", **OLGA)
    assert told.status == 404  # olga is known; there is no run yet
    assert "username" not in str(told.headers.get_all("Set-Cookie"))
    for without in ({"X_User": "olga"}, {"X_User": "olga", "Authorization": "token guessed"}):
        assert ask(server, "", **without).status == 403
        assert ask(server, "voila/render/01_ingest.ipynb", **without).status == 403
    assert ask(server, "?token=s3cret", X_User="olga").status == 403
    # A reader who learned a signed cookie of an earlier version gets nowhere with it.
    cookie = create_signed_value(b"any", f"username-127-0-0-1-{server}", "olga").decode()
    assert ask(server, "", X_User="olga", Cookie=f"username-127-0-0-1-{server}={cookie}").status == 403
    assert ask(server, "decide", "POST", **OLGA).status == 403  # the token is no excuse for a missing form token


def test_widget_pages_start_no_kernel_for_another_site_nor_beyond_the_limit(server):
    page = "voila/render/01_ingest.ipynb"
    assert ask(server, page, Sec_Fetch_Site="cross-site", **OLGA).status == 403
    assert ask(server, page, Sec_Fetch_Site="same-origin", **OLGA).status == 503


def test_a_confirmation_loaded_anew_leads_back_to_the_desk(server):
    told = ask(server, "decide?merchant=310147&currency=EUR&run=old", **OLGA)
    assert (told.status, told.headers["Location"]) == (302, "/desk?merchant=310147&currency=EUR")
