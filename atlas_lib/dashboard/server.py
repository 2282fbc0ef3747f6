"""Voilà's server with the dashboard's own pages in front; widgets stay Voilà's, for the office only.

Every request says anew who it is from. Pages are made in threads, from files and the ledger; no kernel is started for them.
"""

from __future__ import annotations

import asyncio
import os
import tempfile
from collections.abc import Callable, Generator, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from atlas_lib.core.errors import AtlasError
from atlas_lib.dashboard.access import environment_of, may_see_accounts, require_office, viewer_of
from atlas_lib.dashboard.addresses import Addresses
from atlas_lib.dashboard.guard import (
    TOKEN,
    check_set_up,
    hosts_of,
    is_known_host,
    kernels_of,
    limit_kernels,
    proxy_identity,
)
from atlas_lib.dashboard.listings import OFFICE_PAGES
from atlas_lib.dashboard.requests import Asked, answer, decide_and_say, read_asset, read_file, result_of
from atlas_lib.present.tables import ACCOUNTS_HEADER, ACCOUNTS_SHOWN, ACCOUNTS_VARIABLE, pages_mask_accounts

if TYPE_CHECKING:
    from atlas_lib.dashboard.requests import Answer

_POLICY = "default-src 'none'; script-src 'self'{inline}; style-src 'self' 'unsafe-inline'; img-src data: blob:; connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"


def serve(arguments: list[str]) -> None:
    """Serve until stopped; `arguments` are Voilà's. A token comes from the environment, so that no process list shows it."""
    check_set_up(os.environ)
    own = {"identity_provider_class": proxy_identity()} if os.environ.get("ATLAS_LOGIN_HEADER") else {}
    pages_mask_accounts()
    os.environ.pop(ACCOUNTS_VARIABLE, None)  # only a request says whose kernel may show them
    app: Any = _application().instance(token=os.environ.get(TOKEN) or None, **own)
    # Kernels are killed at the end: what they put aside, workbooks for download above all, is removed here.
    with tempfile.TemporaryDirectory(prefix="atlas-dashboard-", ignore_cleanup_errors=True) as aside:
        os.environ["TMPDIR"] = aside
        app.initialize(arguments)
        app.start()


def _application() -> Any:
    from voila.app import Voila

    class Dashboard(Voila):  # type: ignore[misc]
        name = "voila"

        def init_settings(self) -> dict[str, Any]:
            settings = super().init_settings()
            is_preheated = self.voila_configuration.preheat_kernel
            limit_kernels(self.kernel_manager, kernels_of(os.environ, is_preheated=is_preheated))
            own = {"allow_remote_access": False, "local_hostnames": hosts_of(os.environ)}
            return {**settings, **own, "compress_response": True}

        def init_handlers(self) -> list[Any]:
            base = self.server_url.rstrip("/")
            own = [
                (rf"{base}/assets/([a-z]+\.(?:css|js))", _asset_handler()),
                (rf"{base}/files/([^/]+)/(html|exports)/([^/]+)", _file_handler()),
                (rf"{base}/decide", _decide_handler()),
                (
                    rf"{base}/(|desk|daily|operations|{'|'.join(OFFICE_PAGES)}|page/[^/]+|merchant/[^/]+|contract/[^/]+|transaction/[^/]+|payment/[^/]+|fraud|fraud/[^/]+|export/[^/]+)",
                    _page_handler(),
                ),
            ]
            return [*own, *(_guarded(entry) for entry in super().init_handlers()), (r"/.*", _missing_handler())]

    return Dashboard


_OFFICE = (
    "/voila/render", "/voila/tree", "/api/kernels", "/voila/api/contents", "/voila/files", "/voila/query",
    "/voila/execution", "/voila/api/shutdown",
)  # fmt: skip


def _guarded(entry: Any) -> Any:
    """A handler of Voilà's behind our checks; those that show notebooks or reach kernels are for the office only."""
    from tornado.web import HTTPError

    pattern, handler, *rest = entry
    is_for_office = any(word in pattern for word in _OFFICE)

    async def prepare(self: Any, *arguments: Any, **named: Any) -> None:
        if not is_known_host(self.request.host, hosts_of(os.environ)):  # raw websockets do not ask themselves
            raise HTTPError(403)
        result = super(guarded, self).prepare(*arguments, **named)
        if result is not None:
            await result
        if is_for_office:
            _let_office_in(self)

    guarded: Any = type(f"Guarded{handler.__name__}", (handler,), {"prepare": prepare, "get_login_url": _login_address})
    return (pattern, guarded, *rest)


def _login_address(handler: Any) -> str:
    """Where a reader enters the token; behind a proxy nobody can, so 403."""
    from tornado.web import HTTPError

    if os.environ.get("ATLAS_LOGIN_HEADER"):
        raise HTTPError(403)
    return str(handler.settings["login_url"])


def _let_office_in(handler: Any) -> None:
    """403 for everybody else, and for what another site's page asks for: a picture there must start no kernel.

    The kernel that the request may start is told whether its reader may see account numbers, whatever the reader sent.
    """
    from tornado.web import HTTPError

    if handler.request.headers.get("Sec-Fetch-Site") == "cross-site":
        raise HTTPError(403, reason="Open this page from the dashboard")
    try:
        actor = viewer_of(_login(handler), os.environ)
        require_office(actor)
    except AtlasError as error:
        raise HTTPError(403, log_message="%s", reason="Forbidden") from error
    handler.request.headers[ACCOUNTS_HEADER] = ACCOUNTS_SHOWN if may_see_accounts(actor) else "hidden"


def _login(handler: Any) -> str:
    return (
        str(handler.request.headers.get(os.environ.get("ATLAS_LOGIN_HEADER", ""), ""))
        if os.environ.get("ATLAS_LOGIN_HEADER")
        else ""
    )


def _asked(handler: Any, path: str) -> Asked:
    said = handler.get_secure_cookie("atlas-said", max_age_days=1)
    arguments: Mapping[str, str] = {k: handler.get_query_argument(k) for k in handler.request.query_arguments}
    tone, _, text = said.decode("utf-8").partition(" ") if said else ("", "", "")
    return Asked(
        path, arguments, viewer_of(_login(handler), os.environ), environment_of(_login(handler), os.environ),
        handler.settings["base_url"], handler.xsrf_form_html(), (tone, text) if text else None,
    )  # fmt: skip


def _base() -> Any:
    from jupyter_server.base.handlers import JupyterHandler

    class Handler(JupyterHandler):
        """A page of ours: errors become a sentence, nothing is framed, nothing comes from elsewhere."""

        allows_inline = False
        get_login_url = _login_address

        @property
        def content_security_policy(self) -> str:
            return _POLICY.format(inline=" 'unsafe-inline'" if self.allows_inline else "")

        def set_default_headers(self) -> None:
            super().set_default_headers()
            self.set_header("Referrer-Policy", "same-origin")
            self.set_header("Cache-Control", "no-store")

        async def send(self, make: Callable[[], Answer]) -> None:
            """What `make` gives, made in a thread; a long answer is sent part by part, and dropped with the reader."""
            given = await asyncio.to_thread(make)
            for name, value in given.headers.items():
                self.set_header(name, value)
            self.set_status(given.status)
            self.write(given.body)
            await _send_parts(self, given.parts)
            await self.finish()

        def log_exception(self, kind: Any, value: Any, trace: Any) -> None:
            """An error of ours is told to the reader and is no fault of the server."""
            if not isinstance(value, AtlasError):
                super().log_exception(kind, value, trace)

        def write_error(self, status_code: int, **named: Any) -> None:
            from atlas_lib.dashboard.requests import failure

            error = (named.get("exc_info") or (None, None, None))[1]
            given = failure(error, status_code, self.settings["base_url"])
            self.set_status(given.status)
            self.set_header("Content-Type", "text/html; charset=utf-8")
            self.finish(given.body)

    return Handler


async def _send_parts(handler: Any, parts: Iterator[bytes]) -> None:
    try:
        while part := await asyncio.to_thread(next, parts, b""):
            handler.write(part)
            await handler.flush()
    finally:
        if isinstance(parts, Generator):
            parts.close()  # its lock and its connection are free again, also when the reader went away


def _missing_handler() -> Any:
    from tornado.web import HTTPError

    class MissingHandler(_base()):  # type: ignore[misc]
        async def prepare(self, *_: Any, **__: Any) -> None:
            raise HTTPError(404)

    return MissingHandler


def _page_handler() -> Any:
    from tornado import web

    class PageHandler(_base()):  # type: ignore[misc]
        @web.authenticated
        async def get(self, path: str) -> None:
            asked = _asked(self, path)
            if asked.said and "only" not in asked.arguments:
                self.clear_cookie("atlas-said")
            await self.send(lambda: answer(asked))

    return PageHandler


def _desk_address(asked: Asked) -> str:
    """The desk with merchant and currency as they were; decisions are shown on the latest run."""
    return Addresses(asked.base, "desk", asked.arguments).to("desk", run="")


def _decide_handler() -> Any:
    from tornado import web

    class DecideHandler(_base()):  # type: ignore[misc]
        @web.authenticated
        async def get(self) -> None:
            """A confirmation that is loaded anew has lost what was chosen."""
            self.redirect(_desk_address(_asked(self, "desk")))

        @web.authenticated
        async def post(self) -> None:
            web.RequestHandler.check_xsrf_cookie(self)
            asked = _asked(self, self.get_body_argument("back", "desk"))
            chosen, said = self.get_body_arguments("chosen"), self.get_body_argument("said", "")
            name, is_sure = self.get_body_argument("act"), self.get_body_argument("confirmed", "") == "yes"
            if not is_sure:
                await self.send(lambda: answer(asked, (name, chosen, said)))
                return
            option = self.get_body_argument("option", "")
            tone, text = await asyncio.to_thread(decide_and_say, asked, name, chosen, said, option)
            self.set_secure_cookie("atlas-said", f"{tone} {text}"[:3000], httponly=True, samesite="Strict")
            self.redirect(result_of(asked, name), status=303)

    return DecideHandler


def _asset_handler() -> Any:
    from jupyter_server.auth.decorator import allow_unauthenticated

    class AssetHandler(_base()):  # type: ignore[misc]
        @allow_unauthenticated
        async def get(self, name: str) -> None:
            """Styles and scripts of the package itself: the same for everybody."""
            is_packed = "gzip" in self.request.headers.get("Accept-Encoding", "")
            await self.send(lambda: read_asset(name, is_packed=is_packed))

    return AssetHandler


def _file_handler() -> Any:
    from tornado import web

    class FileHandler(_base()):  # type: ignore[misc]
        allows_inline = True

        @web.authenticated
        async def get(self, run_id: str, folder: str, name: str) -> None:
            asked = _asked(self, "")
            await self.send(lambda: read_file(asked, run_id, folder, name))

    return FileHandler
