"""The settings: what is read, from where, what is refused with which words, and that no secret is shown."""

from datetime import timedelta
from pathlib import Path

import pytest

from responder.app import source_ceilings
from responder.model.autonomy import Autonomy
from responder.settings import SettingsError, load
from responder.settings.shown import shown

FULL = """\
database: postgresql://responder:hunter22@db:5432/responder
rules: [rules/, extra.yaml]
sources:
  default:
    token: a-source-token-1234
    alertmanager: [http://am-1:9093, http://am-2:9093]
inventory:
  postgres:
    - name: orders
      dsn: postgresql://remedy:swordfish@orders:5432/postgres
      matches: 'server="orders:5432"'
queries:
  blocked: {sql: "select 1"}
prometheus: {url: http://prometheus:9090}
engine:
  ceiling: approve
  ceilings:
    - {match: 'env="prod"', is: shadow}
web:
  listen: "[::1]:9000"
log: {format: console, level: debug}
"""


def written(folder: Path, text: str) -> Path:
    """A settings file with this text."""
    file = folder / "responder.yaml"
    file.write_text(text)
    return file


def problems(folder: Path, text: str, **environment: str) -> str:
    """What is wrong, as it is printed; without the folder, so that places can be compared."""
    with pytest.raises(SettingsError) as caught:
        load(written(folder, text), environment)
    told = str(caught.value).replace(f"{folder}/", "")
    return told.removeprefix("the settings cannot be used:\n")


def test_nothing_at_all_is_the_safe_default(tmp_path: Path) -> None:
    """No file, no variable: shadow, loopback, no database."""
    settings = load(written(tmp_path, ""), {}).settings
    assert settings.engine.ceiling is Autonomy.SHADOW
    assert settings.web.listen.loopback
    assert settings.store.database is None


@pytest.mark.parametrize(
    ("engine", "reach"),
    [
        ("{}", "shadow"),
        ("{ceiling: auto}", "auto"),
        (
            "{ceilings: [{match: 'server=\"orders-db:5432\"', is: auto}]}",
            'auto (shadow, except auto where server="orders-db:5432")',
        ),
        (
            "{ceiling: approve, ceilings: [{match: 'env=\"prod\"', is: shadow}, {match: [], is: auto}]}",
            'auto (approve, except shadow where env="prod", auto for every alert)',
        ),
        ("{ceilings: [{match: 'env=\"prod\"', is: shadow}]}", "shadow"),
    ],
)
def test_how_far_it_goes_is_told_with_the_ceilings_that_raise_it(
    tmp_path: Path, engine: str, reach: str
) -> None:
    """The most that any ceiling allows comes first; nobody reads "shadow" of a service that may act."""
    assert load(written(tmp_path, f"engine: {engine}\n"), {}).settings.engine.reach == reach


def test_a_full_file_is_read_and_relative_paths_start_at_the_file(tmp_path: Path) -> None:
    """Each block reaches its package's settings; `rules/` is the one beside the file."""
    settings = load(written(tmp_path, FULL), {}).settings
    assert settings.rules == (tmp_path / "rules", tmp_path / "extra.yaml")
    assert settings.sources["default"].name == "default"
    assert str(settings.inventory.postgres[0].matches[0]) == 'server="orders:5432"'
    assert settings.engine.ceilings[0].level is Autonomy.SHADOW
    assert str(settings.web.listen) == "[::1]:9000"
    assert settings.store.database is not None


def test_a_single_address_needs_no_list(tmp_path: Path) -> None:
    """One Alertmanager is written as one; what is wrong with it is told in its place."""
    text = "sources: {{default: {{alertmanager: '{}'}}}}\n"
    settings = load(written(tmp_path, text.format("http://am:9093")), {}).settings
    assert settings.sources["default"].alertmanager == ("http://am:9093",)
    assert "responder.yaml:1:21: " in problems(tmp_path, text.format("am:9093"))


def test_variables_win_over_the_file(tmp_path: Path) -> None:
    """Nesting by two underscores, lists as JSON, a secret of digits stays a text."""
    settings = load(
        written(tmp_path, FULL),
        {
            "RESPONDER_ENGINE__CEILING": "auto",
            "RESPONDER_SOURCES__DEFAULT__TOKEN": "1234567890123456",
            "RESPONDER_SOURCES__DEFAULT__ALERTMANAGER": '["http://other:9093"]',
            "RESPONDER_RULES": "/a,/b",
            "RESPONDER_LOG__LEVEL": "error",
            "RESPONDER_WEB__LISTEN": "127.0.0.1:9096",
            "UNRELATED": "x",
        },
    ).settings
    assert settings.engine.ceiling is Autonomy.AUTO
    token = settings.sources["default"].token
    assert token is not None
    assert token.get_secret_value() == "1234567890123456"
    assert settings.sources["default"].alertmanager == ("http://other:9093",)
    assert settings.rules == (Path("/a"), Path("/b"))
    assert str(settings.web.listen) == "127.0.0.1:9096"
    assert settings.engine.ceilings[0].level is Autonomy.SHADOW


def test_what_kubernetes_sets_beside_a_service_is_no_setting(tmp_path: Path) -> None:
    """A Service called `responder` puts RESPONDER_PORT and others into every pod of the namespace."""
    links = {
        "RESPONDER_SERVICE_HOST": "10.0.0.7",
        "RESPONDER_SERVICE_PORT": "9095",
        "RESPONDER_SERVICE_PORT_HTTP": "9095",
        "RESPONDER_PORT": "tcp://10.0.0.7:9095",
        "RESPONDER_PORT_9095_TCP_ADDR": "10.0.0.7",
        "RESPONDER_DB_SERVICE_HOST": "10.0.0.8",
        "RESPONDER_DB_PORT_5432_TCP": "tcp://10.0.0.8:5432",
    }
    load(written(tmp_path, ""), links)


def test_a_secret_comes_from_a_file_beside_the_settings(tmp_path: Path) -> None:
    """Every secret `x` may be `x_file`, in the file and as a variable."""
    (tmp_path / "token").write_text("a-token-from-a-file\n")
    (tmp_path / "dsn").write_text("postgresql://u:p@h/d\n")
    file = written(tmp_path, "web: {api_token_file: token}\n")
    loaded = load(file, {"RESPONDER_DATABASE_FILE": str(tmp_path / "dsn")})
    assert loaded.settings.web.api_token is not None
    assert loaded.settings.web.api_token.get_secret_value() == "a-token-from-a-file"
    assert loaded.settings.database is not None
    origins = {line.key: line.origin for line in shown(loaded)}
    assert origins["web.api_token"].endswith(f"responder.yaml:1:7 ({tmp_path / 'token'})")
    assert origins["database"] == f"RESPONDER_DATABASE_FILE ({tmp_path / 'dsn'})"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "databse: x\n",
            "responder.yaml:1:1: databse: there is no such setting. Write `database` if that is meant.",
        ),
        (
            "web:\n  lisen: ':1'\n",
            "responder.yaml:2:3: web.lisen: there is no such setting. Write `listen` if that is meant.",
        ),
        (
            "web: {listen: nowhere}\n",
            "responder.yaml:1:7: web.listen: 'nowhere' is no address to listen on. Write one like",
        ),
        (
            "engine: {ceiling: bold}\n",
            "responder.yaml:1:10: engine.ceiling: 'bold' is no autonomy. Choose observe, shadow, approve or",
        ),
        (
            "inventory:\n  postgres:\n  - nam: x\n",
            "responder.yaml:3:5: inventory.postgres[0].nam: there is no such setting. Write `name` if",
        ),
        (
            "log: {level: 7}\n",
            "responder.yaml:1:7: log.level: input should be 'debug', 'info', 'warning' or 'error'",
        ),
        (
            "web: {api_token: 1234567890123456}\n",
            "web.api_token: input should be a valid string. Quote it, if it is a text.",
        ),
        ("prometheus: {}\n", "responder.yaml:1:1: prometheus.url: it is missing. Write it."),
        ("queries: {y: select 1}\n", "queries.y: a text alone is no query. Write {sql: select 1}."),
        ("- a\n", "responder.yaml:1:1: the settings are no mapping. Write `key: value` lines."),
        ("web: {listen: ':1'\n", "this is no YAML"),
        ("web: {}\nweb: {}\n", "responder.yaml:2:1: the key `web` stands here twice"),
        ("web: {api_token_file: gone}\n", "gone cannot be read: No such file or directory"),
        (
            "web: {api_token: aaaaaaaaaaaaaaaaaaa, api_token_file: gone}\n",
            "web.api_token and web.api_token_file: both are given. Keep one of them.",
        ),
    ],
)
def test_each_mistake_has_a_place_a_field_and_a_mend(tmp_path: Path, text: str, expected: str) -> None:
    """file:line:column, the dotted key, what is wrong, what to do."""
    assert expected in problems(tmp_path, text)


@pytest.mark.parametrize(
    ("text", "mistake"),
    [
        ("lease_time: 10\n", "lease_time: 10 has no unit. Write 10s or 10m."),
        ("sources: {default: {group_interval: 0s}}\n", "must be more than 0s. Write one like 30s or 10m."),
    ],
)
def test_a_duration_of_the_settings_needs_its_unit(tmp_path: Path, text: str, mistake: str) -> None:
    """As everywhere: only 0 goes without, where it is allowed."""
    assert mistake in problems(tmp_path, text)
    assert load(written(tmp_path, "journal_kept_for: 0\n"), {}).settings.journal_kept_for == timedelta(0)


def test_people_have_a_token_each_and_grants(tmp_path: Path) -> None:
    """From files as every secret; what would give somebody more or less than was meant does not start."""
    (tmp_path / "ada").write_text("a-token-of-ada-alone\n")
    ada = "web:\n  listen: '0.0.0.0:9095'\n  people:\n    ada:\n      token_file: ada\n"
    grants = "      grants: [{role: approver, scope: 'env=\"prod\"'}, {role: operator}]\n"
    people = load(written(tmp_path, ada + grants), {}).settings.web.people
    assert people["ada"].token.get_secret_value() == "a-token-of-ada-alone"
    assert [(grant.role.value, len(grant.scope)) for grant in people["ada"].grants] == [
        ("approver", 1),
        ("operator", 0),
    ]
    assert "web.people.ada.grants" in problems(tmp_path, ada)
    part = "      grants: [{role: admin, scope: 'env=\"prod\"'}]\n"
    refused = problems(tmp_path, ada + part)
    assert "web.people.ada.grants" in refused
    assert "leave `scope` out, or write `role: approver`" in refused
    assert "web.people.ada.grants" in problems(tmp_path, f"{ada}      grants: []\n")
    assert "'viewer', 'operator', 'approver' or 'admin'" in problems(
        tmp_path, f"{ada}      grants: [{{role: boss}}]\n"
    )
    assert "scope" in problems(tmp_path, f"{ada}      grants: [{{role: admin, scope: 'env'}}]\n")
    same = f"{ada}{grants}  api_token: a-token-of-ada-alone\n"
    assert "api_token and people.ada.token are the same" in problems(tmp_path, same)


def test_all_mistakes_are_told_in_one_run(tmp_path: Path) -> None:
    """Nobody has to start five times."""
    told = problems(tmp_path, "databse: x\nweb: {lisen: 1}\nlog: {level: loud}\n")
    assert len(told.splitlines()) == 3


def test_a_misspelt_variable_stops_the_start(tmp_path: Path) -> None:
    """RESPONDER_DATABSE must not start a service without its database."""
    told = problems(tmp_path, "", RESPONDER_DATABSE="postgresql://u:hunter22@h/d")
    assert (
        told
        == "RESPONDER_DATABSE: databse: there is no such setting. Write RESPONDER_DATABASE if that is meant."
    )
    told = problems(tmp_path, "", RESPONDER_WEB__LISEN=":1")
    assert told.startswith("RESPONDER_WEB__LISEN: web.lisen: there is no such setting.")
    told = problems(tmp_path, "", RESPONDER_INVENTORY__POSTGRES="[{")
    assert told.startswith("RESPONDER_INVENTORY__POSTGRES: ")


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("web: {listen: '0.0.0.0:9095'}\n", "web.api_token is not set"),
        (
            "web: {listen: ':9095', api_token: 0123456789abcdef-}\nsources: {open: {}}\n",
            "anybody could post as open",
        ),
    ],
)
def test_an_open_listener_without_credentials_does_not_start(tmp_path: Path, text: str, word: str) -> None:
    """Who can reach the port could act on production."""
    assert word in problems(tmp_path, text)


def test_an_open_source_caps_autonomy(tmp_path: Path) -> None:
    """On loopback a source without a token is allowed, but nothing acts on its word alone."""
    open_one = load(written(tmp_path, "sources: {dev: {}}\n"), {}).settings
    assert source_ceilings(open_one)["dev"].level is Autonomy.SHADOW
    assert source_ceilings(load(written(tmp_path, FULL), {}).settings) == {}


def test_what_applies_is_shown_with_its_origin_and_without_a_secret(tmp_path: Path) -> None:
    """Defaults, places and variables are told apart; no token, no DSN, no password is printed."""
    file = written(tmp_path, FULL)
    lines = shown(load(file, {"RESPONDER_LOG__LEVEL": "error"}))
    by_key = {line.key: line for line in lines}
    assert by_key["log.level"].origin == "RESPONDER_LOG__LEVEL"
    assert by_key["log.format"].origin == f"{file}:21:7"
    assert by_key["engine.workers"].origin == "default"
    assert by_key["database"].value == "********"
    assert by_key["inventory.postgres[0].matches[0]"].value == 'server="orders:5432"'
    everything = " ".join(f"{line.key} {line.value} {line.origin}" for line in lines)
    assert not any(secret in everything for secret in ("hunter22", "swordfish", "a-source-token-1234"))


@pytest.mark.parametrize(
    "text",
    [
        "database: mysql://root:hunter22@db/x\n",
        "sources: {a: {token: hunter22}}\n",
        "inventory: {postgres: [{name: a, dsn: 'host=x password=hunter22'}]}\n",
        "prometheus: {url: 'http://me:hunter22@prometheus:9090'}\n",
        "web: {api_token: hunter22}\n",
        "database: [hunter22]\n",
    ],
)
def test_an_error_never_repeats_a_secret(tmp_path: Path, text: str) -> None:
    """Wrong secrets are secrets too."""
    assert "hunter22" not in problems(tmp_path, text)


@pytest.mark.parametrize("place", ["engine.ceilings[0].match", "inventory.postgres[0].matches"])
def test_what_asks_for_a_redacted_label_is_refused(tmp_path: Path, place: str) -> None:
    """A ceiling that can never match would let more happen than was written; presence can be asked."""
    label = "env" if place.startswith("engine") else "server"
    with pytest.raises(SettingsError, match="redacted") as refused:
        load(written(tmp_path, f"{FULL}redaction: {{labels: [{label}]}}\n"), {})
    assert place in str(refused.value)
    asked = FULL.replace('env="prod"', 'env!=""').replace('server="orders:5432"', 'server=~".+"')
    settings = load(written(tmp_path, f"{asked}redaction: {{labels: [env, server]}}\n"), {}).settings
    assert settings.redaction.labels == ("env", "server")


def test_a_pattern_of_redaction_that_is_no_re2_is_named_with_its_place(tmp_path: Path) -> None:
    """File, line, key and what is wrong with it; the key for hashes may stand in a file of its own."""
    with pytest.raises(SettingsError, match=r"redaction.patterns\[1\].*RE2"):
        load(written(tmp_path, FULL + "redaction: {patterns: [fine, '(']}\n"), {})
    (tmp_path / "key").write_text("a key of its own, long enough")
    key = load(written(tmp_path, FULL + "redaction: {key_file: key}\n"), {}).settings.redaction.key
    assert key is not None
    assert key.get_secret_value() == "a key of its own, long enough"


CHANNEL = "channels: {{{name}: {{webhook: 'https://pager.example.org/a-secret-path', secret: {secret}}}}}\n"
SIGNING = "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="


def test_a_channel_keeps_its_secrets_to_itself(tmp_path: Path) -> None:
    """Address and secret may stand in files, and are shown as secrets are."""
    loaded = load(written(tmp_path, CHANNEL.format(name="pager", secret=SIGNING)), {})
    lines = {line.key: line.value for line in shown(loaded)}
    assert not [value for value in lines.values() if "a-secret-path" in str(value) or SIGNING in str(value)]
    (tmp_path / "address").write_text("https://pager.example.org/x\n")
    (tmp_path / "secret").write_text(f"{SIGNING}\n")
    text = "channels: {pager: {webhook_file: address, secret_file: secret}}\n"
    channel = load(written(tmp_path, text), {}).settings.channels["pager"]
    assert channel.secret.get_secret_value() == SIGNING
    assert channel.webhook.get_secret_value() == "https://pager.example.org/x"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (CHANNEL.format(name="log", secret=SIGNING), "the log is always there"),
        (CHANNEL.format(name="'a b'", secret=SIGNING), "channels"),
        (CHANNEL.format(name="pager", secret="whsec_c2hvcnQ="), "channels.pager.secret"),
        ("channels: {pager: {webhook: 'https://x', per_minute: 5}}\n", "channels.pager.secret"),
        ("channels: {pager: {webhook: 'ftp://x', secret: " + SIGNING + "}}\n", "channels.pager.webhook"),
        ("web: {public_url: 'https://u:p@x'}\n", "web.public_url"),
        ("web: {public_url: responder.example.org}\n", "web.public_url"),
        ("notifications: {give_up_after: 1s}\n", "notifications.give_up_after"),
    ],
)
def test_a_channel_that_could_not_work_stops_the_start(tmp_path: Path, text: str, told: str) -> None:
    """With the field, and without what is secret in it."""
    found = problems(tmp_path, text)
    assert told in found
    assert "a-secret-path" not in found


def test_a_policy_names_channels_that_there_are(tmp_path: Path) -> None:
    """The log and each of `channels:`; another one is refused where it stands, with those that there are."""
    policy = "policies: {on-call: {levels: [{channels: [log, %s]}]}}\n"
    text = CHANNEL.format(name="pager", secret=SIGNING)
    load(written(tmp_path, text + policy % "pager"), {})
    found = problems(tmp_path, text + policy % "pagr")
    assert found.startswith("responder.yaml:2:")
    assert "policies.on-call.levels[0].channels[1]: there is no channel 'pagr'" in found
    assert "pager" in found
