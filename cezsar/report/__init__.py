"""A report: everything the analysis knows about a method on one data set, as a page with figures and as JSON.

`subjects` is what can be told, a function each; `figures` draws, for the app, too; `page` writes the HTML. Nothing is
measured here that is not measured in `cezsar.analysis` or `cezsar.zeroshot`.
"""
