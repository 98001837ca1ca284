"""The vector indexes of a store, kept in step with its rows."""
