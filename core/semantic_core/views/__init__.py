"""What is shown: notebook, terminal wording, progress. Escapes whatever it shows."""
