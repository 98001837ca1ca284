"""The tables that only SQLite has, and so no model: the log of changes, the index of metadata."""

OWN_TABLES = {
    # The mark tells a change from that of the same number in the lost future of a restored backup.
    "changes": """CREATE TABLE changes (
        seq INTEGER PRIMARY KEY AUTOINCREMENT,
        collection_id INTEGER NOT NULL,
        chunk_pk INTEGER NOT NULL,
        mark INTEGER NOT NULL DEFAULT (random())
    )""",
    # BLOB has no affinity: text stays text, and whole numbers compare with floats.
    "tags": """CREATE TABLE tags (
        collection_id INTEGER NOT NULL,
        key TEXT NOT NULL,
        value BLOB NOT NULL,
        chunk_pk INTEGER NOT NULL,
        PRIMARY KEY (collection_id, key, value, chunk_pk)
    ) WITHOUT ROWID""",
    # Of a chunk whose text is no plain English, or has headings: what the full-text index holds of
    # it. An entry is only taken out by the same words, and a later version may make others.
    "chunk_words": "CREATE TABLE chunk_words (chunk_pk INTEGER PRIMARY KEY, text TEXT, more TEXT)",
}
