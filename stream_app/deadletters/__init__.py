"""Dead letters: which there are, and back onto the input, each at most once.

letters.py      read, chosen, counted, written to a file that people mend
replayed.py     which went back before, by the topic `redeliveries`
redelivery.py   back onto the input, in transactions with the record that says so
"""
