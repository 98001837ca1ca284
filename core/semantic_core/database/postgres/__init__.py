"""One PostgreSQL database: its connections, its transactions, its locks, its errors."""
