"""The way to an etcd cluster: its JSON gateway (API v3) over HTTP, member by member.

Environment: ATLAS_ETCD_USER and ATLAS_ETCD_PASSWORD where the cluster asks for them; ATLAS_ETCD_CA (file of the
authority that signed its certificates) makes the connection TLS; ATLAS_ETCD_CERT and ATLAS_ETCD_KEY (files) where it
asks for a client's certificate.
"""

from __future__ import annotations

import base64
import ssl
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from atlas_lib.core.errors import LedgerError

_CONNECT_SECONDS = 1.0
_ANSWER_SECONDS = 1.5
_PASSING = frozenset({1, 2, 4, 14})  # gRPC: cancelled, unknown, deadline exceeded, unavailable
_UNAUTHENTICATED = 16
_STATUS = "maintenance/status"


class Unanswered(Exception):
    """No answer, or one that leaves open whether the request was carried out."""


@dataclass(frozen=True)
class Access:
    """What a cluster wants to see before it answers; never shown."""

    user: str = ""
    password: str = field(default="", repr=False)
    ca: str = ""
    certificate: str = ""
    key: str = ""

    @classmethod
    def from_environment(cls, environ: Mapping[str, str]) -> Access:
        names = ("USER", "PASSWORD", "CA", "CERT", "KEY")
        return cls(*(environ.get(f"ATLAS_ETCD_{name}", "") for name in names))

    def context(self) -> ssl.SSLContext | bool:
        if not self.ca:
            return False
        try:
            context = ssl.create_default_context(cafile=self.ca)
            if self.certificate:
                context.load_cert_chain(self.certificate, self.key or None)
        except OSError as error:
            raise LedgerError(
                "The certificates for the commit service cannot be read", where="ATLAS_ETCD_CA, _CERT, _KEY",
                expected="PEM files", found=str(error),
            ) from error  # fmt: skip
        return context


class Gateway:
    """The members of a cluster; a question goes to one of them, and on to the next when it stays unanswered."""

    def __init__(self, endpoints: Sequence[str], access: Access) -> None:
        import httpx

        self.endpoints, self._access = list(endpoints), access
        self._scheme = "https" if access.ca else "http"
        timeout = httpx.Timeout(_ANSWER_SECONDS, connect=_CONNECT_SECONDS)
        self._client = httpx.Client(verify=access.context(), trust_env=False, timeout=timeout)
        self._token, self._next = "", 0

    def close(self) -> None:
        self._client.close()

    def ask(self, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """The answer of the member whose turn it is; Unanswered passes the turn on."""
        try:
            return self.ask_member(self.endpoints[self._next], path, body)
        except Unanswered:
            self._next = (self._next + 1) % len(self.endpoints)
            raise

    def ask_member(self, endpoint: str, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """One member's answer. Raises Unanswered, and LedgerError for what asking again cannot mend."""
        if self._access.user and not self._token:
            self._token = self._log_in(endpoint)
        status, answer = self._post(endpoint, path, body)
        if self._access.user and _is_log_in_over(answer):
            self._token = self._log_in(endpoint)
            status, answer = self._post(endpoint, path, body)
        if status == 200:
            return answer
        said = str(answer.get("message") or answer.get("error") or f"HTTP status {status}")
        if status >= 500 or answer.get("code") in _PASSING:
            raise Unanswered(f"{endpoint}: {said}")
        raise LedgerError("The commit service refuses", where=endpoint, found=said, remedy=_remedy(said))

    def status(self, endpoint: str) -> dict[str, Any] | None:
        """What a member says of itself; None when it says nothing."""
        try:
            return self.ask_member(endpoint, _STATUS, {})
        except Unanswered:
            return None

    def _log_in(self, endpoint: str) -> str:
        name = {"name": self._access.user, "password": self._access.password}
        status, answer = self._post(endpoint, "auth/authenticate", name)
        if status == 200:
            return str(answer["token"])
        said = str(answer.get("message") or f"HTTP status {status}")
        if status >= 500:
            raise Unanswered(f"{endpoint}: {said}")
        raise LedgerError(
            "The commit service does not accept the user", where=endpoint, found=said,
            remedy="set ATLAS_ETCD_USER and ATLAS_ETCD_PASSWORD",
        )  # fmt: skip

    def _post(self, endpoint: str, path: str, body: Mapping[str, Any]) -> tuple[int, dict[str, Any]]:
        import httpx

        headers = {"Authorization": self._token} if self._token else {}
        try:
            response = self._client.post(f"{self._scheme}://{endpoint}/v3/{path}", json=body, headers=headers)
        except httpx.TransportError as error:
            raise Unanswered(f"{endpoint}: {error or type(error).__name__}") from error
        try:
            answer = response.json()
        except ValueError:
            answer = {"message": response.text.strip()[:200]}
        return response.status_code, answer if isinstance(answer, dict) else {}


def encode(text: str) -> str:
    """Keys and values travel as base64."""
    return base64.b64encode(text.encode()).decode()


def decode(text: str) -> str:
    return base64.b64decode(text).decode()


def _is_log_in_over(answer: Mapping[str, Any]) -> bool:
    return answer.get("code") == _UNAUTHENTICATED or "invalid auth token" in str(answer.get("message", ""))


def _remedy(said: str) -> str:
    if "space exceeded" in said:
        return "compact and defragment the cluster, or raise its quota, then disarm its alarm and run again"
    if "permission denied" in said or "user name is empty" in said:
        return "set ATLAS_ETCD_USER and ATLAS_ETCD_PASSWORD to a user that may read and write the keys of atlas"
    return ""
