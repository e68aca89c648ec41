"""The embedded default: the whole method on the stick-figure world, offline, in two or three minutes.

`run.run_demo` goes from drawn video files to accuracy on actions never trained on; `shipped.ship` packs what it made
into the few megabytes that come with the software.
"""
