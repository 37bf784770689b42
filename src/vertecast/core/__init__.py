"""Quantities, frames, errors, observer, levels, provenance and the parameter loader."""
