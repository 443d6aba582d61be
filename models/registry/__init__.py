"""Trainings and models on record in MLflow: each run with what it takes to do it again, each model under its digest.

address    `models:/card-fraud/7` and `models:/card-fraud@champion`: what they look like, what they lead to
registry   MLflow's client: versions, aliases, runs; its failures as one line
record     a finished training into the record
facts      what the record says in numbers
plots      what it shows
rerun      the record of a run into a training, and how far its scores are from the recorded ones

MLflow takes seconds to import and is an extra: `registry.connect` alone imports it. Workers never do.
"""
