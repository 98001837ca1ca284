"""From a user's files and documents to chunks in a store."""
