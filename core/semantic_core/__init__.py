"""semcore: ingest at once, embed at half price in batches, search the whole time."""
