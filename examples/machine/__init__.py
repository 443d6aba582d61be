"""The hoists of a harbour: vibration, temperature and current."""
