"""The embedded default: the whole method on the stick-figure world, offline, in two or three minutes; and that packed
into the few megabytes that come with the software."""
