"""What pages ask for: models, clips, answers, scored data sets. The only home of `st.cache_*`.

Caches are keyed on fingerprints of content; arguments with a leading underscore are not part of a key. Models belong to
the server and are used by one session at a time; weights and labels belong to the session.
"""
