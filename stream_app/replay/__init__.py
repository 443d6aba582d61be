"""Replay: the pipeline's own stages run again on records of the past, because the same log gives the same decisions."""
