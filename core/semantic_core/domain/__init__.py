"""The values, errors and rules that everything else speaks in. Imports nothing above it."""
