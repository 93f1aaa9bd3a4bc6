"""
An imitated CloudStack management server: as much of its API as divvy uses, with its way of checking signatures, its pages, jobs and
errors. `fault` makes it misbehave. Python's standard library only.
"""
import base64
import datetime
import hashlib
import hmac
import http.server
import json
import threading
import time
import urllib.parse
import uuid

KEY, SECRET = "an-API_key.of-this*test", "a secret/key+of=this test"


def java_encoded(text):
    """As java.net.URLEncoder, with %20 for blanks."""
    return urllib.parse.quote(text, safe=".-*_").replace("~", "%7E")


class Refused(Exception):
    def __init__(self, code, text):
        super().__init__(text)
        self.code, self.text = code, text


class Management:
    def __init__(self, host="kvm-7", port=0):
        self.lock, self.vms, self.jobs, self.calls = threading.Lock(), {}, {}, []
        self.hosts = {host: {"id": str(uuid.uuid4()), "name": host, "type": "Routing", "hosttags": "ssd,fast"}}
        self.host, self.fault, self.page_limit, self.job_rounds = host, None, 500, 2
        management = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def log_message(self, *unused):
                pass

            def do_GET(self):
                management.serve(self, urllib.parse.urlsplit(self.path).query, "GET")

            def do_POST(self):
                management.serve(self, self.rfile.read(int(self.headers["Content-Length"])).decode(), "POST")

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", port), Handler)
        self.server.daemon_threads = True
        self.url = "http://127.0.0.1:%d/client/api" % self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def close(self):
        self.server.shutdown()
        self.server.server_close()

    # --- requests -----------------------------------------------------------------------------------------------------------

    def check(self, parameters, method):
        signed = "&".join("%s=%s" % (name, java_encoded(parameters[name])) for name in sorted(parameters) if name.lower() != "signature")
        wanted = base64.b64encode(hmac.new(SECRET.encode(), signed.lower().encode(), hashlib.sha1).digest()).decode()
        good = parameters.get("apikey") == KEY and hmac.compare_digest(parameters.get("signature", ""), wanted)
        if parameters.get("signatureversion") != "3":
            good = False
        try:
            expires = datetime.datetime.strptime(parameters["expires"], "%Y-%m-%dT%H:%M:%S%z")
            left_s = (expires - datetime.datetime.now(datetime.timezone.utc)).total_seconds()
            good = good and 0 < left_s < 15 * 60
        except (KeyError, ValueError):
            good = False
        if not good:
            raise Refused(401, "unable to verify user credentials and/or request signature")
        if method == "GET" and not parameters["command"].startswith(("list", "query", "get")):
            raise Refused(401, "this command has to be posted")

    def serve(self, handler, query, method):
        parameters = dict(urllib.parse.parse_qsl(query, keep_blank_values=True, strict_parsing=True))
        command = parameters.get("command", "")
        status, kind = 200, "application/json"
        try:
            self.check(parameters, method)
            with self.lock:
                self.calls.append(command)
                call = getattr(self, "do_" + command.lower(), None)
                if not call:
                    raise Refused(432, "the given command does not exist")
                value = {command.lower() + "response": call(parameters)}
        except Refused as refused:
            status = refused.code if refused.code in (401, 431, 432, 530) else 400
            value = {command.lower() + "response": {"uuidList": [], "errorcode": refused.code, "cserrorcode": 4350, "errortext": refused.text}}
        text = json.dumps(value)
        fault = self.fault(command, parameters) if self.fault else None
        if isinstance(fault, float):
            time.sleep(fault)
        elif fault is not None:
            status, text = fault
        try:
            handler.send_response(status)
            handler.send_header("Content-Type", kind)
            handler.send_header("Content-Length", str(len(text.encode())))
            handler.end_headers()
            handler.wfile.write(text.encode())
        except OSError:
            pass

    # --- commands -----------------------------------------------------------------------------------------------------------

    def do_listvirtualmachines(self, parameters):
        if "id" in parameters:
            if parameters["id"] not in self.vms:
                raise Refused(431, "Unable to execute API command listvirtualmachines due to invalid value")
            chosen = [self.vms[parameters["id"]]]
        else:
            chosen = [vm for vm in self.vms.values() if vm["state"] != "Expunging"]
        size, page = min(int(parameters.get("pagesize", "500")), self.page_limit), int(parameters.get("page", "1"))
        part = chosen[size * (page - 1):size * page]
        return {"count": len(chosen), "virtualmachine": part} if part else {}

    def do_listhosts(self, parameters):
        chosen = [host for host in self.hosts.values() if host["name"] == parameters.get("name", host["name"])]
        return {"count": len(chosen), "host": chosen} if chosen else {}

    def do_updatehost(self, parameters):
        host = next((host for host in self.hosts.values() if host["id"] == parameters["id"]), None)
        if not host:
            raise Refused(431, "Unable to find the host")
        host["hosttags"] = parameters["hosttags"]
        return {"host": host}

    def do_queryasyncjobresult(self, parameters):
        if parameters.get("jobid") not in self.jobs:
            raise Refused(431, "Unable to find the job")
        job = self.jobs[parameters["jobid"]]
        job["rounds"] -= 1
        if job["rounds"] > 0:
            return {"jobid": parameters["jobid"], "jobstatus": 0, "jobprocstatus": 0}
        try:
            return {"jobid": parameters["jobid"], "jobstatus": 1, "jobresultcode": 0, "jobresulttype": "object", "jobresult": job["run"]()}
        except Refused as refused:
            return {"jobid": parameters["jobid"], "jobstatus": 2, "jobresultcode": refused.code,
                    "jobresult": {"errorcode": refused.code, "errortext": refused.text}}

    def job(self, run, **more):
        number = str(uuid.uuid4())
        self.jobs[number] = {"rounds": self.job_rounds, "run": run}
        return dict(more, jobid=number)

    def change(self, parameters, state):
        vm = self.vms.get(parameters.get("id"))
        if not vm:
            raise Refused(431, "Unable to find a virtual machine with the specified id")

        def run():
            vm["state"] = state
            if state == "Running":
                vm["hostname"] = self.host
            else:
                vm.pop("hostname", None)
            return {"virtualmachine": vm}

        return self.job(run)

    def do_deployvirtualmachine(self, parameters):
        if "serviceofferingid" not in parameters:
            raise Refused(431, "Unable to execute API command deployvirtualmachine due to missing parameter serviceofferingid")
        vm = self.add(parameters.get("name", "vm"), parameters["serviceofferingid"], "Starting")
        del vm["hostname"]
        answer = self.change({"id": vm["id"]}, "Running" if parameters.get("startvm", "true") == "true" else "Stopped")
        return dict(answer, id=vm["id"])

    def do_startvirtualmachine(self, parameters):
        return self.change(parameters, "Running")

    def do_stopvirtualmachine(self, parameters):
        return self.change(parameters, "Stopped")

    def do_destroyvirtualmachine(self, parameters):
        return self.change(parameters, "Expunging" if parameters.get("expunge") == "true" else "Destroyed")

    def do_migratevirtualmachine(self, _):
        def run():
            raise Refused(530, "No suitable host found to migrate to")

        return self.job(run)

    def add(self, name, offering, state="Running", **more):
        number = str(uuid.uuid4())
        vm = {"id": number, "name": name, "displayname": name, "instancename": "i-2-%d-VM" % (len(self.vms) + 3), "state": state,
              "hostname": self.host, "serviceofferingname": offering, "hypervisor": "KVM", "nic": [], "details": {}}
        vm.update(more)
        self.vms[number] = vm
        return vm
