"""Before against after: stiffness, strength, loads, shape, cement, leakage, heat, neighbours, and what trials say."""
