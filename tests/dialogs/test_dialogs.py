"""Each dialog of this directory, played on a site with each of its stores. README.md describes the language."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from stopit_lab.dialog import DialogError, DialogFailed, Player, parse
from stopit_lab.people import Cast
from stopit_lab.site import Site, Stores

pytestmark = pytest.mark.integration

HERE = Path(__file__).parent


def cases() -> list[Any]:
    """Return a case for each dialog and store. A dialog that cannot be read is a case too, which fails."""
    found = []
    for file in sorted(HERE.glob("*.dialog")):
        try:
            stores = parse(file.read_text("utf-8"), file.name).stores
        except DialogError:
            stores = (Stores.SQLITE,)
        found += [pytest.param(file, store, id=f"{file.stem}-{store.value}") for store in stores]
    return found


@pytest.mark.parametrize(("file", "stores"), cases())
def test_dialog(
    file: Path,
    stores: Stores,
    request: pytest.FixtureRequest,
    shared_sites: Callable[..., Site],
    casts: Iterator[Cast],
    nothing_more_is_sent: Callable[[Site], None],
) -> None:
    failure = ""
    try:
        dialog = parse(file.read_text("utf-8"), f"tests/dialogs/{file.name}")
        site = shared_sites(stores, dialog.values)
        request.node.own_sites = [site]
        Player(site, next(casts), lambda: nothing_more_is_sent(site), HERE).play(dialog)
    except (DialogError, DialogFailed) as error:
        failure = f"\n{error}"
    if failure:  # outside of the block above, which would be shown too
        pytest.fail(failure, pytrace=False)
