#!/usr/bin/env python3
"""What a cluster can do wrong, and a random life of its pods: faults.py BIN trouble, or faults.py BIN random [EVENTS [SEED]].

Trouble: a server that is missing, not trusted, forbids, hangs, lies and floods: one line each, and what needs no cluster goes on. Random:
events with closed streams, 410s and restarts of divvyd, after which its tenants are those that the server's pods ask for.
"""
import os
import random
import signal
import sys
import time

from node import ApiServer, Node, expect, failures, finish, identity, jwt, make_authority, pod, until

BIN = sys.argv[1]
EVENTS = int(sys.argv[3]) if len(sys.argv) > 3 else int(os.environ.get("DIVVY_TEST_EVENTS", "1000"))
SEED = int(sys.argv[4]) if len(sys.argv) > 4 else int.from_bytes(os.urandom(4), "little")


UID = "dddddddd-1111-4222-8333-444444444444"


def asking(name, **more):
    return pod(name, annotations={"divvy.io/vram-limit": "1Gi", "divvy.io/compute-percent-limit": "10"}, **more)


def is_useful(node):
    """What needs no cluster works: a tenant is made and removed."""
    made = node.get("/api/v1/tenants", "POST", {"id": "by-hand", "devices": [{"gpu": 0, "compute_percent": 10}]})[0]
    return made == 201 and node.get("/api/v1/tenants/by-hand", "DELETE")[0] in (200, 204)


def told(node, words):
    return node.read_log().count(words)


def told_once(node, words):
    """Told, and not again while it is tried again."""
    if not until(lambda: told(node, words)):
        return False
    time.sleep(0.5)
    return told(node, words) == 1


def in_step(node):
    return node.pods().get("in_step")


def trouble(node, server):
    """Credentials and servers that do not work, one after the other, without a restart of divvyd."""
    node.start()
    expect("no kubeconfig: divvyd starts", told_once(node, "kubeconfig: No such file") and is_useful(node))
    server.stop()
    server.kubeconfig(node.kubeconfig)
    expect("no server: one line", told_once(node, "nobody answers") and is_useful(node))
    make_authority(server.folder, "wrong")
    good = server.authority
    server.authority = os.path.join(server.folder, "wrong")
    server.kubeconfig(node.kubeconfig)
    server.authority = good
    server.start(server.port)
    expect("a server that is not trusted: one line", told_once(node, "not trusted") and is_useful(node))
    server.kubeconfig(node.kubeconfig, user="tokenfile")
    with open(os.path.join(node.folder, "token"), "w", encoding="ascii") as file:
        file.write("an-old-token\n")
    expect("a token that is not good: one line", told_once(node, "(401)") and is_useful(node))
    with open(os.path.join(node.folder, "token"), "w", encoding="ascii") as file:
        file.write("secret-of-the-daemon\n")
    server.misbehave(403)
    expect("no permission: one line that says which", told_once(node, "bind a ClusterRole") and is_useful(node))
    server.set(asking("first", uid=UID))
    server.misbehave(None)
    expect("all is well: in step", until(lambda: in_step(node) and "default/first" in node.tenants()))
    server.kubeconfig(node.kubeconfig, user="certificate")
    server.tokens.clear()
    server.close_streams()
    server.set(asking("second"))
    expect("a certificate in place of the token, while it runs", until(lambda: "default/second" in node.tenants()))
    server.tokens["renewed"] = "divvyd"
    server.kubeconfig(node.kubeconfig, user="tokenfile")
    with open(os.path.join(node.folder, "token"), "w", encoding="ascii") as file:
        file.write("renewed")
    server.close_streams()
    server.delete("second")
    expect("a token that was renewed", until(lambda: "default/second" not in node.tenants()))


def lies(node, server):
    """A server that is not sane: nothing is lost, nothing grows."""
    first = asking("first", uid=UID)
    most = 0
    for fault in ("hang", "garbage", "halflist", "notalist", "nested", "flood", 500, 429):
        for fresh in (False, True):  # a watch is answered so, and the list of a new daemon
            server.misbehave(None)
            server.set(first)
            until(lambda: in_step(node) and "default/first" in node.tenants())
            server.wait_streams()
            server.set(first)
            if fresh:
                node.stop()
            before = server.bad_answers
            server.misbehave(fault)
            if fresh:
                node.start()
            good = until(lambda: server.bad_answers > before)
            time.sleep(0.2)
            most = max(most, node.rss_mib())
            expect("%s, %s: the pods keep their shares" % (fault, "list" if fresh else "watch"), good and set(node.tenants()) == {"default/first"} and is_useful(node))
    server.misbehave(None)
    server.close_streams()
    expect("and it gets in step again", until(lambda: in_step(node)), node.pods())
    until(server.wait_streams)
    for thing in (asking("stranger", node="node-b"), {"spec": {}, "metadata": {}}, asking("../../etc"), asking("a/b"), asking("x", namespace="..")):
        server.say("LIE", thing)
    for kind in ("NEWS", "ADDED"):
        server.say(kind, {"kind": "Secret", "metadata": {"name": "x"}})
    server.set(asking("after"))
    expect("lies are passed over, what follows is taken", until(lambda: set(node.tenants()) == {"default/first", "default/after"}), node.tenants())
    expect("   and no more memory is used than there should be: %.0f MiB" % most, most < (700 if os.environ.get("DIVVY_SANITIZED") else 60))
    expect("   and no path was made", not os.path.exists(os.path.join(node.folder, "etc")))


def trust(node, server):
    """Tokens while the server does what it likes."""
    uid = server.pods["default", "first"]["metadata"]["uid"]
    good = jwt("default", "first", uid)
    server.misbehave(500)
    answer = node.ask("/api/v1/pod", good)
    expect("a token that cannot be reviewed is not believed: 503", answer[0] == 503 and "cannot be asked" in answer[1]["error"], answer)
    server.misbehave(None)
    server.review(good, identity("default", "first", uid))
    expect("   and is, when it can", until(lambda: node.ask("/api/v1/pod", good)[0] == 200))
    server.review(bound := jwt("default", "first", uid, extra="of a user"), {"authenticated": True, "user": {"username": "admin"}})
    expect("   one of no pod is not", node.ask("/api/v1/pod", bound)[0] == 401)
    answers = {node.ask("/api/v1/pod", jwt("default", "first", uid, extra=str(number)))[0] for number in range(200)}
    expect("two hundred forged tokens: none is believed", answers <= {401, 503}, answers)
    expect("   and the good one is still known", node.ask("/api/v1/pod", good)[0] in (200, 503) and until(lambda: node.ask("/api/v1/pod", good)[0] == 200))


def slots(node, server):
    """A pod with slots: the device plugin makes its tenant (its part is played here), annotations change it, and it goes with the pod."""
    one = asking("slots", uid="eeeeeeee-1111-4222-8333-444444444444")
    del one["metadata"]["annotations"]["divvy.io/compute-percent-limit"]
    one["spec"]["containers"][0]["resources"] = {"limits": {"divvy.io/gpu": "3"}}
    server.set(one)
    expect("a pod with slots waits for the device plugin", until(lambda: node.states().get("default/slots", {}).get("state") == "waiting")
           and "default/slots" not in node.tenants())
    made = node.get("/api/v1/tenants", "POST", {"id": "default/slots", "pod": "slots", "namespace": "default",
                                                "devices": [{"gpu": 0, "memory_limit_bytes": 7 << 30, "compute_percent": 30}]})
    expect("   and when that has made its tenant, its annotations change it, the rest stays", made[0] == 201 and until(
        lambda: (lambda device: device["memory_limit_bytes"] == 1 << 30 and device["compute_percent"] == 30)(node.tenants()["default/slots"]["devices"][0])),
           (made, node.tenants().get("default/slots")))
    server.delete("slots")
    expect("   until the pod is gone", until(lambda: "default/slots" not in node.tenants()))


# --- random ----------------------------------------------------------------------------------------------------------------

BAD = [{"divvy.io/vram-limit": "500m"}, {"divvy.io/vram-limit": "8 Gi"}, {"divvy.io/qos": "urgent"}, {"tensor-fusion.ai/isolation": "sfot"},
       {"divvy.io/compute-percent-limit": "101"}, {"tensor-fusion.ai/container-gpus": "{"}, {"divvy.io/gpu-ids": "../.."}, {"divvy.io/vram-limit": "900Gi"}]


def wish(chance):
    """A pod's annotations: mostly good, sometimes bad, sometimes none of ours."""
    kind = chance.random()
    if kind < 0.1:
        return dict(chance.choice(BAD))
    if kind < 0.15:
        return {"other.io/x": "y"}
    return {"divvy.io/vram-limit": "%dMi" % chance.randint(1, 512), "divvy.io/compute-percent-limit": str(chance.randint(1, 100)),
            "divvy.io/qos": chance.choice(["low", "medium", "High", "Critical"])}


def is_bad(annotations):
    return annotations in BAD


def random_step(chance, node, server, names):
    name = chance.choice(names)
    act = chance.random()
    have = server.pods.get(("default", name))
    if act < 0.45:
        new = pod(name, annotations=wish(chance), node=chance.choice(["node-a"] * 9 + ["node-b"]))
        if have:  # the same pod with other annotations; a pod does not move
            new["metadata"]["uid"] = have["metadata"]["uid"]
            new["spec"]["nodeName"] = have["spec"]["nodeName"]
        server.set(new)
    elif act < 0.75:
        server.delete(name)
    elif act < 0.85:  # gone and here again, perhaps between two looks
        server.delete(name)
        server.set(pod(name, annotations=wish(chance)))
    elif act < 0.88 and have:
        have = dict(have, status={"phase": chance.choice(["Succeeded", "Failed"])})
        server.set(have)
    elif act < 0.91:
        server.bookmark()
    elif act < 0.95:
        server.close_streams()
    elif act < 0.97:
        server.forget()
    elif act < 0.98:
        server.misbehave(chance.choice([500, 403, "hang", "garbage", "halflist", "notalist"]))
        time.sleep(chance.random() * 0.2)
        server.misbehave(None)
    elif act < 0.985 and node.daemon:
        if node.stop(chance.choice([signal.SIGKILL, signal.SIGTERM])) > 0:
            failures.append("divvyd ended with a failure")
    elif act > 0.995 or not node.daemon:
        if not node.daemon:
            node.start()
    else:
        time.sleep(chance.random() * 0.02)


def difference(node, server):
    """What is not as the server's pods ask for, or ''."""
    tenants, states = node.tenants(), node.states()
    wanted = {}
    for (namespace, name), one in server.pods.items():
        annotations = one["metadata"]["annotations"]
        if one["spec"]["nodeName"] != "node-a" or one["status"].get("phase") in ("Succeeded", "Failed") or "other.io/x" in annotations:
            continue
        wanted["%s/%s" % (namespace, name)] = one
    if set(states) != set(wanted):
        return "pods %s" % sorted(set(states) ^ set(wanted))
    good = {name for name, one in wanted.items() if not is_bad(one["metadata"]["annotations"])}
    if not good <= set(tenants) <= set(wanted):  # one that has turned bad keeps what it had
        return "tenants %s" % sorted(good ^ set(tenants))
    for name, one in wanted.items():
        annotations, state = one["metadata"]["annotations"], states[name]
        if state["uid"] != one["metadata"]["uid"] or state["state"] != ("held" if name in good else "refused"):
            return "%s is %s" % (name, state)
        if name in good:
            device = tenants[name]["devices"][0]
            if (device["memory_limit_bytes"] != int(annotations["divvy.io/vram-limit"][:-2]) << 20
                    or (device["compute_percent"] or 100) != float(annotations["divvy.io/compute-percent-limit"])
                    or tenants[name]["qos"] != annotations["divvy.io/qos"].lower()):
                return "%s has %s, asks for %s" % (name, tenants[name], annotations)
    folders = {folder for folder in os.listdir(os.path.join(node.folder, "tenants")) if not folder.startswith(".")}
    if folders != {name.replace("/", "+") for name in tenants}:
        return "folders %s" % sorted(folders)
    return ""


def at_random(node, server):
    print("%d events, seed %d" % (EVENTS, SEED), flush=True)
    chance = random.Random(SEED)
    names = ["pod-%d" % number for number in range(40)]
    wrong = ""
    for number in range(EVENTS):
        random_step(chance, node, server, names)
        if number % 250 == 249 or number == EVENTS - 1:
            if not node.daemon:
                node.start()
            until(lambda: difference(node, server) == "")
            wrong = difference(node, server)
            if not expect("after %d events the tenants are those of the server's pods" % (number + 1), wrong == "", wrong):
                return


def main():
    node = Node(BIN, ["--overcommit=none"])
    server = ApiServer(node.folder)
    try:
        if sys.argv[2] == "trouble":
            trouble(node, server)
            lies(node, server)
            trust(node, server)
            slots(node, server)
        else:
            server.kubeconfig(node.kubeconfig)
            node.start()
            at_random(node, server)
        expect("no secret is in the log", "secret-of-the-daemon" not in node.read_log() and "renewed" not in node.read_log())
    finally:
        node.done()
    finish()


main()
