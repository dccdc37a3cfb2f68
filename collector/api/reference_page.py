"""The API reference at /docs, made from the OpenAPI document. FastAPI's own page needs the internet; this one does not."""

from __future__ import annotations

import html
import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

from collector.api.landing_page import page


def reference_page(document: Mapping[str, Any]) -> str:
    """HTML for an OpenAPI document as FastAPI makes it."""
    parts = [
        '<h1>honey<span>guide</span> API</h1><p>The same as a machine reads it: <a href="/openapi.json">openapi.json</a>. '
        "Every refusal is <code>{&quot;error&quot;: {&quot;reason&quot;, &quot;parameter&quot;, &quot;allowed&quot;}}</code>.</p>"
    ]
    for path, operations in document["paths"].items():
        parts += [_operation(method, path, operation, document) for method, operation in operations.items()]
    return page("honeyguide API", "".join(parts))


def _operation(method: str, path: str, operation: Mapping[str, Any], document: Mapping[str, Any]) -> str:
    parameters = operation.get("parameters", [])
    rows = "".join(_parameter(parameter) for parameter in parameters)
    table = (
        f"<table class=whole><thead><tr><th>Parameter<th>Meaning<th>Allowed<th>Example</tr></thead>{rows}</table>" if rows else ""
    )
    fields = "".join(_model(name, document) for name in _answers(operation))
    about = html.escape(operation.get("description", ""))
    title = f'<a href="{path}"><code>GET {path}</code></a>' if method == "get" else f"<code>{method.upper()} {path}</code>"
    return f"<h2>{title}</h2><p>{about}</p>{table}{fields}"


def _parameter(parameter: Mapping[str, Any]) -> str:
    schema = parameter["schema"]
    example = (schema.get("examples") or [""])[0]
    example = example[0] if isinstance(example, list) else example
    cells = (parameter.get("description", ""), schema.get("x-allowed", ""), urlencode({parameter["name"]: example}, safe=":/*,"))
    return f"<tr><td><code>{parameter['name']}</code>" + "".join(f"<td>{html.escape(str(cell))}" for cell in cells)


def _answers(operation: Mapping[str, Any]) -> list[str]:
    """Names of the models of the 200 answer, those of its rows last."""
    schema = operation["responses"]["200"].get("content", {}).get("application/json", {}).get("schema", {})
    return [one["$ref"].rpartition("/")[2] for one in schema.get("anyOf", [schema]) if "$ref" in one]


def _model(name: str, document: Mapping[str, Any]) -> str:
    model = document["components"]["schemas"][name]
    fields = []
    for field, schema in model["properties"].items():
        fields.append(f"<dt><code>{field}</code><dd>{html.escape(schema.get('description', ''))}")
        inner = schema.get("items", {}).get("$ref", "").rpartition("/")[2]
        if inner:
            fields.append(f"<dd>{_model(inner, document)}")
        elif schema.get("examples"):
            fields.append(f" <code>{html.escape(json.dumps(schema['examples'][0]))}</code>")
    return f"<dl>{''.join(fields)}</dl>"
