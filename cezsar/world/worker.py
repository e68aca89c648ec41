"""A child process of `build`: renders every n-th missing video of a world. Settings come as JSON on stdin, and the id
of each finished video goes to stdout, one a line."""

from __future__ import annotations

import sys
from pathlib import Path

import cv2

from cezsar.world.build import Settings, video_path
from cezsar.world.files import write_video


def main() -> None:
    """`python -m cezsar.world.worker FOLDER SHARE SHARES < settings.json`"""
    folder, share, shares = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    train, test = Settings.from_json(sys.stdin.read()).plans()
    cv2.setNumThreads(1)  # the shares are the parallelism
    for plan in [*train, *test][share::shares]:
        path = video_path(folder, plan)
        if not path.is_file():
            write_video(plan, path)
            sys.stdout.write(f"{plan.id}\n")
            sys.stdout.flush()


if __name__ == "__main__":
    main()
