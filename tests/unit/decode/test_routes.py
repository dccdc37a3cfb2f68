"""Routes: templates are found, bounded, earned, given up again, and scanners leave no trace."""

from __future__ import annotations

import random
import re
import uuid

import pytest

from collector.decode import routes
from collector.decode.routes import OTHER_ROUTE, RouteTable
from collector.errors import SettingsError


def words(count: int, seed: int = 1) -> list[str]:
    chance = random.Random(seed)
    return sorted({"".join(chance.choices("abcdefghiklmnopr", k=7)) for _ in range(count)})


def test_values_in_paths_become_one_route() -> None:
    table = RouteTable()
    for number in range(1000):
        assert table.route(1, f"/api/v1/users/{number}/orders/{uuid.uuid4()}", 200) == "/api/v1/users/:id/orders/:id"
    assert table.routes(1) == ["/api/v1/users/:id/orders/:id"]
    assert table.discarded == {}


@pytest.mark.parametrize(
    ("path", "route"),
    [
        ("", ""),
        ("/", "/"),
        ("/users/", "/users"),
        ("//users//1", "/users/:id"),
        ("*", OTHER_ROUTE),
        ("/" + "a/" * 40, "/" + "a/" * 16 + ":rest"),
        ("/static/app.3f2a9c1b.js", "/static/:id.js"),
    ],
)
def test_paths_of_every_form(path: str, route: str) -> None:
    assert RouteTable().route(1, path, 200) == route


def test_no_placeholder_needs_escaping_in_promql() -> None:
    table = RouteTable(patterns=["/p/{name}/*/x", "/q/<int:number>/**"])
    for path in ("/users/1", "/a/b.3f2a9c1b.js", "/p/1/2/x", "/q/1/2/3", "*"):
        route = table.route(1, path, 200)
        assert re.fullmatch(route, route)
        assert not set(route) & set("*{}()[]+?|^$\\")


def test_ten_thousand_paths_of_a_scanner_do_not_bury_real_routes() -> None:
    table = RouteTable()
    for number, word in enumerate(words(10_000)):
        assert table.route(1, f"/{word}/{word[::-1]}.php", 404) == OTHER_ROUTE
        if number % 100 == 0:
            assert table.route(1, "/login", 200) == "/login"
            assert table.route(1, f"/cart/{number}", 403 if number % 500 else 200) == "/cart/:id"
    assert table.route(1, "/new", 200) == "/new"
    assert table.routes(1) == ["/cart/:id", "/login", "/new"]
    assert table.discarded["unproven_route"] > 9000


def test_a_scanner_that_comes_again_and_again_takes_a_quarter_at_most_and_gives_way() -> None:
    table = RouteTable(max_routes=40)
    for _ in range(70):
        for word in words(60):
            table.route(1, f"/{word}", 404)
    assert len(table.routes(1)) <= 10
    for word in words(40, seed=2):
        assert table.route(1, f"/real/{word}", 200) == f"/real/{word}"


def test_a_route_that_only_fails_appears_soon() -> None:
    table = RouteTable()
    assert [table.route(1, "/checkout", 500) for _ in range(2)] == [OTHER_ROUTE, "/checkout"]
    assert [table.route(1, "/admin", 403) for _ in range(5)] == [OTHER_ROUTE] * 4 + ["/admin"]


def test_a_level_at_which_names_keep_coming_becomes_an_id() -> None:
    """Like /org/repo/issues: no form tells these from words."""
    table, chance = RouteTable(), random.Random(1)
    names = words(3000)
    for _ in range(5000):
        table.route(1, f"/{chance.choice(names)}/{chance.choice(names)}", 200)
        table.route(1, f"/{chance.choice(names)}/{chance.choice(names)}/issues", 200)
        table.route(1, "/login", 200)
    assert table.routes(1) == ["/:id/:id", "/:id/:id/issues", "/login"]
    assert table.route(1, f"/{names[0]}/{names[1]}", 200) == "/:id/:id"
    assert table.discarded["over_limit"] < 200


def test_routes_are_bounded_and_the_rest_has_one_name() -> None:
    table = RouteTable(max_routes=20)
    given = set()
    for _ in range(3):
        for first in words(12):
            for second in ("list", "show", "edit"):
                given.add(table.route(1, f"/{first}/{second}", 200))
                assert len(table.routes(1)) <= 20
    assert len(given) == 21
    assert OTHER_ROUTE in given
    assert table.discarded["over_limit"] > 0


def test_a_full_table_recovers_when_other_routes_are_asked_for() -> None:
    table = RouteTable(max_routes=20)
    for _ in range(100):
        for word in words(20):
            table.route(1, f"/old/{word}", 200)
    assert table.route(1, "/new/start", 200) == OTHER_ROUTE
    for _ in range(3000):
        for path in ("/new/start", "/new/stop"):
            table.route(1, path, 200)
    assert {"/new/start", "/new/stop"} <= set(table.routes(1))


def test_services_are_apart_and_bounded() -> None:
    table = RouteTable(max_services=3)
    for service in range(3):
        table.route(service, f"/only/{'abc'[service]}", 200)
        table.route(service, "/", 200)
    assert table.routes(1) == ["/", "/only/b"]
    for service in (0, 2):
        table.route(service, "/", 200)
    table.route(9, "/", 200)
    assert table.routes(1) == []
    assert table.discarded == {"forgotten_service": 1}
    table.forget(9)
    assert table.routes(9) == []


def test_paths_that_all_services_remember_are_bounded_and_their_routes_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(routes, "MEMORY_PATHS_OF_ALL", 100)
    table = RouteTable()
    for number in range(1000):
        assert table.route(number % 7, f"/items/{number}", 200) == "/items/:id"
        assert 0 < table.remembered() <= 100
    table.forget(0)
    assert table.remembered() <= 100
    assert [table.routes(service) for service in range(1, 7)] == [["/items/:id"]] * 6
    for service in range(1, 7):
        table.forget(service)
    assert table.remembered() == 0


def test_memory_is_bounded_for_any_paths() -> None:
    table, chance = RouteTable(max_routes=30), random.Random(3)
    for _ in range(30_000):
        path = "/" + "/".join(
            chance.choice("abcdefghijklmnopqrstuvwxyz") * chance.randrange(1, 4) for _ in range(chance.randrange(5))
        )
        table.route(1, path, chance.choice((200, 200, 301, 404, 404, 500, 0)))
    service = table._services[1]
    assert len(table.routes(1)) <= 30
    assert len(service._memory) <= 4096
    assert len(service._waiting) <= 120
    assert sum(1 for _ in service.tree.routes()) == service._routes


def test_patterns_of_the_user_come_first() -> None:
    table = RouteTable(max_routes=1, patterns=["/users/me", "/users/{name}", "/blobs/*/:part", "/static/**"])
    assert table.route(1, "/users/me", 404) == "/users/me"
    assert table.route(1, "/users/alice", 404) == "/users/:name"
    assert table.route(1, "/blobs/a/b", 0) == "/blobs/:any/:part"
    assert table.route(1, "/static/a/b/c.js", 200) == "/static/:rest"
    assert table.route(1, "/static", 200) == "/static/:rest"
    assert table.routes(1) == []


@pytest.mark.parametrize("pattern", ["users/{id}", "", "/a/**/b", "/a/{id", "/a b", "/a/{}"])
def test_a_pattern_that_cannot_be_read_is_refused_with_a_reason(pattern: str) -> None:
    with pytest.raises(SettingsError, match=re.escape(repr(pattern))):
        RouteTable(patterns=[pattern])
