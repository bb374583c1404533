"""The sections of the configuration file. The docstring of a field is its comment in config/stopit.toml."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PrivateAttr, field_validator, model_validator

from stopit_core.config.markers import FormerName, NeedsRestart
from stopit_core.config.values import (
    AbsolutePath,
    Address,
    CasesUrl,
    Domain,
    Duration,
    HeaderName,
    HostPort,
    MilterSocket,
    Network,
    StoreUrl,
    has_password,
)
from stopit_core.errors import Fault
from stopit_core.model import Assurance

__all__ = ["Settings"]

_REPORT_LOCAL_PART = 31


class Section(BaseModel):
    """A table of the file. Unknown keys are faults. Values are immutable."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True, strict=False)


def _assurance(value: object) -> object:
    names = [level.name.lower() for level in reversed(Assurance)]
    if isinstance(value, Assurance):
        return value
    if not isinstance(value, str) or value not in names:
        raise ValueError(f"must be one of {', '.join(names)}")
    return Assurance[value.upper()]


PasswordFile = Annotated[AbsolutePath | None, NeedsRestart()]
AssuranceName = Annotated[Assurance, BeforeValidator(_assurance)]


class SingleRecipient(StrEnum):
    """The policy for a reporter who was the only recipient, so that the sender may guess who reported."""

    WARN = "warn"
    ASK = "ask"
    REVIEW = "review"


class Tls(StrEnum):
    """The TLS mode of the connection from the notifier to the MTA."""

    NONE = "none"
    STARTTLS = "starttls"
    IMPLICIT = "implicit"


class Campus(Section):
    """Your campus, its domains and its addresses."""

    name: Annotated[str, Field(min_length=1, max_length=100, examples=["Example University"])]
    """The name of the campus, as it appears in messages."""
    domains: Annotated[tuple[Domain, ...], Field(min_length=1, examples=[["example.edu"]])]
    """The mail domains of your members. The first one is added to addresses without a domain."""
    report_address: Annotated[Address, Field(examples=["stopit@example.edu"])]
    """The address to which members forward messages, and from which Stopit sends. Your MTA must accept mail for it,
    also with a +tag (recipient_delimiter = +). Deliver its mail to the staff mailbox, so that none is lost while
    the milter is down."""
    staff_address: Annotated[Address, Field(examples=["stopit-staff@example.edu"])]
    """The staff mailbox. It gets alerts, and a tagged copy of each flagging message. Only staff may read it."""
    emergency: tuple[str, ...] = ("In danger now? Call 112.",)
    """What a member in danger should do, one line each. Every acknowledgement begins with these lines."""
    policy_url: Annotated[str, Field(examples=["https://www.example.edu/stopit"])] = ""
    """A page with your rules for the use of mail. If set, notices and acknowledgements name it."""

    @field_validator("report_address")
    @classmethod
    def _room_for_a_token(cls, address: str) -> str:
        if len(address.rpartition("@")[0]) > _REPORT_LOCAL_PART:
            raise ValueError(
                f"must have at most {_REPORT_LOCAL_PART} characters before the @: + and a token of 32 are added, and "
                "a local part holds 64 (RFC 5321 section 4.5.3.1.1)"
            )
        return address


class FlagWords(Section):
    """The words and the header with which members flag a message."""

    keywords: Annotated[tuple[str, ...], Field(min_length=1)] = ("stopit",)
    """The words that flag a message, alone on the first line that a member types. Case, width, the dot of an i,
    punctuation, symbols and emoji are ignored."""
    header: HeaderName = "X-Stopit"
    """The header with which a button in a mail client flags a message: `X-Stopit: flag`, `record` or `urgent`. The
    headers that Stopit adds to a staff copy begin with this name and a dash; they are removed from mail from
    outside."""
    record: tuple[str, ...] = ("record",)
    """The command words after a keyword that mean: record this, and do nothing else."""
    urgent: tuple[str, ...] = ("urgent",)
    """The command words after a keyword that mean: staff should look at this first."""
    cancel: tuple[str, ...] = ("cancel",)
    """The words with which a reporter cancels a notice, in an answer to the acknowledgement, before it is sent. Other
    wordings with the same meaning cancel it too, in English and German. If this list is empty, nothing cancels it."""
    yes: tuple[str, ...] = ("yes",)
    """The words with which a reporter agrees to a notice if Stopit asked (policy.single_recipient = "ask"). Other
    wordings are understood as for `cancel`, if they leave no doubt."""
    not_me: tuple[str, ...] = ("not me", "this was not me", "it was not me", "it wasn't me")
    """The words at the beginning of an answer that mean: somebody else used the account. Other wordings are
    understood as for `cancel`."""


class MilterService(Section):
    """stopit-milter, to which the MTA connects."""

    socket: Annotated[MilterSocket, NeedsRestart()] = "unix:/var/spool/postfix/stopit/milter.sock"
    """The socket of the milter: "unix:/path" or "inet:port@host". Postfix runs in a chroot in /var/spool/postfix,
    and there the same socket is unix:stopit/milter.sock."""
    workers: Annotated[int, Field(ge=1, le=64), NeedsRestart()] = 2
    """The number of worker processes. Use one for each core that mail may use, and at least two if mail must be
    handled while a worker restarts."""
    max_messages: Annotated[int, Field(ge=0), NeedsRestart(), FormerName("recycle_after")] = 200_000
    """The number of messages after which a new worker replaces a worker. The old one ends with its last connection.
    This limits slow memory leaks. 0 keeps workers for ever."""
    metrics: Annotated[HostPort, NeedsRestart()] = "127.0.0.1:9464"
    """The address at which Prometheus reads the metrics of the milter."""
    reply: Literal["withhold", "deliver"] = "withhold"
    """"withhold": nobody to whom a flagging reply is addressed gets it. "deliver": it is delivered; use this only if
    members want the sender to read their words."""
    mode: Literal["enforce", "observe"] = "enforce"
    """"enforce" or "observe". In "observe" mode Stopit records its decisions, but changes, withholds and sends
    nothing: use it for the trial week."""


class Store(Section):
    """A store: its URL, and the password of its server."""

    @model_validator(mode="after")
    def _one_password_for_a_server(self) -> Self:
        url, file = getattr(self, "url", ""), getattr(self, "password_file", None)
        if file is not None and url.startswith("sqlite:"):
            raise ValueError("password_file is for a server; a SQLite file has no password")
        if file is not None and has_password(url):
            raise ValueError("url holds a password, and password_file names another: take it out of the url")
        return self


class QueueStore(Store):
    """The queue, in which reports wait for the notifier."""

    url: Annotated[StoreUrl, NeedsRestart()] = "sqlite:////var/lib/stopit/queue.db"
    """One mail host: "sqlite:////path". Several mail hosts: one Redis server ("redis://[user:password@]host:port/0",
    "rediss://..." with TLS, or "unix:///path"), or a Redis service with Sentinels, naming every Sentinel:
    "redis+sentinel://[user:password@]host:port,host:port,host:port/SERVICE[/0]". Options of a Sentinel URL are
    ?sentinel_username= and sentinel_password=, and with "rediss+sentinel://" (TLS to all servers) ssl_ca_certs=,
    ssl_certfile= and ssl_keyfile=, joined by &. Redis must run with appendonly yes, appendfsync always and
    maxmemory-policy noeviction; see docs/several-hosts.md."""
    password_file: Annotated[PasswordFile, Field(examples=["/etc/stopit/queue.password"])] = None
    """A file with the password of that server, so that the URL needs none."""
    spool_dir: Annotated[AbsolutePath, NeedsRestart()] = Path("/var/lib/stopit/spool")
    """The directory in which the milter keeps reports while the queue is down, and, with Sentinels, a copy of each
    report until no failover can lose it. It must be on a disk that survives a power cut."""
    lease: Duration = 120.0
    """The time in which a notifier must finish a report. After it, another notifier takes the report."""
    max_attempts: Annotated[int, Field(ge=1, le=1000), NeedsRestart()] = 10
    """The number of attempts after which a report that fails is set aside: see `stopitctl queue list`."""


class LedgerStore(Store):
    """The ledger: traces of all messages, which show who sent a message and who received it."""

    url: Annotated[StoreUrl, NeedsRestart()] = "sqlite:////var/lib/stopit/ledger.db"
    """"sqlite:////path", or a Redis as in queue.url."""
    password_file: Annotated[PasswordFile, Field(examples=["/etc/stopit/ledger.password"])] = None
    """A file with the password of that server."""
    retention: Annotated[Duration, NeedsRestart()] = 14 * 86400.0
    """The time for which a trace is kept. Flags of older messages go to staff."""
    key_file: Annotated[AbsolutePath, NeedsRestart()] = Path("/etc/stopit/site.key")
    """The secret key of the site: 64 hex digits, made by the Debian package or `stopitctl init`. All programs need
    the same key. With a new key no existing trace and no existing reply address can be read. Files in /etc/stopit
    may belong to root, with mode 0600: systemd passes them to the daemons when they start."""


class Cases(Store):
    """The case record. It is confidential."""

    url: Annotated[CasesUrl, NeedsRestart()] = "sqlite:////var/lib/stopit-notifier/cases.db"
    """"sqlite:////path", in a directory that only the notifier's user can enter, or
    "postgresql+psycopg://user@host/database"."""
    password_file: Annotated[PasswordFile, Field(examples=["/etc/stopit/cases.password"])] = None
    """A file with the password of that server. The milter could read a password in the URL."""


class Identity(Section):
    """The mapping from logins, addresses and the results of other servers to people."""

    login_address: Annotated[str, Field(examples=["{login}@example.edu"])] = ""
    """The address of a SASL login; {login} is replaced by the login. "" means {login}@ and the first of
    campus.domains. A login that is an address is used as it is."""
    directory: str = "template"
    """The plug-in that maps logins to addresses: "template" (login_address), or your own (group stopit.directory)."""
    trusted_relays: tuple[Network, ...] = ()
    """Your hosts whose mail counts as members' mail although the MTA sees no login (a webmail server that checks
    logins itself). A process on such a host can send as any member, so list few."""
    trusted_authserv_ids: tuple[str, ...] = ()
    """The authserv-ids (RFC 8601) of your own servers in Authentication-Results. Others are ignored."""
    aliases: Annotated[AbsolutePath | None, Field(examples=["/etc/stopit/aliases"])] = None
    """A file with lines `address: primary address`, for members with several addresses."""

    @field_validator("login_address")
    @classmethod
    def _template_has_login(cls, template: str) -> str:
        if template and template.count("{login}") != 1:
            raise ValueError('must hold {login} once, such as "{login}@example.edu"')
        return template


class PolicyRules(Section):
    """The rules for decisions on reports."""

    notice_delay: tuple[Duration, Duration] = (15 * 60.0, 60 * 60.0)
    """A notice is sent after a random time between these two. Until then the reporter can cancel it. The random time
    hides from the sender when the report was made."""
    cooldown: Duration = 30 * 86400.0
    """The time after a notice in which the sender gets no other notice. Further reports are added to the case, but
    reports of mail that was sent after the notice go to staff."""
    minimum_assurance: AssuranceName = Assurance.AUTHENTICATED
    """The assurance that a sender must have for an automatic notice: "authenticated" (logged in here), "verified"
    (DMARC or DKIM, checked by your own servers), "weak" or "unverified". Below it, staff decide."""
    single_recipient: SingleRecipient = SingleRecipient.WARN
    """What to do if the reporter was the only recipient, so that the sender may guess who reported. "warn" tells the
    reporter; "ask" waits until the reporter agrees; "review" leaves the decision to staff."""
    reporter_daily_cap: Annotated[int, Field(ge=1)] = 20
    """The number of reports by one reporter in 24 hours. Further reports go to staff."""
    sender_daily_cap: Annotated[int, Field(ge=1)] = 50
    """The number of reports about one sender in 24 hours. Further reports go to staff."""
    exclude: tuple[Address, ...] = ()
    """Addresses that never get an automatic notice: staff, lists, role accounts. Staff decide about them."""

    @field_validator("notice_delay")
    @classmethod
    def _delay_in_order(cls, delay: tuple[float, float]) -> tuple[float, float]:
        if delay[0] > delay[1]:
            raise ValueError('must be the shorter and then the longer time, such as ["15m", "60m"]')
        return delay


class Smtp(Section):
    """The MTA through which Stopit sends. Use the MTA that uses the milter: after a crash, the ledger then shows
    whether the MTA had accepted a message."""

    host: str = "127.0.0.1"
    """The name or address of the MTA."""
    port: Annotated[int, Field(ge=1, le=65535)] = 25
    """The port of the MTA."""
    tls: Tls = Tls.NONE
    """The TLS mode: "none" (only for this host), "starttls" or "implicit". The certificate is checked."""
    login: str = ""
    """The SASL login, if the MTA requires one."""
    password_file: Annotated[AbsolutePath | None, Field(examples=["/etc/stopit/smtp.password"])] = None
    """A file with the password. systemd passes files in /etc/stopit to the notifier at its start, so a new password
    needs a restart."""
    timeout: Duration = 60.0
    """The time to wait for a reply of the MTA."""

    @model_validator(mode="after")
    def _login_with_password(self) -> Smtp:
        if bool(self.login) != (self.password_file is not None):
            raise ValueError("login and password_file go together: set both or neither")
        if self.login and self.tls is Tls.NONE and self.host not in ("127.0.0.1", "::1", "localhost"):
            raise ValueError('tls must be "starttls" or "implicit" where a password goes over the network')
        return self


class NotifierService(Section):
    """stopit-notifier, which decides on reports and sends messages."""

    metrics: Annotated[HostPort, NeedsRestart()] = "127.0.0.1:9465"
    """The address at which Prometheus reads the metrics of the notifier."""
    templates: AbsolutePath | None = Field(default=None, examples=["/etc/stopit/templates"])
    """A directory with your own message templates. A template that is missing there is taken from the package."""
    settle: Duration = 30.0
    """The time in which the MTA must reply after it has the whole message, including its content filters. After a
    crash during a send, the notifier waits twice this time before it looks in the ledger whether the MTA accepted
    the message."""
    give_up: Duration = 3 * 86400.0
    """The time after which the notifier gives up a message that the MTA defers, and tells staff."""


class Office(Section):
    """An office that can help, or to which staff refer a case."""

    name: Annotated[str, Field(min_length=1, examples=["Ombuds Office"])]
    """The name of the office."""
    address: Annotated[str, Field(examples=["ombuds@example.edu"])]
    """A mail address or a telephone number."""
    about: Annotated[str, Field(examples=["Confidential advice, for everyone."])]
    """What the office is for, in one sentence."""


class Settings(Section):
    """The whole file. Each part of a program gets only its own section."""

    campus: Campus
    flag: FlagWords = FlagWords()
    milter: MilterService = MilterService()
    queue: QueueStore = QueueStore()
    ledger: LedgerStore = LedgerStore()
    cases: Cases = Cases()
    identity: Identity = Identity()
    policy: PolicyRules = PolicyRules()
    smtp: Smtp = Smtp()
    notifier: NotifierService = NotifierService()
    office: tuple[Office, ...] = ()
    _warnings: tuple[Fault, ...] = PrivateAttr(())

    @property
    def warnings(self) -> tuple[Fault, ...]:
        """Return what should be changed in the file, although it can be used: keys under their former name."""
        return self._warnings

    @model_validator(mode="after")
    def _addresses_are_apart(self) -> Settings:
        if self.campus.report_address == self.campus.staff_address:
            raise ValueError(
                "campus.staff_address must be another one than campus.report_address, or mail goes in a ring"
            )
        return self

    def model_post_init(self, _context: Any) -> None:
        """Fill in the values that depend on another section."""
        if not self.identity.login_address:
            template = "{login}@" + self.campus.domains[0]
            object.__setattr__(self, "identity", self.identity.model_copy(update={"login_address": template}))
