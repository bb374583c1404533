"""The pages, and their places in the repository."""

from __future__ import annotations

from pathlib import Path

from stopit_dashboards import console, grafana
from stopit_dashboards.panels import ROWS

__all__ = ["CONFIG", "CONSOLE", "DASHBOARD", "stale"]

CONFIG = Path(__file__).parents[3] / "config"
DASHBOARD = Path("grafana", "stopit.json")
CONSOLE = Path("prometheus", "consoles", "stopit.html")


def stale(config: Path = CONFIG) -> dict[Path, str]:
    """Return the pages below `config` that differ from the list of panels, with their correct content."""
    fresh = {config / DASHBOARD: grafana.render(ROWS), config / CONSOLE: console.render(ROWS)}
    return {path: text for path, text in fresh.items() if not path.exists() or path.read_text("utf-8") != text}
