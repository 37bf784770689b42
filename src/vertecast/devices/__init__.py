"""Tools, cements and contrast as data: every number with its source and how far it can be trusted."""
