"""Laws: parameters and pure functions; no arrays are advanced here and no time is owned here."""
