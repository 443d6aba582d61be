"""The guard: compares the model on trial with the champion as long as the trial lasts, and may roll it back.

`betting` turns counts into e-values, `guard` e-values into a decision, and `enforcer` reports it and acts on it.
"""
