"""`blocking: true` means the cause of a queue, on a real queue of sessions that wait for one row."""

from datetime import timedelta

from pydantic import SecretStr

from responder.actions.base import Clients
from responder.actions.postgres import TerminateParams, TerminateQueries
from responder.clients.postgres import PostgresServers
from responder.model.inventory import Inventory, PostgresConnection
from tests.support.parts import embedded_postgres
from tests.support.victim import DATABASE, victim_on


async def test_only_the_head_of_a_queue_is_chosen() -> None:
    """A session that waits for the row and so keeps the next one waiting is a victim, not the cause."""
    async with embedded_postgres() as server, victim_on(server) as victim:
        stuck = await victim.stick(blocked=3)
        inventory = Inventory(postgres=(PostgresConnection(name="orders", dsn=SecretStr(victim.dsn())),))
        servers = PostgresServers(inventory)
        action = TerminateQueries(Clients(inventory, servers))
        params = TerminateParams.model_validate(
            {
                "connection": "orders",
                "database": DATABASE,
                "older_than": timedelta(milliseconds=1),
                "blocking": True,
            }
        )
        try:
            state = await action.look(params, action.resolve(params)[0])
        finally:
            await servers.close()
        assert [session.pid for session in state.sessions] == [stuck.pid]
