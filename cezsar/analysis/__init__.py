"""Why a label won or lost: pictures and figures, each a pure function of arrays, embeddings or scores.

`projection` lays a space out in the plane, `gap` says how far clips and descriptions are apart, `confusion` says which
classes are taken for which. Each file is one subject and is imported by its own name.
"""
