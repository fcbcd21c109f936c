"""Trains the digits with ParameterServerStrategy: the chief coordinates, workers compute, parameter servers hold the model.

The cluster comes from TF_CONFIG. The chief ends with exit code 0 when the model is trained; the others serve until stopped.
The chief outlives a lost worker. A lost parameter server takes its part of the model along: the chief fails, and goes on
from the newest checkpoint when it is started again.
"""
import os
import time

os.environ.setdefault("GRPC_FAIL_FAST", "use_caller")  # a lost worker is reported at once instead of waited for

import digits
import tensorflow as tf

ROUND = 10  # steps handed out between two looks at the result


def serve(resolver):
    """Workers and parameter servers do what the chief asks, until they are stopped."""
    config = tf.compat.v1.ConfigProto(intra_op_parallelism_threads=1)
    # Workers wait for each other inside steps; with fewer threads than waiters they would wait for ever.
    config.inter_op_parallelism_threads = max(4, resolver.cluster_spec().num_tasks("worker") + 1)
    tf.distribute.Server(
        resolver.cluster_spec(), job_name=resolver.task_type, task_index=resolver.task_id, protocol="grpc", config=config
    ).join()


def train(resolver, args):
    strategy = tf.distribute.ParameterServerStrategy(resolver)
    coordinator = tf.distribute.coordinator.ClusterCoordinator(strategy)

    with strategy.scope():
        variables = [tf.Variable(value, name=name) for name, value in digits.initial_values().items()]
        step = tf.Variable(0, dtype=tf.int64, trainable=False, name="step")

    # Without this each parameter server would write its share to its own disk.
    here = tf.train.CheckpointOptions(experimental_io_device="/job:chief/task:0/device:CPU:0")
    checkpoint = tf.train.Checkpoint(variables=variables, step=step)
    manager = tf.train.CheckpointManager(checkpoint, args.checkpoint_dir, max_to_keep=3)
    if manager.latest_checkpoint:
        checkpoint.restore(manager.latest_checkpoint, options=here).assert_consumed()
        digits.say(f"restored {os.path.basename(manager.latest_checkpoint)} at step {int(step.numpy())}")

    images_and_labels, _ = digits.load()
    seed = digits.SEED + int(step.numpy())  # so that a restored run does not see the same batches again
    batches = iter(
        coordinator.create_per_worker_dataset(
            lambda: strategy.distribute_datasets_from_function(lambda context: digits.dataset(images_and_labels, args.batch, seed))
        )
    )

    @tf.function
    def train_step(batches):
        def one(images, labels):
            with tf.GradientTape() as tape:
                loss = digits.loss(variables, images, labels)
            rate = digits.learning_rate(args, step)
            for variable, gradient in zip(variables, tape.gradient(loss, variables)):
                variable.assign_sub(rate * gradient)
            step.assign_add(1)
            return loss

        return strategy.run(one, args=next(batches))

    saved = done = int(step.numpy())
    while done < args.steps:
        for _ in range(min(ROUND, args.steps - done)):
            result = coordinator.schedule(train_step, args=(batches,))
            time.sleep(args.pause)
        coordinator.join()
        done = int(step.numpy())
        digits.progress(done, args.steps, float(result.fetch()))
        if done - saved >= args.checkpoint_every or done >= args.steps:
            manager.save(checkpoint_number=done, options=here)
            saved = done

    digits.finish([v.numpy() for v in variables], args.model_dir)


def main():
    args = digits.options(__doc__)
    tf.config.threading.set_intra_op_parallelism_threads(1)
    resolver = tf.distribute.cluster_resolver.TFConfigClusterResolver()
    if resolver.task_type in ("worker", "ps"):
        serve(resolver)
    else:
        train(resolver, args)


if __name__ == "__main__":
    main()
