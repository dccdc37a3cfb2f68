"""How long a test waits for what must happen: only a test that fails takes so long, also where the machine is busy."""

PATIENCE_SECONDS = 90.0
