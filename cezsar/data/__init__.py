"""What is kept: feature stores, sentence vectors, manifests, annotations, captions, class descriptions, splits.

Each file is one subject and is imported by its own name; nothing is imported here, so that `import cezsar.data` costs
nothing.
"""
