"""How pages and pictures are made: one template engine that escapes every value, one style, one palette.

markup      HTML from a template
base.html   what every page has: policy, style, header, footer
page.css    the style of every page; palette.css the colours of pages and pictures, light and dark
pictures    a figure as SVG or as a file, in the one style. Needs the extra `report`
"""
