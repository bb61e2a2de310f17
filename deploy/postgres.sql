-- What a running node may do in PostgreSQL: everything but changing the past. Run it as the owner of the tables, after
-- `cxrd db upgrade` (which needs the owner) and again after each upgrade:
--
--     psql -d cxrd -f deploy/postgres.sql
--
-- and let database.url name cxrd_worker. Its password, or its certificate, is your database team's.

DO $$ BEGIN CREATE ROLE cxrd_worker LOGIN; EXCEPTION WHEN duplicate_object THEN NULL; END $$;

GRANT USAGE ON SCHEMA public TO cxrd_worker;
GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO cxrd_worker;
GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO cxrd_worker;

REVOKE INSERT, UPDATE, DELETE ON alembic_version FROM cxrd_worker;
REVOKE UPDATE, DELETE ON audit, seal FROM cxrd_worker;
GRANT UPDATE (seal_id) ON audit TO cxrd_worker;
