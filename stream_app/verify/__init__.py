"""Proof of conservation: every committed input offset was scored or dead-lettered, from the topics alone."""
