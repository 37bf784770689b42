"""Fluoroscopy: a patient's CT and a scene of plain shapes, seen by a C-arm as a radiograph or live."""
