"""Every panel, once, in the order in which a person at 3 am looks: is it well, does mail pass, do members flag, does
anything wait, does the notifier work, do staff have work, does it stop, and what runs where.

What a daemon tells of a store that several share (queue, cases, senders) is taken by `max`: each of them tells the
same. What it tells of itself is added up. Rates are asked of what was scraped and not of the recording rules that sum
over instances, so that one instance can be looked at alone, and on a server without our rules too; the limits are
those of the alerts. Only what the rules alone know is asked of them (`stopit:...`, ALERTS).
"""

from __future__ import annotations

from stopit_dashboards.panel import HERE, Kind, Limits, Panel, Query, Row, Unit

__all__ = ["ROWS", "TARGETS", "panels"]

TARGETS = 'up{job=~"stopit-.+"}'
"""Every daemon that Prometheus is told of, also one that does not answer."""

_MILTERS = f'job="stopit-milter",{HERE}'
_NOTIFIERS = f'job="stopit-notifier",{HERE}'


def panels() -> tuple[Panel, ...]:
    """All of them, in order."""
    return tuple(panel for row in ROWS for panel in row.panels)


def _stat(
    key: str,
    title: str,
    answers: str,
    expr: str,
    unit: Unit = Unit.COUNT,
    limits: Limits | None = None,
    words: tuple[str, str] | None = None,
) -> Panel:
    return Panel(key, title, answers, (Query(expr, title),), unit, Kind.STAT, limits, words)


def _graph(
    key: str,
    title: str,
    answers: str,
    queries: dict[str, str],
    unit: Unit = Unit.COUNT,
    limits: Limits | None = None,
) -> Panel:
    """`queries`: legend to expression."""
    asked = tuple(Query(expr, legend) for legend, expr in queries.items())
    return Panel(key, title, answers, asked, unit, Kind.GRAPH, limits)


def _table(key: str, title: str, answers: str, columns: tuple[str, ...], expr: str, counts: bool = True) -> Panel:
    legend = ", ".join(f"{{{column}}}" for column in columns)
    return Panel(key, title, answers, (Query(expr, legend),), Unit.COUNT, Kind.TABLE, columns=columns, counts=counts)


def _quantiles(histogram: str, window: str) -> dict[str, str]:
    """Half, and 99 of 100, of what a histogram saw in the window."""
    seen = f"sum by (le) (rate({histogram}_bucket{{{HERE}}}[{window}]))"
    return {f"p{share:.0%}".rstrip("%"): f"histogram_quantile({share}, {seen})" for share in (0.5, 0.99)}


_ALL = Limits(1, 0.01, falling=True)
"""Less than all is worth a look, none is bad."""
_YES = Limits(1, 1, falling=True)
_DAY = 86400


_FIRING = f'ALERTS{{alertstate="firing",alertname=~"Stopit.+",{HERE}}}'
_RULES = "count(stopit:senders_notified:max)"
"""Is there where our rules are loaded: without them, no alert is no good news."""

_WELL = Row(
    "Is it well?",
    "All of it green: go back to bed. What is red says which row to read.",
    (
        _stat(
            "alerts",
            "Alerts",
            "How many alerts of ours fire now. No data: Prometheus has not loaded our rules.",
            f"count({_FIRING}) or 0 * count(up{{{HERE}}}) and on () {_RULES}",
            Unit.COUNT,
            Limits(1, 1),
        ),
        _stat(
            "milters-up",
            "Milters up",
            "Of the milters that Prometheus knows, how many answer. While one is down, its host answers submissions "
            "with 451.",
            f"avg(up{{{_MILTERS}}})",
            Unit.SHARE,
            _ALL,
        ),
        _stat(
            "notifiers-up",
            "Notifiers up",
            "Of the notifiers that Prometheus knows, how many answer. While all are down, reports wait in the queue.",
            f"avg(up{{{_NOTIFIERS}}})",
            Unit.SHARE,
            _ALL,
        ),
        _stat(
            "ready",
            "Ready",
            "Whether every daemon would handle a message or a report that came now. `stopitctl health` says what is "
            "wrong.",
            f"min(stopit_ready{{{HERE}}})",
            Unit.COUNT,
            _YES,
            ("not ready", "ready"),
        ),
        _stat(
            "last-reload",
            "Last reload",
            "Whether every daemon runs on the configuration that is in its file. `stopitctl check` names the fault.",
            f"min(stopit_config_last_reload_successful{{{HERE}}})",
            Unit.COUNT,
            _YES,
            ("refused", "taken"),
        ),
        _stat(
            "queue-durable",
            "Queue",
            "Whether the queue's server would lose nothing in a power cut. `stopitctl doctor` names the setting.",
            f"min(stopit_queue_durable{{{HERE}}} >= 0)",
            Unit.COUNT,
            _YES,
            ("not durable", "durable"),
        ),
        _table(
            "firing",
            "Alerts that fire",
            "Each has a runbook of its own name: what it means, how to look, what to do.",
            ("severity", "alertname", "job", "instance"),
            _FIRING,
            counts=False,
        ),
    ),
)

_MAIL = Row(
    "Does mail pass?",
    "Tempfailed or a fault above zero: members are told to wait, or traces are missing. The stage says where.",
    (
        _graph(
            "messages",
            "Messages by result",
            "What the milter did with the mail that passed it. Tempfailed: the client was told to come again.",
            {"{result}": f"sum by (result) (rate(stopit_milter_messages_total{{{HERE}}}[5m]))"},
            Unit.PER_SECOND,
        ),
        _graph(
            "duration",
            "Time that a message waits",
            "How long the MTA waits for the milter at one message: at most so long for half of them, and for 99 of "
            "100.",
            _quantiles("stopit_milter_message_duration_seconds", "5m"),
            Unit.SECONDS,
        ),
        _graph(
            "slowest",
            "The slowest wait, by milter",
            "99 of 100 messages wait less than this, at each milter by itself.",
            {"{instance}": f"stopit:milter_message_duration_seconds:p99_5m{{{HERE}}}"},
            Unit.SECONDS,
            Limits(0.05, 0.25),
        ),
        _graph(
            "connections",
            "Connections of the MTA",
            "How many connections each milter holds. One that only rises: the MTA does not close, or we leak.",
            {"{instance}": f"sum by (instance) (stopit_milter_connections{{{HERE}}})"},
        ),
        _graph(
            "milter-faults",
            "Faults of the milter, by stage",
            "Faults of our own. Mail that is no flag passes all the same; the log has a line for each.",
            {"{stage}": f"sum by (stage) (rate(stopit_milter_faults_total{{{HERE}}}[5m]))"},
            Unit.PER_SECOND,
        ),
        _graph(
            "workers-ended",
            "Workers that ended unasked, in an hour",
            "A worker that crashed, or hung and was killed. It is started again; the mail in its hands was put off.",
            {"{instance}": f"sum by (instance) (increase(stopit_milter_workers_ended_total{{{HERE}}}[1h]))"},
            limits=Limits(0.5, 5),
        ),
        _graph(
            "traces",
            "Traces",
            "One for each message. Dropped: the ledger is too slow or away, and flags of that mail go to staff.",
            {"{result}": f"sum by (result) (rate(stopit_traces_total{{{HERE}}}[5m]))"},
            Unit.PER_SECOND,
        ),
    ),
)

_FLAGS = Row(
    "Do members flag?",
    "Refused above zero: a report could be kept nowhere, and the member's client was told to come again.",
    (
        _graph(
            "flags-by-channel",
            "Flags in an hour, by channel",
            "How members flag: by a reply, by the header, or by mail to the report address.",
            {"{channel}": f"sum by (channel) (increase(stopit_flags_total{{{HERE}}}[1h]))"},
        ),
        _graph(
            "flags-by-result",
            "Flags in an hour, by what became of them",
            "Queued is well. Spooled: the queue was away, and the report is safe. Refused: it was kept nowhere.",
            {"{result}": f"sum by (result) (increase(stopit_flags_total{{{HERE}}}[1h]))"},
        ),
    ),
)

_WAITING = Row(
    "Does anything wait?",
    "The oldest report says whether anything moves. A depth that falls is a queue that is being worked off.",
    (
        _graph(
            "oldest-report",
            "Oldest report in the queue",
            "How long the oldest report has waited. Over ten minutes: the notifier is stuck, or one report fails.",
            {"oldest": f"max(stopit_queue_oldest_age_seconds{{{HERE}}})"},
            Unit.SECONDS,
            Limits(120, 600),
        ),
        _graph(
            "queue-depth",
            "Reports in the queue",
            "Reports that the notifier has not yet dealt with.",
            {"queue": f"max(stopit_queue_depth{{{HERE}}})"},
        ),
        _graph(
            "spool-depth",
            "Reports in the spools",
            "Reports that the milters keep because the queue is away. They come back by themselves.",
            {"{instance}": f"max by (instance) (stopit_spool_depth{{{HERE}}})"},
            limits=Limits(1, 100),
        ),
        _graph(
            "dead-letters",
            "Reports set aside",
            "Reports that failed again and again. `stopitctl queue list` shows them, `stopitctl queue retry` brings "
            "them back.",
            {"set aside": f"max(stopit_dead_letters{{{HERE}}})"},
            limits=Limits(1, 10),
        ),
    ),
)

_NOTIFIER = Row(
    "Does the notifier work?",
    "Its last success first, then what it could not send, then what it decides.",
    (
        _graph(
            "last-success",
            "Since the last success",
            "How long ago each notifier last looked through queue and outbox without a fault.",
            {"{instance}": f"time() - max by (instance) (stopit_notifier_last_success_timestamp_seconds{{{HERE}}})"},
            Unit.SECONDS,
            Limits(120, 300),
        ),
        _graph(
            "last-turn",
            "Since the last turn",
            "How long ago each notifier's loop last came round, with or without a fault. It hangs when this rises.",
            {"{instance}": f"time() - max by (instance) (stopit_notifier_last_turn_timestamp_seconds{{{HERE}}})"},
            Unit.SECONDS,
            Limits(120, 300),
        ),
        _graph(
            "outbox-due",
            "Messages of ours that are due",
            "Notices, acknowledgements and alerts whose time has come and that are not sent yet.",
            {"due": f"max(stopit_outbox_due{{{HERE}}})"},
            limits=Limits(20, 200),
        ),
        _graph(
            "outbox-put-off",
            "Messages of ours that were put off",
            "Tried, not taken by the MTA, and tried again later. The MTA's log says why.",
            {"put off": f"max(stopit_outbox_put_off{{{HERE}}})"},
            limits=Limits(1, 20),
        ),
        _graph(
            "sends",
            "Sends in an hour, by result",
            "Attempts to send a message of ours. Deferred is tried again; of failed and unclear staff are told.",
            {"{result}": f"sum by (result) (increase(stopit_messages_sent_total{{{HERE}}}[1h]))"},
        ),
        _graph(
            "notifier-faults",
            "Faults of the notifier, by stage",
            "Faults while taking reports or sending. The work is tried again.",
            {"{stage}": f"sum by (stage) (rate(stopit_notifier_faults_total{{{HERE}}}[5m]))"},
            Unit.PER_SECOND,
        ),
        _graph(
            "bounced",
            "Messages of ours that bounced, in a day",
            "Taken by the MTA, and came back. Notices that bounce: the login's address does not exist.",
            {"{kind}": f"sum by (kind) (increase(stopit_messages_bounced_total{{{HERE}}}[1d]))"},
        ),
        _graph(
            "report-age",
            "From the flag to the decision",
            "What a member waits for the acknowledgement.",
            _quantiles("stopit_report_age_at_decision_seconds", "1h"),
            Unit.SECONDS,
        ),
        _graph(
            "decision-duration",
            "Time that a report takes",
            "The notifier's own time for one report. It rises when the case record or the ledger is slow.",
            _quantiles("stopit_decision_duration_seconds", "1h"),
            Unit.SECONDS,
        ),
        _graph(
            "send-duration",
            "Time that a send takes",
            "How long the MTA takes for one message of ours.",
            _quantiles("stopit_smtp_send_duration_seconds", "1h"),
            Unit.SECONDS,
        ),
        _graph(
            "decisions",
            "Decisions in an hour, by outcome",
            "What was decided on reports: notice, staff review, record only, wait, reject.",
            {"{outcome}": f"sum by (outcome) (increase(stopit_decisions_total{{{HERE}}}[1h]))"},
        ),
        _table(
            "sends-by-kind",
            "Messages of ours in a day",
            "What was sent, by kind and by what became of it.",
            ("kind", "result"),
            f"sum by (kind, result) (increase(stopit_messages_sent_total{{{HERE}}}[1d])) > 0",
        ),
        _table(
            "reasons",
            "Decisions in a week, and why",
            "What was decided, for which reason, how often.",
            ("outcome", "reason"),
            f"sum by (outcome, reason) (increase(stopit_decisions_total{{{HERE}}}[7d])) > 0",
        ),
    ),
)

_STAFF = Row(
    "Do staff have work?",
    "By day. Cases that wait for a person do not go away by themselves.",
    (
        _graph(
            "staff-oldest",
            "Case that waits longest for staff",
            "How long since it came to them, or since they last did something on it.",
            {"oldest": f"max(stopit_staff_case_oldest_age_seconds{{{HERE}}})"},
            Unit.SECONDS,
            Limits(2 * _DAY, 3 * _DAY),
        ),
        _graph(
            "cases",
            "Cases, by state",
            "How many cases there are. Those in state staff wait for a person.",
            {"{state}": f"max by (state) (stopit_cases{{{HERE}}})"},
        ),
    ),
)

_STOPS = Row(
    "Does it stop?",
    "By day. This is what all of it is for.",
    (
        _stat(
            "senders-notified",
            "Senders who have a notice",
            "Senders on record who were sent a notice.",
            f"max(stopit_senders_notified{{{HERE}}})",
        ),
        _stat(
            "recurred",
            "Of those, reported again",
            "The share that was reported again for mail sent after the notice.",
            f"max(stopit_senders_recurred{{{HERE}}}) / clamp_min(max(stopit_senders_notified{{{HERE}}}), 1)",
            Unit.SHARE,
            Limits(0.1, 0.25),
        ),
        _stat(
            "contacts",
            "Contacts after a notice, in 30 days",
            "Messages from a notified sender to the reporter. Not each is harassment; staff see them on the case.",
            f"sum(increase(stopit_contacts_after_notice_total{{{HERE}}}[30d]))",
        ),
        _graph(
            "share",
            "Share of senders who were reported again",
            "Whether it grows. No data until the first notice.",
            {"share": f"stopit:recurrence:ratio{{{HERE}}}"},
            Unit.SHARE,
        ),
        _graph(
            "recurrence",
            "Senders, by what came after the notice",
            "Whether the second line stays low while the first one rises.",
            {
                "notified": f"max(stopit_senders_notified{{{HERE}}})",
                "reported again": f"max(stopit_senders_recurred{{{HERE}}})",
            },
        ),
    ),
)

_VERSIONS = Row(
    "What runs where?",
    "One version everywhere, but in the minutes of an upgrade.",
    (
        _table(
            "versions",
            "Versions",
            "Each daemon that answers, and the version that it runs.",
            ("job", "instance", "version"),
            f"stopit_build_info{{{HERE}}}",
            counts=False,
        ),
    ),
)

ROWS: tuple[Row, ...] = (_WELL, _MAIL, _FLAGS, _WAITING, _NOTIFIER, _STAFF, _STOPS, _VERSIONS)
"""The dashboard."""
