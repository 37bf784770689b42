"""The command line: one module per command; each only translates to ``pipeline``."""
