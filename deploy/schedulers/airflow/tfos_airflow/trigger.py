"""The trigger that waits for a job while its task is deferred."""

import asyncio
import time
from typing import Any, AsyncIterator, Dict, Tuple

from airflow.triggers.base import BaseTrigger, TriggerEvent
from tfos.client import Client, InfrastructureFailed

# A job outlives a ResourceManager that is away, and so does who waits for it: as long as `tfos attach` would.
PATIENCE = 300.0


class TfosTrigger(BaseTrigger):
    """Fires when a job has ended, when nobody can say for PATIENCE seconds how it stands, and when it is late: deadline is in seconds since
    1970, 0 for none. Airflow's own timeout of a trigger would leave the job running. on_kill ends the job.
    """

    def __init__(self, application: str, conf: str = "", tfos: str = "", poll_interval: float = 30.0, deadline: float = 0.0) -> None:
        super().__init__()
        self.application = application
        self.conf = conf
        self.tfos = tfos
        self.poll_interval = poll_interval
        self.deadline = deadline

    def serialize(self) -> Tuple[str, Dict[str, Any]]:
        return (
            "tfos_airflow.trigger.TfosTrigger",
            {
                "application": self.application,
                "conf": self.conf,
                "tfos": self.tfos,
                "poll_interval": self.poll_interval,
                "deadline": self.deadline,
            },
        )

    def _client(self) -> Client:
        return Client(conf=self.conf, tfos=self.tfos)

    async def run(self) -> AsyncIterator[TriggerEvent]:
        client = self._client()
        heard = time.monotonic()
        while True:
            try:
                ended = (await asyncio.to_thread(client.status, self.application)).ended
                heard = time.monotonic()
            except InfrastructureFailed as e:
                self.log.warning("%s: %s", self.application, e)
                ended = time.monotonic() - heard > PATIENCE  # the task then says why it cannot be known
            late = 0 < self.deadline < time.time()
            if ended or late:
                yield TriggerEvent({"application": self.application, "late": late and not ended})
                return
            await asyncio.sleep(self.poll_interval)

    async def on_kill(self) -> None:
        """Airflow calls this when a person ends the deferred task; Airflow 3.3 is the first that does."""
        await asyncio.to_thread(self._client().kill, self.application)
