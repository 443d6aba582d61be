"""Drift reports for people: sentences for the terminal, and a page of pictures that loads nothing. Reads only."""
