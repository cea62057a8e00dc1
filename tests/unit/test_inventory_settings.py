"""The inventory as users write it: what is wrong is told, what is secret is not."""

import re
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from responder.actions.settings import InventorySettings
from responder.model.errors import PermanentError, RefusedError, UnknownTargetError

SECRET = "hunter2"
DSN = f"postgresql://app:{SECRET}@db.internal:5432/orders"


def test_labels_and_names_lead_to_a_connection(tmp_path: Path) -> None:
    """`matches` are Alertmanager's matchers, as one text or a list; the DSN may stand in a file."""
    file = tmp_path / "dsn"
    file.write_text(DSN + "\n")
    inventory = InventorySettings.model_validate(
        {
            "postgres": [
                {"name": "orders", "dsn": DSN, "matches": ['server = "db1"', "env=~prod|live"]},
                {"name": "stock", "dsn_file": str(file), "matches": '{server="db2"}', "namespace": "shop"},
            ]
        }
    ).load()
    assert inventory.find_postgres({"server": "db1", "env": "live"}).name == "orders"
    assert inventory.find_postgres({"server": "db2"}).dsn.get_secret_value() == DSN
    with pytest.raises(RefusedError, match=r"orders, stock\)$"):
        inventory.find_postgres({"server": "db1", "env": "test"})
    wants = re.escape('orders, stock); orders also wants env=~"prod|live"')
    with pytest.raises(RefusedError, match=f"{wants}$"):
        inventory.find_postgres({"server": "db1"})
    with pytest.raises(UnknownTargetError) as unknown:
        inventory.find_postgres("billing")
    assert unknown.value.listed_in == "inventory.postgres"
    assert inventory.find_postgres("stock").key == "postgres/stock"
    namespaces = [inventory.find_postgres(name).target.namespace for name in ("orders", "stock")]
    assert namespaces == ["postgres/orders", "shop"]


@pytest.mark.parametrize(
    ("entries", "says"),
    [
        ([{"name": "a"}], "exactly one of dsn and dsn_file"),
        ([{"name": "a", "dsn": DSN, "dsn_file": "/x"}], "exactly one of dsn and dsn_file"),
        ([{"name": "a", "dsn": f"mysql://app:{SECRET}@x/y"}], "the dsn of 'a' is no DSN"),
        ([{"name": "a", "dsn": DSN}, {"name": "a", "dsn": DSN}], "twice: a"),
        ([{"name": "a b", "dsn": DSN}], "name"),
        ([{"name": "a", "dsn": DSN, "matches": ["server ~ x"]}], "double quotes"),
        ([{"name": "a", "dsn": DSN, "matches": ['x =~ "("']}], "RE2"),
        ([{"name": "a", "dsn": DSN, "password": SECRET}], "password"),
        ([{"name": "a", "dsn": [SECRET]}], "dsn"),
    ],
)
def test_a_wrong_entry_is_told_without_its_secret(entries: list[dict[str, Any]], says: str) -> None:
    """Each mistake has its sentence, and none repeats what was written."""
    with pytest.raises(ValidationError) as raised:
        InventorySettings.model_validate({"postgres": entries})
    assert says in str(raised.value)
    assert SECRET not in str(raised.value)


def test_nothing_shows_a_dsn() -> None:
    """Neither settings nor inventory show a DSN when they are printed or dumped."""
    settings = InventorySettings.model_validate({"postgres": [{"name": "a", "dsn": DSN}]})
    for told in (settings, settings.model_dump_json(), settings.load(), settings.load().model_dump_json()):
        assert SECRET not in repr(told)


def test_a_file_without_a_dsn_is_told_by_its_name(tmp_path: Path) -> None:
    """A `dsn_file` that is missing, not text, or holds something else is told by its path alone."""
    for name, content in (("none", None), ("binary", b"\xff\xfe"), ("other", f"pw={SECRET}".encode())):
        file = tmp_path / name
        if content is not None:
            file.write_bytes(content)
        settings = InventorySettings.model_validate({"postgres": [{"name": "a", "dsn_file": str(file)}]})
        with pytest.raises(PermanentError, match=name) as raised:
            settings.load()
        assert SECRET not in str(raised.value)
