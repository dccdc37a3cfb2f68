"""The PromQL that the boards are made of."""

from __future__ import annotations

from collections.abc import Sequence

WORKLOAD = 'service_name=~"$workload",service_namespace=~"$namespace",instance=~"$node"'
NODE = 'instance=~"$node"'
WINDOW = "[$__rate_interval]"


def rate(name: str, *matchers: str, of: str = WORKLOAD) -> str:
    """Per second, of the chosen workloads (or nodes)."""
    return f"rate({name}{{{','.join((of, *matchers))}}}{WINDOW})"


def total(expression: str, *labels: str) -> str:
    return f"sum by ({', '.join(labels)}) ({expression})" if labels else f"sum({expression})"


def largest(count: int, expression: str) -> str:
    return f"topk({count}, {expression})"


def or_zero(expression: str, label: str = "") -> str:
    """0 where there is no series because it never happened; with `label` that line is called 'none'."""
    zero = f'label_replace(vector(0), "{label}", "none", "", "")' if label else "vector(0)"
    return f"{expression} or on() {zero}"


def quantile(share: float, name: str, *matchers: str, by: Sequence[str] = ()) -> str:
    """Of a histogram over all chosen workloads, or for each of these labels."""
    return f"histogram_quantile({share}, sum by ({', '.join(('le', *by))}) ({rate(f'{name}_bucket', *matchers)}))"


def quotient(above: str, below: str) -> str:
    """0 and not NaN where nothing happened at all."""
    return f"({above}) / (({below}) > 0) or ({below}) * 0"
