"""Everything that changes chunks, documents and vectors."""
