"""python -m stopit_lab.screenshot FILE.png: take a screenshot of the console page, for the documents.

Two sites have mail for some minutes, a Prometheus scrapes them each second, and Chromium takes a screenshot of the
top of the page. Needs root, because it starts private Postfixes.
"""

from __future__ import annotations

import argparse
import itertools
import json
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import quote

from stopit_lab.browser import Browser
from stopit_lab.load import mixed_load, ordinary_mail
from stopit_lab.people import Cast
from stopit_lab.prometheus import Prometheus
from stopit_lab.site import Site, Stores
from stopit_lab.waiting import until

__all__ = ["main"]

_CONFIG = Path(__file__).parents[3] / "config" / "prometheus"
_SIZE = (1200, 1080)
_LOAD_EVERY = 45.0
"""Seconds between two runs of the load."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Take the screenshot. Returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m stopit_lab.screenshot", description="Take a screenshot of the console page."
    )
    parser.add_argument("file", type=Path, help="the file to write")
    parser.add_argument("--minutes", type=float, default=6, help="of mail and on the graphs (default: %(default)g)")
    options = parser.parse_args(arguments)
    with (
        tempfile.TemporaryDirectory(prefix="stopit-screenshot-") as directory,
        Site(Stores.SQLITE) as first,
        Site(Stores.REDIS) as second,
    ):
        sites = (first, second)
        targets = {
            "stopit-milter": [site.addresses[0] for site in sites],
            "stopit-notifier": [site.addresses[1] for site in sites],
        }
        rules = [_CONFIG / "stopit.rules.yml"]
        with Prometheus(Path(directory), targets, _CONFIG / "consoles", rules) as prometheus:
            _mail(sites, options.minutes * 60)
            options.file.write_bytes(_taken(prometheus, int(options.minutes * 60)))
    return 0


def _mail(sites: Sequence[Site], seconds: float) -> None:
    """Send mail for this time, at a varying rate."""
    casts = (Cast(number) for number in itertools.count(1))
    bystanders = next(casts)
    began = time.monotonic()
    stories = 0
    for turn in itertools.count():
        passed = time.monotonic() - began
        if passed > seconds:
            return
        for site in sites:
            ordinary_mail(site, bystanders, 2 + turn % 5)
        if passed > stories * _LOAD_EVERY:
            mixed_load(sites[stories % 2], casts)
            stories += 1
        time.sleep(0.5)


def _taken(prometheus: Prometheus, seconds: int) -> bytes:
    """Return the top of the page as PNG, with graphs over this time."""
    chosen = quote(json.dumps({"duration": seconds, "endTime": 0}))
    with Browser() as browser:
        page = browser.page(*_SIZE)
        page.open(f"{prometheus.url}/consoles/stopit.html#pctc{chosen}")
        until(lambda: page.evaluate("document.querySelectorAll('.prom_graph_loading').length") == 0, "the graphs")
        if page.faults():
            raise RuntimeError("\n".join(page.faults()))
        return page.screenshot(whole=False)


if __name__ == "__main__":
    sys.exit(main())
