"""Where the suite reads traces back from: Jaeger, or a collector of its own where no image of Jaeger can be had."""

import concurrent.futures
import json
import os
import threading


class Span:
    """One span: what it is tagged with, when it began (in any unit), of which trace and which MC system it is."""

    def __init__(self, trace, begin, tags, system):
        self.trace, self.begin, self.tags, self.system = trace, begin, tags, system


class Jaeger:
    """The Jaeger that the first system has from the chart, and that the second one sends to as well."""

    def __init__(self, first):
        self.first = first

    def flags(self, system):
        if system is self.first:
            return ["--set", "jaeger.enabled=true"]
        endpoint = f"http://{self.first.name}-jaeger.{self.first.name}.svc.cluster.local:4317"
        return ["--set", f"settings.telemetry.otlp_endpoint={endpoint}"]

    def spans(self):
        query = "/api/traces?service=migration-management&limit=50&lookback=1h"
        for trace in json.loads(self.first.http(f"service/{self.first.name}-jaeger", 16686, query))["data"]:
            for span in trace["spans"]:
                tags = {tag["key"]: tag["value"] for tag in span["tags"]}
                resource = {tag["key"]: tag["value"] for tag in trace["processes"][span["processID"]]["tags"]}
                yield Span(trace["traceID"], span["startTime"], tags, resource.get("service.namespace", ""))


class Collector:
    """Takes spans by OTLP over gRPC here, in this process, at an address that pods can reach."""

    def __init__(self, address):
        import grpc
        from opentelemetry.proto.collector.trace.v1 import trace_service_pb2, trace_service_pb2_grpc

        self.address = address
        self.received = []
        self.lock = threading.Lock()
        collector = self

        class Service(trace_service_pb2_grpc.TraceServiceServicer):
            def Export(self, request, _context):
                with collector.lock:
                    collector.received.extend(request.resource_spans)
                return trace_service_pb2.ExportTraceServiceResponse()

        self.server = grpc.server(concurrent.futures.ThreadPoolExecutor(max_workers=4))
        trace_service_pb2_grpc.add_TraceServiceServicer_to_server(Service(), self.server)
        if not self.server.add_insecure_port(f"0.0.0.0:{address.rpartition(':')[2]}"):
            raise OSError(f"cannot listen for spans at {address}")
        self.server.start()

    def flags(self, _system):
        return ["--set", f"settings.telemetry.otlp_endpoint=http://{self.address}"]

    def spans(self):
        with self.lock:
            received = list(self.received)
        for group in received:
            resource = {pair.key: pair.value.string_value for pair in group.resource.attributes}
            for scope in group.scope_spans:
                for span in scope.spans:
                    tags = {pair.key: pair.value.string_value or pair.value.int_value for pair in span.attributes}
                    yield Span(span.trace_id.hex(), span.start_time_unix_nano, tags, resource.get("service.namespace", ""))


class Nowhere:
    """Traces are not looked at."""

    def flags(self, _system):
        return []


def from_environment(first):
    setting = os.environ.get("TRACES", "none")
    if setting == "jaeger":
        return Jaeger(first)
    if setting.startswith("otlp:"):
        return Collector(setting.removeprefix("otlp:"))
    if setting != "none":
        raise ValueError(f"TRACES={setting}: one of none, jaeger, otlp:HOST:PORT")
    return Nowhere()
