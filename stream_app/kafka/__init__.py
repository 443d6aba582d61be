"""Kafka: clients with their settings, topics as declared in `schemas.topics`, whole logs, and access rights."""
