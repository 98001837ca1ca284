"""Everything that finds and reads chunks."""
