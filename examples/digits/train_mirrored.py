"""Trains the digits with MultiWorkerMirroredStrategy: every worker holds the whole model, and all take each step together.

The cluster comes from TF_CONFIG. Worker 0 (or the chief, if there is one) writes checkpoints and the model; all end with
exit code 0. When one is lost the others fail, and all go on from the newest checkpoint when they are started again.
"""
import os
import tempfile
import time

import digits
import tensorflow as tf


def train(strategy, resolver, args):
    is_chief = resolver.task_type == "chief" or ("chief" not in resolver.cluster_spec().jobs and resolver.task_id == 0)

    with strategy.scope():
        variables = [tf.Variable(value, name=name) for name, value in digits.initial_values().items()]
        step = tf.Variable(
            0, dtype=tf.int64, trainable=False, name="step", aggregation=tf.VariableAggregation.ONLY_FIRST_REPLICA
        )

    checkpoint = tf.train.Checkpoint(variables=variables, step=step)
    newest = tf.train.latest_checkpoint(args.checkpoint_dir)
    if newest:
        checkpoint.restore(newest).assert_consumed()
        digits.say(f"restored {os.path.basename(newest)} at step {int(step.numpy())}")
    start_together(strategy, int(step.numpy()))

    # Everyone must take part in saving, but only one may write to the real place.
    aside = tempfile.TemporaryDirectory(prefix="digits-", dir=".")
    manager = tf.train.CheckpointManager(checkpoint, args.checkpoint_dir if is_chief else aside.name, max_to_keep=3)

    images_and_labels, _ = digits.load()

    def batches(context):
        seed = digits.SEED + int(step.numpy()) + 1000003 * context.input_pipeline_id
        return digits.dataset(images_and_labels, context.get_per_replica_batch_size(args.batch), seed)

    @tf.function
    def train_step(images, labels):
        def one(images, labels):
            with tf.GradientTape() as tape:
                loss = digits.loss(variables, images, labels)
            gradients = tf.distribute.get_replica_context().all_reduce(
                tf.distribute.ReduceOp.MEAN, tape.gradient(loss, variables)
            )
            rate = digits.learning_rate(args, step)
            for variable, gradient in zip(variables, gradients):
                variable.assign_sub(rate * gradient)
            step.assign_add(1)
            return loss

        return strategy.reduce(tf.distribute.ReduceOp.MEAN, strategy.run(one, args=(images, labels)), axis=None)

    for images, labels in strategy.distribute_datasets_from_function(batches):
        done = int(step.numpy())
        if done >= args.steps:
            break
        loss = train_step(images, labels)
        done += 1
        if done % 10 == 0 or done == args.steps:
            digits.progress(done, args.steps, float(loss))
        if done % args.checkpoint_every == 0 or done == args.steps:
            manager.save(checkpoint_number=done)
        time.sleep(args.pause)

    if is_chief:
        digits.finish([v.numpy() for v in variables], args.model_dir)
    total(strategy, 1)  # nobody leaves before the model is written: the first to go ends the others


def start_together(strategy, step):
    """Fails unless all workers restored the same step: from different ones they would wait for each other for ever."""
    everyone = total(strategy, step)
    if everyone != step * strategy.num_replicas_in_sync:
        raise SystemExit(
            f"this worker is at step {step}, others are not: --checkpoint-dir must be a place that all workers share"
        )


def total(strategy, value):
    """Sum over all workers; returns when every worker has called it."""

    @tf.function
    def everyone():
        values = strategy.experimental_distribute_values_from_function(lambda context: tf.constant(value, tf.int64))
        return strategy.reduce(tf.distribute.ReduceOp.SUM, values, axis=None)

    return int(everyone())


def main():
    args = digits.options(__doc__)
    tf.config.threading.set_intra_op_parallelism_threads(1)
    resolver = tf.distribute.cluster_resolver.TFConfigClusterResolver()
    strategy = tf.distribute.MultiWorkerMirroredStrategy(
        cluster_resolver=resolver,
        communication_options=tf.distribute.experimental.CommunicationOptions(
            implementation=tf.distribute.experimental.CommunicationImplementation.RING
        ),
    )
    train(strategy, resolver, args)


if __name__ == "__main__":
    main()
