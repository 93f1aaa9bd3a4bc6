#!/usr/bin/env python3
"""
Holds docs/openapi.json against a server: the same routes as its table has, the same rights; every operation is called with the
document's own examples, and what it answers must be in the document and fit its schema.

    openapi.py DOCUMENT FAKE_SERVER           against the server with a state that stands in: every operation must succeed
    openapi.py DOCUMENT FAKE_SERVER SOCKET    against a daemon: every answer must be one of those that are described
"""

import json
import sys
import urllib.parse

import schema
import server

METHODS = ["get", "post", "patch", "put", "delete"]


def operations(document):
    for path, item in document["paths"].items():
        for method in METHODS:
            if method in item:
                yield method.upper(), path, item[method]


def table_check(document, program):
    told = {(m, p, o["x-right"], o["operationId"]) for m, p, o in operations(document)}
    text = server.subprocess.run([program, "--routes"], capture_output=True, text=True, check=True).stdout
    real = {tuple(line.split()) for line in text.splitlines()}
    wrong = [f"not in the document: {' '.join(route)}" for route in sorted(real - told)]
    return wrong + [f"not in the server: {' '.join(route)}" for route in sorted(told - real)]


def request_of(path, operation):
    """Path with its parameters, and body, both from the examples."""
    query = []
    for parameter in operation.get("parameters", []):
        if "example" not in parameter:
            continue
        value = str(parameter["example"])
        if parameter["in"] == "path":
            path = path.replace("{" + parameter["name"] + "}", urllib.parse.quote(value, safe=""))
        else:
            query.append((parameter["name"], value))
    body = None
    if "requestBody" in operation:
        body = json.dumps(operation["requestBody"]["content"]["application/json"]["example"])
    return path + ("?" + urllib.parse.urlencode(query) if query else ""), body


def answer_check(document, operation, status, kind, text):
    described = operation["responses"].get(str(status)) or (operation["responses"]["default"] if status >= 400 else None)
    if described is None:
        return [f"status {status} is not described: {text}"]
    content = described.get("content")
    if content is None:
        return [f"a body where none is described: {text}"] if text else []
    kind = (kind or "").split(";")[0]
    if kind not in content:
        return [f"content type {kind!r} is not described"]
    if kind != "application/json":
        return []
    return list(schema.faults(json.loads(text), content[kind]["schema"], document))


def examples_check(document):
    wrong = []
    for method, path, operation in operations(document):
        for kind in (operation.get("requestBody") or {"content": {}})["content"].values():
            wrong += [f"{method} {path}: example: {fault}" for fault in schema.faults(kind["example"], kind["schema"], document)]
    return wrong


def order(entry):
    """Tenants and allocations are made before they are looked at, and removed at the end."""
    method, path, _ = entry
    made = 0 if path in ("/api/v1/tenants", "/api/v1/gpu/allocate", "/api/v1/vgpu/assignments") and method == "POST" else 1
    last = 1 if method == "DELETE" else 0
    return last, made


def calls_check(document, path, must_succeed, token):
    wrong = []
    for method, pattern, operation in sorted(operations(document), key=order):
        target, body = request_of(pattern, operation)
        headers = {"Content-Type": "application/json"} if body else {}
        if pattern in ("/api/v1/pod", "/api/v1/process") and token:
            headers["Authorization"] = "Bearer " + token
        connection = server.UnixConnection(path)
        status, answer, text = server.ask(connection, method, target, body, headers)
        found = answer_check(document, operation, status, answer["Content-Type"], text)
        # The two of the channel are about a task that nobody made.
        if must_succeed and status >= 300 and operation["operationId"] not in ("postCommandResult", "postReport"):
            found.append(f"status {status}: {text}")
        wrong += [f"{method} {target}: {fault}" for fault in found]
        connection.close()
    return wrong


def failures_check(document, path):
    """What every route must do with wrong methods and bodies."""
    wrong = []
    error = document["components"]["schemas"]["Error"]
    for method, pattern, operation in operations(document):
        target, _ = request_of(pattern, operation)
        tries = [("PUT", target, None, 405)]
        if "requestBody" in operation:
            tries += [(method, target, "{", 400), (method, target, '{"a":1,"a":2}', 400), (method, target, "[]", 400),
                      (method, target, " " * 70000, 413)]
        for verb, url, body, wanted in tries:
            connection = server.UnixConnection(path)
            status, headers, text = server.ask(connection, verb, url, body)
            found = list(schema.faults(json.loads(text), error, document))
            if status != wanted:
                found.append(f"status {status} instead of {wanted}: {text}")
            if status == 405 and method not in headers["Allow"]:
                found.append(f"Allow: {headers['Allow']}")
            wrong += [f"{verb} {url} {(body or '')[:20]}: {fault}" for fault in found]
            connection.close()
    return wrong


def main():
    with open(sys.argv[1], encoding="utf-8") as file:
        document = json.load(file)
    wrong = table_check(document, sys.argv[2]) + examples_check(document)
    if len(sys.argv) > 3:
        wrong += calls_check(document, sys.argv[3], False, None)
        wrong += failures_check(document, sys.argv[3])
    else:
        token = server.unsigned_token("prod", "web-0")
        with server.FakeServer(sys.argv[2], jwt_unverified=1, snapshot=1) as fake:
            wrong += calls_check(document, fake.socket, True, token)
            wrong += failures_check(document, fake.socket)
    for line in wrong:
        print(line)
    print(f"{len(list(operations(document)))} operations, {len(wrong)} faults")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
