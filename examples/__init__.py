"""Detectors for streams that are no payments: each a definition, a generator of events, and a page."""
