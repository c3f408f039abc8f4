"""
Which kept connection a request takes that may be sent only once, in dialogues.
"""

from __future__ import annotations

from tests.dialogue import FORWARDED, DialogueCase, Party, client, connections, server, waits

A = "192.0.2.11"
GET = ("GET /x HTTP/1.1", "Host: a.test")
OK = ("HTTP/1.1 200 OK", "Content-Length: 2")
POST = ("POST /x HTTP/1.1", "Host: a.test", "Content-Length: 2")

answers = (server.sends(*OK, body="hi"), client.gets(*OK, body="hi"))
asks = (client.sends(*GET), server.gets(*GET, FORWARDED), *answers)
posts = (client.sends(*POST, body="ab"), server.gets(*POST, FORWARDED, body="ab"), *answers)
first, second = Party("server", 0), Party("server", 1)


class PoolTests(DialogueCase):
    def test_freshness(self) -> None:
        """
        A request that cannot be repeated takes a kept connection only within a second of its last use.
        """
        self.talk(*asks, waits(0.8), *posts, connections(A))
        self.talk(*asks, waits(1.5), *posts, connections(A, A), first.is_closed())

    def test_unknown_server(self) -> None:
        """
        Nor does it take one right after an answer, while nothing is known of the server: the end of the connection may
        be on its way. The connection stays for others.
        """
        self.talk(*asks, *posts, connections(A, A))
        self.talk(*posts, *posts, *posts, connections(A, A, A))
        self.talk(*posts, *posts, *asks, *asks, connections(A, A))

    def test_few_wait(self) -> None:
        """
        Meanwhile no more than two connections are left idle: a server with few processes needs them.
        """
        third = Party("server", 2)
        settled = (client.sends(*POST, body="ab"), first.gets(*POST, FORWARDED, body="ab"))
        told = (first.sends(*OK, body="hi"), client.gets(*OK, body="hi"))
        self.talk(*posts * 4, third.is_closed(), waits(0.3), *settled, *told, connections(A, A, A, A))

    def test_closes_after_each_second_answer(self) -> None:
        """
        A server that closes after each second answer gets no such request on a connection that it is about to close,
        from the first one on.
        """
        self.talk(*asks, *asks, *posts, first.closes(), *posts, connections(A, A, A))
        self.talk(*posts, waits(0.3), *posts, *posts, connections(A, A))

    def test_server_that_keeps(self) -> None:
        """
        Once a connection was still there a moment after an answer that was not its first, the server is trusted.
        """
        self.talk(*asks, *asks, waits(0.3), *posts, *posts, *posts, connections(A))
        self.talk(*posts, waits(0.3), *posts, waits(0.3), *posts, *posts, *asks, *posts, connections(A))

    def test_many_answers(self) -> None:
        """
        So is one that has given many answers on a connection.
        """
        self.talk(*asks * 10, *posts, *posts, connections(A))
        self.talk(*asks * 9, *posts, connections(A, A))

    def test_closes_early(self) -> None:
        """
        A server once seen to close within a second of its answer gets such requests on new connections only.
        """
        self.talk(*asks, waits(0.5), server.closes(), *posts, waits(0.3), *posts, connections(A, A, A))
        self.talk(*asks * 10, waits(0.5), server.closes(), *posts, *posts, connections(A, A, A))
        self.talk(*asks, waits(1.5), server.closes(), *posts, waits(0.3), *posts, connections(A, A))
