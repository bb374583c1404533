"""./run demo: play the main story on a real Postfix and print each step.

Each claim is checked before the next step. Exit code 0 if all claims hold. Exit code 1 with the reason if one does
not; then the logs are kept. All servers end with the demo.
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
from stopit_lab.narrator import ClaimError, Narrator
from stopit_lab.people import CAMPUS, REPORT, STAFF, Cast
from stopit_lab.site import EMERGENCY, Site, Stores
from stopit_lab.story import Story
from stopit_lab.waiting import TooLate

__all__ = ["main"]

_SHOWN = ("From", "To", "Subject")
_DELAY = "2s"


def main(arguments: Sequence[str] | None = None) -> int:
    """Play the story. Returns the exit code."""
    parser = argparse.ArgumentParser(prog="./run demo", description="Play the main story on a real Postfix.")
    parser.add_argument("--keep", action="store_true", help="leave the site running, and print how to send to it")
    options = parser.parse_args(arguments)
    narrator = Narrator()
    if os.geteuid() != 0:
        narrator.say("Only root can start the private Postfix of the demo: call ./run demo.")
        return 1
    signal.signal(signal.SIGTERM, _leave)
    site = Site(Stores.SQLITE, values={"policy": {"notice_delay": [_DELAY, _DELAY]}})
    keep_files = False
    try:
        _play(narrator, site)
        if options.keep:
            _keep(narrator, site)
    except (ClaimError, TooLate, RuntimeError, OSError) as error:
        keep_files = True
        narrator.line(f"\nThe demo failed: {error}")
        narrator.line(f"The logs are in {site.directory} (*.log and postfix/log/maillog).")
        return 1
    except KeyboardInterrupt:
        narrator.say("\nStopped.")
        return 130
    finally:
        site.close(keep_files)
    return 0


def _play(narrator: Narrator, site: Site) -> None:
    begin = time.monotonic()
    story = Story(site, Cast())
    _start(narrator, site)
    original = _original(narrator, story)
    flag = _flag(narrator, story, original)
    _not_delivered(narrator, story, flag)
    _staff(narrator, story, flag)
    acknowledgement = _acknowledgement(narrator, story)
    _notice(narrator, story)
    _case(narrator, story, acknowledgement)
    _metrics(narrator, site)
    narrator.say("")
    narrator.claim(f"All claims hold: {narrator.claims} in {time.monotonic() - begin:.0f} s.", True)


def _start(narrator: Narrator, site: Site) -> None:
    narrator.scene("A private mail site")
    site.start()
    narrator.say(
        f"Postfix at 127.0.0.1, port {site.postfix.submission} for members and {site.postfix.inbound} for mail from "
        f"outside; stopit-milter and stopit-notifier; queue, ledger and cases in SQLite. Here, a notice is sent "
        f"{_DELAY} after the decision; the default is between 15 minutes and an hour."
    )
    narrator.claim("All daemons run.", site.milter.running and site.notifier.running)


def _original(narrator: Narrator, story: Story[Site]) -> EmailMessage:
    narrator.scene("mallory writes to vera and walt")
    original = story.write()
    received = story.find(story.cast.vera, original)
    narrator.mail("in vera's mailbox", received, _SHOWN)
    narrator.claim("vera and walt receive it unchanged: no mail is blocked or judged.", True)
    return original


def _flag(narrator: Narrator, story: Story[Site], original: EmailMessage) -> EmailMessage:
    narrator.scene('vera answers with one word, "stopit"')
    flag, said = story.answer(original)
    narrator.mail("what vera sends, to mallory", Received(flag.as_bytes()), _SHOWN)
    narrator.claim(f"vera's client gets the reply: {said.code} {said.text}", said.accepted)
    return flag


def _not_delivered(narrator: Narrator, story: Story[Site], flag: EmailMessage) -> None:
    narrator.scene("What mallory does not get")
    story.staff_copy(flag)
    story.site.postfix.wait_until_queue_is_empty()
    narrator.claim("The mail queue is empty: all mail has been delivered.", not story.site.postfix.queued())
    narrator.claim("vera's reply is not in mallory's mailbox.", not story.has(story.cast.mallory, flag))


def _staff(narrator: Narrator, story: Story[Site], flag: EmailMessage) -> None:
    narrator.scene("What staff get")
    copy = story.staff_copy(flag)
    narrator.mail(f"in the mailbox of {STAFF}", copy, [*_SHOWN, "X-Stopit-Report", "X-Stopit-Flag"], own_words=False)
    tagged = bool(copy.header("X-Stopit-Report") and copy.header("X-Stopit-Flag"))
    narrator.claim("Staff have the only copy of the reply, tagged with the number of the report.", tagged)


def _acknowledgement(narrator: Narrator, story: Story[Site]) -> Received:
    narrator.scene("What vera gets")
    acknowledgement = story.acknowledgement()
    narrator.mail("in vera's mailbox", acknowledgement, _SHOWN)
    first = acknowledgement.text.lstrip().startswith(EMERGENCY[0])
    narrator.claim("It begins with the emergency contacts.", first)
    return acknowledgement


def _notice(narrator: Narrator, story: Story[Site]) -> None:
    narrator.scene("What mallory gets instead")
    notice = story.notice()
    story.site.postfix.wait_until_queue_is_empty()
    narrator.mail("in mallory's mailbox", notice, _SHOWN)
    narrator.claim("It is the only message in mallory's mailbox.", len(_mailbox(story, story.cast.mallory)) == 1)
    told = [secret for secret in story.secrets() if secret in notice]
    narrator.claim(
        "Neither its header nor its body names vera or walt, or contains a Message-ID, the subject or a word "
        f"of the message ({len(story.secrets())} strings were searched).",
        not told,
    )
    narrator.claim("It is from the service, and answers go to the service.", REPORT in notice.header("From"))
    narrator.claim("walt gets nothing.", story.service_mail(story.cast.walt) == [])


def _case(narrator: Narrator, story: Story[Site], acknowledgement: Received) -> None:
    number = story.case_number(acknowledgement)
    narrator.scene(f"The case: stopitctl cases show {number} --addresses")
    shown = story.site.ctl("cases", "show", number, "--addresses")
    narrator.verbatim(shown)
    narrator.claim("The case names the sender by login.", story.cast.mallory in shown)


def _metrics(narrator: Narrator, site: Site) -> None:
    narrator.scene("The metrics")
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
    narrator.figures(figures)
    flags = milter.value("stopit_flags_total", channel="reply", result="queued")
    narrator.claim("The metrics count one flag and one notice.", flags == 1 and _notices(site) == 1)
    narrator.claim("The metrics count no fault.", milter.total("stopit_milter_faults_total") == 0)


def _notices(site: Site) -> float:
    return site.notifier_metrics().value("stopit_messages_sent_total", kind="notice", result="sent")


def _mailbox(story: Story[Site], reader: str) -> list[Received]:
    return story.site.mailbox(reader).messages()


def _keep(narrator: Narrator, site: Site) -> None:
    """Print how to send to the site, and wait for Ctrl-C."""
    mail = site.postfix.mail
    send = f"{sys.executable} -m stopit_lab.send --port {site.postfix.submission} --mail {mail}"
    milter, notifier = site.addresses
    ctl = shlex.join(site.ctl_command())
    narrator.scene("The site runs until Ctrl-C")
    narrator.say(f"mallory, vera, walt, bob and eve have mailboxes at {CAMPUS}. As root, in another terminal:")
    narrator.line("\nbob writes to vera and walt:")
    narrator.line(f"  {send} --login bob vera walt --subject Hello 'Go away.'")
    narrator.line("walt answers the newest message in his mailbox:")
    narrator.line(f"  {send} --login walt --answer stopit")
    narrator.line("read mail:")
    narrator.line(f"  cat {mail}/{CAMPUS}/bob/new/*")
    narrator.line("the cases, metrics and logs:")
    narrator.line(f"  {ctl} cases list --addresses")
    narrator.line(f"  http://{milter}/metrics  http://{notifier}/metrics")
    narrator.line(f"  {site.milter.log}  {site.notifier.log}  {site.postfix.log}")
    while site.milter.running and site.notifier.running:
        time.sleep(0.5)
    raise RuntimeError("a daemon has ended")


def _leave(_signal: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
