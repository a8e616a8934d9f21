"""Alembic migrations, run at start-up. A new one is a file in ``versions``, named and numbered after the last."""
