"""Our manifests in a whole cluster, as a user applies them, with an image made of our Dockerfile."""

from __future__ import annotations

import secrets
from pathlib import Path
from typing import Any

from started_agent import AskedAgent
from whole_cluster import WholeCluster

IMAGE_VARIABLE = "AGENT_IMAGE"
NAME = "honeyguide"
ROOT = Path(__file__).resolve().parents[2]
HISTORY = "200000"  # requests of all that runs on this machine, beside those that a test looks for
KUSTOMIZATION = """
apiVersion: kustomize.config.k8s.io/v1beta1
kind: Kustomization
resources: [{base}]
images:
  - {{name: honeyguide, newName: localhost/honeyguide, newTag: test}}
patchesStrategicMerge: [history.yaml]
"""
MORE_HISTORY = f"""
apiVersion: apps/v1
kind: DaemonSet
metadata: {{name: honeyguide, namespace: honeyguide}}
spec:
  template:
    spec:
      containers:
        - name: honeyguide
          env: [{{name: HONEYGUIDE_REQUEST_HISTORY, value: "{HISTORY}"}}]
"""


class OurDaemonSet:
    def __init__(self, cluster: WholeCluster) -> None:
        self.cluster, self.writer = cluster, cluster.writer
        self.token = secrets.token_hex(32)

    def apply(self, image: Path) -> None:
        """Returns when its pod is ready."""
        self.cluster.import_image(image, "localhost/honeyguide")
        self.writer.kubectl("create", "namespace", NAME)
        self.writer.kubectl("-n", NAME, "create", "secret", "generic", "honeyguide-token", f"--from-literal=token={self.token}")
        folder = self.cluster.folder / "ours"
        folder.mkdir()
        base = Path("../" * len(folder.parts[1:])) / (ROOT / "deploy/kubernetes").relative_to("/")
        (folder / "kustomization.yaml").write_text(KUSTOMIZATION.format(base=base))
        (folder / "history.yaml").write_text(MORE_HISTORY)
        self.writer.kubectl("apply", "-k", str(folder))
        self.cluster.wait(self._is_ready, "our pod is ready")

    def pod(self) -> dict[str, Any]:
        [one] = self.writer.listed("pods", "-n", NAME, "-l", f"app.kubernetes.io/name={NAME}")
        return one

    def agent(self) -> AskedAgent:
        return AskedAgent(f"http://{self.pod()['status']['podIP']}:9464", self.token)

    def logs(self) -> str:
        return self.writer.kubectl("-n", NAME, "logs", f"daemonset/{NAME}")

    def _is_ready(self) -> bool:
        [status] = [one["status"] for one in self.writer.listed("daemonsets", "-n", NAME)]
        return bool(status.get("numberReady", 0) == status["desiredNumberScheduled"] == 1)
