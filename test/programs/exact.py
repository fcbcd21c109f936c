"""Trains the digits so that every run of so many steps ends with the same weights, bit for bit, however often it was stopped and resumed.

One task, one thread; each step's batch follows from the step alone. With EXACT=v1 it is a graph and a MonitoredTrainingSession,
else a custom loop. What it ends with is printed as "weights SHA256".
"""
import hashlib
import os
import time

import digits
import numpy as np
import tensorflow as tf

EVERY = 20


def batch(train, step, size):
    images, labels = train
    chosen = np.random.default_rng([digits.SEED, step]).integers(len(images), size=size)
    return images[chosen], labels[chosen]


def custom_loop(args, train):
    variables = [tf.Variable(v, name=n) for n, v in digits.initial_values().items()]
    step = tf.Variable(0, dtype=tf.int64, name="step")
    checkpoint = tf.train.Checkpoint(variables=variables, step=step)
    manager = tf.train.CheckpointManager(checkpoint, args.checkpoint_dir, max_to_keep=3)
    if manager.latest_checkpoint:
        checkpoint.restore(manager.latest_checkpoint).assert_consumed()
        digits.say(f"restored {os.path.basename(manager.latest_checkpoint)}")

    @tf.function
    def one(images, labels):
        with tf.GradientTape() as tape:
            loss = digits.loss(variables, images, labels)
        rate = digits.learning_rate(args, step)
        for v, g in zip(variables, tape.gradient(loss, variables)):
            v.assign_sub(rate * g)
        step.assign_add(1)
        return loss

    while (done := int(step.numpy())) < args.steps:
        loss = one(*batch(train, done, args.batch))
        digits.progress(done + 1, args.steps, float(loss))
        if (done + 1) % EVERY == 0:
            manager.save(checkpoint_number=done + 1)
        time.sleep(args.pause)
    return [v.numpy() for v in variables]


def session_loop(args, train):
    v1 = tf.compat.v1
    with tf.Graph().as_default():
        images, labels = v1.placeholder(tf.float32, [None, 64]), v1.placeholder(tf.int64, [None])
        variables = [v1.get_variable(n.replace("/", "_"), initializer=v, use_resource=True) for n, v in digits.initial_values().items()]
        step = v1.train.get_or_create_global_step()
        loss = digits.loss(variables, images, labels)
        optimize = v1.train.GradientDescentOptimizer(digits.learning_rate(args, step)).minimize(loss, var_list=variables, global_step=step)
        saver = v1.train.Saver(max_to_keep=3, save_relative_paths=True)

        newest = tf.train.latest_checkpoint(args.checkpoint_dir)
        if newest:
            digits.say(f"restored {os.path.basename(newest)}")
        hooks = [v1.train.CheckpointSaverHook(args.checkpoint_dir, save_steps=EVERY, saver=saver)]
        config = v1.ConfigProto(intra_op_parallelism_threads=1, inter_op_parallelism_threads=1)
        with v1.train.MonitoredTrainingSession(
            checkpoint_dir=args.checkpoint_dir, scaffold=v1.train.Scaffold(saver=saver), hooks=hooks, config=config,
            save_checkpoint_steps=None, save_checkpoint_secs=None, save_summaries_steps=None, save_summaries_secs=None, log_step_count_steps=None,
        ) as session:
            done = session.run(step)
            while done < args.steps:
                x, y = batch(train, done, args.batch)
                _, value, done = session.run([optimize, loss, step], {images: x, labels: y})
                done = session.run(step)
                digits.progress(done, args.steps, value)
                time.sleep(args.pause)
            return session.run(variables)


def main():
    args = digits.options(__doc__)
    v1 = os.environ.get("EXACT") == "v1"
    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    weights = (session_loop if v1 else custom_loop)(args, digits.load()[0])
    digest = hashlib.sha256(b"".join(np.ascontiguousarray(w).tobytes() for w in weights)).hexdigest()
    print("weights", digest, flush=True)


if __name__ == "__main__":
    main()
