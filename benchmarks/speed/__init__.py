"""Speed against the plain way to do each task, and against what the machine can do: `make bench`."""
