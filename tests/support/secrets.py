"""Secrets in the forms in which they turn up in alerts, and ordinary texts that only look like them.

None of the secrets was ever valid. Some are put together from pieces, so that scanners of repositories, which
know the same forms, do not take this file for a leak.
"""

from base64 import b64encode
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Leak:
    """A text that an alert may say, and the part of it that nobody may find afterwards."""

    form: str
    text: str
    secret: str


def _hex(length: int) -> str:
    return ("3f9a1c7e5b2d8064" * 8)[:length]


def _letters(length: int) -> str:
    return ("aB3dE6gH9jK2mN5pQ8rS1tU4vW7xY0zC" * 12)[:length]


def _base64(text: str) -> str:
    return b64encode(text.encode()).decode()


def _whole(form: str, secret: str) -> Leak:
    return Leak(form, f"the job failed with {secret} on node 7", secret)


_KEY_BODY = "MIIEpAIBAAKCAQEAx7Vq" + _letters(60)
_JWT = f"eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.{_letters(43)}"
_SERVICE_ACCOUNT = _base64('{"type": "service_account", "private_key": "' + _letters(40) + '"}')

LEAKS: tuple[Leak, ...] = (
    _whole("aws access key id", "AKIA" + "IOSFODNN7EXAMPLE"),
    _whole("aws temporary key id", "ASIA" + "Y34FZKBOKMUTVV7A"),
    Leak("aws secret key", f"aws_secret_access_key = {_letters(40)}", _letters(40)),
    Leak("aws secret key, variable", f"AWS_SECRET_ACCESS_KEY={_letters(40)} missing", _letters(40)),
    _whole("github", "ghp_" + _letters(36)),
    _whole("github app", "ghs_" + _letters(36)),
    _whole("github fine-grained", "github_pat_" + _letters(22) + "_" + _letters(59)),
    _whole("gitlab", "glpat-" + _letters(20)),
    _whole("gitlab runner", "glrt-" + _letters(20)),
    _whole("slack bot", "xoxb-" + "123456789012-1234567890123-" + _letters(24)),
    Leak("slack webhook", "post https://hooks.slack.com/services/T0AAA/B0BBB/" + _letters(24), _letters(24)),
    _whole("stripe", "sk_" + "live_" + _letters(24)),
    _whole("stripe restricted", "rk_" + "live_" + _letters(24)),
    _whole("webhook secret", "whsec_" + _letters(32)),
    _whole("openai project", "sk-proj-" + _letters(64)),
    _whole("openai", "sk-" + _letters(48)),
    _whole("anthropic", "sk-ant-" + "api03-" + _letters(60)),
    _whole("npm", "npm_" + _letters(36)),
    _whole("pypi", "pypi-" + "AgEIcHlwaS5vcmc" + _letters(60)),
    _whole("docker", "dckr_pat_" + _letters(27)),
    _whole("hugging face", "hf_" + "abcdefghijklmnopqrstuvwxyzABCDEFGH"),
    _whole("jwt", _JWT),
    Leak("bearer", f"curl -H 'Authorization: Bearer {_letters(30)}' failed", _letters(30)),
    Leak("bearer, lower", f"upstream got bearer {_letters(24)}", _letters(24)),
    Leak("basic", f"Authorization: Basic {_base64('admin:hunter22')}", _base64("admin:hunter22")),
    Leak("basic, alone", f"sent Basic {_base64('admin:hunter22')} and got 401", _base64("admin:hunter22")),
    Leak("token header", f"X-Api-Key: {_letters(20)}", _letters(20)),
    Leak("gitlab header", f"PRIVATE-TOKEN: {_hex(20)}", _hex(20)),
    Leak("url password", "cannot reach postgres://app:hunter22@db:5432/orders", "hunter22"),
    Leak("url password, digits", "redis://:4815162342108@cache:6379/0 is down", "4815162342108"),
    Leak("url password, odd signs", "amqp://u:p@ss/w0rd@mq:5672/v", "p@ss/w0rd"),
    Leak("url token", f"git clone https://{_letters(24)}@git.example.org/x.git", _letters(24)),
    Leak("go dsn", "root:s3cr3t!pw@tcp(mysql:3306)/orders refused", "s3cr3t!pw"),
    Leak("user at host", "dsn=app:s3cr3tpw@db.example.org:5432", "s3cr3tpw"),
    Leak("jdbc", "jdbc:oracle:thin:scott/t1ger99@//ora:1521/x", "t1ger99"),
    Leak("jdbc, parameters", "jdbc:postgresql://db/x?user=a&password=hunter22&ssl=true", "hunter22"),
    Leak("query token", f"GET https://x.example.org/a?token={_hex(24)}&page=2", _hex(24)),
    Leak("query access_token", f"https://x.example.org/?a=1&access_token={_hex(30)}", _hex(30)),
    Leak("query api_key", f"https://x.example.org/?api_key={_hex(32)}", _hex(32)),
    Leak("query password", "https://x.example.org/?password=correcthorse", "correcthorse"),
    Leak("query, encoded", f"https://x/?u=https%3A%2F%2Fy%2F%3Ftoken%3D{_hex(24)}%26page%3D2", _hex(24)),
    Leak("aws presigned", f"https://b.s3.amazonaws.com/k?X-Amz-Signature={_hex(64)}", _hex(64)),
    Leak(
        "azure sas",
        "https://a.blob.core.windows.net/c?sv=2022-11-02&sr=c&sig=" + _letters(43) + "%3D&se=2026",
        _letters(43),
    ),
    Leak(
        "azure storage key",
        f"DefaultEndpointsProtocol=https;AccountName=a;AccountKey={_letters(86)}==;EndpointSuffix=x",
        _letters(86),
    ),
    Leak("service bus", f"SharedAccessKeyName=root;SharedAccessKey={_letters(43)}=", _letters(43)),
    Leak("sql server", "Server=db;User Id=sa;Password=Hunter22x;Encrypt=yes", "Hunter22x"),
    Leak("sql server, pwd", "Driver={ODBC};Server=db;Uid=sa;Pwd=Hunter22x;", "Hunter22x"),
    Leak("azure client secret", f"secret abc8Q~{_letters(34)} has expired", f"abc8Q~{_letters(34)}"),
    Leak("libpq", "host=db password=hunter22 user=app", "hunter22"),
    Leak("libpq, quoted", "host=db password='hunter 22' user=app", "hunter 22"),
    Leak("yaml", "db:\n  user: app\n  password: hunter22\n", "hunter22"),
    Leak("yaml, passwd", "passwd: correcthorse", "correcthorse"),
    Leak("json", '{"user": "app", "password": "hunter22"}', "hunter22"),
    Leak("json in json", r"body={\"secret\": \"hunter22\"}", "hunter22"),
    Leak("python", "connect(user='app', passwd='hunter22')", "hunter22"),
    Leak("ruby", 'config :secret => "hunter22"', "hunter22"),
    Leak("go", 'secret := "hunter22"', "hunter22"),
    Leak("variable", "PGPASSWORD=hunter22 psql failed", "hunter22"),
    Leak("secret assignment", "client_secret=hunter22abc", "hunter22abc"),
    Leak("flag", "mysqldump --password hunter22 orders exited 2", "hunter22"),
    Leak("flag with equals", "mysqldump --password=hunter22 orders exited 2", "hunter22"),
    Leak("curl user", "curl -u admin:hunter22 https://x failed", "hunter22"),
    Leak("xml", "<server><password>hunter22</password></server>", "hunter22"),
    Leak("sql", "ALTER ROLE app PASSWORD 'hunter22'", "hunter22"),
    Leak("sql, mysql", "CREATE USER app IDENTIFIED BY 'hunter22'", "hunter22"),
    Leak("netrc", "machine x login app password hunter22", "hunter22"),
    Leak("pem", f"-----BEGIN RSA PRIVATE KEY-----\n{_KEY_BODY}\n-----END RSA PRIVATE KEY-----", _KEY_BODY),
    Leak("pem, cut off", f"-----BEGIN PRIVATE KEY-----\n{_letters(64)}\n{_letters(20)}", _letters(64)),
    Leak(
        "ssh",
        f"-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNzaC1rZXktdjE{_letters(40)}\n-----END OPENSSH PRIVATE KEY-----",
        _letters(40),
    ),
    Leak(
        "pgp",
        f"-----BEGIN PGP PRIVATE KEY BLOCK-----\n\n{_letters(64)}\n-----END PGP PRIVATE KEY BLOCK-----",
        _letters(64),
    ),
    Leak("age", "AGE-SECRET-KEY-1" + _letters(58).upper(), _letters(58).upper()),
    _whole("service account", _SERVICE_ACCOUNT),
    Leak(
        "pem in base64", "tls.key: " + _base64("-----BEGIN PRIVATE KEY-----" + _letters(40)), "LS0tLS1CRUdJTi"
    ),
    _whole("google api", "AIza" + _letters(35)),
    _whole("google oauth", "ya29." + _letters(40)),
    _whole("google client secret", "GOCSPX-" + _letters(28)),
    _whole("twilio", "SK" + _hex(32)),
    Leak("twilio token", f"TWILIO_AUTH_TOKEN={_hex(32)}", _hex(32)),
    _whole("sendgrid", f"SG.{_letters(22)}.{_letters(43)}"),
    _whole("mailgun", "key-" + _hex(32)),
    _whole("mailchimp", _hex(32) + "-us6"),
    _whole("shopify", "shpat_" + _hex(32)),
    _whole("digitalocean", "dop_v1_" + _hex(64)),
    _whole("vault", "hvs." + _letters(90)),
    _whole("databricks", "dapi" + _hex(32)),
    _whole("grafana", f"glsa_{_letters(32)}_{_hex(8)}"),
    _whole("telegram", "110201543:AA" + _letters(33)),
    _whole("atlassian", "ATATT3" + _letters(60)),
    Leak("cookie", f"Cookie: theme=dark; session={_hex(32)}", _hex(32)),
    Leak("set-cookie", f"Set-Cookie: sid={_hex(32)}; HttpOnly", _hex(32)),
    Leak("session cookie", f"request with JSESSIONID={_hex(32)} failed", _hex(32)),
    Leak("password hash", "$2b$12$" + _letters(53), _letters(53)),
    Leak(
        "docker config", '{"auths":{"r":{"auth":"' + _base64("bot:hunter22") + '"}}}', _base64("bot:hunter22")
    ),
    Leak("card", "payment of 4111 1111 1111 1111 failed", "4111 1111 1111 1111"),
    Leak("pagerduty key", f"routing_key: {_hex(32)}", _hex(32)),
)

ORDINARY: tuple[str, ...] = (
    'Pod payments/checkout-api-7d9f8b6c5-x2x9k (checkout-api) is in waiting state (reason: "CrashLoopBackOff").',
    "Instance 10.42.3.17:9100 of job node has been down for more than 5 minutes.",
    "Image registry.example.org:5000/payments/checkout:1.25.3@sha256:"
    "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08 cannot be pulled.",
    "ghcr.io/org/app@sha256:b94d27b9934d3e08a52e52d7da7dabfac484efe37a5380ee9088f7ace2efcde9",
    "http://prometheus-k8s-0:9090/graph?g0.expr=max_over_time%28kube_pod_container_status_waiting_reason%7Bjob"
    "%3D%22kube-state-metrics%22%7D%5B5m%5D%29+%3E%3D+1&g0.tab=1",
    "http://grafana.example.org/d/9f86d081884c/nodes?orgId=1&var-instance=10.42.3.17:9100&from=now-1h&to=now",
    "http://prometheus:9090/x?owner=team@example.org and mailto:oncall@example.org",
    "https://runbooks.prometheus-operator.dev/runbooks/kubernetes/kubepodcrashlooping",
    "https://alertmanager.example.org/#/silences/new?filter=%7Balertname%3D%22Watchdog%22%7D",
    "http://[fd00::17]:9090/graph?a=b@c",
    "trace 4bf92f3577b34da6a3ce929d0e0e4736, span 00f067aa0ba902b7, request 5e1e3a4e-8f0e-4b1c-9d0c-1f6a8d3c2b7a",
    "commit 2fd4e1c67a2d28fced849ee1bb76e7391b93eb12 was rolled out by argocd",
    'sum by (instance) (rate(http_requests_total{job="api",code=~"5.."}[5m])) / 0.05 > 1',
    'certmanager_certificate_expiration_timestamp_seconds{namespace="web", secret="web-tls-2"} - time() < 604800',
    'kube_secret_info{secret="my-tls-secret"} absent',
    "The certificate in secret web/web-tls expires in 6 days.",
    "Secret: web/web-tls-2, namespace: web",
    "Authorization: denied for user admin; authorization: RBAC: access denied; Cookie: missing",
    'FATAL: password authentication failed for user "app"',
    "wrong password: authentication failed for role app",
    "Failed to refresh token: context deadline exceeded",
    "invalid token: unexpected end of JSON input",
    "The password expired. Token expired 3 days ago. Basic authentication failed, bearer authentication is off.",
    "passwords: 3 failed, 1 reset; pass: 12, fail: 3, skip: 0",
    "token bucket is empty: tokens=0, refill 5/s; max_tokens: 4096",
    "PWD=/srv/app USER=app HOME=/home/app",
    "set DB_PASSWORD=${DB_PASSWORD} and API_KEY=<your key>, PASSWORD=********",
    "arn:aws:iam::123456789012:role/eks-node and i-0abcd1234ef567890, vol-049df61146c4d7901, subnet-9d4a7b6c",
    "eni 02:42:ac:11:00:02, 2001:0db8:85a3:1234:5678:8a2e:0370:7334, fe80::1%eth0, 192.168.0.0/16",
    "disk /dev/nvme0n1p1 of ip-10-0-3-17.eu-west-1.compute.internal is 91.3% full (4294967296 of 4503599627370496)",
    "SELECT count(*) FROM sessions WHERE token_id IS NULL AND password_changed_at < now() - interval '90 days'",
    'etcd cluster "etcd": 99th percentile of gRPC requests is 0.51s on etcd instance 10.0.0.4:2379',
    "sha512-" + "abcdEFGH0123" * 7 + "ab==",
    'kubelet_volume_stats_available_bytes{persistentvolumeclaim="data-kafka-0"} / 1024 / 1024 < 100',
    "at com.example.auth.TokenService.refresh(TokenService.java:142)",
    "job backup-orders-28471680-k9v2x, run 20261124T030000Z, build 1.4.0-rc.1+build.20261124",
    "risk-assessment-sk-prod-7d9f8b6c5-x2x9k restarted; task-sk-worker-1 too",
    "ticket OPS-1234, phone +49 30 901820, order 4000 1234, port 5432:5432/tcp, ratio 3:1@2x",
    "uid=1000(app) gid=1000(app) key=value session: 3 sessions, cookies: 12",
    "-----BEGIN CERTIFICATE-----\nMIIDdzCCAl+gAwIBAgIEAgAAuTANBgkqhkiG9w0BAQUFADBa\n-----END CERTIFICATE-----",
    "Latenz über 2 s für /api/v1/orders - siehe Übersicht 漢字 🚨",
)
