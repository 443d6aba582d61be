"""The drift aggregator: merges the summaries of all partitions and raises one incident for each change.

`aggregator.py` is a pure fold over the log of summaries, with one monitor for each model. A monitor merges summaries
into blocks of about equal count, standardises them against the model's reference, feeds the detectors, and turns what
they find into incidents with a likely cause.
"""
