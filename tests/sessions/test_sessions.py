"""Several people at one server: nobody sees anything of anybody else's, and what they brought goes when they do."""

import threading
import time

import pytest
from streamlit.testing.v1 import AppTest

from app.parts import turns
from tests.sessions.visitors import Crowd, Server, draw_films


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    server = Server(tmp_path_factory.mktemp("home"), "--server.disconnectedSessionTTL", "12")
    yield server
    server.stop()


def wait_until(condition, seconds=20):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.02)


def uploads(server):
    return sum(size for name, size in server.held().items() if "UploadedFile" in name)


def test_everybody_has_answers_of_their_own(server, tmp_path):
    crowd = Crowd(server, draw_films(tmp_path), people=3, seconds=20, seed=0)
    assert crowd.faults == [] and crowd.wrong(tmp_path) == []
    assert {answer.asked for answer in crowd.answers} == {"film", "labels", "weights", "tuning"}
    wait_until(lambda: uploads(server) == 0)  # also of those who left while their film was being read
    assert not list((server.home / "tmp").glob("cezsar-*"))


def read():
    from app.parts.turns import turn

    with turn(shown=True):
        pass


def test_who_waits_sees_how_many_are_before(monkeypatch):
    said, leave = [], [threading.Event(), threading.Event()]
    monkeypatch.setattr(turns, "AT_ONCE", 1)
    monkeypatch.setattr(turns, "LOOK_S", 0.01)
    monkeypatch.setattr(turns, "in_words", lambda before: said.append(before) or "")

    def other(number):
        with turns.turn(shown=False):
            leave[number].wait(20)

    for number in (0, 1):
        threading.Thread(target=other, args=(number,)).start()
        wait_until(lambda number=number: len(turns._reading) + len(turns._line) == number + 1)
    page = AppTest.from_function(read)
    waiting = threading.Thread(target=page.run)
    waiting.start()
    wait_until(lambda: said)
    leave[0].set()
    wait_until(lambda: 0 in said)
    assert said == sorted(said, reverse=True) and set(said) == {0, 1}
    leave[1].set()
    waiting.join(20)
    assert not waiting.is_alive() and not page.exception
    assert not turns._line and not turns._reading
