"""
The kubelet's APIs for a client that is not ours: messages made by hand from the published names and numbers, methods by
grpcio. Maps are maps here, as in the kubelet.
"""

import grpc
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

FIELD = descriptor_pb2.FieldDescriptorProto
KINDS = {"string": FIELD.TYPE_STRING, "bool": FIELD.TYPE_BOOL, "int32": FIELD.TYPE_INT32, "int64": FIELD.TYPE_INT64}

# message: (field, number, type); "+" in front: repeated; "map": of texts to texts; else another message.
PLUGIN = {
    "Empty": (),
    "DevicePluginOptions": (("pre_start_required", 1, "bool"), ("get_preferred_allocation_available", 2, "bool")),
    "RegisterRequest": (("version", 1, "string"), ("endpoint", 2, "string"), ("resource_name", 3, "string"),
                        ("options", 4, "DevicePluginOptions")),
    "NUMANode": (("ID", 1, "int64"),),
    "TopologyInfo": (("nodes", 1, "+NUMANode"),),
    "Device": (("ID", 1, "string"), ("health", 2, "string"), ("topology", 3, "TopologyInfo")),
    "ListAndWatchResponse": (("devices", 1, "+Device"),),
    "PreStartContainerRequest": (("devices_ids", 1, "+string"),),
    "PreStartContainerResponse": (),
    "ContainerPreferredAllocationRequest": (("available_deviceIDs", 1, "+string"), ("must_include_deviceIDs", 2, "+string"),
                                            ("allocation_size", 3, "int32")),
    "PreferredAllocationRequest": (("container_requests", 1, "+ContainerPreferredAllocationRequest"),),
    "ContainerPreferredAllocationResponse": (("deviceIDs", 1, "+string"),),
    "PreferredAllocationResponse": (("container_responses", 1, "+ContainerPreferredAllocationResponse"),),
    "ContainerAllocateRequest": (("devices_ids", 1, "+string"),),
    "AllocateRequest": (("container_requests", 1, "+ContainerAllocateRequest"),),
    "Mount": (("container_path", 1, "string"), ("host_path", 2, "string"), ("read_only", 3, "bool")),
    "DeviceSpec": (("container_path", 1, "string"), ("host_path", 2, "string"), ("permissions", 3, "string")),
    "CDIDevice": (("name", 1, "string"),),
    "ContainerAllocateResponse": (("envs", 1, "map"), ("mounts", 2, "+Mount"), ("devices", 3, "+DeviceSpec"),
                                  ("annotations", 4, "map"), ("cdi_devices", 5, "+CDIDevice")),
    "AllocateResponse": (("container_responses", 1, "+ContainerAllocateResponse"),),
}
PODS = {
    "ListPodResourcesRequest": (),
    "ContainerDevices": (("resource_name", 1, "string"), ("device_ids", 2, "+string")),
    "ContainerResources": (("name", 1, "string"), ("devices", 2, "+ContainerDevices"), ("cpu_ids", 3, "+int64")),
    "PodResources": (("name", 1, "string"), ("namespace", 2, "string"), ("containers", 3, "+ContainerResources")),
    "ListPodResourcesResponse": (("pod_resources", 1, "+PodResources"),),
}


def _map_add(message, field, name):
    entry = message.nested_type.add(name="".join(part.capitalize() for part in name.split("_")) + "Entry")
    for number, key in enumerate(("key", "value"), 1):
        entry.field.add(name=key, number=number, type=FIELD.TYPE_STRING, label=FIELD.LABEL_OPTIONAL)
    entry.options.map_entry = True
    field.type, field.label = FIELD.TYPE_MESSAGE, FIELD.LABEL_REPEATED
    return f"{message.name}.{entry.name}"


def _messages(package, table):
    file = descriptor_pb2.FileDescriptorProto(name=f"{package}.proto", package=package, syntax="proto3")
    for name, fields in table.items():
        message = file.message_type.add(name=name)
        for field_name, number, kind in fields:
            field = message.field.add(name=field_name, number=number)
            field.label = FIELD.LABEL_REPEATED if kind[0] == "+" else FIELD.LABEL_OPTIONAL
            kind = kind.lstrip("+")
            if kind == "map":
                field.type_name = f".{package}.{_map_add(message, field, field_name)}"
            elif kind in KINDS:
                field.type = KINDS[kind]
            else:
                field.type, field.type_name = FIELD.TYPE_MESSAGE, f".{package}.{kind}"
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    factory = message_factory.MessageFactory(pool)
    return {name: factory.GetPrototype(pool.FindMessageTypeByName(f"{package}.{name}")) for name in table}


plugin = _messages("v1beta1", PLUGIN)
pods = _messages("v1", PODS)

METHODS = {
    "GetDevicePluginOptions": ("Empty", "DevicePluginOptions"),
    "GetPreferredAllocation": ("PreferredAllocationRequest", "PreferredAllocationResponse"),
    "Allocate": ("AllocateRequest", "AllocateResponse"),
    "PreStartContainer": ("PreStartContainerRequest", "PreStartContainerResponse"),
}


class Client:
    """Calls of the kubelet to a plugin."""

    def __init__(self, socket):
        self.channel = grpc.insecure_channel(f"unix:{socket}", options=[("grpc.max_reconnect_backoff_ms", 200)])
        self.methods = {name: self.channel.unary_unary(f"/v1beta1.DevicePlugin/{name}", plugin[request].SerializeToString,
                                                       plugin[answer].FromString)
                        for name, (request, answer) in METHODS.items()}
        self.watch = self.channel.unary_stream("/v1beta1.DevicePlugin/ListAndWatch", plugin["Empty"].SerializeToString,
                                               plugin["ListAndWatchResponse"].FromString)

    def call(self, name, timeout=30, **fields):
        return self.methods[name](plugin[METHODS[name][0]](**fields), timeout=timeout, wait_for_ready=True)

    def raw(self, path, request=b"", timeout=30):
        """Any bytes to any method."""
        return self.channel.unary_unary(path, lambda whole: whole, lambda whole: whole)(request, timeout=timeout,
                                                                                         wait_for_ready=True)

    def close(self):
        self.channel.close()


def serve(socket, service, method, request, answer, handler, workers):
    """A server of one unary method on a unix socket, begun."""
    server = grpc.server(workers)
    handlers = {method: grpc.unary_unary_rpc_method_handler(lambda asked, context: handler(asked, context),
                                                            request_deserializer=request.FromString,
                                                            response_serializer=answer.SerializeToString)}
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, handlers),))
    if server.add_insecure_port(f"unix:{socket}") == 0:
        raise SystemExit(f"no server on {socket}")
    server.start()
    return server
