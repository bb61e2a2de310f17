"""Alembic's door: runs migrations on the connection that ``Database.upgrade`` opened."""

from alembic import context

from cxrd.store.schema import metadata

context.configure(connection=context.config.attributes["connection"], target_metadata=metadata, transactional_ddl=False)
context.run_migrations()
