package tfos.spark;

import java.io.IOException;
import org.apache.hadoop.fs.FSDataOutputStream;
import org.apache.hadoop.fs.Path;
import org.apache.hadoop.io.BytesWritable;
import org.apache.hadoop.io.NullWritable;
import org.apache.hadoop.mapreduce.RecordWriter;
import org.apache.hadoop.mapreduce.TaskAttemptContext;
import org.apache.hadoop.mapreduce.lib.output.FileOutputFormat;

/** Writes keys as they are, one after the other and nothing between. Whoever makes them has framed them. */
public final class BytesOutput extends FileOutputFormat<BytesWritable, NullWritable> {
  @Override
  public RecordWriter<BytesWritable, NullWritable> getRecordWriter(TaskAttemptContext task) throws IOException {
    Path file = getDefaultWorkFile(task, "");
    final FSDataOutputStream out = file.getFileSystem(task.getConfiguration()).create(file, false);
    return new RecordWriter<BytesWritable, NullWritable>() {
      @Override
      public void write(BytesWritable bytes, NullWritable nothing) throws IOException {
        out.write(bytes.getBytes(), 0, bytes.getLength());
      }

      @Override
      public void close(TaskAttemptContext task) throws IOException {
        out.close();
      }
    };
  }
}
