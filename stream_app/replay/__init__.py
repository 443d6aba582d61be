"""Scores the input again with the pipeline's own stages: the same log gives the same decisions."""
