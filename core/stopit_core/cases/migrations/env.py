"""How alembic reaches the database: by the connection that `CaseStore.migrate` hands it, in its transaction."""

from alembic import context

from stopit_core.cases.schema import metadata

context.configure(connection=context.config.attributes["connection"], target_metadata=metadata)
context.run_migrations()
