"""Published rules as data, judged in three-valued logic: the grammar, the packs, the facts and the verdicts."""
