"""The contracts: every record on every topic as a typed struct, and the topics themselves.

The package depends on nothing else of the product. Producers, case tools and programs in other languages use the
structs, or the JSON Schema and AsyncAPI documents generated from them in `schemas/generated/`.
"""
