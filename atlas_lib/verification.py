"""`atlas verify`: is a run, and the ledger under it, still what was written?

The tables are held against the manifest, the manifest against its signature, and the ledger against the head that
every manifest of the runs directory keeps: a cut tail or a ledger rewritten as a whole no longer holds them all.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from atlas_lib.core.errors import AtlasError, InputError, LedgerError, TableError
from atlas_lib.core.run import Run
from atlas_lib.core.signature import UNSIGNED, public_key_from_environment, signature_fault
from atlas_lib.ledger.chain import Head
from atlas_lib.ledger.run_ledger import open_run_ledger


def verify_run(run_dir: Path, public_key: str = "") -> list[str]:
    """What was checked and found right, one line each; raises for the first thing that is not.

    TableError: a table is not as it was written. AtlasError: a signature does not fit. LedgerError: the ledger is not
    as it was, with the first broken entry. Without a public key signatures are not checked, and the lines say so.
    """
    run, key = Run(run_dir), public_key or public_key_from_environment()
    run.verify()
    lines = [f"{len(run.manifest['tables'])} tables are as they were written."]
    trusted = _trusted(run, key, lines)
    heads, others = _heads(run, trusted)
    with open_run_ledger(run, writer="verify") as ledger:
        findings = ledger.verify(heads)
        entries = ledger.head().entries
    if len(findings):
        first = findings.iloc[0]
        raise LedgerError(
            "The ledger is not as it was written", where=f"entry {first['entry_id']}",
            found=f"{first['finding']} ({first['detail']}); {len(findings)} findings in all",
            remedy="restore the ledger from a copy that holds the heads of the manifests",
        )  # fmt: skip
    known = (
        f"{len(heads)} head(s) kept in manifests" if heads else "no head: this run keeps none, a cut tail goes unseen"
    )
    lines.append(f"The ledger is as it was written: {entries} entries, {known}.")
    return [*lines, f"{others} runs of this directory belong to another ledger."] if others else lines


def _manifests(run: Run) -> dict[str, dict[str, Any]]:
    """Every manifest of the runs directory, by run id; a signature speaks for each."""
    paths = sorted(run.directory.resolve().parent.glob("*/manifest.json"))
    try:
        return {p.parent.name: json.loads(p.read_text(encoding="utf-8")) for p in paths}
    except ValueError as error:
        raise TableError("A manifest cannot be read", where=str(run.directory.parent), found=str(error)) from error


def _trusted(run: Run, key: str, lines: list[str]) -> dict[str, dict[str, Any]]:
    """The manifests whose heads count: with a key the signed ones only; what is not signed is said."""
    manifests = _manifests(run)
    if not key:
        count = sum("signature" in m for m in manifests.values())
        lines.append(f"Signatures were not checked, no public key was given; {count} of {len(manifests)} are signed.")
        return manifests
    faults = {name: fault for name, m in manifests.items() if (fault := signature_fault(m, key))}
    own = run.directory.resolve().name
    wrong = [name for name, fault in faults.items() if name == own or fault != UNSIGNED]
    if wrong:
        raise AtlasError(
            "A manifest is not signed by the given key", where=wrong[0], found=faults[wrong[0]],
            remedy="trust neither its tables nor its head until it is known who changed it",
        )  # fmt: skip
    lines.append(f"{len(manifests) - len(faults)} of {len(manifests)} manifests are signed by the given key.")
    if faults:
        lines.append(f"Unsigned, so their heads count for nothing: {', '.join(faults)}.")
    return {name: m for name, m in manifests.items() if name not in faults}


def _heads(run: Run, manifests: dict[str, dict[str, Any]]) -> tuple[list[Head], int]:
    """The heads that must lie on the chain: this run's, and those of the other runs on the same ledger."""
    try:
        kept = {name: Head(**m["ledger"]) for name, m in manifests.items() if "ledger" in m}
    except TypeError as error:
        raise InputError("A manifest keeps something else than a ledger's head", found=str(error)) from error
    own = kept.get(run.directory.resolve().name)
    ledger_id = own.ledger_id if own else None
    heads = [h for h in kept.values() if ledger_id in (None, h.ledger_id)]
    return sorted(heads, key=lambda h: h.block_no), len(kept) - len(heads)
