"""SQLite: connections, keywords, metadata, backup."""
