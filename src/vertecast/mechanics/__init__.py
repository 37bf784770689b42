"""A vertebra under load: its body between caps or discs, stiffness, strength, and where it yields."""
