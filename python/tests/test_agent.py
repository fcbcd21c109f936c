import os
import unittest

import tfos
from tests.fake_agent import FakeAgent

TASK = {
    "task": "worker/1", "role": "worker", "index": 1, "incarnation": 3, "generation": 2, "container": "container_1_1_01_000002",
    "address": "node:4711", "step": 7, "steps": 0,
}


class AgentTest(unittest.TestCase):
    def test_task_tells_who_the_program_is(self):
        with FakeAgent({("GET", "/v1/task"): (200, dict(TASK, of_a_later_tfos=True))}):
            self.assertEqual(tfos.task(), tfos.Task(**TASK))

    def test_step_is_reported(self):
        with FakeAgent({("POST", "/v1/step"): (204, None)}) as agent:
            tfos.step(5, of=10)
            tfos.step(6)
            tfos.step(7, loss=0.5)
            tfos.step(8, loss=float("nan"))  # which JSON does not have
            self.assertEqual(
                [body for _, _, body in agent.asked],
                [{"step": 5, "steps": 10}, {"step": 6, "steps": 0}, {"step": 7, "steps": 0, "loss": 0.5}, {"step": 8, "steps": 0}])

    def test_refusal_has_the_agents_words(self):
        with FakeAgent({("POST", "/v1/step"): (409, {"error": "no program runs"})}):
            with self.assertRaisesRegex(tfos.Refused, "no program runs") as caught:
                tfos.step(1)
            self.assertEqual(caught.exception.status, 409)

    def test_unknown_call_is_a_refusal(self):
        with FakeAgent({}):
            with self.assertRaisesRegex(tfos.Refused, "404 page not found"):
                tfos.task()

    def test_answer_that_is_no_json(self):
        with FakeAgent({("GET", "/v1/task"): (200, "<html>")}):
            with self.assertRaisesRegex(tfos.Error, "no JSON"):
                tfos.task()

    def test_outside_of_a_task(self):
        os.environ.pop("TFOS_AGENT", None)
        with self.assertRaisesRegex(tfos.NotInTask, "tfos run"):
            tfos.task()

    def test_agent_that_is_gone(self):
        with FakeAgent({}) as agent:
            os.unlink(agent.address)
            with self.assertRaisesRegex(tfos.Unavailable, agent.address):
                tfos.task()


if __name__ == "__main__":
    unittest.main()
