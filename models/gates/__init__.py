"""The gates: may a candidate take the place of the champion, judged on the same rows, and if not, why.

Start with `judge.py`, which runs all gates in order; `limits.py` reads how far a candidate may differ.
"""
