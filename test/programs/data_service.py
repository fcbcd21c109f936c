"""A tf.data service in one task: the dispatcher on the task's own port, worker and client by DispatchServer.target; then a health check."""
import json
import os
import socket

import tensorflow as tf

config = json.loads(os.environ["TF_CONFIG"])
port = int(config["cluster"][config["task"]["type"]][config["task"]["index"]].rsplit(":", 1)[1])
service = tf.data.experimental.service
dispatcher = service.DispatchServer(service.DispatcherConfig(port=port, protocol="grpc"))
worker = service.WorkerServer(service.WorkerConfig(dispatcher_address=dispatcher.target.split("://")[1], dispatcher_timeout_ms=60000))
numbers = tf.data.Dataset.range(100).apply(service.distribute("distributed_epoch", dispatcher.target))
print("the sum is", sum(int(x) for x in numbers), flush=True)
for host in ("localhost", "127.0.0.1", socket.gethostname()):
    socket.create_connection((host, port), timeout=30).close()
    print(host, "answers", flush=True)
os._exit(0)
