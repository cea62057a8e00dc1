"""Everything durable, in PostgreSQL: migrations, queries by table, the embedded server."""
