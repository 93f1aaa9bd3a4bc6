#!/usr/bin/env python3
"""
deploy/kubernetes and the Helm chart:  manifests.py ROOT
Every manifest is YAML without doubles and has the fields that its kind has; kubectl, where it is, reads pods and the DaemonSet and
gives back the same; what manifests name is there; and the chart with its default values makes the same objects.
"""

import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

try:
    import yaml
except ImportError:
    print("no yaml for Python here")
    sys.exit(77)

HERE = pathlib.Path(__file__).parent
# Fields of the kinds that are not decoded by kubectl without a server.
FIELDS = {
    "Namespace": {"apiVersion", "kind", "metadata"},
    "ServiceAccount": {"apiVersion", "kind", "metadata", "automountServiceAccountToken"},
    "Role": {"apiVersion", "kind", "metadata", "rules"},
    "ClusterRole": {"apiVersion", "kind", "metadata", "rules"},
    "ClusterRoleBinding": {"apiVersion", "kind", "metadata", "roleRef", "subjects"},
    "ConfigMap": {"apiVersion", "kind", "metadata", "data"},
    "DaemonSet": {"apiVersion", "kind", "metadata", "spec"},
    "Pod": {"apiVersion", "kind", "metadata", "spec"},
}
RBAC = "rbac.authorization.k8s.io/v1"
VERSIONS = {"Role": RBAC, "ClusterRole": RBAC, "ClusterRoleBinding": RBAC, "DaemonSet": "apps/v1"}
# What divvyd does, and no more (src/kube, src/daemon/cluster.c).
DAEMON_RULES = [("", "pods", "list"), ("", "pods", "watch"), ("", "events", "create"), ("authentication.k8s.io", "tokenreviews", "create")]
METADATA = {"name", "namespace", "labels", "annotations"}


class Strict(yaml.SafeLoader):
    """YAML where a key that stands twice is an error."""


def mapping(loader, node):
    keys = [loader.construct_object(key) for key, _ in node.value]
    check(len(keys) == len(set(keys)), f"twice: {keys}")
    return loader.construct_mapping(node, deep=True)


Strict.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, mapping)


def check(truth, what):
    if not truth:
        raise SystemExit(f"FAIL: {what}")


def documents(text):
    return [found for found in yaml.load_all(text, Loader=Strict) if found]


def name_of(thing):
    return thing["kind"], thing["metadata"]["name"]


def shape(thing):
    kind = thing.get("kind")
    check(kind in FIELDS, f"a {kind} is not known to this test")
    check(set(thing) <= FIELDS[kind], f"{kind}: {set(thing) - FIELDS[kind]}")
    check(thing["apiVersion"] == VERSIONS.get(kind, "v1"), f"{kind}: {thing['apiVersion']}")
    check(set(thing["metadata"]) <= METADATA, f"{name_of(thing)}: {set(thing['metadata']) - METADATA}")
    check(re.fullmatch("[a-z0-9]([-a-z0-9]*[a-z0-9])?", thing["metadata"]["name"]), name_of(thing))
    for key, value in {**thing["metadata"].get("labels", {}), **thing["metadata"].get("annotations", {})}.items():
        check(isinstance(value, str), f"{name_of(thing)}: {key} is no text")


def rights(things):
    """The least: nobody may read secrets or change anything but run a command in the daemon's pods; the daemon does what DAEMON_RULES says."""
    for role in [thing for thing in things if thing["kind"] == "Role"]:
        for rule in role["rules"]:
            check(set(rule["resources"]) <= {"pods", "pods/exec"}, rule)
            check(set(rule["verbs"]) <= {"get", "list", "create"}, rule)
            check("create" not in rule["verbs"] or rule["resources"] == ["pods/exec"], rule)
    roles = [thing for thing in things if thing["kind"] == "ClusterRole"]
    triples = [(group, resource, verb) for role in roles for rule in role["rules"] for group in rule["apiGroups"] for resource in rule["resources"]
               for verb in rule["verbs"]]
    check(len(roles) == 1 and sorted(triples) == sorted(DAEMON_RULES), triples)
    account = next(thing for thing in things if thing["kind"] == "ServiceAccount")
    check(account["automountServiceAccountToken"] is False, "a token for whoever takes the account")
    bindings = [thing for thing in things if thing["kind"].endswith("Binding")]
    check(len(bindings) == 1 and bindings[0]["kind"] == "ClusterRoleBinding", "rights for others")
    check(bindings[0]["roleRef"] == {"apiGroup": RBAC.split("/")[0], "kind": "ClusterRole", "name": roles[0]["metadata"]["name"]}, bindings)
    check(bindings[0]["subjects"] == [{"kind": "ServiceAccount", **{key: account["metadata"][key] for key in ("name", "namespace")}}], bindings)
    daemon = next(thing for thing in things if thing["kind"] == "DaemonSet")["spec"]["template"]["spec"]
    check(daemon["serviceAccountName"] == account["metadata"]["name"] and daemon["automountServiceAccountToken"] is True, "the daemon's account")


def pod_specs(things):
    for thing in things:
        if thing["kind"] == "Pod":
            yield name_of(thing), thing["spec"]
        elif thing["kind"] == "DaemonSet":
            yield name_of(thing), thing["spec"]["template"]["spec"]


def mounts(things):
    """Each mount has its volume and each volume its mount; nobody is privileged."""
    for name, spec in pod_specs(things):
        containers = spec.get("initContainers", []) + spec["containers"]
        mounted = {mount["name"] for container in containers for mount in container.get("volumeMounts", [])}
        check(mounted == {volume["name"] for volume in spec.get("volumes", [])}, f"{name}: {mounted}")
        for container in containers:
            check(not container.get("securityContext", {}).get("privileged"), f"{name}: privileged")
    daemon = next(thing for thing in things if thing["kind"] == "DaemonSet")
    check(daemon["spec"]["selector"]["matchLabels"].items() <= daemon["spec"]["template"]["metadata"]["labels"].items(), "selector")
    configured = {thing["metadata"]["name"] for thing in things if thing["kind"] == "ConfigMap"}
    for volume in daemon["spec"]["template"]["spec"]["volumes"]:
        check("configMap" not in volume or volume["configMap"]["name"] in configured, volume)


def tenants(things):
    """The example pods mount what divvyd makes for namespace/pod, and ask for a share."""
    daemon = next(thing for thing in things if thing["kind"] == "DaemonSet")["spec"]["template"]["spec"]
    command = daemon["initContainers"][0]["command"]
    bootstrapped = dict(word.split("=") for word in command[2:])
    check(command[:2] == ["divvy", "bootstrap"], command)
    # What it writes to is where the pods look on the host.
    host = {volume["name"]: volume.get("hostPath", {}).get("path") for volume in daemon["volumes"]}
    inside = {mount["mountPath"]: host[mount["name"]] for mount in daemon["initContainers"][0]["volumeMounts"]}
    seen = 0
    for pod in [thing for thing in things if thing["kind"] == "Pod" and "volumes" in thing["spec"]]:  # others have slots
        for container in pod["spec"]["containers"]:
            folder = f"/run/divvy/tenants/{pod['metadata']['namespace']}+{pod['metadata']['name']}"
            check("divvy.io/vram-limit" in pod["metadata"]["annotations"], f"{folder}: nobody makes it")
            check(folder in [volume["hostPath"]["path"] for volume in pod["spec"]["volumes"]], f"{folder} is not mounted")
            at = {mount["name"]: mount["mountPath"] for mount in container["volumeMounts"]}
            paths = {volume["name"]: volume["hostPath"]["path"] for volume in pod["spec"]["volumes"]}
            check(paths["limiter"] == inside[bootstrapped["--to"]] and paths["loader"] == inside[bootstrapped["--config"]], paths)
            variables = {entry["name"]: entry["value"] for entry in container["env"]}
            check(variables["DIVVY_TENANT_DIR"] == at["tenant"], variables)
            check("LD_PRELOAD" not in variables, "musl's loader would end programs over what it cannot load")
            check(at["loader"] == "/etc/ld.so.preload" and at["limiter"] == bootstrapped["--as"], at)
            seen += 1
    check(seen == 2, "two tenants")


def with_kubectl(path, things):
    """kubectl decodes pods and the DaemonSet into their types and prints them: a field that they do not have would be lost."""
    kinds = [thing for thing in things if thing["kind"] in ("Pod", "DaemonSet")]
    if not shutil.which("kubectl") or not kinds:
        return 0
    done = subprocess.run(["kubectl", "set", "env", "--local", "-o", "json", "-f", path, "DIVVY_TEST=1"], capture_output=True, text=True,
                          env={**os.environ, "KUBECONFIG": "/dev/null"}, check=False)
    check(done.returncode == 0, f"kubectl on {path}: {done.stderr}")
    decoder, text, found = json.JSONDecoder(), done.stdout.strip(), []
    while text:
        thing, end = decoder.raw_decode(text)
        found += thing["items"] if thing["kind"] == "List" else [thing]
        text = text[end:].strip()
    check({name_of(thing) for thing in found} == {name_of(thing) for thing in kinds}, f"{path}: {[name_of(thing) for thing in found]}")
    for thing in kinds:
        lost(thing, next(other for other in found if name_of(other) == name_of(thing)), f"{path.name}: {thing['kind']}")
    return len(kinds)


def lost(ours, theirs, where):
    if isinstance(ours, dict):
        check(isinstance(theirs, dict), where)
        for key, value in ours.items():
            check(key in theirs, f"{where}.{key} is no field of Kubernetes")
            lost(value, theirs[key], f"{where}.{key}")
    elif isinstance(ours, list):
        # DIVVY_TEST is an addition of ours at the end.
        check(isinstance(theirs, list) and len(ours) <= len(theirs), f"{where}: {theirs}")
        for place, (mine, other) in enumerate(zip(ours, theirs)):
            lost(mine, other, f"{where}[{place}]")
    else:
        check(ours == theirs, f"{where}: {ours} became {theirs}")


def render(chart, values):
    """The chart's objects: by helm, else by the engine that helm uses."""
    if shutil.which("helm"):
        done = subprocess.run(["helm", "template", "divvy", chart, "--namespace", "divvy", "-f", "-"], input=json.dumps(values), capture_output=True,
                              text=True, check=False)
        check(done.returncode == 0, f"helm: {done.stderr}")
        return documents(done.stdout)
    about = yaml.load((chart / "Chart.yaml").read_text(), Loader=Strict)
    text = ""
    with tempfile.TemporaryDirectory() as folder:
        environment = {**os.environ, "GO111MODULE": "off", "GOCACHE": f"{folder}/cache", "GOFLAGS": "", "CGO_ENABLED": "0"}
        program = f"{folder}/render"
        subprocess.run(["go", "build", "-o", program, HERE / "render.go"], check=True, env=environment)
        path = pathlib.Path(folder) / "values.json"
        path.write_text(json.dumps({"Values": values, "Release": {"Name": "divvy", "Namespace": "divvy"}, "Chart": about}))
        for template in sorted((chart / "templates").iterdir()):
            done = subprocess.run([program, path, template], capture_output=True, text=True, check=False)
            check(done.returncode == 0, f"{template.name}: {done.stderr}")
            if template.suffix == ".yaml":
                text += f"---\n{done.stdout}\n"
    return documents(text)


def chart_same(root, plain):
    chart = root / "deploy/helm/divvy"
    about = yaml.load((chart / "Chart.yaml").read_text(), Loader=Strict)
    check(about["apiVersion"] == "v2" and about["name"] == "divvy", about)
    values = yaml.load((chart / "values.yaml").read_text(), Loader=Strict)
    schema = json.loads((chart / "values.schema.json").read_text())
    check(set(values) == set(schema["properties"]) - {"global"}, "values and their schema differ")
    version = re.search(r"project\(divvy VERSION ([0-9.]+)", (root / "CMakeLists.txt").read_text()).group(1)
    check(about["version"] == about["appVersion"] == values["image"]["tag"] == version, f"the chart is not of version {version}")
    if not shutil.which("helm") and not shutil.which("go"):
        print("neither helm nor go is here: the chart is not rendered", file=sys.stderr)
        return
    made = {name_of(thing): thing for thing in render(chart, values)}
    wanted = {name_of(thing): thing for thing in plain if thing["kind"] not in ("Namespace", "Pod")}
    check(set(made) == set(wanted), f"{set(made) ^ set(wanted)}")
    for name, thing in wanted.items():
        check(made[name] == thing, f"{name}: the chart makes\n{json.dumps(made[name])}\nand the manifest is\n{json.dumps(thing)}")
    values.update(runtimeClassName="", tolerations=[], scrape=False, tlsSecret="other")
    daemon = next(thing for thing in render(chart, values) if thing["kind"] == "DaemonSet")
    template = daemon["spec"]["template"]
    check("runtimeClassName" not in template["spec"] and "tolerations" not in template["spec"], template["spec"])
    check("annotations" not in template["metadata"], template["metadata"])
    check("other" in [volume.get("secret", {}).get("secretName") for volume in template["spec"]["volumes"]], template["spec"])


def main():
    root = pathlib.Path(sys.argv[1])
    things, decoded = [], 0
    for path in sorted((root / "deploy/kubernetes").glob("*.yaml")):
        found = documents(path.read_text())
        check(found, f"{path} is empty")
        things += found
        decoded += with_kubectl(path, found)
    for thing in things:
        shape(thing)
    check(len({(thing["metadata"].get("namespace"), *name_of(thing)) for thing in things}) == len(things), "two of one name")
    check(not shutil.which("kubectl") or decoded == 5, f"kubectl saw {decoded}")
    rights(things)
    mounts(things)
    tenants(things)
    chart_same(root, things)
    if "--configuration" in sys.argv:
        print(next(thing for thing in things if thing["kind"] == "ConfigMap")["data"]["divvyd.conf"], end="")
    else:
        print("all well" if decoded else "all well, without kubectl")
    return 0


if __name__ == "__main__":
    sys.exit(main())
