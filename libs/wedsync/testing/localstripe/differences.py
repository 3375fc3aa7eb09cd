"""In what our program differs from localstripe's own.

Its data are kept in a file of our choice or not at all; and as at Stripe, a list of payment intents can be
asked for one customer's, and begins with the newest.
"""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

from localstripe.resources import (  # type: ignore[import-untyped]
    List,
    PaymentIntent,
    Store,
    StripeObject,
    store,
)


def prepare(data: Path | None) -> None:
    """Take over how data are kept and payments are listed; restore what the file holds."""
    Store.dump_to_disk = _keeping(data)
    PaymentIntent._api_list_all = classmethod(_payment_intents)  # noqa: SLF001 - the package has no other place
    store.clear()
    if data is not None and data.exists():
        # Our own file, written below by this program.
        dict.update(store, pickle.loads(data.read_bytes()))  # noqa: S301


def _keeping(data: Path | None) -> Callable[[Store], None]:
    def keep(held: Store) -> None:
        if data is not None:
            fresh = data.with_suffix(f"{data.suffix}.new")
            fresh.write_bytes(pickle.dumps(dict(held)))
            fresh.replace(data)

    return keep


def _payment_intents(
    cls: type[StripeObject],
    /,
    url: str,
    customer: str | None = None,
    limit: str | None = None,
    starting_after: str | None = None,
    **other: Any,
) -> List:
    listed = StripeObject.__dict__["_api_list_all"].__func__(
        cls, url, limit=limit, starting_after=starting_after, **other
    )
    shown = [intent for intent in listed._list if customer in (None, intent.customer)]  # noqa: SLF001
    listed._list = shown[::-1]  # noqa: SLF001
    return listed
