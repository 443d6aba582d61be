"""Vital signs of patients, with errors of entry."""
