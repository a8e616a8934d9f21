"""The loop: prepares a request, runs its turns and hosted calls, and writes the event log that all readers follow."""
