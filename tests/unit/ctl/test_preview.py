"""stopitctl preview: messages from the site's own templates."""

from __future__ import annotations

import pytest

from stopit_core.decision.policy import Reason
from stopit_core.outgoing.facts import AlertKind, AnswerEffect


@pytest.mark.parametrize("arguments", [("notice",), ("notice", "--firmer"), ("acknowledgement",), ("alert",)])
def test_a_message_is_shown_as_it_is_read(host, arguments: tuple[str, ...]) -> None:
    done = host.run("preview", *arguments)
    assert done.exit_code == 0, done.output
    assert done.stdout.startswith("From: ")
    assert "\nSubject: " in done.stdout
    assert "Example Campus" in done.stdout


def test_the_firmer_notice_is_another_one(host) -> None:
    assert host.run("preview", "notice").stdout != host.run("preview", "notice", "--firmer").stdout


def test_every_acknowledgement_is_shown(host) -> None:
    done = host.run("preview", "acknowledgement", "--all")
    heads = [line for line in done.stdout.splitlines() if line.startswith("--- ")]
    assert heads == [f"--- {about}" for about in (*Reason, *AnswerEffect)]


def test_every_alert_is_shown(host) -> None:
    done = host.run("preview", "alert", "--all")
    assert [line for line in done.stdout.splitlines() if line.startswith("--- ")] == [f"--- {k}" for k in AlertKind]


@pytest.mark.parametrize("reason", [Reason.NO_TRACE, AnswerEffect.CANCELLED])
def test_one_reason(host, reason: str) -> None:
    one = host.run("preview", "acknowledgement", "--reason", str(reason)).stdout
    assert one in host.run("preview", "acknowledgement", "--all").stdout


def test_an_unknown_reason_gets_the_list(host) -> None:
    done = host.run("preview", "acknowledgement", "--reason", "because")
    assert done.exit_code == 2
    assert all(str(reason) in done.stderr for reason in Reason)


def test_the_site_s_own_template_comes_first(host) -> None:
    templates = host.directory / "templates"
    templates.mkdir()
    (templates / "notice.txt.j2").write_text(
        "Subject: {% block subject %}Bitte{% endblock %}\n\nEin Wort an {{ account }} von {{ campus_name }}.\n"
    )
    host.configure(notifier={"templates": templates})
    done = host.run("preview", "notice")
    assert "Subject: Bitte\n" in done.stdout
    assert "von Example Campus" in done.stdout


def test_a_broken_template_is_named_with_its_line(host) -> None:
    templates = host.directory / "templates"
    templates.mkdir()
    (templates / "notice.txt.j2").write_text("Subject: {% block subject %}A{% endblock %}\n\n{{ acount }}\n")
    host.configure(notifier={"templates": templates})
    done = host.run("preview", "notice")
    assert done.exit_code == 78
    assert "notice.txt.j2:3: acount: unknown variable; did you mean account?" in done.stderr.replace(" = ", ": ")


def test_no_key_is_needed(host) -> None:
    host.key.unlink()
    assert host.run("preview", "notice").exit_code == 0
