"""Which pages there are, and where in the repository each is kept."""

from __future__ import annotations

from pathlib import Path

from stopit_dashboards import console, grafana
from stopit_dashboards.panels import ROWS

__all__ = ["CONFIG", "CONSOLE", "DASHBOARD", "stale"]

CONFIG = Path(__file__).parents[3] / "config"
DASHBOARD = Path("grafana", "stopit.json")
CONSOLE = Path("prometheus", "consoles", "stopit.html")


def stale(config: Path = CONFIG) -> dict[Path, str]:
    """The pages below `config` that are not as the list of panels gives them, with what they should be."""
    fresh = {config / DASHBOARD: grafana.render(ROWS), config / CONSOLE: console.render(ROWS)}
    return {path: text for path, text in fresh.items() if not path.exists() or path.read_text("utf-8") != text}
