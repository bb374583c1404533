"""Spare ports: nobody listens on one, and no two processes are given the same."""

from __future__ import annotations

import multiprocessing
import socket
import subprocess
import sys
from concurrent.futures import ProcessPoolExecutor

from stopit_lab.ports import HOST, spare_ports

MANY = 120
ASK = f"from stopit_lab.ports import spare_ports; print(*spare_ports({MANY})); input()"


def test_two_processes_are_given_different_ports() -> None:
    processes = [
        subprocess.Popen([sys.executable, "-c", ASK], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for _ in range(4)
    ]
    lines = [process.stdout.readline() for process in processes if process.stdout]
    for process in processes:
        process.communicate("\n", timeout=30)
    ports = [port for line in lines for port in line.split()]
    assert len(set(ports)) == len(ports) == 4 * MANY


def test_a_forked_process_is_given_ports_of_its_own() -> None:
    ours = spare_ports(MANY)
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("fork")) as pool:
        theirs = pool.submit(spare_ports, MANY).result(timeout=30)
    assert not set(ours) & set(theirs)


def test_the_last_port_is_not_the_next_one() -> None:
    """A server that is stopped for a moment finds its port free at its next start."""
    (first,) = spare_ports(1)
    assert first not in spare_ports(MANY)


def test_a_port_that_is_listened_on_is_not_given() -> None:
    with socket.socket() as server:
        server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as servers do: it may be in TIME_WAIT
        server.bind((HOST, spare_ports(1)[0]))
        server.listen()
        ports = {port for _ in range(4) for port in spare_ports(MANY)}
        assert server.getsockname()[1] not in ports
        assert len(ports) > MANY
