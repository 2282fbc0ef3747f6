"""What stands before every handler: a complete set-up, known host names, the proxy's token, and a few kernels at most."""

from __future__ import annotations

import hmac
import re
from collections.abc import Mapping
from typing import Any

from atlas_lib.core.errors import SettingsError
from atlas_lib.core.settings import STAGES

TOKEN = "ATLAS_DASHBOARD_TOKEN"  # noqa: S105  # the name of the variable
HOSTS, KERNELS, OPEN_PORT = "ATLAS_DASHBOARD_HOSTS", "ATLAS_DASHBOARD_KERNELS", "ATLAS_DASHBOARD_WITHOUT_TOKEN"
_KERNELS = 6


def check_set_up(environment: Mapping[str, str]) -> None:
    """SettingsError for a set-up that looks closed and is open: people without a login, a login that anybody can send."""
    header = environment.get("ATLAS_LOGIN_HEADER", "")
    if environment.get("ATLAS_PEOPLE") and not header and not environment.get("ATLAS_ACTOR"):
        raise SettingsError(
            "There is a list of people, and nothing says who is who", where="ATLAS_LOGIN_HEADER", found="not set",
            expected="the header in which the proxy names the person", remedy="set it, or take ATLAS_PEOPLE away",
        )  # fmt: skip
    if header and not environment.get(TOKEN) and environment.get(OPEN_PORT) != "yes":
        raise SettingsError(
            "Whoever reaches the port could send any login header", where=TOKEN, found="not set",
            expected="a secret that only the proxy knows",
            remedy=f"set it, or {OPEN_PORT}=yes where nobody but the proxy can reach the port",
        )  # fmt: skip
    kernels_of(environment)


def hosts_of(environment: Mapping[str, str]) -> list[str]:
    """Names by which the dashboard may be asked for, besides the addresses of this machine itself."""
    return ["localhost", *filter(None, (n.strip().lower() for n in environment.get(HOSTS, "").split(",")))]


def is_known_host(host: str, names: list[str]) -> bool:
    """Whether a Host header (with or without port) is one of the names or a loopback address."""
    import ipaddress

    name = re.sub(r":\d+$", "", host).strip("[]").lower()
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return name in names


def kernels_of(environment: Mapping[str, str], *, is_preheated: bool = False) -> int:
    """How many kernels may run at once; those started ahead come on top."""
    text = environment.get(KERNELS, "") or str(_KERNELS)
    if not text.isdecimal():
        raise SettingsError(
            "The number of kernels is no number", where=KERNELS, expected="6, or 0 for none", found=text
        )
    return int(text) + (2 * len(STAGES) if is_preheated else 0)  # one waits per notebook, and one replaces it


def limit_kernels(manager: Any, highest: int) -> None:
    """Let the manager start no kernel beyond the limit: 503, and whoever waits comes back when another one is culled."""
    from tornado.web import HTTPError

    start, starting = manager.start_kernel, 0

    async def start_kernel(*arguments: Any, **named: Any) -> Any:
        nonlocal starting
        if len(manager.list_kernel_ids()) + starting >= highest:
            raise HTTPError(503, reason="All widget pages are taken; try again in some minutes")
        starting += 1
        try:
            return await start(*arguments, **named)
        finally:
            starting -= 1

    manager.start_kernel = start_kernel


def proxy_identity() -> Any:
    """An identity provider that takes the proxy's token from each request's header, and hands nobody a cookie for it."""
    from voila.voila_identity_provider import VoilaIdentityProvider

    class ProxyIdentity(VoilaIdentityProvider):  # type: ignore[misc]
        login_available = logout_available = False

        def get_token(self, handler: Any) -> str | None:
            found = self.auth_header_pat.match(handler.request.headers.get("Authorization", ""))
            return self.token if found and hmac.compare_digest(found[2].encode(), self.token.encode()) else None

        def get_user_cookie(self, handler: Any) -> None:  # noqa: ARG002
            return None

        def set_login_cookie(self, handler: Any, user: Any) -> None:
            pass

        def is_token_authenticated(self, handler: Any) -> bool:  # noqa: ARG002
            """Never: the proxy adds the token to forged requests too, so form tokens and origins are still checked."""
            return False

    return ProxyIdentity
