"""`python -m stopit_dashboards` writes the pages from the list of panels; `--check` only compares them.

Exit code 1 if a page differs from the list, else 0.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from stopit_dashboards import pages

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Write or check the pages. Returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m stopit_dashboards", description="Write dashboard and console page."
    )
    parser.add_argument("--check", action="store_true", help="write nothing; report the pages that are out of date")
    parser.add_argument(
        "--config", type=Path, default=pages.CONFIG, metavar="DIR", help="the directory (default: %(default)s)"
    )
    options = parser.parse_args(arguments)
    stale = pages.stale(options.config)
    for path, text in stale.items():
        if options.check:
            sys.stderr.write(f"{path} differs from the list of panels: run python -m stopit_dashboards\n")
        else:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, "utf-8")
            sys.stdout.write(f"{path}\n")
    return 1 if options.check and stale else 0


if __name__ == "__main__":
    sys.exit(main())
