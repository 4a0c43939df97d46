"""What a client of Redis chooses for its connection: those who have chosen the same share, and nobody has the rights of another."""
import re

import pytest
from harness import Upstream, connect_to, listen
from test_proxy import Redis, resp
from test_redis import connections


@pytest.fixture
def redis():
    server = Redis()
    yield server
    server.stop()


@pytest.fixture
def server(serve, redis):
    server = serve(listen("redis", upstream=f"127.0.0.1:{redis.port}"), workers=1)
    server.baseline.clear()  # the shared connections stay
    return server


def direct(redis, *words):
    """The answer of Redis itself, as far as it comes at once."""
    with connect_to(f"127.0.0.1:{redis.port}") as client:
        client.send(resp(*words))
        return client.socket.recv(65536)


def hello(client, *words):
    client.send(resp("HELLO", *words))
    answer = b""
    while not answer.endswith(b"modules\r\n*0\r\n"):
        answer += client.recv_exactly(1)
    return re.sub(rb"\$2\r\nid\r\n:\d+", b"id", answer)


def test_clients_with_the_same_login_share(server, redis):
    before = connections(redis)
    clients = [server.connect("redis") for _ in range(50)]
    for number, client in enumerate(clients):
        hello(client, 3)
        client.send(resp("CLIENT", "SETNAME", f"name{number}") + resp("SELECT", 1) + resp("SET", f"k{number}", number))
        client.expect(b"+OK\r\n+OK\r\n+OK\r\n")
    for number, client in enumerate(clients):
        value, name = str(number).encode(), b"name%d" % number
        client.send(resp("GET", f"k{number}") + resp("GET", "nothing") + resp("CLIENT", "GETNAME"))
        client.expect(b"$%d\r\n%s\r\n_\r\n$%d\r\n%s\r\n" % (len(value), value, len(name), name))
    assert connections(redis) - before <= 3 * 2 + 1  # two for each of three logins, and one to ask
    assert direct(redis, "DBSIZE") == b":0\r\n"


def test_hello_is_answered_as_by_redis(server, redis):
    with connect_to(f"127.0.0.1:{redis.port}") as client:
        expected = hello(client, 3)
        old = hello(client, 2)
    for _ in range(2):  # by the server, and from what it has said
        client = server.connect("redis")
        assert hello(client, 3) == expected
        client.ask(resp("HGETALL", "nothing"), b"%0\r\n")
        assert hello(client, 2) == old
        client.ask(resp("HGETALL", "nothing"), b"*0\r\n")
        client.ask(resp("HELLO", 9), b"-NOPROTO unsupported protocol version\r\n")
    client.send(resp("HELLO", "3", "SETNAME", "me"))
    client.recv_exactly(len(expected) - 2)
    client = server.connect("redis")
    hello(client, "3", "SETNAME", "me")
    client.ask(resp("CLIENT", "GETNAME"), b"$2\r\nme\r\n")


def test_databases(server, redis):
    one, two = server.connect("redis"), server.connect("redis")
    one.send(resp("SELECT", 1) + resp("SET", "x", "one") + resp("SELECT", 2) + resp("GET", "x") + resp("SELECT", 0))
    one.expect(b"+OK\r\n+OK\r\n+OK\r\n$-1\r\n+OK\r\n")
    two.send(resp("GET", "x") + resp("SELECT", 1) + resp("GET", "x"))
    two.expect(b"$-1\r\n+OK\r\n$3\r\none\r\n")
    two.send(resp("SELECT", 99) + resp("GET", "x") + resp("SELECT", "01") + resp("GET", "x"))
    two.expect(b"-ERR DB index is out of range\r\n$3\r\none\r\n" + direct(redis, "SELECT", "01") + b"$3\r\none\r\n")


def test_users_have_their_own_rights(server, redis):
    direct(redis, "ACL", "SETUSER", "ann", "on", ">a", "~ann:*", "+@all")
    direct(redis, "ACL", "SETUSER", "bob", "on", ">b", "~bob:*", "+@read", "+acl|whoami")
    clients = [server.connect("redis") for _ in range(12)]
    for number, client in enumerate(clients):
        client.send(resp("AUTH", *(("ann", "a"), ("bob", "b"))[number % 2]) if number % 3 else resp("PING"))
        client.expect(b"+OK\r\n" if number % 3 else b"+PONG\r\n")
    for _ in range(3):
        for number, client in enumerate(clients):
            client.send(resp("SET", "ann:x", 1) + resp("GET", "bob:x") + resp("ACL", "WHOAMI"))
            client.expect(b"+OK\r\n$-1\r\n$7\r\ndefault\r\n" if number % 3 == 0 else
                          b"+OK\r\n-NOPERM this user has no permissions to access one of the keys used as arguments\r\n$3\r\nann\r\n"
                          if number % 2 == 0 else
                          b"-NOPERM this user has no permissions to run the 'set' command\r\n$-1\r\n$3\r\nbob\r\n")


def test_a_wrong_password_changes_nothing(server, redis):
    direct(redis, "ACL", "SETUSER", "ann", "on", ">a", "~*", "+@all")
    wrong = b"-WRONGPASS invalid username-password pair or user is disabled.\r\n"
    one, two = server.connect("redis"), server.connect("redis")
    one.send(resp("SELECT", 3) + resp("AUTH", "ann", "a") + resp("SET", "x", "ann's"))
    one.expect(b"+OK\r\n+OK\r\n+OK\r\n")
    two.send(resp("AUTH", "ann", "b") + resp("GET", "x") + resp("AUTH", "ann", "a") + resp("GET", "x") + resp("SELECT", 3)
             + resp("AUTH", "ann", "") + resp("GET", "x"))
    two.expect(wrong + b"$-1\r\n+OK\r\n$-1\r\n+OK\r\n" + wrong + b"$5\r\nann's\r\n")
    for _ in range(2):  # the server is asked each time: an answer is not believed for long
        two.ask(resp("AUTH", "ann", "b"), wrong)
    direct(redis, "ACL", "SETUSER", "ann", "off")
    two.ask(resp("AUTH", "ann", "a"), wrong)


def test_a_login_that_is_not_accepted_any_more(server, redis):
    """Nothing is asked as somebody else then."""
    direct(redis, "ACL", "SETUSER", "ann", "on", ">a", "~*", "+@all")
    client = server.connect("redis")
    client.send(resp("AUTH", "ann", "a") + resp("SELECT", 1) + resp("SET", "x", 1))
    client.expect(b"+OK\r\n+OK\r\n+OK\r\n")
    direct(redis, "ACL", "SETUSER", "ann", "off")
    direct(redis, "CLIENT", "KILL", "USER", "ann")
    wrong = b"-WRONGPASS invalid username-password pair or user is disabled.\r\n"
    client.send(resp("SET", "y", 2) + resp("SET", "z", 3))
    got = client.recv_exactly(len(wrong))
    while got != wrong:  # what is asked before it is known that the connection has ended is lost with it
        assert got.startswith(b"-ERR ccserver: upstream lost")
        got += client.recv_exactly(1)
        got = got[got.find(b"\n") + 1:] + client.recv_exactly(len(wrong) - len(got) + got.find(b"\n") + 1)
    assert direct(redis, "DBSIZE") == b":0\r\n"
    direct(redis, "ACL", "SETUSER", "ann", "on")
    server.connect("redis").ask(resp("AUTH", "ann", "a") + resp("ACL", "WHOAMI"), b"+OK\r\n$3\r\nann\r\n")


def test_a_server_with_a_password(serve):
    redis = Redis("--requirepass", "secret")
    server = serve(listen("redis", upstream=f"127.0.0.1:{redis.port}"), workers=1)
    server.baseline.clear()
    client = server.connect("redis")
    client.ask(resp("GET", "x"), b"-NOAUTH Authentication required.\r\n")
    client.send(resp("AUTH", "secret") + resp("SET", "x", 1) + resp("RESET") + resp("GET", "x"))
    client.expect(b"+OK\r\n+OK\r\n+RESET\r\n-NOAUTH Authentication required.\r\n")
    hello(client, "3", "AUTH", "default", "secret")
    client.ask(resp("GET", "x"), b"$1\r\n1\r\n")
    redis.stop()


def test_more_logins_than_are_kept(server, redis):
    """Those beyond have a connection of their own."""
    users = [f"u{number}" for number in range(70)]
    for user in users:
        direct(redis, "ACL", "SETUSER", user, "on", f">{user}", "~*", "+@all")
    clients = [server.connect("redis") for _ in users]
    for user, client in zip(users, clients):
        client.ask(resp("AUTH", user, user), b"+OK\r\n")
    for _ in range(2):
        for user, client in zip(users, clients):
            client.ask(resp("ACL", "WHOAMI") + resp("PING"), b"$%d\r\n%s\r\n+PONG\r\n" % (len(user), user.encode()))
    for client in clients:
        client.close()
    server.await_open("redis", 0)
    for user in reversed(users):  # there is room again
        with server.connect("redis") as client:
            client.ask(resp("AUTH", user, user) + resp("ACL", "WHOAMI"), b"+OK\r\n$%d\r\n%s\r\n" % (len(user), user.encode()))


@pytest.mark.parametrize("name, answer", [
    ("a name", b"-ERR Client names cannot contain spaces, newlines or special characters.\r\n"), ("name", b"+OK\r\n"), ("", b"+OK\r\n")])
def test_names(server, redis, name, answer):
    assert direct(redis, "CLIENT", "SETNAME", name) == answer
    client = server.connect("redis")
    client.ask(resp("CLIENT", "GETNAME"), b"$-1\r\n")
    client.send(resp("CLIENT", "SETNAME", name) + resp("CLIENT", "GETNAME"))
    client.expect(answer + (b"$4\r\nname\r\n" if name == "name" else b"$-1\r\n"))
    client.send(resp("CLIENT", "SETINFO", "LIB-NAME", "x"))
    client.expect(direct(redis, "CLIENT", "SETINFO", "LIB-NAME", "x"))


def test_who_may_not_have_a_name(server, redis):
    direct(redis, "ACL", "SETUSER", "ann", "on", ">a", "~*", "+@all", "-client")
    no = b"-NOPERM this user has no permissions to run the 'client|setname' command\r\n"
    client, other = server.connect("redis"), server.connect("redis")
    other.ask(resp("CLIENT", "SETNAME", "me"), b"+OK\r\n")
    client.ask(resp("AUTH", "ann", "a") + resp("CLIENT", "SETNAME", "me"), b"+OK\r\n" + no)
    hidden = b"-NOPERM this user has no permissions to run the 'client|getname' command\r\n"
    other.ask(resp("CLIENT", "GETNAME") + resp("AUTH", "ann", "a") + resp("CLIENT", "GETNAME"), b"$2\r\nme\r\n+OK\r\n" + hidden)
    other.send(resp("AUTH", "ann", "a") + resp("CLIENT", "SETNAME", "you") + resp("RESET") + resp("CLIENT", "SETNAME", "a\tb"))
    other.expect(b"+OK\r\n" + no + b"+RESET\r\n-ERR Client names cannot contain spaces, newlines or special characters.\r\n")


def test_what_it_has_chosen_goes_along(server, redis):
    """Also when it needs a connection of its own."""
    direct(redis, "ACL", "SETUSER", "ann", "on", ">a", "~*", "&*", "+@all")
    client = server.connect("redis")
    hello(client, "3", "AUTH", "ann", "a", "SETNAME", "me")
    client.send(resp("SELECT", 5) + resp("SET", "x", 1) + resp("CLIENT", "INFO"))
    client.expect(b"+OK\r\n+OK\r\n=")
    size = b""
    while not size.endswith(b"\r\n"):
        size += client.recv_exactly(1)
    told = client.recv_exactly(int(size) + 2).decode()
    assert all(word in told for word in (" name=me ", " db=5 ", " user=ann ", " resp=3")), told
    client.ask(resp("GET", "x"), b"$1\r\n1\r\n")


def test_a_name_is_known_in_a_transaction(server):
    client = server.connect("redis")
    client.send(resp("CLIENT", "SETNAME", "me") + resp("WATCH", "x") + resp("MULTI") + resp("CLIENT", "GETNAME") + resp("EXEC"))
    client.expect(b"+OK\r\n+OK\r\n+OK\r\n+QUEUED\r\n*1\r\n$2\r\nme\r\n")


def test_the_upstream_ends_while_a_login_is_chosen(serve):
    upstream = Upstream()
    server = serve(listen("redis", upstream=upstream.address, connections=1), workers=1)
    client = server.connect("redis")
    client.send(resp("AUTH", "ann", "a") + resp("GET", "x"))
    asked = upstream.accept()
    asked.expect(resp("AUTH", "ann", "a"))
    asked.close()
    client.expect(b"-ERR ccserver: upstream lost; the command may have been executed\r\n")
    shared = upstream.accept()
    shared.expect(resp("GET", "x"))  # as who it was before
    shared.send(b"$-1\r\n")
    client.expect(b"$-1\r\n")
    client.send(resp("SELECT", 1))
    asked = upstream.accept()
    asked.expect(resp("SELECT", 1))
    asked.send(b"+OK\r\n")
    client.expect(b"+OK\r\n")
    asked.expect(resp("RESET"))
    asked.send(b"+RESET\r\n")
    client.send(resp("GET", "y"))
    other = upstream.accept()
    other.expect(resp("SELECT", 1))
    client.expect_silence()
    other.send(b"-ERR DB index is out of range\r\n")  # by now
    client.expect(b"-ERR DB index is out of range\r\n")
    other.expect_end(b"")
    upstream.close()
