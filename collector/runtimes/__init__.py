"""Names from the container runtimes' own files: what a container or pod is called when no API server says it."""
