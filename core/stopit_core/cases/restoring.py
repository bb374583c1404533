"""A record that was set back: what it cannot know, and what must not follow from that.

Between the backup and the loss things went on that the record has forgotten: notices left, reporters called theirs
off, flags were decided. So for a record that was brought back from an earlier moment, by whatever means:

* a notice that was to leave is not sent. When the ledger still has its trace, it had left: the notifier writes that
  down as after a crash (`settling`). Else it is called off, its reports stay without one, and staff are told; they
  can send it by `stopitctl cases notice` when the MTA's log shows that it did not leave;
* no notice is sent by itself for mail that passed before that (`policy.Reason.RESTORED`): a flag of it may have been
  decided in between, and its notice sent. Staff decide.

So nobody gets a notice twice, nor one that was called off. Acknowledgements and alerts may come twice, which does no
harm.
"""

from __future__ import annotations

from sqlalchemy import insert, select, update

from stopit_core.cases.records import Actor, CaseState, EventKind, Message, MessageState, Party
from stopit_core.cases.rows import message_of
from stopit_core.cases.schema import messages, reports, restores
from stopit_core.cases.work import Work

__all__ = ["OWNER", "Restoring"]

OWNER = "restore"
"""Who has the claim on a notice whose trace was found."""


class Restoring:
    """What is done in one transaction `work` after a record was set back."""

    def __init__(self, work: Work) -> None:
        self._work = work
        self._connection = work.connection

    def mark(self, made_at: float, now: float) -> None:
        """Remember that the record is of `made_at`, and was brought back `now`."""
        self._connection.execute(insert(restores).values(at=now, made_at=made_at))

    def waiting_notices(self) -> list[Message]:
        """The notices that would leave."""
        rows = self._connection.execute(
            select(messages)
            .where(
                messages.c.state.in_((MessageState.PENDING.value, MessageState.SENDING.value)),
                messages.c.party == Party.SENDER.value,
            )
            .order_by(messages.c.id)
        )
        return [message_of(row) for row in rows]

    def had_left(self, notice: Message, made_at: float, now: float) -> None:
        """The ledger has its trace: leave it to the notifier to write down that it was sent, and when."""
        self._set(
            notice,
            state=MessageState.SENDING.value,
            attempts=1,
            claimed_by=OWNER,
            claimed_at=now,
            data_at=made_at,
            error="",
        )

    def call_off(self, notice: Message, why: str, now: float) -> None:
        """It is not sent; its reports stand as if it had not been decided, and the case is for staff."""
        self._work.lock(notice.recipient)
        self._set(notice, state=MessageState.CANCELLED.value, error=why)
        self._connection.execute(update(reports).where(reports.c.notice_id == notice.id).values(notice_id=None))
        self._work.note(notice.case_id, now, Actor.SYSTEM, EventKind.MESSAGE_CANCELLED, ref=notice.ref, error=why)
        self._work.set_state(notice.case_id, CaseState.STAFF, now)

    def _set(self, notice: Message, **values: object) -> None:
        self._connection.execute(update(messages).where(messages.c.id == notice.id).values(**values))
