"""Everything that must survive kill -9: one database, one payload directory.

Functions here take a connection inside a transaction that the caller opened, and never commit: whoever
opened the transaction decides what belongs together. Times are epoch seconds of the database's clock.
"""
