"""Renders the panels as a console page of Prometheus, for sites without Grafana.

The page is a Go template that the server fills on each request. It contains the numbers and tables; the graphs are
drawn in the browser by the server's graph library. It needs no console library: Debian ships one only as an example,
which names files that its package does not have. `?job=...&instance=...` selects one daemon.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from html import escape
from pathlib import Path

from stopit_dashboards.panel import HERE, Kind, Limits, Panel, Row, Unit
from stopit_dashboards.panels import TARGETS

__all__ = ["render"]

_PARTS = Path(__file__).parent

_SAYS = {
    Unit.COUNT: "{{ humanize $v }}",
    Unit.PER_SECOND: '{{ if lt $v 1.0 }}{{ printf "%.2g" $v }}{{ else }}{{ humanize $v }}{{ end }}/s',
    Unit.SECONDS: "{{ humanizeDuration $v }}",
    Unit.SHARE: "{{ humanizePercentage $v }}",
}
"""Template code that prints the number in $v."""


def render(rows: tuple[Row, ...]) -> str:
    """Return the page as it is committed and as Prometheus reads it."""
    parts = {
        "@STYLE@": _part("console.css"),
        "@SCRIPT@": _part("console.js"),
        "@TARGETS@": TARGETS.replace("\\", "\\\\").replace('"', '\\"'),
        "@ROWS@": "\n".join(line for row in rows for line in _row(row)),
    }
    page = _part("frame.html")
    for mark, text in parts.items():
        page = page.replace(mark, text)
    return page + "\n"


def _part(name: str) -> str:
    return (_PARTS / name).read_text("utf-8").rstrip("\n")


def _row(row: Row) -> Iterator[str]:
    yield f'<section>\n<h2>{escape(row.title)}</h2>\n<p class="look">{escape(row.look)}</p>'
    for line in row.lines():
        stats = " stats" if line[0].kind is Kind.STAT else ""
        yield f'<div class="panels{stats}" style="--beside: {len(line)}">'
        for panel in line:
            yield from _panel(panel)
        yield "</div>"
    yield "</section>"


def _panel(panel: Panel) -> Iterator[str]:
    match panel.kind:
        case Kind.STAT:
            yield from _stat(panel)
        case Kind.GRAPH:
            yield from _graph(panel)
        case Kind.TABLE:
            yield from _table(panel)


def _stat(panel: Panel) -> Iterator[str]:
    (query,) = panel.queries
    said = _words(panel.words) if panel.words else _SAYS[panel.unit]
    yield f"{{{{ with query {_filled(query.expr)} }}}}{{{{ $v := . | first | value }}}}"
    yield f'<div class="panel stat {_limit_class(panel.limits)}" data-panel="{panel.key}">{_heading(panel)}'
    yield f"<b>{said}</b>{_answers(panel)}</div>"
    yield f'{{{{ else }}}}<div class="panel stat none" data-panel="{panel.key}">{_heading(panel)}'
    yield f"<b>no data</b>{_answers(panel)}</div>{{{{ end }}}}"


def _graph(panel: Panel) -> Iterator[str]:
    """Yield a graph. With limits, its title shows the worst current value, with the class of a stat."""
    if panel.limits:
        yield f"{{{{ with query {_filled(panel.worst)} }}}}{{{{ $v := . | first | value }}}}"
        yield f'<div class="panel {_limit_class(panel.limits)}" data-panel="{panel.key}">'
        yield f"{_heading(panel, f'<b>{_SAYS[panel.unit]}</b>')}"
        yield f'{{{{ else }}}}<div class="panel" data-panel="{panel.key}">{_heading(panel)}{{{{ end }}}}'
    else:
        yield f'<div class="panel" data-panel="{panel.key}">{_heading(panel)}'
    exprs = ", ".join(f"{{{{ {_filled(query.expr)} }}}}" for query in panel.queries)
    names = json.dumps([query.name("[[", "]]") for query in panel.queries])
    yield f'{_answers(panel)}<div class="graph" id="{panel.key}"></div>'
    yield f'<script>Stopit.graph("{panel.key}", [{exprs}], {names}, "{panel.unit.value}");</script></div>'


def _table(panel: Panel) -> Iterator[str]:
    (query,) = panel.queries
    head = "".join(f"<th>{escape(column)}</th>" for column in panel.columns)
    cells = "".join(f"<td>{{{{ .Labels.{column} }}}}</td>" for column in panel.columns)
    number = '<td class="number">{{ printf "%.0f" .Value }}</td>' if panel.counts else ""
    yield f'<div class="panel" data-panel="{panel.key}">{_heading(panel)}{_answers(panel)}'
    yield f'<table class="numbers"><tr>{head}{"<th></th>" if panel.counts else ""}</tr>'
    yield f'{{{{ range query {_filled(query.expr)} | sortByLabel "{panel.columns[0]}" }}}}'
    yield f"<tr>{cells}{number}</tr>"
    yield f'{{{{ else }}}}<tr><td colspan="{len(panel.columns) + 1}">none</td></tr>{{{{ end }}}}</table></div>'


def _heading(panel: Panel, beside: str = "") -> str:
    """Return the title, with a link to the first query in Prometheus's graph page."""
    link = f"{{{{ pathPrefix }}}}{{{{ graphLink {_filled(panel.queries[0].expr)} }}}}"
    return f'<h3><a href="{link}">{escape(panel.title)}</a>{beside}</h3>'


def _answers(panel: Panel) -> str:
    words = re.sub(r"`([^`]+)`", r"<code>\1</code>", escape(panel.answers))
    return f'<p class="answers">{words}</p>'


def _limit_class(limits: Limits | None) -> str:
    """Return the CSS class for the value in $v."""
    if limits is None:
        return ""
    beyond = "lt" if limits.falling else "ge"
    return (
        f"{{{{ if {beyond} $v {limits.bad:.6f} }}}}bad"
        f"{{{{ else if {beyond} $v {limits.look:.6f} }}}}look-at{{{{ else }}}}well{{{{ end }}}}"
    )


def _words(words: tuple[str, str]) -> str:
    return f"{{{{ if ge $v 1.0 }}}}{escape(words[1])}{{{{ else }}}}{escape(words[0])}{{{{ end }}}}"


def _filled(expr: str) -> str:
    """Return template code for the expression, with the viewer's choice in place of HERE."""
    return f"(printf `{expr.replace('%', '%%').replace(HERE, '%[1]s')}` $here)"
