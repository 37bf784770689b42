"""A case: stages in order, and the run folder they write (atomic, with manifest and schemas)."""
