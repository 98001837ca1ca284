"""What the use cases have in common about one job."""
