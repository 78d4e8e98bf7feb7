"""Webhooks of Alertmanager, made and sent by tests, and what stands in the table."""
import json

from wire import Truncated, wait_until

HOOK = "/webhooks/alertmanager"
UNSET = "0001-01-01T00:00:00Z"


def alert(name="Down", status="firing", starts="2026-11-27T06:00:00.25Z", ends=UNSET, annotations=None, **labels):
    return {"status": status, "labels": {"alertname": name, **labels},
            "annotations": {"summary": "it is down"} if annotations is None else annotations,
            "startsAt": starts, "endsAt": ends, "generatorURL": "http://prometheus/graph", "fingerprint": ""}


def webhook(*alerts, **more):
    return {"version": "4", "groupKey": '{}:{alertname="Down"}', "truncatedAlerts": 0, "status": "firing", "receiver": "weir",
            "groupLabels": {}, "commonLabels": {}, "commonAnnotations": {}, "externalURL": "http://alertmanager:9093",
            "alerts": list(alerts), **more}


def config(database, options=None, routes=(), more=None, **ingest):
    return {"workers": 2, "stores": {"main": database.config(**(options or {}))}, **(more or {}),
            "routes": [{"match": {"path": HOOK, "methods": ["POST"]}, "ingest": {"format": "alertmanager", **ingest}},
                       *routes]}


def send(weir, body, status=200, **more):
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    response = weir.post(HOOK, data, headers=[("Content-Type", "application/json")], **more)
    assert status is None or response.status == status, response
    return response.json()


def stored(database):
    """Rows by what sets them apart in these tests."""
    found = {}
    for row in database.rows("SELECT * FROM alerts"):
        labels = database.json(row["labels"])
        found[labels.get("n", labels["alertname"])] = row
    return found


def pour(weir, stop, acknowledged, refused, i):
    """Posts until told to stop; 503 is tried again, as Alertmanager does."""
    n = 0
    while not stop.is_set():
        key = f"{i}-{n}"
        try:
            response = weir.post(HOOK, json.dumps(webhook(alert(n=key))).encode())
        except (OSError, Truncated):
            continue
        if response.status == 200:
            acknowledged.append(key)
            n += 1
        else:
            assert response.status == 503, response
            refused.append(response.json()["detail"])
            stop.wait(0.05)


def send_when_listening(weir):
    def post():
        try:
            return weir.post(HOOK, json.dumps(webhook(alert())).encode())
        except OSError:
            return None
    response = wait_until(post, "it listens")
    assert response.status == 503
    return response.json()
