"""Sends an agent's run to a daemon with the real OpenTelemetry SDK, over OTLP/HTTP.

    OTEL_CLIENT_ENDPOINT=http://127.0.0.1:8080 OTEL_CLIENT_TOKEN=... python otel_client.py

Environment: OTEL_CLIENT_ENDPOINT (required), OTEL_CLIENT_TOKEN (bearer token), OTEL_CLIENT_COMPRESSION
(gzip, deflate or none; default gzip), OTEL_CLIENT_AGENT (default "otel-agent"), OTEL_CLIENT_ROUNDS
(default 5), OTEL_CLIENT_NOBODY (1: also a span that a daemon rejects).

The run: one invocation of an agent; in each round a model call with a stated confidence, a tool call that
succeeds, one that fails in the same way every time, and an evaluation of the model's answer. Texts are
named SECRET-CANARY-*: they must never leave the daemon.

Exit code 0 when everything was exported, 1 when an export failed; it prints one JSON line of what it sent.
"""

import json
import os
import sys

from opentelemetry._logs import LogRecord
from opentelemetry.exporter.otlp.proto.http import Compression
from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor, LogRecordExportResult
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExportResult
from opentelemetry.trace import SpanKind, Status, StatusCode

FAILED = []


class CheckedSpans(OTLPSpanExporter):
    """The real exporter; remembers failures, which the processor only logs."""

    def export(self, spans):
        result = super().export(spans)
        if result is not SpanExportResult.SUCCESS:
            FAILED.append("traces")
        return result


class CheckedLogs(OTLPLogExporter):
    """The same for log records."""

    def export(self, batch):
        result = super().export(batch)
        if result is not LogRecordExportResult.SUCCESS:
            FAILED.append("logs")
        return result


def run(tracer, logger, agent, rounds):
    """One run of the agent; returns how much of what it emitted."""
    identity = {"gen_ai.agent.name": agent, "gen_ai.conversation.id": "conversation-1"}
    sent = {"chats": 0, "tools": 0, "failures": 0, "claims": 0, "verdicts": 0}
    history = [{"role": "user", "parts": [{"type": "text", "content": "SECRET-CANARY-PROMPT"}]}]
    operation = {"gen_ai.operation.name": "invoke_agent", **identity}
    with tracer.start_as_current_span(f"invoke_agent {agent}", attributes=operation):
        for i in range(rounds):
            response = f"response-{i}"
            chat = {
                "gen_ai.operation.name": "chat",
                "gen_ai.provider.name": "openai",
                "gen_ai.request.model": "gpt-4o",
                "gen_ai.response.id": response,
                "gen_ai.response.finish_reasons": ["stop"],
                "gen_ai.input.messages": json.dumps(history),
                "metacog.confidence": 0.9,
                "metacog.task": "canary",
                **identity,
            }
            with tracer.start_as_current_span("chat gpt-4o", kind=SpanKind.CLIENT, attributes=chat) as span:
                answer = {"role": "assistant", "parts": [{"type": "text", "content": f"SECRET-CANARY-ANSWER-{i}"}]}
                span.set_attribute("gen_ai.output.messages", json.dumps([answer]))
                span.set_attribute("gen_ai.usage.input_tokens", 1000 + i)
                span.set_attribute("gen_ai.usage.output_tokens", 50)
                history.append(answer)
                logger.emit(
                    LogRecord(
                        event_name="gen_ai.evaluation.result",
                        attributes={
                            "gen_ai.evaluation.name": "task_success",
                            "gen_ai.evaluation.score.value": float(i % 2),
                            "gen_ai.evaluation.score.label": "pass" if i % 2 else "fail",
                            "gen_ai.evaluation.explanation": "SECRET-CANARY-EXPLANATION",
                            "gen_ai.response.id": response,
                            **identity,
                        },
                    )
                )
            sent["chats"] += 1
            sent["claims"] += 1
            sent["verdicts"] += 1
            for name, fails in (("search", False), ("bash", True)):
                tool = {
                    "gen_ai.operation.name": "execute_tool",
                    "gen_ai.tool.name": name,
                    "gen_ai.tool.call.id": f"call-{i}",
                    "gen_ai.tool.call.arguments": json.dumps({"q": "SECRET-CANARY-ARGUMENT", "n": 1}),
                    **identity,
                }
                # The exception is recorded by hand: it must not end the run.
                with tracer.start_as_current_span(f"execute_tool {name}", attributes=tool) as span:
                    if fails:
                        span.set_attribute("error.type", "FileNotFoundError")
                        span.record_exception(FileNotFoundError("SECRET-CANARY-EXCEPTION"))
                        span.set_status(Status(StatusCode.ERROR, "SECRET-CANARY-STATUS"))
                        sent["failures"] += 1
                    else:
                        span.set_attribute("gen_ai.tool.call.result", f"SECRET-CANARY-RESULT-{i}")
                sent["tools"] += 1
        with tracer.start_as_current_span("GET /", attributes={"http.request.method": "GET"}):
            pass
        if os.environ.get("OTEL_CLIENT_NOBODY") == "1":
            wrong = {"gen_ai.operation.name": "chat", "metacog.confidence": 7.0, **identity}
            with tracer.start_as_current_span("chat wrong", attributes=wrong):
                pass
    return sent


def main():
    endpoint = os.environ.get("OTEL_CLIENT_ENDPOINT")
    if not endpoint:
        print("OTEL_CLIENT_ENDPOINT is not set", file=sys.stderr)
        return 2
    endpoint = endpoint.rstrip("/")
    token = os.environ.get("OTEL_CLIENT_TOKEN")
    options = {
        "headers": {"authorization": f"Bearer {token}"} if token else {},
        "compression": Compression(os.environ.get("OTEL_CLIENT_COMPRESSION", "gzip")),
        "timeout": 10,
    }
    resource = Resource.create({"service.name": "otel-client"})
    tracers = TracerProvider(resource=resource)
    tracers.add_span_processor(BatchSpanProcessor(CheckedSpans(endpoint=f"{endpoint}/v1/traces", **options)))
    loggers = LoggerProvider(resource=resource)
    loggers.add_log_record_processor(BatchLogRecordProcessor(CheckedLogs(endpoint=f"{endpoint}/v1/logs", **options)))

    agent = os.environ.get("OTEL_CLIENT_AGENT", "otel-agent")
    rounds = int(os.environ.get("OTEL_CLIENT_ROUNDS", "5"))
    sent = run(tracers.get_tracer("otel_client"), loggers.get_logger("otel_client"), agent, rounds)
    flushed = tracers.force_flush() and loggers.force_flush()
    tracers.shutdown()
    loggers.shutdown()
    print(json.dumps(sent))
    if FAILED or not flushed:
        print(f"not exported: {', '.join(FAILED) or 'not flushed in time'}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
