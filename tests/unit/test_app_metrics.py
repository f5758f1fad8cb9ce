"""What a replica counts."""

from __future__ import annotations

from app.metrics import OTHER, Gauge, Metrics
from clawbucket.loops.trooper import TrooperLoops
from tests.stage import Stage


def page(stage: Stage) -> str:
    """/metrics as text."""
    return stage.client().get("/metrics").text


def test_requests_are_counted_by_endpoint_method_and_status():
    """Each answer counts once, whoever gave it."""
    stage = Stage(1)
    client = stage.client()
    for _ in range(3):
        client.get("/api/swarms")
    client.post("/api/chat", json={"text": " "})
    said = page(stage)
    assert 'clawbucket_app_requests_total{endpoint="/api/swarms",method="GET",status="200"} 3.0' in said
    assert 'clawbucket_app_requests_total{endpoint="/api/chat",method="POST",status="400"} 1.0' in said
    assert 'clawbucket_app_request_seconds_count{endpoint="/api/swarms"} 3.0' in said


def test_labels_are_bounded():
    """Unknown paths and invented methods are one series, whatever they are called."""
    stage = Stage(1)
    client = stage.client()
    for number in range(20):
        client.get(f"/nope/{number}")
        client.open("/api/chat", method=f"M{number}")
    endpoints = {key[0] for key in stage.services.metrics.requests}
    methods = {key[1] for key in stage.services.metrics.requests}
    assert endpoints == {OTHER, "/api/chat"}
    assert methods == {"GET", OTHER}


def test_latencies_fall_into_buckets():
    """The histogram is cumulative, and ends with everything."""
    metrics = Metrics()
    for seconds in (0.0004, 0.004, 99.0):
        metrics.count("/x", "GET", "200", seconds)
    said = metrics.page().decode()
    for bound, count in (("0.0005", 1), ("0.0025", 1), ("0.005", 2), ("5", 2), ("+Inf", 3)):
        assert f'clawbucket_app_request_seconds_bucket{{endpoint="/x",le="{bound}"}} {count}.0' in said


def test_gauges_are_read_when_asked():
    """A gauge is what it is now; None leaves it out."""
    metrics = Metrics()
    now: list[float | None] = [1.0]
    metrics.show(Gauge("clawbucket_app_thing", "A thing", lambda: now[0]))
    assert b"clawbucket_app_thing 1.0" in metrics.page()
    now[0] = None
    assert b"clawbucket_app_thing 1.0" not in metrics.page()


def test_the_board_is_measured():
    """Refreshes of the board and how long the bus has been silent."""
    stage = Stage(1)
    stage.client().get("/api/swarms")
    assert "clawbucket_app_board_refreshes_total 1.0" in page(stage)
    stage.bus.down = True
    stage.clock.advance(7)
    stage.client().get("/api/swarms")
    assert "clawbucket_app_board_stale_seconds 7.0" in page(stage)
    assert "clawbucket_app_board_stale_seconds 7.0" not in page(Stage(1, populated=False))


def test_the_trooper_is_measured():
    """Leadership, epoch, score and failures of the loops, once a trooper runs."""
    stage = Stage(1, loops=True)
    trooper = stage.services.trooper
    assert isinstance(trooper, TrooperLoops)
    for _ in range(60):
        stage.beat(0.05)
        trooper.runner.step(stage.clock.monotonic())
    said = page(stage)
    assert "clawbucket_app_is_leader 1.0" in said
    assert "clawbucket_app_leader_epoch 1.79" in said
    assert f"clawbucket_app_score {float(trooper.memory.card.score)}" in said
    assert "clawbucket_app_loop_failures_total 0.0" in said
    assert "clawbucket_app_loop_bugs_total 0.0" in said
    assert "clawbucket_app_stream_viewers 0.0" in said
