"""Payments of a wallet, with nothing in them that has this project's names: the tutorial's file."""
