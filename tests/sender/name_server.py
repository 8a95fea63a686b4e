"""A name server that gives each look-up the next of its answers, over UDP and TCP."""

from __future__ import annotations

import socket
import threading
from collections import Counter
from collections.abc import Sequence
from contextlib import ExitStack
from ipaddress import ip_address
from socketserver import BaseRequestHandler, StreamRequestHandler, ThreadingTCPServer, ThreadingUDPServer
from typing import Self

from dnslib import AAAA, CNAME, QTYPE, RR, A, DNSRecord

from timer_controller.special_addresses import Address

_UDP_BYTES = 512
"""Longer answers are cut, and asked for again over TCP (RFC 1035, 4.2.1)."""
_TIMEOUT_SECONDS = 5
_STOP_SECONDS = 0.02


class NameServer:
    """Knows what it is told with `say`, always with a TTL of 0. `asked` counts the questions by name and type."""

    def __init__(self, address: str = "127.0.0.1", port: int = 0) -> None:
        """Raises `OSError` when the port cannot be had."""
        self.address = address
        self.asked: Counter[tuple[str, str]] = Counter()
        self.asked_over_tcp = 0
        self._answers: dict[str, Sequence[Sequence[str]]] = {}
        self._lock = threading.Lock()
        with ExitStack() as stack:
            tcp = stack.enter_context(_TcpServer((address, port), _TcpHandler))
            self.port: int = tcp.server_address[1]
            udp = stack.enter_context(_UdpServer((address, self.port), _UdpHandler))
            for server in (tcp, udp):
                server.names = self
                thread = threading.Thread(target=server.serve_forever, args=(_STOP_SECONDS,), daemon=True)
                thread.start()
                stack.callback(thread.join)
                stack.callback(server.shutdown)
            self._stack = stack.pop_all()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def say(self, name: str, *answers: Sequence[str]) -> None:
        """The answers about a name, one look-up after the other; the last stays. Each is a list of addresses, or
        of one other name (`inner.test`) that it is an alias of."""
        self._answers[name] = answers

    def forget_questions(self) -> None:
        """Count from the beginning."""
        with self._lock:
            self.asked.clear()
            self.asked_over_tcp = 0

    def reply(self, question: bytes, *, over_tcp: bool) -> bytes:
        """The reply to a packet, however long. Called in many threads."""
        request = DNSRecord.parse(question)
        reply = request.reply()
        with self._lock:
            self.asked_over_tcp += over_tcp
            # What is asked over TCP was cut over UDP: it is the same answer.
            self._answer(reply, str(request.q.qname).rstrip(".").lower(), QTYPE[request.q.qtype], not over_tcp)
        packet: bytes = reply.pack()
        if len(packet) > _UDP_BYTES and not over_tcp:
            cut = request.reply()  # with the question, without which the C library takes no reply for one
            cut.header.tc = 1
            packet = cut.pack()
        return packet

    def _answer(self, reply: DNSRecord, name: str, kind: str, is_new: bool) -> None:
        answers = self._answers.get(name)
        if not answers:
            return
        self.asked[name, kind] += is_new
        for item in answers[min(self.asked[name, kind], len(answers)) - 1]:
            if item.endswith(".test"):
                reply.add_answer(RR(name, QTYPE.CNAME, rdata=CNAME(item), ttl=0))
                self._answer(reply, item, kind, is_new)
            elif kind == "AAAA" and ":" in item:
                reply.add_answer(RR(name, QTYPE.AAAA, rdata=AAAA(tuple(ip_address(item).packed)), ttl=0))
            elif kind == "A" and ":" not in item:
                reply.add_answer(RR(name, QTYPE.A, rdata=A(item), ttl=0))

    def look_up(self, host: str) -> Sequence[Address]:
        """For an `Http1Sender`: asks this server for both kinds of addresses, as a resolver does."""
        found = [address for kind in ("A", "AAAA") for address in self._ask(host, kind)]
        if not found:
            raise socket.gaierror(socket.EAI_NONAME, "no such name")
        return found

    def _ask(self, host: str, kind: str) -> Sequence[Address]:
        question = DNSRecord.question(host, kind)
        reply = DNSRecord.parse(question.send(self.address, self.port, timeout=_TIMEOUT_SECONDS))
        if reply.header.tc:
            reply = DNSRecord.parse(question.send(self.address, self.port, tcp=True, timeout=_TIMEOUT_SECONDS))
        return [ip_address(bytes(record.rdata.data)) for record in reply.rr if QTYPE[record.rtype] == kind]


class _UdpServer(ThreadingUDPServer):
    daemon_threads = True
    names: NameServer


class _UdpHandler(BaseRequestHandler):
    server: _UdpServer

    def handle(self) -> None:
        question, socket_ = self.request
        socket_.sendto(self.server.names.reply(question, over_tcp=False), self.client_address)


class _TcpServer(ThreadingTCPServer):
    daemon_threads = allow_reuse_address = True
    names: NameServer


class _TcpHandler(StreamRequestHandler):
    """Answers as many questions as come: the C library asks for both kinds of addresses at once."""

    server: _TcpServer

    def handle(self) -> None:
        while length := self.rfile.read(2):
            question = self.rfile.read(int.from_bytes(length, "big"))
            reply = self.server.names.reply(question, over_tcp=True)
            self.wfile.write(len(reply).to_bytes(2, "big") + reply)
