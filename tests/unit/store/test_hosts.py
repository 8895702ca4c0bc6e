"""Connections of one host, over all files."""

import threading

import pytest

from comfyard.store.errors import StoppedError
from comfyard.store.http.hosts import GROW_BYTES, Hosts, Limit
from comfyard.store.stop import Stop


def test_a_complaint_halves_the_limit_once_for_all_that_were_open() -> None:
    limit = Limit(8)
    eras = [limit.era] * 8
    for era in eras:
        limit.refused(era)
    assert limit.now == 4
    for expected in (2, 1, 1):
        limit.refused(limit.era)
        assert limit.now == expected


def test_it_grows_again_as_the_host_delivers_up_to_where_it_was() -> None:
    limit = Limit(3)
    limit.refused(limit.era)
    assert limit.now == 1
    limit.delivered(GROW_BYTES - 1)
    assert limit.now == 1
    limit.delivered(1)
    assert limit.now == 2
    for _ in range(5):
        limit.delivered(GROW_BYTES)
    assert limit.now == 3


def test_no_more_than_allowed_and_who_waits_longest_comes_first() -> None:
    hosts = Hosts(2)
    order: list[int] = []
    leave = [threading.Event() for _ in range(4)]
    came = [threading.Event() for _ in range(4)]

    def use(number: int) -> None:
        with hosts.connection("h", Stop()):
            order.append(number)
            came[number].set()
            leave[number].wait()

    threads = [threading.Thread(target=use, args=(number,), daemon=True) for number in range(4)]
    for number, thread in enumerate(threads[:2]):
        thread.start()
        came[number].wait()
    for number, thread in enumerate(threads[2:], start=1):
        thread.start()
        while hosts.waiting("h") < number:
            pass
    assert order == [0, 1]
    with hosts.connection("another", Stop()):
        pass
    for number in (1, 0):
        leave[number].set()
        came[2 if number else 3].wait()
    assert order == [0, 1, 2, 3]
    for event in leave:
        event.set()
    for thread in threads:
        thread.join()


def test_a_wait_for_a_connection_can_be_ended() -> None:
    hosts = Hosts(1)
    stop = Stop()
    ended: list[BaseException] = []

    def wait() -> None:
        try:
            with hosts.connection("h", stop):
                pass
        except StoppedError as error:
            ended.append(error)

    with hosts.connection("h", Stop()):
        thread = threading.Thread(target=wait, daemon=True)
        thread.start()
        while not hosts.waiting("h"):
            pass
        stop.ask()
        thread.join()
    assert len(ended) == 1
    with hosts.connection("h", Stop()), pytest.raises(StoppedError), hosts.connection("h", stop):
        pass


def test_slots_tell_how_it_went() -> None:
    hosts = Hosts(4)
    with hosts.connection("h", Stop()) as slot:
        slot.refused = True
    assert hosts.allowed("h") == 2
    with hosts.connection("h", Stop()) as slot:
        slot.received = GROW_BYTES
    assert hosts.allowed("h") == 3
    assert hosts.allowed("never asked") == 4
