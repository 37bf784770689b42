"""Parameters and rules as TOML, tables as CSV or npz with a TOML beside them; no code."""
