"""HTML pages and pictures: one template engine that escapes every value, one style, one palette."""
