"""A report of a method on one data set: `subjects` is what can be told, `figures` draws, `page` writes the HTML."""
