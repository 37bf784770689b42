"""A virtual compression fracture in any spine CT: a smooth, invertible warp that knows what it did."""
