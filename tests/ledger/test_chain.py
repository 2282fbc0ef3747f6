"""Merkle roots and block hashes."""

from __future__ import annotations

import dataclasses
import hashlib
import struct

import pytest

from atlas_lib.ledger.canonical import hash_rows
from atlas_lib.ledger.chain import BLOCK_ROWS, GENESIS, Block, merkle_root, merkle_roots, seal
from atlas_lib.ledger.digests import IN_BULK

# Certificate Transparency's own test vectors for the tree of RFC 6962 (google/certificate-transparency,
# merkletree/merkle_tree_test.cc): leaves and the roots of the first 1 to 8 of them.
LEAVES = ["", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f"]
ROOTS = [
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
]


@pytest.mark.parametrize("count", range(1, 9))
def test_roots_equal_the_published_ones(count: int) -> None:
    leaves = [hashlib.sha256(b"\x00" + bytes.fromhex(leaf)).digest() for leaf in LEAVES[:count]]
    assert merkle_root(b"".join(leaves)).hex() == ROOTS[count - 1]


def test_the_empty_tree_has_the_hash_of_nothing() -> None:
    # RFC 6962, section 2.1: MTH({}) = SHA-256().
    assert merkle_root(b"").hex() == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"


def test_leaves_in_bulk_are_those_of_one_row_at_a_time() -> None:
    texts = [None if n % 7 == 0 else "äß\x00€"[: n % 5] * (n % 90) for n in range(IN_BULK + 5)]
    numbers = [n * 2**40 - 2**62 for n in range(len(texts))]
    expected = []
    for number, text in zip(numbers, texts, strict=True):
        raw = (text or "").encode()
        framed = b"\xff" * 4 if text is None else struct.pack(">I", len(raw)) + raw
        expected.append(hashlib.sha256(b"\x00" + struct.pack(">q", number) + framed).digest())
    assert hash_rows([numbers], [texts]) == b"".join(expected)
    assert hash_rows([numbers[:9]], [texts[:9]]) == b"".join(expected[:9])


@pytest.mark.parametrize("count", [0, 1, BLOCK_ROWS - 1, BLOCK_ROWS, 2 * BLOCK_ROWS, 2 * BLOCK_ROWS + 3])
def test_roots_of_many_blocks_are_those_of_one_block_at_a_time(count: int) -> None:
    leaves = b"".join(hashlib.sha256(str(n).encode()).digest() for n in range(count))
    parts = [leaves[start : start + BLOCK_ROWS * 32] for start in range(0, len(leaves), BLOCK_ROWS * 32)]
    assert merkle_roots(leaves) == [merkle_root(part) for part in parts]


def test_every_header_field_changes_the_block_hash() -> None:
    block = Block(1, "a", 0, "f", 1, 2, 1, 2, b"e" * 32, b"t" * 32, GENESIS, "w", 5)
    sealed = seal(block, "ledger").block_hash
    others = {
        "part": 1,
        "n": 3,
        "n_transfer": 3,
        "writer": "x",
        "created_us": 6,
        "append_id": "b",
        "prev_hash": b"p" * 32,
    }
    others |= {
        "block_no": 2,
        "body_fingerprint": "g",
        "first_position": 2,
        "first_transfer": 2,
        "event_root": b"x" * 32,
    }
    for name, value in others.items():
        assert seal(dataclasses.replace(block, **{name: value}), "ledger").block_hash != sealed, name
    assert seal(block, "other").block_hash != sealed
