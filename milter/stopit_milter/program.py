"""The entry point of stopit-milter: it checks for libmilter before anything is imported that needs it.

The Debian package only recommends libmilter, because a host with the notifier alone does not need it.
"""

from __future__ import annotations

import sys

__all__ = ["main"]

_UNAVAILABLE = 69  # EX_UNAVAILABLE of sysexits.h: a restart does not help until it is installed


def main() -> None:
    """Run stopit-milter. Exits with 69 where libmilter is missing."""
    try:
        import Milter  # noqa: F401  to see whether it is there
    except ImportError as error:
        print(
            f"stopit-milter: needs libmilter, the mail filter library of Sendmail ({error}); as root: apt-get install"
            " libmilter1.0.1",
            file=sys.stderr,
        )
        sys.exit(_UNAVAILABLE)
    from stopit_milter.__main__ import main as serve

    serve()
