"""Drift for people: what the topics hold in, sentences for a terminal and one page of pictures out. Nothing is changed.

alerts        the alerts that were published, and one of them by its id
words         an alert to sentences: what moved, how far, what it does to decisions
window        `24h`, `20000` or FROM/UNTIL to a span of event time
history       the summaries' log to blocks of each model, and to where in the input they were counted
view          alerts and blocks to what is drawn: signals over time, distributions, alert rate
rows          stretches of the input topic, or training data, re-scored by the pipeline's own code
comparison    reference rows and current rows to Evidently's verdicts and its page
report        these in three steps: gather, re-score, compose
pictures      what is drawn, as SVG
page          all of it as one HTML file that loads nothing
"""
