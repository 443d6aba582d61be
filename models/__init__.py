"""Making a model: data sets, features, the network, training, calibration, evaluation, the artefact, the gates.

An artefact is one file, and its sha256 is its identity. The loaded artefact (`runtime`) is the same code for evaluation
and for the stream.
"""
