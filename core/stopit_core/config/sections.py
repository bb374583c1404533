"""The sections of the file. A field's description is the comment that stands above it in config/stopit.toml."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, field_validator, model_validator

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
from stopit_core.model import Assurance

__all__ = ["Settings"]

_REPORT_LOCAL_PART = 31


class Section(BaseModel):
    """A table of the file: unknown keys are faults, values never change."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True, strict=False)


def _assurance(value: object) -> object:
    names = [level.name.lower() for level in reversed(Assurance)]
    if isinstance(value, Assurance):
        return value
    if not isinstance(value, str) or value not in names:
        raise ValueError(f"must be one of {', '.join(names)}")
    return Assurance[value.upper()]


AssuranceName = Annotated[Assurance, BeforeValidator(_assurance)]


class SingleRecipient(StrEnum):
    """What to do when the reporter was the only recipient, so that the sender may guess."""

    WARN = "warn"
    ASK = "ask"
    REVIEW = "review"


class Tls(StrEnum):
    """How the notifier speaks to the MTA."""

    NONE = "none"
    STARTTLS = "starttls"
    IMPLICIT = "implicit"


class Campus(Section):
    """Who you are, as your members know you."""

    name: Annotated[str, Field(min_length=1, max_length=100, examples=["Example University"])]
    """The campus's name, as it stands in messages."""
    domains: Annotated[tuple[Domain, ...], Field(min_length=1, examples=[["example.edu"]])]
    """Your members' mail domains; the first one completes an address that has none."""
    report_address: Annotated[Address, Field(examples=["stopit@example.edu"])]
    """Members forward messages to it, and everything that Stopit sends comes from it. Your MTA must accept mail
    for it, also with a +tag (recipient_delimiter = +); deliver it to the staff mailbox, so that nothing is lost
    while the milter is away."""
    staff_address: Annotated[Address, Field(examples=["stopit-staff@example.edu"])]
    """The staff mailbox: tagged copies of what members flag, and alerts, come here. Nobody else may read it."""
    emergency: tuple[str, ...] = ("In danger now? Call 112.",)
    """What a member in danger should do, line by line: the first thing in every acknowledgement."""
    policy_url: Annotated[str, Field(examples=["https://www.example.edu/stopit"])] = ""
    """A page with your rules for the use of mail; named in notices and acknowledgements when set."""

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
    """How members flag a message."""

    keywords: Annotated[tuple[str, ...], Field(min_length=1)] = ("stopit",)
    """The words that flag, alone on the first line that a member typed. Case and width of letters don't matter."""
    header: HeaderName = "X-Stopit"
    """The header by which a mail client's button flags: `X-Stopit: flag`, `record` or `urgent`. What Stopit adds
    to a staff copy begins with this name and a dash; such headers are removed from mail that comes from outside."""
    record: tuple[str, ...] = ("record",)
    """The command words, after a keyword, for: keep this on record, and do nothing else."""
    urgent: tuple[str, ...] = ("urgent",)
    """The command words, after a keyword, for: a person should look at this first."""
    cancel: tuple[str, ...] = ("cancel",)
    """The words by which a reporter, answering the acknowledgement, calls the notice off before it is sent."""
    yes: tuple[str, ...] = ("yes",)
    """The words by which a reporter agrees, where Stopit asked (policy.single_recipient = "ask")."""
    not_me: tuple[str, ...] = ("not me", "this was not me", "it was not me", "it wasn't me")
    """What the holder of an account may begin an answer with to say that somebody else used it."""


class MilterService(Section):
    """stopit-milter, which the MTA speaks to."""

    socket: MilterSocket = "unix:/var/spool/postfix/stopit/milter.sock"
    """Where the MTA finds the milter: "unix:/path" or "inet:port@host". Postfix runs chrooted below
    /var/spool/postfix and calls the same socket unix:stopit/milter.sock. A change needs a restart."""
    workers: Annotated[int, Field(ge=1, le=64)] = 2
    """Processes that share the socket; one for each core that mail may take, and no fewer than two where one is to go
    on while another is started again. A change needs a restart."""
    recycle_after: Annotated[int, Field(ge=0)] = 200_000
    """A worker that has handled so many messages is relieved by a new one, and ends with its last connection: what
    leaks slowly never adds up. 0 keeps workers for ever. A change needs a restart."""
    metrics: HostPort = "127.0.0.1:9464"
    """Where Prometheus reads the milter's metrics. A change needs a restart."""
    reply: Literal["withhold", "deliver"] = "withhold"
    """"withhold" keeps a flagging reply from everyone it was addressed to. "deliver" lets it through: only where
    members want the sender to read their own words."""
    mode: Literal["enforce", "observe"] = "enforce"
    """"observe" does everything but change, withhold or send: for the first week."""


class Store(Section):
    """A store by its URL, and the password of its server."""

    @model_validator(mode="after")
    def _one_password_for_a_server(self) -> Self:
        url, file = getattr(self, "url", ""), getattr(self, "password_file", None)
        if file is not None and url.startswith("sqlite:"):
            raise ValueError("password_file is for a server; a SQLite file has no password")
        if file is not None and has_password(url):
            raise ValueError("url holds a password, and password_file names another: take it out of the url")
        return self


class QueueStore(Store):
    """Where reports wait for the notifier."""

    url: StoreUrl = "sqlite:////var/lib/stopit/queue.db"
    """"sqlite:////path" on one mail host. For several, one Redis server: "redis://[user:password@]host:port/0",
    "rediss://..." (TLS) or "unix:///path"; or a Redis service that Sentinels watch, naming each of them:
    "redis+sentinel://[user:password@]host:port,host:port,host:port/SERVICE[/0]". That may be followed by
    ?sentinel_username=, sentinel_password=; and with "rediss+sentinel://" (TLS to all) by ssl_ca_certs=,
    ssl_certfile=, ssl_keyfile=, joined by &. Redis must run with appendonly yes, appendfsync always and
    maxmemory-policy noeviction; see docs/several-hosts.md. A change needs a restart."""
    password_file: Annotated[AbsolutePath | None, Field(examples=["/etc/stopit/queue.password"])] = None
    """A file that holds the password of that server, so that none stands in the URL. A change needs a restart."""
    spool_dir: AbsolutePath = Path("/var/lib/stopit/spool")
    """Where the milter keeps reports while the queue is away, and with Sentinels a copy of each report until no
    failover can lose it. On a disk that survives a power cut."""
    lease: Duration = 120.0
    """A notifier that has not finished a report by then is taken for dead, and another one takes it."""
    max_attempts: Annotated[int, Field(ge=1, le=1000)] = 10
    """A report that fails so often is set aside for a person: `stopitctl queue list`."""


class LedgerStore(Store):
    """Traces of the messages that passed: what tells who really sent one, and who received it."""

    url: StoreUrl = "sqlite:////var/lib/stopit/ledger.db"
    """"sqlite:////path", or a Redis as in queue.url. A change needs a restart."""
    password_file: Annotated[AbsolutePath | None, Field(examples=["/etc/stopit/ledger.password"])] = None
    """A file that holds the password of that server. A change needs a restart."""
    retention: Duration = 14 * 86400.0
    """How long a trace is kept. A message can be flagged with effect as long as its trace is there."""
    key_file: AbsolutePath = Path("/etc/stopit/site.key")
    """The site's secret key: 64 hex digits, made by the Debian package or `stopitctl init`. All programs need the
    same one; a new key makes every trace and every reply address unreadable. Secrets in /etc/stopit may be root's
    alone (0600): systemd hands them to the daemons when they start."""


class Cases(Store):
    """The case record: on the record, and confidential."""

    url: CasesUrl = "sqlite:////var/lib/stopit-notifier/cases.db"
    """"sqlite:////path", in a directory that only the notifier's user can enter, or
    "postgresql+psycopg://user@host/database". A change needs a restart."""
    password_file: Annotated[AbsolutePath | None, Field(examples=["/etc/stopit/cases.password"])] = None
    """A file that holds the password of that server. In the URL the milter could read it too. A change needs a
    restart."""


class Identity(Section):
    """Who is who: from logins, addresses and other servers' word to people."""

    login_address: Annotated[str, Field(examples=["{login}@example.edu"])] = ""
    """From a SASL login to an address; {login} stands for the login. "" means {login}@ and the first of
    campus.domains. A login that is an address itself stands for itself."""
    directory: str = "template"
    """What maps logins: "template" (login_address), or the name of a site's own plug-in (group stopit.directory)."""
    trusted_relays: tuple[Network, ...] = ()
    """Hosts of yours whose mail counts as a member's although the MTA sees no login (a webmail server that logs
    its users in by itself). Whoever is on such a host can speak for anyone: keep it short."""
    trusted_authserv_ids: tuple[str, ...] = ()
    """The authserv-ids (RFC 8601) that your own servers write in Authentication-Results. Others are ignored."""
    aliases: Annotated[AbsolutePath | None, Field(examples=["/etc/stopit/aliases"])] = None
    """A file of `address: primary address` lines, for members who have several addresses."""

    @field_validator("login_address")
    @classmethod
    def _template_has_login(cls, template: str) -> str:
        if template and template.count("{login}") != 1:
            raise ValueError('must hold {login} once, such as "{login}@example.edu"')
        return template


class PolicyRules(Section):
    """From a report to a decision."""

    notice_delay: tuple[Duration, Duration] = (15 * 60.0, 60 * 60.0)
    """A notice leaves after a random time between these two. Until then the reporter can cancel; and the sender
    learns nothing from the hour."""
    cooldown: Duration = 30 * 86400.0
    """A sender who has a notice gets no other for so long: more reports join the case, and mail that was sent
    after the notice goes to staff."""
    minimum_assurance: AssuranceName = Assurance.AUTHENTICATED
    """How surely a sender must be known for an automatic notice: "authenticated" (logged in here), "verified"
    (DMARC or DKIM, seen by your own servers), "weak", "unverified". Below it, staff decide."""
    single_recipient: SingleRecipient = SingleRecipient.WARN
    """When the reporter was the only recipient, the sender may guess. "warn" says so to the reporter; "ask" waits
    for the reporter's yes; "review" leaves it to staff."""
    reporter_daily_cap: Annotated[int, Field(ge=1)] = 20
    """Reports of one reporter in 24 hours; more go to staff."""
    sender_daily_cap: Annotated[int, Field(ge=1)] = 50
    """Reports about one sender in 24 hours; more go to staff."""
    exclude: tuple[Address, ...] = ()
    """Addresses that never get an automatic notice: staff, lists, role accounts. Staff decide."""

    @field_validator("notice_delay")
    @classmethod
    def _delay_in_order(cls, delay: tuple[float, float]) -> tuple[float, float]:
        if delay[0] > delay[1]:
            raise ValueError('must be the shorter and then the longer time, such as ["15m", "60m"]')
        return delay


class Smtp(Section):
    """The MTA that Stopit sends through. It should be the one that the milter is in: the ledger then tells, after
    a crash, whether a message had been taken."""

    host: str = "127.0.0.1"
    """Name or address of the MTA."""
    port: Annotated[int, Field(ge=1, le=65535)] = 25
    """Its port."""
    tls: Tls = Tls.NONE
    """"none" (on this host), "starttls" or "implicit". The certificate is checked."""
    login: str = ""
    """SASL login, where the MTA asks for one."""
    password_file: Annotated[AbsolutePath | None, Field(examples=["/etc/stopit/smtp.password"])] = None
    """A file that holds the password. In /etc/stopit systemd hands it over: a new one needs a restart."""
    timeout: Duration = 60.0
    """How long to wait for an answer of the MTA."""

    @model_validator(mode="after")
    def _login_with_password(self) -> Smtp:
        if bool(self.login) != (self.password_file is not None):
            raise ValueError("login and password_file go together: set both or neither")
        if self.login and self.tls is Tls.NONE and self.host not in ("127.0.0.1", "::1", "localhost"):
            raise ValueError('tls must be "starttls" or "implicit" where a password goes over the network')
        return self


class NotifierService(Section):
    """stopit-notifier, which decides and sends."""

    metrics: HostPort = "127.0.0.1:9465"
    """Where Prometheus reads the notifier's metrics. A change needs a restart."""
    templates: AbsolutePath | None = Field(default=None, examples=["/etc/stopit/templates"])
    """Your own message templates; one that is missing here is taken from those that ship."""
    settle: Duration = 30.0
    """How long the MTA may take to answer when it has the whole message, content filters and all. After a crash in
    the middle of a send, twice as long passes before the ledger is asked whether the MTA took it."""
    give_up: Duration = 3 * 86400.0
    """A message that the MTA keeps putting off is given up after so long, and staff are told."""


class Office(Section):
    """A place that can help, or that staff refer a case to."""

    name: Annotated[str, Field(min_length=1, examples=["Ombuds Office"])]
    """Its name."""
    address: Annotated[str, Field(examples=["ombuds@example.edu"])]
    """How to reach it: a mail address or a telephone number."""
    about: Annotated[str, Field(examples=["Confidential advice, for everyone."])]
    """What it is for, in one sentence."""


class Settings(Section):
    """The whole file. Each part of a program is handed its own section, never all of them."""

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

    @model_validator(mode="after")
    def _addresses_are_apart(self) -> Settings:
        if self.campus.report_address == self.campus.staff_address:
            raise ValueError(
                "campus.staff_address must be another one than campus.report_address, or mail goes in a ring"
            )
        return self

    def model_post_init(self, _context: Any) -> None:
        """Complete what depends on another section."""
        if not self.identity.login_address:
            template = "{login}@" + self.campus.domains[0]
            object.__setattr__(self, "identity", self.identity.model_copy(update={"login_address": template}))
