"""The chain: blocks of events with Merkle roots, each block holding the hash of the one before.

Merkle tree and leaf prefix: RFC 6962, section 2.1 (leaf 00, node 01).
"""

from __future__ import annotations

import hashlib
from dataclasses import astuple, dataclass, replace

import numpy as np

from atlas_lib.ledger.canonical import LEAF_BYTES, framed_text
from atlas_lib.ledger.digests import digests, fixed_rows

VERSION = 1
BLOCK_ROWS = 4096
GENESIS = bytes(32)
_PAIR = 2 * LEAF_BYTES
_BLOCK = BLOCK_ROWS * LEAF_BYTES


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


def merkle_root(leaves: bytes) -> bytes:
    """RFC 6962 tree head of leaf hashes, one after the other; the odd one at the end of a level moves up unchanged."""
    if not leaves:
        return hashlib.sha256(b"").digest()
    level, sha256 = leaves, hashlib.sha256
    while len(level) > LEAF_BYTES:
        paired = len(level) // _PAIR * _PAIR
        nodes = [sha256(b"\x01" + level[i : i + _PAIR]).digest() for i in range(0, paired, _PAIR)]
        level = b"".join(nodes) + level[paired:]
    return level


def merkle_roots(leaves: bytes) -> list[bytes]:
    """The tree head of every BLOCK_ROWS leaves, and of what is left of them at the end."""
    whole = len(leaves) // _BLOCK * _BLOCK
    level = np.frombuffer(leaves[:whole], dtype="u1").reshape(-1, LEAF_BYTES)
    while len(level) * BLOCK_ROWS * LEAF_BYTES > whole:  # a block has a power of two of leaves: no pair crosses it
        pairs = np.ones((len(level) // 2, 1 + _PAIR), dtype="u1")
        pairs[:, 1:] = level.reshape(-1, _PAIR)
        level = np.frombuffer(digests(fixed_rows(pairs)), dtype="u1").reshape(-1, LEAF_BYTES)
    return [root.tobytes() for root in level] + ([merkle_root(leaves[whole:])] if len(leaves) > whole else [])


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
    header = b"".join(map(framed_text, texts)) + b"".join(n.to_bytes(8, "big") for n in numbers)
    content = header + block.event_root + block.transfer_root + block.prev_hash
    return replace(block, block_hash=hashlib.sha256(b"\x02" + content).digest())
