"""Who makes the vectors: a port, what goes over a wire, and one folder a provider."""
