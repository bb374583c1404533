"""Alembic's environment: it uses the connection and the transaction that `CaseStore.migrate` passes in."""

from alembic import context

from stopit_core.cases.schema import metadata

context.configure(connection=context.config.attributes["connection"], target_metadata=metadata)
context.run_migrations()
