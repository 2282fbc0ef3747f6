"""Who looks at the dashboard, and the one place that says what of a table this person gets."""

from __future__ import annotations

import secrets
from collections.abc import Mapping

import pandas as pd

from atlas_lib.core.accounts import mask_text, masked_in_sql
from atlas_lib.core.customers import detail_masked_in_sql, mask_key, masked_user_in_sql
from atlas_lib.core.errors import Refused
from atlas_lib.core.tables import declared
from atlas_lib.dashboard.listings import MAY_HOLD_ACCOUNTS, Listing
from atlas_lib.reserves_credit.roles import Actor, identify, may, require

NOBODY = Actor("", "")
# Without a key of one's own, masks hold while the server runs.
_KEY_OF_THIS_SERVER = secrets.token_hex(16)


def viewer_of(header: str, environment: Mapping[str, str]) -> Actor:
    """The person that the login header (or, where none is configured, the environment) names.

    Only what came with this very request counts: a name left in the server's own environment does not.
    Refused when the proxy names nobody we know.
    """
    name = environment.get("ATLAS_LOGIN_HEADER", "")
    return identify({**environment, _variable(name): header} if name else environment)


def environment_of(header: str, environment: Mapping[str, str]) -> dict[str, str]:
    """The environment that tells the room's own functions who this request is from."""
    name = environment.get("ATLAS_LOGIN_HEADER", "")
    return {**environment, _variable(name): header} if name else dict(environment)


def _variable(header: str) -> str:
    return "HTTP_" + header.upper().replace("-", "_")


def is_office(actor: Actor) -> bool:
    """Whether the person may see the whole book; where no login is configured, every reader may."""
    return actor == NOBODY or may(actor, "see_book")


def require_office(actor: Actor) -> None:
    """Refused for a merchant, and for a person without a role."""
    if not is_office(actor):
        require(actor, "see_book")


def columns_for(actor: Actor, listing: Listing) -> list[str]:
    """Columns of the listing that the person gets; Refused where that is none."""
    if is_office(actor):
        return listing.shown
    require(actor, "see_own")
    if not listing.own_shown:
        raise Refused(
            f"You may not see {listing.title.lower()}", found=f"{actor.name} as merchant {actor.merchant_id}",
            expected="a role of the office", remedy="ask your account manager",
        )  # fmt: skip
    return listing.own_shown


def conditions_for(actor: Actor, listing: Listing) -> list[tuple[str, list[object]]]:
    """SQL conditions with their values that hold for every row the person gets, whatever else is asked."""
    if is_office(actor):
        return []
    columns_for(actor, listing)
    own: list[tuple[str, list[object]]] = [(f'"{listing.merchant}" = ?', [actor.merchant_id])]
    if listing.own_not:
        column, values = listing.own_not
        own.append((f'"{column}" NOT IN (SELECT unnest(?))', [list(values)]))
    return own


def may_see_accounts(actor: Actor) -> bool:
    """Whether account numbers stand there in full; where no login is configured they never do."""
    return may(actor, "see_bank_details")


def hide_accounts(actor: Actor, frame: pd.DataFrame) -> pd.DataFrame:
    """Rows that were read whole, as the person may know them."""
    if may_see_accounts(actor):
        return frame
    held = [n for n in MAY_HOLD_ACCOUNTS if n in frame]
    return frame.assign(**{n: frame[n].map(mask_text, na_action="ignore").astype("str") for n in held})


def shown_as(actor: Actor, listing: Listing) -> dict[str, str]:
    """Columns that the person gets otherwise than they are, as SQL; search, filters and sorting know them no better.

    A merchant sees no difference between a payment that waits and one that was put off, which may tell of a suspicion.
    """
    present = declared(listing.table).column_names
    hidden = () if may_see_accounts(actor) else tuple(n for n in MAY_HOLD_ACCOUNTS if n in present)
    out = {name: masked_in_sql(name) for name in hidden}
    if not may_see_customers(actor):
        out |= _customers(listing, out.get("detail", '"detail"'))
    if not is_office(actor) and "settlement_status" in present:
        out["settlement_status"] = (
            "CASE \"settlement_status\" WHEN 'Deferred' THEN 'Pending' ELSE \"settlement_status\" END"
        )
    return out


def may_see_customers(actor: Actor) -> bool:
    """Whether customers are named by their ids, not by masks."""
    return may(actor, "see_customers")


def customers_key() -> str:
    """The key of the masks of this server."""
    return mask_key(_KEY_OF_THIS_SERVER)


def _customers(listing: Listing, detail: str) -> dict[str, str]:
    """Masks for the columns of the listing that name a customer; `detail` is that column as it is shown otherwise."""
    if listing.table == "compliance_status":
        mask = masked_user_in_sql("subject_id", customers_key())
        return {"subject_id": f'CASE "scope" WHEN \'user\' THEN {mask} ELSE "subject_id" END'}
    mask = masked_user_in_sql("user_id", customers_key())
    if listing.table == "screening_findings":
        return {"detail": detail_masked_in_sql(detail, customers_key())}
    return {"user_id": mask} if "user_id" in listing.shown else {}
