"""Trainings and models on record in MLflow: each run with what it takes to repeat it, each model under its digest.

MLflow takes seconds to import and is an extra: `registry.connect` alone imports it, and workers never do.
"""
