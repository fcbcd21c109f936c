import getpass
import os
import unittest
from types import SimpleNamespace
from unittest import mock

from tfos.compat._paths import hdfs_path


class HdfsPathTest(unittest.TestCase):
    """TensorFlowOnSpark's test_TFNode, hdfs_path."""

    def setUp(self):
        patch = mock.patch.dict(os.environ)
        patch.start()
        self.addCleanup(patch.stop)
        os.environ.pop("HADOOP_USER_NAME", None)
        self.home = f"/user/{getpass.getuser()}"

    def test_hdfs_path(self):
        cwd = os.getcwd()
        for given, on_file, on_hdfs, on_viewfs in [
            ("hdfs://foo/bar", "hdfs://foo/bar", "hdfs://foo/bar", "hdfs://foo/bar"),
            ("viewfs://foo/bar", "viewfs://foo/bar", "viewfs://foo/bar", "viewfs://foo/bar"),
            ("file://foo/bar", "file://foo/bar", "file://foo/bar", "file://foo/bar"),
            ("s3a://foo/bar", "s3a://foo/bar", "s3a://foo/bar", "s3a://foo/bar"),
            ("/foo/bar", "file:///foo/bar", "hdfs:///foo/bar", "viewfs:///foo/bar"),
            ("foo/bar", f"file://{cwd}/foo/bar", f"hdfs://{self.home}/foo/bar", f"viewfs://{self.home}/foo/bar"),
        ]:
            for fs, want in [("file://", on_file), ("hdfs://", on_hdfs), ("viewfs://", on_viewfs)]:
                with self.subTest(path=given, fs=fs):
                    self.assertEqual(hdfs_path(SimpleNamespace(defaultFS=fs, working_dir=cwd), given), want)

    def test_default_filesystems_as_sites_write_them(self):
        for fs, given, want in [
            ("file:///", "/foo/bar", "file:///foo/bar"),
            ("file:///", "foo", "file:///work/foo"),
            ("hdfs://nn:8020", "/foo", "hdfs://nn:8020/foo"),
            ("hdfs://nn:8020/", "/foo", "hdfs://nn:8020/foo"),
            ("hdfs://nameservice1", "foo", f"hdfs://nameservice1{self.home}/foo"),
            ("viewfs://cluster/", "foo", f"viewfs://cluster{self.home}/foo"),
        ]:
            with self.subTest(path=given, fs=fs):
                self.assertEqual(hdfs_path(SimpleNamespace(defaultFS=fs, working_dir="/work"), given), want)

    def test_the_user_that_hadoop_believes(self):
        os.environ["HADOOP_USER_NAME"] = "ada"
        self.assertEqual(hdfs_path(SimpleNamespace(defaultFS="hdfs://nn", working_dir="/"), "x"), "hdfs://nn/user/ada/x")
