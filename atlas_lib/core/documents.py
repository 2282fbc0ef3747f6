"""XML read safely: no document type, no entities, no network, no inclusion; refused, never half read."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Any

from atlas_lib.core.errors import InputError

# What banks tell of an account, and what each holds: statement (camt.053), notice (camt.054), intraday report (camt.052).
REPORTS = {"BkToCstmrStmt": "Stmt", "BkToCstmrDbtCdtNtfctn": "Ntfctn", "BkToCstmrAcctRpt": "Rpt"}


def parse_document(path: Path, name: str, what: str) -> Any:
    """The root element of a bank's file; `what` it is (statement, answer) and its `name` are for the error.

    A document type is refused: no message of a bank has one, and it is where entities are declared. Comments and
    processing instructions are left out: they would come between elements, and cut a text in two.
    """
    from lxml import etree

    again = f"fetch the {what} from the bank again"
    parser = etree.XMLParser(
        resolve_entities=False, no_network=True, load_dtd=False, huge_tree=False, recover=False,
        remove_comments=True, remove_pis=True,
    )  # fmt: skip
    try:
        tree: Any = etree.parse(str(path), parser)
    except (etree.LxmlError, OSError, ValueError) as error:
        raise InputError(
            f"The {what} cannot be read", where=name, expected="a complete XML file", found=str(error), remedy=again
        ) from error  # fmt: skip
    if tree.docinfo.doctype or tree.docinfo.internalDTD is not None:
        raise InputError(
            f"The {what} declares a document type", where=name, expected="XML without DOCTYPE and entities",
            found=tree.docinfo.doctype or "DOCTYPE", remedy=again + "; a file with entities is not read",
        )  # fmt: skip
    return tree.getroot()


def messages_in(root: Any, kinds: Collection[str]) -> list[Any]:
    """The messages of these kinds in a file, in its order: of its one document, or of all that an envelope holds."""
    return list(root.iter(*("{*}" + kind for kind in kinds)))


def outline(root: Any) -> str:
    """What a file is, for the one who sent another: its outermost elements, as `Document/CstmrPmtStsRpt`."""
    return "/".join(local_name(element) for element in (root, *root[:1]))


def child_text(parent: Any, path: str) -> str | None:
    """Text of the first element at `A/B/C`, whatever its namespace; empty is none."""
    if parent is None:
        return None
    found = parent.find("/".join("{*}" + step for step in path.split("/")))
    return (found.text or "").strip() or None if found is not None else None


def children(parent: Any, path: str) -> list[Any]:
    """All elements at `A/B/C`, whatever their namespace."""
    return list(parent.findall("/".join("{*}" + step for step in path.split("/"))))


def local_name(element: Any) -> str:
    return str(element.tag).rpartition("}")[2]
