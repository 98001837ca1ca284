"""What every provider's wire needs: a bounded transport, retries, private files."""
