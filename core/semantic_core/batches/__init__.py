"""Batch jobs: submitting, recovering, polling, applying and cleaning, under one manager."""

from semantic_core.batches.config import BatchConfig
from semantic_core.batches.manager import BatchManager

__all__ = ["BatchConfig", "BatchManager"]
