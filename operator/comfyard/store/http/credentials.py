"""What may be shown to which host. Pure.

A secret goes to the hosts that it is named for, and to nobody else: not along with a redirect, not to another port, and
over TLS only, unless its entry says http:// in so many words.
"""

import base64
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from urllib3.exceptions import LocationParseError
from urllib3.util import parse_url

_PORTS = {"http": 80, "https": 443}
_ENTRY = re.compile(r"(?:(https?)://)?(\*\.)?([A-Za-z0-9_](?:[A-Za-z0-9_.-]*)|\[[0-9A-Fa-f:.]+\])(?::([0-9]{1,5}))?/?")
_PRINTABLE = re.compile(r"[!-~]+")


class Place(NamedTuple):
    """Scheme, host in lower case, and port: what must be the same for a secret to be sent."""

    scheme: str
    host: str
    port: int

    @property
    def shown(self) -> str:
        """The host, with its port where that is not the usual one."""
        return self.host if self.port == _PORTS.get(self.scheme) else f"{self.host}:{self.port}"


def place_of(url: str) -> Place:
    """Where an address leads, read as urllib3 does, which connects to it.

    Raises:
        ValueError: It is no address of http or https.
    """
    try:
        parsed = parse_url(url)
    except LocationParseError as error:
        raise ValueError("not an address") from error
    if parsed.scheme not in _PORTS or not parsed.host:
        raise ValueError("not an address of http or https")
    return Place(parsed.scheme, parsed.host.rstrip("."), parsed.port or _PORTS[parsed.scheme])


@dataclass(frozen=True)
class HostEntry:
    """One entry of the annotation comfyard.io/hosts.

    Attributes:
        place: The host; with `below`, the domain.
        below: Whether it stands for all hosts below the domain, without the domain itself.
    """

    place: Place
    below: bool

    @classmethod
    def parse(cls, text: str) -> "HostEntry":
        """Read `host`, `host:port`, `*.domain`, `http://host` or `http://host:port`.

        Raises:
            ValueError: It is none of these.
        """
        match = _ENTRY.fullmatch(text.strip())
        if match is None:
            raise ValueError(f"{text!r} names no host; write host, host:port, *.domain or http://host:port")
        scheme = match[1] or "https"
        host = match[3].lower().rstrip(".")
        return cls(Place(scheme, host, int(match[4]) if match[4] else _PORTS[scheme]), below=bool(match[2]))

    def names(self, place: Place) -> bool:
        """Whether it stands for that place."""
        if (self.place.scheme, self.place.port) != (place.scheme, place.port):
            return False
        return place.host.endswith(f".{self.place.host}") if self.below else place.host == self.place.host


@dataclass(frozen=True)
class S3Keys:
    """What signs requests to S3."""

    access_key: str
    secret_key: str = field(repr=False)
    session_token: str = field(default="", repr=False)


@dataclass(frozen=True)
class Basic:
    """A user and a password."""

    username: str
    password: str = field(repr=False)

    @property
    def header(self) -> str:
        """As it stands behind `Authorization:`."""
        return "Basic " + base64.b64encode(f"{self.username}:{self.password}".encode()).decode()


@dataclass(frozen=True)
class Credential:
    """One secret, of one kind, and the hosts that may see it. Never shown: its repr names the hosts only.

    Attributes:
        hosts: Entries, see HostEntry.
        token: For `Authorization: Bearer`; blanks and line ends around it are taken off, files often have them.
        basic: For `Authorization: Basic`.
        s3: For S3.
        registries: By host or host:port, as .dockerconfigjson names registries.

    Raises:
        ValueError: An entry names no host, or a token could not stand in a header.
    """

    hosts: tuple[str, ...]
    token: str = field(default="", repr=False)
    basic: Basic | None = field(default=None, repr=False)
    s3: S3Keys | None = field(default=None, repr=False)
    registries: Mapping[str, Basic] = field(default_factory=dict, repr=False)
    entries: tuple[HostEntry, ...] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        token = self.token.strip()
        if token and not _PRINTABLE.fullmatch(token):  # http.client would quote it in its complaint
            raise ValueError("the token holds blanks or characters that are not ASCII; store the token alone")
        object.__setattr__(self, "token", token)
        object.__setattr__(self, "entries", tuple(HostEntry.parse(host) for host in self.hosts))

    def fit(self, place: Place) -> int:
        """How exactly it is named for a place: 0 not at all, most for the host itself."""
        return max(
            (len(entry.place.host) + (0 if entry.below else 1000) for entry in self.entries if entry.names(place)),
            default=0,
        )


@dataclass(frozen=True)
class Credentials:
    """All secrets there are. Where several are named for a host, the one that names it most exactly counts.

    Attributes:
        credentials: In order of preference.
    """

    credentials: Sequence[Credential] = ()

    def headers_for(self, url: str) -> dict[str, str]:
        """The Authorization for an address, by token or password; empty when nothing is named for it.

        What .dockerconfigjson holds is for registries only, see `basic_for`.
        """
        for credential in self._for(url):
            if credential.token:
                return {"Authorization": f"Bearer {credential.token}"}
            if credential.basic:
                return {"Authorization": credential.basic.header}
        return {}

    def s3_keys_for(self, url: str) -> S3Keys | None:
        """The keys for an S3 endpoint."""
        return next((credential.s3 for credential in self._for(url) if credential.s3), None)

    def basic_for(self, url: str, registry: str = "") -> Basic | None:
        """User and password for a registry, or for the service that gives its tokens.

        Args:
            url: Who is to see them.
            registry: The registry's address, where that is another one.
        """
        for credential in self._for(url):
            found = credential.basic or credential.registries.get(place_of(registry or url).shown)
            if found:
                return found
        return None

    def _for(self, url: str) -> list[Credential]:
        try:
            place = place_of(url)
        except ValueError:
            return []
        fitting = [credential for credential in self.credentials if credential.fit(place)]
        return sorted(fitting, key=lambda credential: -credential.fit(place))


def docker_credential(config: str, hosts: tuple[str, ...] = ()) -> Credential:
    """A credential from .dockerconfigjson.

    Args:
        config: The JSON.
        hosts: Who may see it; empty: the registries that it names itself.

    Raises:
        ValueError: It is not built as docker builds it; the message holds nothing of it.
    """
    try:
        auths = json.loads(config)["auths"]
        registries = {_registry(name): _login(auth) for name, auth in auths.items()}
    except (ValueError, KeyError, TypeError, AttributeError):
        raise ValueError(".dockerconfigjson is not as docker writes it: {auths: {registry: {auth: …}}}") from None
    return Credential(hosts or tuple(registries), registries=registries)


def _registry(name: str) -> str:
    """Docker writes its own registry as https://index.docker.io/v1/, and asks it at another host."""
    host = name.removeprefix("https://").removeprefix("http://").partition("/")[0].lower()
    return "registry-1.docker.io" if host in {"index.docker.io", "docker.io"} else host


def _login(auth: Mapping[str, str]) -> Basic:
    if "auth" in auth:
        username, _, password = base64.b64decode(auth["auth"]).decode().partition(":")
        return Basic(username, password)
    return Basic(auth["username"], auth["password"])
