"""Candidate and champion on the same rows in, a verdict out: may the candidate take the champion's place, or why not.

limits       how far a candidate may differ: a TOML file over the package's defaults
comparison   both models' scores, latents and decisions on the same transactions
report       what a gate says: measures, limits, verdict, a sentence
judge        all gates, in this order:
accuracy     average precision and card precision on labelled rows, by paired bootstrap
volume       how many alerts, each model at its own threshold
agreement    how far the two sets of alerts overlap
stability    whether the latents of legitimate rows keep their geometry
shift        whether the p-values keep their distribution
robustness   small moves do not flip decisions, absurd inputs do not pass
cost         time and memory
page         the report as one HTML page
"""
