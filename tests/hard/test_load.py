"""Twenty people at the app at once, for ten minutes."""

import time
from statistics import mean, median, quantiles

from tests.sessions.visitors import Crowd, Server, draw_films

PEOPLE, SECONDS = 20, 600
WARM_S, GROWS_MB = 120, 200  # until models and caches are filled; what it may grow by from then on


def test_twenty_people_at_once(hard_seed, row, tmp_path):
    server, folder = Server(tmp_path, "--server.disconnectedSessionTTL", "15"), tmp_path / "films"
    folder.mkdir()
    try:
        crowd = Crowd(server, draw_films(folder), PEOPLE, SECONDS, hard_seed)
        time.sleep(15)  # sessions end
        left = [name for name in server.held() if "UploadedFile" in name]
        left += [str(path) for path in (server.home / "tmp").glob("cezsar-*")]
        at_end = server.memory()
    finally:
        server.stop()
    lost = crowd.faults + crowd.wrong(folder) + left
    took = [answer.seconds for answer in crowd.answers]
    warm, last = mean(crowd.memory[WARM_S:][:60]), mean(crowd.memory[-60:])
    said = f"{len(took):,} answers, {crowd.waited:,} of them after a wait in line, half within {median(took):.1f} s, "
    said += f"95 % within {quantiles(took, n=20)[-1]:.1f} s; {warm:.0f} MB after {WARM_S} s, {last:.0f} MB at the end, "
    said += f"{at_end:.0f} MB when all had left"
    row(f"people at the app at once, {SECONDS / 60:g} minutes", tried=PEOPLE, lost=len(lost), said=said)
    assert not lost
    assert last < warm + GROWS_MB
