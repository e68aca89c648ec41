"""Long work as processes of its own: started, followed, cancelled, resumed, found again from disk.

```
workspace/jobs/<id>/job.json     what it is: kind, title, steps, when it was queued
workspace/jobs/<id>/status.json  how far it got, written by its runner at each change
workspace/jobs/<id>/log.txt      what its commands wrote
workspace/jobs/<id>/lock         locked by the runner and its command as long as one of them lives
workspace/jobs/<id>/cancel       there once cancelling was asked for
```

A job is a row of `cezsar` commands. Its runner is a session of its own: it outlives pages, browsers and the app.
"""

from cezsar.jobs.control import cancel, find, forget, jobs, possible, resume, start
from cezsar.jobs.reading import Job, Step

__all__ = ["Job", "Step", "cancel", "find", "forget", "jobs", "possible", "resume", "start"]
