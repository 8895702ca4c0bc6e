"""What goes to whom: redirects, credentials, TLS, proxies; and how a wait is ended."""

import base64
import json
import ssl
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from comfyard.store import errors
from comfyard.store.http.credentials import Credential, Credentials
from comfyard.store.http.hosts import Hosts
from comfyard.store.http.web import Request, Web
from comfyard.store.origin import Remote
from comfyard.store.stop import Stop
from hack.cluster.certificates import Authority
from tests.unit.store.proxy_server import Proxy, proxying
from tests.unit.store.source_server import Source, noise, running

SECRET = "a-secret-of-a-test"  # noqa: S105
TOKEN = f"Bearer {SECRET}"
CONTENT = noise(300_000)
VARIABLES = ("http_proxy", "https_proxy", "all_proxy", "no_proxy")


@pytest.fixture(autouse=True)
def no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


@pytest.fixture
def far() -> Iterator[Source]:
    with running() as server:
        yield server


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    made = Authority.create(tmp_path_factory.mktemp("authority"))
    made.issue("server", "localhost", addresses=["DNS:localhost"])
    return made


@pytest.fixture(scope="module")
def tls(authority: Authority) -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(authority.file("server.crt"), authority.file("server.key"))
    return context


@pytest.fixture
def safe(tls: ssl.SSLContext) -> Iterator[Source]:
    """A server with TLS."""
    with running(tls, "localhost") as server:
        yield server


@pytest.fixture
def trusted(authority: Authority, monkeypatch: pytest.MonkeyPatch) -> Path:
    file = authority.file("ca.crt")
    monkeypatch.setenv("SSL_CERT_FILE", str(file))
    return file


def read(web: Web, remote: Remote | str, request: Request | None = None, stop: Stop | None = None) -> bytes:
    where = Remote(remote, "it") if isinstance(remote, str) else remote
    content = bytearray()
    with web.open(where, stop or Stop(), request=request) as answer:
        error = answer.error()
        if error:
            raise error
        while piece := answer.read(100_000):
            content += piece
    return bytes(content)


def token_for(*hosts: str) -> Credentials:
    return Credentials([Credential(hosts, token=SECRET)])


def seen(source: Source) -> list[str | None]:
    return [request.get("Authorization") for request in source.requests]


def test_a_token_goes_to_who_it_is_named_for_and_not_along(source: Source, far: Source) -> None:
    far.serve("x", CONTENT)
    near = source.serve("x", b"", answers=[(307, {"Location": f"{far.base}/x"})] * 3)
    with Web(token_for(source.base)) as web:
        assert read(web, near) == CONTENT
        web.credentials = token_for(far.base)
        assert read(web, near) == CONTENT
        assert read(web, near, Request(auth=False)) == CONTENT
    assert seen(source) == [TOKEN, None, None]
    assert seen(far) == [None, TOKEN, None]


def test_headers_of_a_remote_stay_with_its_place(source: Source, far: Source) -> None:
    """Another port is another place, and so is another name of the same machine."""
    far.serve("x", b"", answers=[(302, {"Location": f"{source.base}/back"})])
    source.serve("back", b"", answers=[(302, {"Location": source.base.replace("127.0.0.1", "localhost") + "/end"})])
    source.serve("end", CONTENT)
    near = source.serve("x", b"", answers=[(301, {"Location": "/again"})])
    source.serve("again", b"", answers=[(308, {"Location": f"{far.base}/x"})])
    remote = Remote(near, "it", {"Authorization": "mine", "X-Own": "mine"})
    with Web(token_for(source.base, far.base)) as web:
        assert read(web, remote) == CONTENT
    assert seen(source) == ["mine", "mine", "mine", None]
    assert [request.get("X-Own") for request in source.requests] == ["mine", "mine", "mine", None]
    assert seen(far) == [TOKEN]
    assert "X-Own" not in far.requests[0]


def test_the_host_that_gave_the_answer_is_told(source: Source, far: Source) -> None:
    far.serve("x", CONTENT)
    near = source.serve("x", b"", leads_to=(far, "x"))
    far.files["x"].uses = 1
    with Web() as web, web.open(Remote(near, "it", {"X-Own": "mine"}), Stop()) as answer:
        assert answer.where.url.startswith(f"{far.base}/x?signature=")
        assert (answer.where.shown, answer.where.headers) == ("it", {})
        assert "signature" not in repr(answer.where)


@pytest.mark.parametrize("named", [True, False])
def test_a_refused_login_says_what_to_do(source: Source, far: Source, named: bool) -> None:  # noqa: FBT001 - a parameter
    far.serve("x", b"", answers=[(401, {})])
    near = source.serve("x", b"", answers=[(302, {"Location": f"{far.base}/x?{SECRET}"})])
    with Web(token_for(far.base) if named else None) as web, pytest.raises(errors.UnauthorizedError) as caught:
        read(web, near)
    host = far.base.removeprefix("http://")
    said = f"does not accept the credential for {host}" if named else f"whose annotation comfyard.io/hosts lists {host}"
    assert said in str(caught.value)
    assert SECRET not in str(caught.value)


def test_redirects_may_be_left_alone(source: Source) -> None:
    url = source.serve("x", b"", answers=[(302, {"Location": "/y", "X-Linked-Size": "7"})])
    with Web() as web, web.open(Remote(url, "it"), Stop(), request=Request("HEAD", follow=False)) as answer:
        assert (answer.status, answer.headers["x-linked-size"]) == (302, "7")


def test_a_circle_ends(source: Source) -> None:
    url = source.serve("x", b"", answers=[(302, {"Location": "/x"})] * 30)
    with Web() as web, pytest.raises(errors.RefusedError, match="more than 10 times"):
        read(web, url)
    assert len(source.requests) == 11


def test_an_authority_of_ones_own(safe: Source, trusted: Path) -> None:
    url = safe.serve("x", CONTENT)
    with Web(token_for(safe.base)) as web:
        assert read(web, url) == CONTENT
    assert seen(safe) == [TOKEN]
    assert trusted.exists()


def test_a_stranger_is_not_trusted(safe: Source) -> None:
    url = safe.serve("x", CONTENT)
    with Web() as web, pytest.raises(errors.UnreachableError, match=r"CERTIFICATE_VERIFY_FAILED.*SSL_CERT_FILE"):
        read(web, url)
    assert safe.requests == []


@pytest.mark.usefixtures("trusted")
def test_another_name_than_the_certificate_has_is_not_trusted(safe: Source) -> None:
    url = safe.serve("x", CONTENT).replace("localhost", "127.0.0.1")
    with Web() as web, pytest.raises(errors.UnreachableError, match="CERTIFICATE_VERIFY_FAILED"):
        read(web, url)


@pytest.mark.usefixtures("trusted")
def test_tls_is_not_left_but_may_be_entered(source: Source, safe: Source) -> None:
    source.serve("x", CONTENT)
    out = safe.serve("x", b"", answers=[(302, {"Location": f"{source.base}/x?{SECRET}"})])
    with Web() as web:
        with pytest.raises(errors.RefusedError, match="out of TLS, to http on 127") as caught:
            read(web, out)
        assert SECRET not in str(caught.value)
        assert source.requests == []
        safe.serve("y", CONTENT)
        assert read(web, source.serve("in", b"", answers=[(302, {"Location": f"{safe.base}/y"})])) == CONTENT


def test_connections_are_kept(source: Source) -> None:
    url = source.serve("x", CONTENT)
    with Web() as web:
        for _ in range(3):
            assert read(web, url) == CONTENT
    assert len(source.clients) == 1


def test_what_is_not_read_to_its_end_holds_nothing(source: Source) -> None:
    """With one connection allowed, a slot that was not given back would be the end."""
    url = source.serve("x", CONTENT, cuts=[1000, 0])
    with Web(hosts=Hosts(1)) as web:
        for _ in range(2):
            with pytest.raises(errors.UnreachableError):
                read(web, url)
        with web.open(Remote(url, "it"), Stop()) as answer:
            assert answer.read(10)
            answer.close()
        source.files["x"].answers.append((404, {}))
        with pytest.raises(errors.NotFoundError):
            read(web, url)
        assert read(web, url) == CONTENT


@pytest.mark.parametrize(
    ("content", "how", "kind", "said"),
    [
        (b"<html>", {}, errors.RefusedError, "not JSON"),
        (b"\xff", {}, errors.RefusedError, "not JSON"),
        (b"[" * 1_000_000, {}, errors.RefusedError, "not JSON"),
        (b" " * (16 * 1024 * 1024 + 1), {}, errors.RefusedError, "far more than metadata"),
        (b"{}", {"encoding": "gzip"}, errors.RefusedError, "compressed"),
        (b"{}", {"answers": [(404, {})]}, errors.NotFoundError, "is not there"),
        (b"{}", {"answers": [(403, {})]}, errors.ForbiddenError, "refuses"),
        (b"{}", {"cuts": [1]}, errors.UnreachableError, "it: "),
    ],
)
def test_metadata_that_is_none(
    source: Source, web: Web, content: bytes, how: dict[str, object], kind: type[errors.StoreError], said: str
) -> None:
    url = source.serve("x", content, **how)
    with pytest.raises(kind, match=said) as caught:
        web.get_json(f"{url}?{SECRET}", "it", Stop())
    assert SECRET not in str(caught.value)


def test_metadata(source: Source) -> None:
    url = source.serve("x", json.dumps({"a": [1]}).encode())
    with Web(token_for(source.base)) as web:
        found, headers = web.get_json(url, "it", Stop(), {"X-Own": "mine"})
        assert found == {"a": [1]}
        assert headers["ETag"] == source.files["x"].etag
        web.get_json(url, "it", Stop(), auth=False)
        source.files["x"].answers.append((404, {"X-Error-Code": "Gone"}))
        status, headers, content = web.fetch(url, "it", Stop())
        assert (status, headers["x-error-code"], content) == (404, "Gone", b"")
    assert seen(source) == [TOKEN, None, TOKEN]
    assert source.requests[0]["X-Own"] == "mine"


def test_a_question_in_json(source: Source, web: Web) -> None:
    source.serve("x", b'{"answer": 1}')
    found, _ = web.post_json(f"{source.base}/x", "it", Stop(), {"question": 1}, {"Accept": "application/vnd.x+json"})
    assert found == {"answer": 1}
    assert source.bodies == [b'{"question": 1}']
    assert source.requests[0]["Content-Type"] == "application/json"
    assert source.requests[0]["Accept"] == "application/vnd.x+json"


@pytest.fixture
def proxy(monkeypatch: pytest.MonkeyPatch) -> Iterator[Proxy]:
    with proxying() as made:
        monkeypatch.setenv("HTTP_PROXY", f"http://me:{SECRET}@{made.address}")
        monkeypatch.setenv("HTTPS_PROXY", made.address)
        yield made


def test_a_proxy_is_used(source: Source, proxy: Proxy) -> None:
    proxy.password = base64.b64encode(f"me:{SECRET}".encode()).decode()
    url = source.serve("x", CONTENT)
    with Web() as web:
        assert read(web, url) == CONTENT
    assert proxy.asked[0].startswith(f"GET {url} HTTP/1.1\r\n")


@pytest.mark.usefixtures("trusted")
def test_tls_goes_through_a_proxy_untouched(safe: Source, proxy: Proxy) -> None:
    url = safe.serve("x", CONTENT)
    with Web(token_for(safe.base)) as web:
        assert read(web, url) == CONTENT
        assert read(web, url) == CONTENT
    assert len(proxy.asked) == 1
    assert proxy.asked[0].startswith(f"CONNECT {safe.base.removeprefix('https://')} HTTP/1.")
    assert SECRET not in proxy.asked[0]
    assert seen(safe) == [TOKEN, TOKEN]


@pytest.mark.parametrize("bypass", ["127.0.0.1", "*", "other, 127.0.0.1:{port}"])
def test_some_are_not_asked_through_the_proxy(
    source: Source, proxy: Proxy, monkeypatch: pytest.MonkeyPatch, bypass: str
) -> None:
    monkeypatch.setenv("NO_PROXY", bypass.format(port=source.base.rsplit(":", 1)[1]))
    with Web() as web:
        assert read(web, source.serve("x", CONTENT)) == CONTENT
    assert proxy.asked == []


@pytest.mark.usefixtures("trusted")
def test_a_proxy_that_refuses(safe: Source, proxy: Proxy) -> None:
    proxy.password = "another"  # noqa: S105 - of a test
    with Web() as web, pytest.raises(errors.UnreachableError, match="407"):
        read(web, safe.serve("x", CONTENT))


@pytest.mark.parametrize("address", [f"http://me:{SECRET}@127.0.0.1:9", f"socks5://me:{SECRET}@127.0.0.1:9"])
def test_a_proxy_that_is_none(source: Source, monkeypatch: pytest.MonkeyPatch, address: str) -> None:
    monkeypatch.setenv("all_proxy", address)
    with Web() as web, pytest.raises(errors.UnreachableError, match=r"(?i)proxy") as caught:
        read(web, source.serve("x", CONTENT))
    assert SECRET not in str(caught.value)


def end_while(wait: Callable[[], object], act: Callable[[Stop], object]) -> None:
    """Ask to stop once a wait is over, while it is acted."""
    stop = Stop()

    def end_it() -> None:
        wait()
        stop.ask()

    thread = threading.Thread(target=end_it, daemon=True)
    thread.start()
    with pytest.raises(errors.StoppedError):
        act(stop)
    thread.join()


@pytest.mark.usefixtures("trusted")
@pytest.mark.parametrize("after", [0, 100_000])
@pytest.mark.parametrize("chunked", [True, False])
def test_a_wait_within_tls_can_be_ended(safe: Source, after: int, chunked: bool) -> None:  # noqa: FBT001 - a parameter
    url = safe.serve("x", CONTENT, stall_after=after, chunked=chunked)
    with Web() as web:
        end_while(safe.stalled.wait, lambda stop: read(web, url, stop=stop))
        safe.files["x"].stall_after = None
        assert read(web, url) == CONTENT


@pytest.mark.usefixtures("trusted")
def test_a_wait_within_tls_within_tls_can_be_ended(
    safe: Source, tls: ssl.SSLContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = safe.serve("x", CONTENT, stall_after=100_000)
    with proxying(tls, "localhost") as proxy:
        monkeypatch.setenv("https_proxy", f"https://{proxy.address}")
        with Web() as web:
            end_while(safe.stalled.wait, lambda stop: read(web, url, stop=stop))
            safe.files["x"].stall_after = None
            assert read(web, url) == CONTENT


def test_a_wait_for_the_answer_can_be_ended(source: Source) -> None:
    url = source.serve("x", CONTENT, silent=True)
    with Web() as web:
        end_while(source.stalled.wait, lambda stop: read(web, url, stop=stop))
