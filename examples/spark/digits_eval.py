"""Evaluates a classifier of images on TFRecord files: a plain program of TensorFlow 1.

    python digits_eval.py --model DIR --data 'DIR/part-*' --eval-dir DIR

eval-dir gets a file for each of the data's, with how many images were right, and how many there were. digits_eval_spark.py is
this program in a Spark program's nodes.
"""

import argparse
import os
import sys

import tensorflow.compat.v1 as tf


def evaluate(sess, model, file):
    """How many images of a file have their label for the highest score, and how many there are."""
    signature = tf.saved_model.load(sess, ["serve"], model).signature_def["serving_default"]
    x, scores = signature.inputs["x"].name, signature.outputs["scores"].name
    spec = {"image": tf.FixedLenFeature([64], tf.float32), "label": tf.FixedLenFeature([], tf.int64)}
    dataset = tf.data.TFRecordDataset(file).batch(100).map(lambda records: tf.parse_example(records, spec))
    batch = tf.data.make_one_shot_iterator(dataset).get_next()
    right = count = 0
    try:
        while True:
            found = sess.run(batch)
            best = sess.run(scores, {x: found["image"]}).argmax(axis=1)
            right, count = right + int((best == found["label"]).sum()), count + len(best)
    except tf.errors.OutOfRangeError:
        return right, count


def main():
    parser = argparse.ArgumentParser()
    for name in ("--model", "--data", "--eval-dir"):
        parser.add_argument(name, required=True)
    args = parser.parse_args(sys.argv[1:])
    tf.disable_eager_execution()
    tf.gfile.MakeDirs(args.eval_dir)
    files = sorted(tf.gfile.Glob(args.data))
    for file in files:
        with tf.Graph().as_default(), tf.Session() as sess:
            right, count = evaluate(sess, args.model, file)
        print(f"{file}: precision @ 1 = {right / count:.3f} [{count} examples]")
        with tf.gfile.GFile(os.path.join(args.eval_dir, os.path.basename(file)), "w") as out:
            out.write(f"{right} {count}\n")


if __name__ == "__main__":
    main()
