"""Trains the digits the TensorFlow 1 way: parameter servers, and workers that each run MonitoredTrainingSession.

The cluster comes from TF_CONFIG. The chief (or worker 0) writes checkpoints and the model. Chief and workers end with exit
code 0 when the model has taken all its steps; parameter servers serve until they are stopped.
"""
import json
import os
import time

import digits
import numpy as np
import tensorflow.compat.v1 as tf

tf.logging.set_verbosity(tf.logging.ERROR)
tf.disable_v2_behavior()
tf.enable_resource_variables()  # the kind that TensorFlow 2 can load from the exported model


def variables():
    return [tf.get_variable(name, initializer=value) for name, value in digits.initial_values().items()]


def train(server, cluster, role, index, is_chief, config, args):
    """Trains until the model has taken its steps."""
    me = f"/job:{role}/task:{index}"
    with tf.device(tf.train.replica_device_setter(cluster=cluster, worker_device=me)):
        images = tf.placeholder(tf.float32, [None, 64])
        labels = tf.placeholder(tf.int64, [None])
        loss = digits.loss(variables(), images, labels)
        step = tf.train.get_or_create_global_step()
        optimizer = tf.train.GradientDescentOptimizer(digits.learning_rate(args, step))
        optimize = optimizer.minimize(loss, global_step=step)
        # Sharded, as MonitoredTrainingSession would have it, each parameter server would write to its own disk.
        saver = tf.train.Saver(sharded=False, max_to_keep=3, save_relative_paths=True)

    hooks = [tf.train.StopAtStepHook(last_step=args.steps)]
    if is_chief:
        newest = tf.train.latest_checkpoint(args.checkpoint_dir)
        if newest:
            digits.say(f"restored {os.path.basename(newest)}")
        hooks.append(tf.train.CheckpointSaverHook(args.checkpoint_dir, save_steps=args.checkpoint_every, saver=saver))
    else:
        # MonitoredTrainingSession would look for the chief's variables only every 30 s.
        missing = tf.report_uninitialized_variables()
        with tf.Session(server.target, config=config) as session:
            while session.run(missing).size:
                time.sleep(0.2)

    (train_images, train_labels), _ = digits.load()
    rng = np.random.default_rng([digits.SEED, index, is_chief])
    with tf.train.MonitoredTrainingSession(
        master=server.target,
        is_chief=is_chief,
        checkpoint_dir=args.checkpoint_dir if is_chief else None,
        scaffold=tf.train.Scaffold(saver=saver),
        hooks=hooks,
        save_checkpoint_steps=None,
        save_checkpoint_secs=None,
        save_summaries_steps=None,
        save_summaries_secs=None,
        log_step_count_steps=None,
        config=config,
    ) as session:
        said = 0
        while not session.should_stop():
            batch = rng.integers(len(train_images), size=args.batch)
            _, value, done = session.run(
                [optimize, loss, step], {images: train_images[batch], labels: train_labels[batch]}
            )
            if done - said >= 10 or done >= args.steps:
                digits.progress(min(done, args.steps), args.steps, value)
                said = done
            time.sleep(args.pause)


def export(checkpoints, directory):
    """Writes the newest checkpoint as a SavedModel, from a graph of its own that knows no cluster; returns its accuracy."""
    held_out, labels = digits.load()[1]
    with tf.Graph().as_default(), tf.Session() as session:
        images = tf.placeholder(tf.float32, [None, 64], name="images")
        scores = digits.scores(variables(), images)
        tf.train.Saver().restore(session, tf.train.latest_checkpoint(checkpoints))
        if tf.io.gfile.exists(directory):  # simple_save refuses one that holds the model of an earlier run
            tf.io.gfile.rmtree(directory)
        tf.saved_model.simple_save(session, directory, {"images": images}, {"scores": scores})
        digits.report(digits.accuracy(session.run(scores, {images: held_out}), labels), len(labels), directory)


def main():
    args = digits.options(__doc__)
    tf_config = json.loads(os.environ["TF_CONFIG"])
    role, index = tf_config["task"]["type"], tf_config["task"]["index"]
    cluster = tf.train.ClusterSpec(tf_config["cluster"])
    is_chief = role == "chief" or ("chief" not in tf_config["cluster"] and role == "worker" and index == 0)

    config = tf.ConfigProto(intra_op_parallelism_threads=1)
    if role != "ps":  # only the parameter servers matter to a worker: it need not wait for other workers
        config.device_filters.extend(["/job:ps", f"/job:{role}/task:{index}"])
    server = tf.train.Server(cluster, job_name=role, task_index=index, config=config)
    if role == "ps":
        server.join()
        return
    train(server, cluster, role, index, is_chief, config, args)
    if is_chief:
        export(args.checkpoint_dir, args.model_dir)


if __name__ == "__main__":
    main()
