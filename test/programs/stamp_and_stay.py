"""Notes in the directory of its argument when this process could read its cluster_spec, then stays until it is stopped."""
import json
import os
import sys
import time

config = json.loads(os.environ["TF_CONFIG"])
now = time.time()
name = f"{os.environ['TFOS_ROLE']}-{os.environ['TFOS_INDEX']}-{os.environ['TFOS_INCARNATION']}"
with open(f"{sys.argv[1]}/{name}.part", "w") as f:
    json.dump({"at": now, "tf_config": json.dumps(config)}, f)
os.rename(f"{sys.argv[1]}/{name}.part", f"{sys.argv[1]}/{name}")
while True:
    time.sleep(3600)
