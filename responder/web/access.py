"""Who may speak to the listener: the Host and Origin checks, bearer tokens and basic auth.

A listener on loopback without a token still has two strangers to fear: a web page that the operator visits
(it sends an Origin) and one whose name was rebound to this machine (it sends that name as Host).
"""

import binascii
import hmac
import ipaddress
from base64 import b64decode
from collections.abc import Mapping
from functools import lru_cache
from urllib.parse import urlsplit

from aiohttp import hdrs, web
from aiohttp.typedefs import Handler, Middleware
from pydantic import SecretStr

from responder.web.answers import RequestError
from responder.web.api import WebhookSource
from responder.web.refusals import UNKNOWN_SOURCE, Refusals
from responder.web.roles import EVERYTHING, Bearer, Grant, check_right
from responder.web.settings import WebSettings

MACHINE_PREFIX = "/api/v1/webhooks/"
PEOPLE_PREFIX = "/api/"
_WHERE = f"post deliveries to {MACHINE_PREFIX}alertmanager/ and the name of a source"
_BEARER = web.RequestKey("bearer", Bearer)
_HOST_AT_MOST = 512
"""Characters of a Host that are looked at: no name is longer, and what was looked at is remembered."""


def count_refusals(refusals: Refusals, sources: frozenset[str]) -> Middleware:
    """Note every delivery that is refused for good; what may work later (503) is no refusal."""

    @web.middleware
    async def counted(request: web.Request, handler: Handler) -> web.StreamResponse:
        try:
            return await handler(request)
        except RequestError as error:
            note(request, error)
            raise
        except web.HTTPClientError as error:  # no route has that path, or not with that method
            note(request, RequestError(error.status, error.reason, mend=_WHERE))
            raise

    def note(request: web.Request, error: RequestError) -> None:
        if request.path.startswith(MACHINE_PREFIX):
            name = request.match_info.get("source", "")
            refusals.note(name if name in sources else UNKNOWN_SOURCE, error)

    return counted


def check_host(settings: WebSettings) -> Middleware:
    """Refuse a Host that is neither an address nor a name that the operator allowed."""
    names = {"localhost", settings.listen.host.lower(), *(name.lower() for name in settings.allowed_hosts)}

    @lru_cache(maxsize=256)
    def known(header: str) -> bool:
        host = _host_name(header)
        return host is not None and (host in names or _is_address(host))

    @web.middleware
    async def checked(request: web.Request, handler: Handler) -> web.StreamResponse:
        header = request.headers.get(hdrs.HOST, "")
        if not known(header[:_HOST_AT_MOST]):
            host = _host_name(header)
            raise RequestError(
                421,
                f"this listener is not known as {host!r}",
                field="Host",
                mend="add the name to web.allowed_hosts",
            )
        return await handler(request)

    return checked


@web.middleware
async def check_origin(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Refuse what a web page of somebody else sends; to machine routes, what any web page sends."""
    origin = request.headers.get(hdrs.ORIGIN)
    site = request.headers.get("Sec-Fetch-Site", "none")
    if request.path.startswith(MACHINE_PREFIX):
        strange = origin is not None
    else:
        strange = site not in {"none", "same-origin"} or not _same_origin(origin, request)
    if strange:
        raise RequestError(403, "requests of web pages from elsewhere are refused", field="Origin")
    return await handler(request)


def check_people(settings: WebSettings) -> Middleware:
    """Find out who asks people's routes, by the bearer token, and whether the route is theirs at all."""
    colleagues = {name: person.grants for name, person in settings.people.items()}

    @web.middleware
    async def checked(request: web.Request, handler: Handler) -> web.StreamResponse:
        asked = request.path.startswith(PEOPLE_PREFIX) and not request.path.startswith(MACHINE_PREFIX)
        if asked and request.match_info.http_exception is None:  # a path that is none has no secrets
            bearer = _bearer(request, settings, colleagues)
            check_right(request, bearer)
            request[_BEARER] = bearer
        return await handler(request)

    return checked


def bearer_of(request: web.Request) -> Bearer:
    """Who asks a people's route."""
    found: Bearer = request[_BEARER]
    return found


def actor_of(request: web.Request, said: str | None) -> str:
    """The name under which an act is recorded: the person's whose token it is, else the one that was said.

    Raises:
        RequestError: 400, the token names nobody and neither does the request.
    """
    name = bearer_of(request).name
    if name is None and said is None:
        raise RequestError(
            400, "nobody knows who asks", field="actor", mend="say who, or use a token of your own"
        )
    return name or said or ""


def _bearer(
    request: web.Request, settings: WebSettings, colleagues: Mapping[str, tuple[Grant, ...]]
) -> Bearer:
    """Every token is compared, whichever fits: how long it takes tells nobody which one."""
    if not settings.guarded:
        return Bearer("whoever reaches this listener", None, EVERYTHING, colleagues, proven=False)
    owners = [name for name, person in settings.people.items() if _bears(request, person.token)]
    if owners:
        return Bearer(owners[0], owners[0], colleagues[owners[0]], colleagues)
    if settings.api_token is not None and _bears(request, settings.api_token):
        return Bearer("the shared token", None, EVERYTHING, colleagues)
    mend = "give web.api_token's value" if settings.api_token else "give the one of web.people that is yours"
    raise unauthorized("Bearer", "the API token is missing or wrong", mend)


def check_source(request: web.Request, source: WebhookSource) -> None:
    """Refuse a delivery that does not prove to come from its source.

    Raises:
        RequestError: 401 with the scheme that is asked for.
    """
    if source.token is None and source.basic is None:
        return
    if source.token is not None and _bears(request, source.token):
        return
    if source.basic is not None and _is_user(request, *source.basic):
        return
    scheme = "Bearer" if source.token is not None else "Basic"
    raise unauthorized(
        scheme,
        f"the credentials of source {source.name!r} are missing or wrong",
        "set http_config.authorization (or basic_auth) in Alertmanager's webhook_configs",
    )


def unauthorized(scheme: str, error: str, mend: str) -> RequestError:
    """A 401."""
    headers: dict[str, str] = {hdrs.WWW_AUTHENTICATE: f'{scheme} realm="responder"'}
    return RequestError(401, error, field=hdrs.AUTHORIZATION, mend=mend, headers=headers)


def _host_name(header: str) -> str | None:
    """The name in a Host header, without its port, in lower case; None where it is malformed."""
    try:
        return urlsplit(f"//{header}").hostname
    except ValueError:
        return None


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _same_origin(origin: str | None, request: web.Request) -> bool:
    if origin is None:
        return True
    try:
        return urlsplit(origin).netloc.lower() == request.headers.get(hdrs.HOST, "").lower()
    except ValueError:
        return False


def _credentials(request: web.Request, scheme: str) -> str | None:
    given, _, rest = request.headers.get(hdrs.AUTHORIZATION, "").partition(" ")
    return rest.strip() if given.lower() == scheme else None


def _bears(request: web.Request, token: SecretStr) -> bool:
    given = _credentials(request, "bearer")
    return given is not None and _equal(given, token.get_secret_value())


def _is_user(request: web.Request, user: str, password: SecretStr) -> bool:
    given = _credentials(request, "basic")
    if given is None:
        return False
    try:
        decoded = b64decode(given, validate=True)
    except (binascii.Error, ValueError):
        return False
    return hmac.compare_digest(decoded, f"{user}:{password.get_secret_value()}".encode())


def _equal(given: str, secret: str) -> bool:
    """Compare in constant time. Header bytes that are no UTF-8 arrive as surrogates and match nothing."""
    return hmac.compare_digest(given.encode("utf-8", "surrogateescape"), secret.encode())
