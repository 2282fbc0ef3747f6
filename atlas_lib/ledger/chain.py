"""The chain: blocks of events with Merkle roots, each block holding the hash of the one before.

Merkle tree and leaf prefix: RFC 6962, section 2.1 (leaf 00, node 01).
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import astuple, dataclass, replace

from atlas_lib.ledger.events import frame_texts

VERSION = 1
BLOCK_ROWS = 4096
GENESIS = bytes(32)


@dataclass(frozen=True)
class Head:
    """The end of the chain: kept outside the database, it makes a cut tail or a rewrite visible."""

    ledger_id: str
    block_no: int
    block_hash: str
    entries: int


@dataclass(frozen=True)
class Receipt:
    """What an append wrote; the same append again gives the same receipt with `is_replay`."""

    append_id: str
    first_entry: int
    entries: int
    transfers: int
    block_hash: str
    is_replay: bool


@dataclass(frozen=True)
class Block:
    """Header of one block: which rows it holds, their roots, and the block before."""

    block_no: int
    append_id: str
    part: int
    body_fingerprint: str
    first_position: int
    n: int
    first_transfer: int
    n_transfer: int
    event_root: bytes
    transfer_root: bytes
    prev_hash: bytes
    writer: str
    created_us: int
    block_hash: bytes = b""

    def fields(self) -> tuple[int | str | bytes, ...]:
        return astuple(self)


def merkle_root(leaves: Sequence[bytes]) -> bytes:
    """RFC 6962 tree head of leaf hashes; the odd one at the end of a level moves up unchanged."""
    if not leaves:
        return hashlib.sha256(b"").digest()
    level, sha256 = list(leaves), hashlib.sha256
    while len(level) > 1:
        pairs = [sha256(b"\x01" + a + b).digest() for a, b in zip(level[::2], level[1::2], strict=False)]
        level = pairs + level[len(pairs) * 2 :]
    return level[0]


def seal(block: Block, ledger_id: str) -> Block:
    """The block with its hash over version, ledger and every header field."""
    texts = [ledger_id, block.append_id, block.body_fingerprint, block.writer]
    numbers = [
        VERSION,
        block.block_no,
        block.part,
        block.first_position,
        block.n,
        block.first_transfer,
        block.n_transfer,
        block.created_us,
    ]
    header = b"".join(frame_texts(texts)) + b"".join(n.to_bytes(8, "big") for n in numbers)
    content = header + block.event_root + block.transfer_root + block.prev_hash
    return replace(block, block_hash=hashlib.sha256(b"\x02" + content).digest())
