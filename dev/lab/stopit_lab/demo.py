"""./run demo: the main job, whole, on a real Postfix, told as it happens.

Each thing it says is checked before it goes on. Exit code 0 when all of it came true; 1 with the reason, and with
the logs kept, when not. Everything it started ends with it.
"""

from __future__ import annotations

import argparse
import os
import shlex
import signal
import sys
import time
from collections.abc import Sequence
from email.message import EmailMessage
from types import FrameType

from stopit_lab.mailbox import Received
from stopit_lab.people import CAMPUS, REPORT, STAFF, Cast
from stopit_lab.site import EMERGENCY, Site, Stores
from stopit_lab.story import Story
from stopit_lab.telling import NotSo, Teller
from stopit_lab.waiting import TooLate

__all__ = ["main"]

_SHOWN = ("From", "To", "Subject")
_DELAY = "2s"


def main(arguments: Sequence[str] | None = None) -> int:
    """Play the story. Returns the exit code."""
    parser = argparse.ArgumentParser(prog="./run demo", description="Stopit's main job, on a real Postfix.")
    parser.add_argument("--keep", action="store_true", help="leave it running, and say how to send to it")
    options = parser.parse_args(arguments)
    teller = Teller()
    if os.geteuid() != 0:
        teller.say("The demo starts a private Postfix, and only root may do that: call ./run demo.")
        return 1
    signal.signal(signal.SIGTERM, _leave)
    site = Site(Stores.SQLITE, values={"policy": {"notice_delay": [_DELAY, _DELAY]}})
    keep_files = False
    try:
        _play(teller, site)
        if options.keep:
            _keep(teller, site)
    except (NotSo, TooLate, RuntimeError, OSError) as error:
        keep_files = True
        teller.line(f"\nThe demo failed: {error}")
        teller.line(f"The logs are in {site.directory} (*.log and postfix/log/maillog).")
        return 1
    except KeyboardInterrupt:
        teller.say("\nStopped.")
        return 130
    finally:
        site.close(keep_files)
    return 0


def _play(teller: Teller, site: Site) -> None:
    begin = time.monotonic()
    story = Story(site, Cast())
    _start(teller, site)
    original = _original(teller, story)
    flag = _flag(teller, story, original)
    _never_got(teller, story, flag)
    _staff(teller, story, flag)
    acknowledgement = _acknowledgement(teller, story)
    _notice(teller, story)
    _case(teller, story, acknowledgement)
    _metrics(teller, site)
    teller.say("")
    teller.claim(f"All of it came true: {teller.claims} claims in {time.monotonic() - begin:.0f} s.", True)


def _start(teller: Teller, site: Site) -> None:
    teller.scene("A mail site of its own")
    site.start()
    teller.say(
        f"Postfix at 127.0.0.1, port {site.postfix.submission} for members and {site.postfix.inbound} for mail from "
        f"outside; stopit-milter and stopit-notifier; queue, ledger and cases in SQLite. A notice leaves {_DELAY} "
        "after the decision here; on a real site it is between 15 minutes and an hour."
    )
    teller.claim("All of it is running.", site.milter.running and site.notifier.running)


def _original(teller: Teller, story: Story[Site]) -> EmailMessage:
    teller.scene("mallory writes to vera and walt")
    original = story.write()
    received = story.find(story.cast.vera, original)
    teller.mail("in vera's mailbox", received, _SHOWN)
    teller.claim("It came to vera and walt as it was sent: no mail is blocked or judged.", True)
    return original


def _flag(teller: Teller, story: Story[Site], original: EmailMessage) -> EmailMessage:
    teller.scene('vera answers with one word, "stopit"')
    flag, said = story.answer(original)
    teller.mail("what vera sends, to mallory", Received(flag.as_bytes()), _SHOWN)
    teller.claim(f"vera's client is told: {said.code} {said.text}", said.accepted)
    return flag


def _never_got(teller: Teller, story: Story[Site], flag: EmailMessage) -> None:
    teller.scene("What mallory never got")
    story.staff_copy(flag)
    story.site.postfix.wait_until_queue_is_empty()
    teller.claim("The mail queue is empty: whatever was to be delivered has been.", not story.site.postfix.queued())
    teller.claim("vera's reply is not in mallory's mailbox.", not story.has(story.cast.mallory, flag))


def _staff(teller: Teller, story: Story[Site], flag: EmailMessage) -> None:
    teller.scene("What staff get")
    copy = story.staff_copy(flag)
    teller.mail(f"in the mailbox of {STAFF}", copy, [*_SHOWN, "X-Stopit-Report", "X-Stopit-Flag"], own_words=False)
    tagged = bool(copy.header("X-Stopit-Report") and copy.header("X-Stopit-Flag"))
    teller.claim("The only copy of the reply is theirs, tagged with the report's number.", tagged)


def _acknowledgement(teller: Teller, story: Story[Site]) -> Received:
    teller.scene("What vera is told")
    acknowledgement = story.acknowledgement()
    teller.mail("in vera's mailbox", acknowledgement, _SHOWN)
    first = acknowledgement.text.lstrip().startswith(EMERGENCY[0])
    teller.claim("It begins with what to do in danger.", first)
    return acknowledgement


def _notice(teller: Teller, story: Story[Site]) -> None:
    teller.scene("What mallory gets instead")
    notice = story.notice()
    story.site.postfix.wait_until_queue_is_empty()
    teller.mail("in mallory's mailbox", notice, _SHOWN)
    teller.claim("It is the only message in mallory's mailbox.", len(_mailbox(story, story.cast.mallory)) == 1)
    told = [secret for secret in story.secrets() if secret in notice]
    teller.claim(
        "Nothing in it, headers and all, tells of vera or walt, or holds a Message-ID, the subject or a word "
        f"of the message ({len(story.secrets())} strings looked for).",
        not told,
    )
    teller.claim("It comes from the service, and any answer goes there.", REPORT in notice.header("From"))
    teller.claim("walt heard nothing of it.", story.service_mail(story.cast.walt) == [])


def _case(teller: Teller, story: Story[Site], acknowledgement: Received) -> None:
    number = story.case_number(acknowledgement)
    teller.scene(f"What is on record: stopitctl cases show {number} --addresses")
    shown = story.site.ctl("cases", "show", number, "--addresses")
    teller.verbatim(shown)
    teller.claim("The case names who wrote it, by login.", story.cast.mallory in shown)


def _metrics(teller: Teller, site: Site) -> None:
    teller.scene("What whoever runs it sees")
    milter, notifier = site.milter_metrics(), site.notifier_metrics()
    wanted = [
        (milter, "stopit_milter_messages_total", {"result": "accepted"}),
        (milter, "stopit_milter_messages_total", {"result": "flagged"}),
        (milter, "stopit_flags_total", {"channel": "reply", "result": "queued"}),
        (milter, "stopit_traces_total", {"result": "written"}),
        (notifier, "stopit_decisions_total", {"outcome": "notice", "reason": "notice-due"}),
        (notifier, "stopit_messages_sent_total", {"kind": "notice", "result": "sent"}),
        (notifier, "stopit_messages_sent_total", {"kind": "acknowledgement", "result": "sent"}),
        (notifier, "stopit_queue_depth", {}),
        (notifier, "stopit_dead_letters", {}),
    ]
    figures = []
    for metrics, name, labels in wanted:
        shown = ",".join(f'{label}="{value}"' for label, value in labels.items())
        figures.append((f"{name}{{{shown}}}" if labels else name, f"{metrics.value(name, **labels):g}"))
    teller.figures(figures)
    flags = milter.value("stopit_flags_total", channel="reply", result="queued")
    teller.claim("One flag was counted, and one notice.", flags == 1 and _notices(site) == 1)
    teller.claim("No fault was counted.", milter.total("stopit_milter_faults_total") == 0)


def _notices(site: Site) -> float:
    return site.notifier_metrics().value("stopit_messages_sent_total", kind="notice", result="sent")


def _mailbox(story: Story[Site], reader: str) -> list[Received]:
    return story.site.mailbox(reader).messages()


def _keep(teller: Teller, site: Site) -> None:
    """Say how to send to it, and stay until Ctrl-C."""
    mail = site.postfix.mail
    send = f"{sys.executable} -m stopit_lab.send --port {site.postfix.submission} --mail {mail}"
    milter, notifier = site.addresses
    ctl = shlex.join(site.ctl_command())
    teller.scene("It goes on running, until Ctrl-C")
    teller.say(f"mallory, vera, walt, bob and eve have mailboxes at {CAMPUS}. As root, in another terminal:")
    teller.line("\nbob writes to vera and walt:")
    teller.line(f"  {send} --login bob vera walt --subject Hello 'Go away.'")
    teller.line("walt answers the newest message in his mailbox:")
    teller.line(f"  {send} --login walt --answer stopit")
    teller.line("read what came:")
    teller.line(f"  cat {mail}/{CAMPUS}/bob/new/*")
    teller.line("the cases, metrics and logs:")
    teller.line(f"  {ctl} cases list --addresses")
    teller.line(f"  http://{milter}/metrics  http://{notifier}/metrics")
    teller.line(f"  {site.milter.log}  {site.notifier.log}  {site.postfix.log}")
    while site.milter.running and site.notifier.running:
        time.sleep(0.5)
    raise RuntimeError("a daemon has ended")


def _leave(_signal: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
