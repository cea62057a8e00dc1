r"""The forms of secrets that are known without being told: what `redaction:` replaces by default.

What belongs here: one line for each form, as RE2, with where it comes from in its name. How they are applied
is `model.redaction`. Three kinds, because they differ in what of a match is the secret:

- `TOKENS`: the match itself is the secret; issuers give their tokens a prefix for exactly this purpose.
- `IN_CONTEXT`: what stands around it says that it is one; the first group that took part is the secret.
- `PROVED`: as `IN_CONTEXT`, and a second look decides, because prose can have the same form.

Every form costs nothing on a text that has none: all of them together are one automaton, run once. RE2 has no
backtracking. A form must not match what ordinary alerts say: digests, UUIDs, pod names, queries, links.
"""

import re
from base64 import b64decode
from binascii import Error as NoBase64
from collections.abc import Callable
from dataclasses import dataclass

Proof = Callable[[str, str, str], bool]
"""Whether a match is a secret: what stands before it, the secret, what follows."""

_VALUE = (
    r"(?:\\+\"((?:[^\"\\]|\\+[^\"\\])+)|\"((?:[^\"\\]|\\(?s:.))+)"
    r"|\\*'((?:[^'\\]|\\(?s:.))+)|\\*`([^`]+)|([^\s\"'`;&<>\\]+))"
)
"""A value in quotes (escaped ones too, as inside of JSON), open at its end where a text was cut; or a bare one."""

_OWN = r"(?:password|passwd|passphrase|pass[_-]?phrase)"
"""Names whose value is a secret whatever it looks like."""
_SHORT = r"(?:[a-z0-9][_.-]pass|pwd|\bpw)"
_KEYS = (
    r"(?:api[_.-]?key|apikey|access[_.-]?key|secret[_.-]?key|private[_.-]?key|account[_.-]?key"
    r"|encryption[_.-]?key|signing[_.-]?key|master[_.-]?key|shared[_.-]?(?:access[_.-]?)?key|storage[_.-]?key"
    r"|routing[_.-]?key|integration[_.-]?key|license[_.-]?key|auth[_.-]?key|app(?:lication)?[_.-]?key"
    r"|secret[_.-]?access[_.-]?key|client[_.-]?secret|shared[_.-]?secret|redis(?:cli)?[_.-]?auth|credentials?)"
)
_WEAK = r"(?:secret|token)"
_IN_URLS = (
    r"(?:[\w.-]*(?:token|secret|passwd|password|pwd|api[_-]?key|apikey|access[_-]?key|credential|jwt)"
    r"|sig|[\w-]*signature|auth|sessionid|session_id)"
)
_SCHEME = r"[a-zA-Z][a-zA-Z0-9+.-]*://"
_B64 = r"[A-Za-z0-9+/_=-]"

TOKENS: dict[str, str] = {
    "aws access key id": r"\b(?:AKIA|ASIA|ABIA|ACCA)[A-Z2-7]{16}\b",
    "github": r"\bgh[pousr]_[A-Za-z0-9]{36,255}\b",
    "github fine-grained": r"\bgithub_pat_[A-Za-z0-9_]{22,255}",
    "gitlab": r"\bgl(?:pat|dt|ptt|rt|cbt|soat|agent|ft|imt|ptat|oas|ffct)-[A-Za-z0-9_.-]{20,}",
    "slack": r"\bxox[abeoprs](?:\.xox[bp])?-[A-Za-z0-9-]{10,}",
    "slack app": r"\bxapp-[0-9]-[A-Za-z0-9-]{10,}",
    "stripe": r"\b[rs]k_(?:live|test)_[A-Za-z0-9]{10,}",
    "standard webhooks, stripe": r"\bwhsec_[A-Za-z0-9+/=]{20,}",
    "openai": r"\bsk-(?:proj|svcacct|admin)-[A-Za-z0-9_-]{40,}",
    "openai, older": r"\bsk-[A-Za-z0-9]{32,}\b",
    "anthropic, openrouter": r"\bsk-(?:ant|or)-[a-z0-9]+-[A-Za-z0-9_-]{20,}",
    "npm": r"\bnpm_[A-Za-z0-9]{36,}\b",
    "pypi": r"\bpypi-[A-Za-z0-9_-]{32,}",
    "rubygems": r"\brubygems_[a-f0-9]{48}\b",
    "docker": r"\bdckr_(?:pat|oat)_[A-Za-z0-9_-]{20,}",
    "hugging face": r"\bhf_[A-Za-z]{34,}\b",
    "jwt": r"\beyJ[A-Za-z0-9_-]{12,}\.[A-Za-z0-9_-]{2,}(?:\.[A-Za-z0-9_-]*){0,4}",
    "json in base64: service account, docker login": rf"\b(?:eyJ0eXBlIj|ewogICJ0eXBlIj|eyJhdXRocyI|ewogICJhdXRocyI|ewoJImF1dGhzI){_B64}{{20,}}",
    "pem in base64": rf"\bLS0tLS1CRUdJTi{_B64}{{20,}}",
    "private key": r"-----BEGIN (?:[A-Z0-9]+ )*PRIVATE KEY(?: BLOCK)?-----(?s:.*?)(?:-----END (?:[A-Z0-9]+ )*PRIVATE KEY(?: BLOCK)?-----|\z)",
    "pgp message": r"-----BEGIN PGP MESSAGE-----(?s:.*?)(?:-----END PGP MESSAGE-----|\z)",
    "ssh2 private key": r"---- BEGIN SSH2 ENCRYPTED PRIVATE KEY ----(?s:.*?)(?:---- END SSH2 ENCRYPTED PRIVATE KEY ----|\z)",
    "putty key": r"PuTTY-User-Key-File-[0-9](?s:.*)",
    "openssh key, bare": rf"\bb3BlbnNzaC1rZXktdjE{_B64}+",
    "der key, bare": r"\bMII[A-Za-z0-9+/]{2,4}(?:IBAAKCAQ|IBADANBgkqhkiG9w0BAQEFAAS)[A-Za-z0-9+/=]+",
    "age": r"\bAGE-SECRET-KEY-1[A-Z0-9]{50,}",
    "google api": r"\bAIza[0-9A-Za-z_-]{35}",
    "google oauth": r"\bya29\.[0-9A-Za-z_-]{20,}",
    "google client secret": r"\bGOCSPX-[0-9A-Za-z_-]{20,}",
    "google refresh token": r"\b1//0[0-9A-Za-z_-]{40,}",
    "azure client secret": r"\b[A-Za-z0-9_~.-]{3}[0-9]Q~[A-Za-z0-9_~.-]{31,34}",
    "twilio": r"\bSK[0-9a-f]{32}\b",
    "sendgrid": r"\bSG\.[A-Za-z0-9_-]{16,}\.[A-Za-z0-9_-]{16,}",
    "mailgun": r"\bkey-[0-9a-f]{32}\b",
    "mailgun, newer": r"\b[0-9a-f]{32}-[0-9a-f]{8}-[0-9a-f]{8}\b",
    "mailchimp": r"\b[0-9a-f]{32}-us[0-9]{1,2}\b",
    "shopify": r"\bshp(?:at|ca|pa|ss)_[a-fA-F0-9]{32}\b",
    "digitalocean": r"\bdo[opr]_v1_[a-f0-9]{64}\b",
    "vault": r"\bhv[sbr]\.[A-Za-z0-9_-]{20,}",
    "terraform cloud": r"\b[A-Za-z0-9]{14}\.atlasv1\.[A-Za-z0-9_-]{20,}",
    "databricks": r"\bdapi[a-f0-9]{32}\b",
    "grafana": r"\bgl(?:sa_[A-Za-z0-9]{32}_[0-9a-f]{8}|c_[A-Za-z0-9+/=]{32,})",
    "grafana, older": r"\beyJrIjoi[A-Za-z0-9+/=]{20,}",
    "new relic": r"\bNR(?:AK|II|JS)-[A-Za-z0-9_-]{19,}",
    "telegram": r"\b[0-9]{8,10}:AA[A-Za-z0-9_-]{32,}",
    "linear, notion, figma": r"\b(?:lin_api_[A-Za-z0-9]{32,}|ntn_[A-Za-z0-9]{40,}|figd_[A-Za-z0-9_-]{32,})",
    "postman": r"\bPMAK-[a-f0-9]{24}-[a-f0-9]{34}\b",
    "square": r"\bsq0(?:atp|csp)-[A-Za-z0-9_-]{22,}",
    "atlassian": r"\bAT(?:ATT3|CTT3|BB)[A-Za-z0-9_=-]{20,}",
    "sentry": r"\bsntry[su]_[A-Za-z0-9+/=_]{40,}",
    "supabase": r"\bsb(?:p_[a-f0-9]{40}|_secret_[A-Za-z0-9_-]{20,})",
    "airtable": r"\bpat[A-Za-z0-9]{14}\.[a-f0-9]{64}\b",
    "doppler": r"\bdp\.(?:pt|st|ct|sa|scim|audit)\.[A-Za-z0-9._-]{40,}",
    "pulumi, planetscale": r"\b(?:pul-[a-f0-9]{40}|pscale_(?:tkn|pw|oauth)_[A-Za-z0-9_.-]{32,})",
    "password hash": r"\$(?:2[abxy]|5|6|y|apr1|argon2(?:id|i|d))\$[A-Za-z0-9./$,=+]{20,}",
}

IN_CONTEXT: dict[str, str] = {
    "password in a url": rf"{_SCHEME}[^\s/?#:@\[\"'<>]*:((?:[^\s@/?#\"'<>]*[^\s@/?#\"'<>0-9][^\s\"'<>]*|[0-9]+))@",
    "token as the user of a url": rf"{_SCHEME}([A-Za-z0-9_-]{{20,}})@",
    "password of a go dsn": r"[\w.+-]+:([^\s\"'<>]+)@(?:tcp|udp|unix)\(",
    "user:password@host:port": r"(?:^|[\s\"'=(,])[\w.+-]+:([^\s@/:\"']+)@[\w.-]+:[0-9]{2,5}(?:[^0-9A-Za-z]|$)",
    "oracle": r"\boracle:[a-z]+:[^\s/@]+/([^\s@]+)@",
    "oracle, easy connect": r"\b\w+/([^\s@/]+)@//",
    "query parameter": rf"(?i)[?&;]{_IN_URLS}=([^&;\s#\"'<>\\]+)",
    "query parameter, encoded": rf"(?i)(?:%3F|%26){_IN_URLS}%3D((?:[^%&\s\"'<>\\]|%(?:[013-9A-F][0-9A-F]|2[0-57-9A-F]))+)",
    "slack webhook": r"hooks\.slack\.com/(?:services|workflows|triggers)/([A-Za-z0-9+/_-]{8,})",
    "discord webhook": r"discord(?:app)?\.com/api/(?:v[0-9]+/)?webhooks/([0-9]+/[A-Za-z0-9_-]+)",
    "teams webhook": r"webhook\.office\.com/webhookb2/([^\s\"'<>]+)",
    "cookies": r"(?i)\b(?:set-)?cookie2?\\*[\"']?\s*[:=]\s*\\*[\"']?([^\s=]+=[^\r\n\"'\\]+)",
    "session cookie": r"(?i)\b(?:JSESSIONID|PHPSESSID|ASP\.NET_SessionId|connect\.sid|laravel_session|_?session(?:[_-]?id)?|csrftoken|_gh_sess|remember_token)=([^;\s&\"'<>\\]+)",
    "authorization header": r"(?i)\b(?:proxy-)?authorization\\*[\"']?\s*[:=]\s*\\*[\"']?(?:bearer|basic|digest|token|apikey|negotiate|geniekey|aws4-hmac-sha256)\s+([^\r\n\"'\\]+)",
    "token header": r"(?i)\b(?:x-[a-z0-9-]*(?:token|key|secret|signature)|private-token|job-token|dd-api-key)\\*[\"']?\s*:\s*\\*[\"']?([^\s\"'\\,;]+)",
    "flag": rf"(?i)(?:^|[\s\"'`\[,])--?[a-z0-9-]*(?:password|passwd|passphrase|secret|token|api-?key|access-?key)\s+{_VALUE}",
    "curl user": r"(?:^|\s)(?:-u|--user)[ =]?[\"']?[\w.@+-]+:([^\s\"']+)",
    "xml": rf"(?i)<(?:[\w.:-]*(?:password|passwd|pwd|secret|token)|{_KEYS})(?:\s[^<>]*)?>([^<]+)<",
    "sql": r"(?i)\b(?:password|identified\s+by|identified\s+with\s+\S+\s+by)\s+(?:e|U&)?\\*['\"]((?:[^'\"\\]|\\+[^'\"\\])+)",
    "netrc": r"(?i)\blogin\s+\S+\s+password\s+(\S+)",
    "azure sas": r"(?i)\bSharedAccessSignature\s*=?\s*([^\s;\"']+)",
    "ldap hash": r"\{(?:S?SHA(?:256|512)?|S?MD5|CRYPT)\}([A-Za-z0-9+/=$.]{16,})",
}


def _no_path(before: str, secret: str, _after: str) -> bool:
    """`PWD=/srv/app` names a directory; nothing else does that begins with a slash."""
    return not (_ends_with(before, "pwd") and secret.startswith(("/", "~", "$", "%")))


def _no_prose(before: str, secret: str, after: str) -> bool:
    """`password: expired` and `wrong password: authentication failed` tell of one, and are none."""
    bare = secret.rstrip(".,!?)]}")
    if not bare or bare.lower() in _SAID_OF_SECRETS:
        return False
    if _is_placeholder(bare) or not _no_path(before, secret, after):
        return False
    colon = _LAST_SIGN.search(before)
    goes_on = after[:1] == " " and after[1:2].isalpha()
    return not (colon is not None and colon[1] == ":" and bare.isalpha() and bare.islower() and goes_on)


def _no_name(before: str, secret: str, after: str) -> bool:
    """`token` and `secret` stand in prose, and in queries as labels that hold the *name* of a secret."""
    if not _no_prose(before, secret, after):
        return False
    if _IN_A_QUERY.search(before) and _RESOURCE_NAME.fullmatch(secret):
        return False
    if _ends_with(before, "secret") and _RESOURCE_PATH.fullmatch(secret.rstrip(".,")):
        return False
    bare = secret.rstrip(".,!?)]}")
    sign = _LAST_SIGN.search(before)
    if sign is not None and sign[1] == "=":
        return not (bare.isdigit() and len(bare) < _SHORTEST_NUMBER)
    return _looks_made(bare)


def _credentials(_before: str, secret: str, _after: str) -> bool:
    """Basic credentials are `user:password` in base64."""
    try:
        return b":" in b64decode(secret + "=" * (-len(secret) % 4), validate=True)
    except (NoBase64, ValueError):
        return False


def _made(_before: str, secret: str, _after: str) -> bool:
    return _looks_made(secret)


def _card(_before: str, secret: str, _after: str) -> bool:
    """The check digit of a card's number (Luhn)."""
    digits = [int(sign) for sign in reversed(secret) if sign.isdigit()]
    doubled = [sum(divmod(2 * digit, 10)) for digit in digits[1::2]]
    return (sum(digits[::2]) + sum(doubled)) % 10 == 0


@dataclass(frozen=True, slots=True)
class ProvedForm:
    """A form that prose can have too, and what tells the two apart."""

    pattern: str
    proof: Proof


_SIGN = r"\\*[\"'`]?\s*(?::=|=>|==?|:)\s*"

PROVED: dict[str, ProvedForm] = {
    "password assignment": ProvedForm(rf"(?i){_OWN}{_SIGN}{_VALUE}", _no_prose),
    "short password assignment": ProvedForm(rf"(?i){_SHORT}{_SIGN}{_VALUE}", _no_prose),
    "key assignment": ProvedForm(rf"(?i){_KEYS}{_SIGN}{_VALUE}", _no_name),
    "token assignment": ProvedForm(rf"(?i){_WEAK}{_SIGN}{_VALUE}", _no_name),
    "bearer": ProvedForm(r"(?i)\bbearer\s+([A-Za-z0-9+/=._~-]{6,})", _made),
    "basic": ProvedForm(r"(?i)\bbasic\s+([A-Za-z0-9+/]{6,}={0,2})", _credentials),
    "authorization, bare": ProvedForm(
        r"(?i)\bauthorization\\*[\"']?\s*[:=]\s*\\*[\"']?([^\s\"'\\,;]{8,})", _made
    ),
    "docker login": ProvedForm(r"\\*[\"']auth\\*[\"']\s*:\s*\\*[\"']([A-Za-z0-9+/]{6,}={0,2})", _credentials),
    "card": ProvedForm(
        r"\b((?:4[0-9]{3}|5[1-5][0-9]{2}|2[2-7][0-9]{2}|6(?:011|5[0-9]{2}))(?:[ -][0-9]{4}){3})\b", _card
    ),
}

LABELS: tuple[str, ...] = (
    (
        rf"(?i).*(?:{_OWN}|api[_-]?key|secret[_-]?key|private[_-]?key|client[_-]?secret|secret[_-]?access[_-]?key"
        r"|(?:access|auth|bearer|refresh|session|api)[_-]?token|connection[_-]?string)"
        r"|(?:.*[_.-])?(?:pwd|id[_-]?token|authorization|(?:set[_-]?)?cookie)"
    ),
)
"""Names of labels and annotations whose value is a secret, whatever stands before (`db_password`, `dbPassword`);
short words only by themselves. `secret` alone is none: it names a Kubernetes object."""

_SHORTEST_NUMBER = 6
_SAID_OF_SECRETS = frozenset(
    re.findall(
        r"\S+",
        """
        absent bad changed denied disabled empty enabled error exceeded expired expiring expires failed
        failure false found incorrect invalid is malformed mismatch missing must n/a needed nil no none
        not null off ok on optional rejected required reset revoked rotated set string true undefined
        unauthorized unexpected unknown unset valid was wrong yes
        """,
    )
)
_LAST_SIGN = re.compile(r"([:=])[=>]?\s*(?:\\*[\"'`])?\Z")
_IN_A_QUERY = re.compile(r"[A-Za-z0-9_:]\{(?:[^{}]*,)?\s*secret\s*=\s*\\*[\"']\Z")
_RESOURCE_NAME = re.compile(r"[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?")
_RESOURCE_PATH = re.compile(r"[a-z0-9][a-z0-9-]*/[a-z0-9][a-z0-9.-]*")
_PLACEHOLDER = re.compile(r"\$\{?[A-Za-z_][\w.]*\}?|\{\{.*\}?\}?|<[^<>]*>?|%[sdvq]|\.\.\.|\*+|x{3,}|\[.*\]")


def _is_placeholder(text: str) -> bool:
    return _PLACEHOLDER.fullmatch(text) is not None


def _ends_with(before: str, word: str) -> bool:
    """Whether the name that the value is given to ends with this word."""
    return before.rstrip(" \t\\\"'`:=>~!").lower().endswith(word)


def _looks_made(text: str) -> bool:
    """Whether a text was made by a machine or for one: a digit, a sign or a capital inside of it."""
    inner = text[1:]
    return any(sign.isdigit() or sign.isupper() for sign in inner) or any(
        not (sign.isalnum() or sign in "-_./:") for sign in text.rstrip(".,:;")
    )
