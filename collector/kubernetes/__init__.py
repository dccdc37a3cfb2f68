"""What the Kubernetes API says of this node's pods and of its peers: lists, watches, and facts for a FactSink.

Imported only where Kubernetes is used. Everything runs on one thread, on one asyncio loop (`cluster_watch.py`).
"""
