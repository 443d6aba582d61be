"""Drift for people: what the topics hold in, sentences for a terminal and one page of pictures out. Nothing is changed.

alerts        the alerts that were published, and one of them by its id
words         an alert to sentences: what moved, how far, what it does to decisions
"""
