"""Delivery: finished vectors go to the vector stores that people already have."""
