"""Signed manifests: Ed25519 (RFC 8032) over everything the manifest says.

The private key is in ATLAS_SIGNING_KEY, the public one in ATLAS_PUBLIC_KEY or given to `atlas verify`: 32 bytes each,
in base64. Who can write the run directory but has no key can change a manifest, and cannot sign the change.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from atlas_lib.core.errors import SettingsError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

_PRIVATE, _PUBLIC = "ATLAS_SIGNING_KEY", "ATLAS_PUBLIC_KEY"
_FIELD = "signature"
UNSIGNED = "unsigned"


def signed(manifest: Mapping[str, Any]) -> dict[str, Any]:
    """The manifest with its signature; without a key unsigned, and a signature of another content is dropped."""
    content = _content(manifest)
    digest = hashlib.sha256(content).hexdigest()
    plain = {k: v for k, v in manifest.items() if k != _FIELD}
    key = _private_key()
    if key is None:
        kept = manifest.get(_FIELD)
        return plain | ({_FIELD: kept} if isinstance(kept, dict) and kept.get("sha256") == digest else {})
    public = base64.b64encode(key.public_key().public_bytes_raw()).decode()
    value = base64.b64encode(key.sign(content)).decode()
    return plain | {_FIELD: {"algorithm": "Ed25519", "public_key": public, "sha256": digest, "value": value}}


def signature_fault(manifest: Mapping[str, Any], public_key: str) -> str:
    """Why the manifest is not signed by the owner of this public key; empty when it is."""
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    trusted = Ed25519PublicKey.from_public_bytes(_key_bytes(public_key, "the public key"))
    signature = manifest.get(_FIELD)
    if not isinstance(signature, dict):
        return UNSIGNED
    try:
        trusted.verify(base64.b64decode(str(signature.get("value", "")), validate=True), _content(manifest))
    except (InvalidSignature, binascii.Error):
        return "changed after it was signed, or signed with another key"
    return ""


def public_key_from_environment() -> str:
    """The public key that ATLAS_PUBLIC_KEY gives; empty when there is none."""
    return os.environ.get(_PUBLIC, "")


def new_key_pair() -> tuple[str, str]:
    """A new private and public key, as the environment takes them."""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    key = Ed25519PrivateKey.generate()
    raw = key.private_bytes_raw(), key.public_key().public_bytes_raw()
    return base64.b64encode(raw[0]).decode(), base64.b64encode(raw[1]).decode()


def _private_key() -> Ed25519PrivateKey | None:
    text = os.environ.get(_PRIVATE, "")
    if not text:
        return None
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    return Ed25519PrivateKey.from_private_bytes(_key_bytes(text, _PRIVATE))


def _key_bytes(text: str, where: str) -> bytes:
    try:
        raw = base64.b64decode(text.strip(), validate=True)
    except binascii.Error:
        raw = b""
    if len(raw) != 32:
        raise SettingsError(
            "This is no Ed25519 key", where=where, expected="32 bytes in base64",
            found=f"{len(text)} characters", remedy="make a pair with `atlas ledger new-key`",
        )  # fmt: skip
    return raw


def _content(manifest: Mapping[str, Any]) -> bytes:
    plain = {k: v for k, v in manifest.items() if k != _FIELD}
    return json.dumps(plain, sort_keys=True, separators=(",", ":"), default=str).encode()
